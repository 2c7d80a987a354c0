"""People whose preferences are known to the simulation and to no recommender, and what a recommender offers them."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp

from minivae.data.population import Planted
from minivae.data.users import as_csr, shape_of
from minivae.errors import InputError
from minivae.ranking import Scorer
from minivae.recommendation import recommend

BLOCK = 4096
DEPTH = 50


@dataclass(frozen=True, eq=False, repr=False)
class Shelf:
    """What one recommender offers to people, best first, and how much they like it; made by `Audience.shelf`.

    Parameters
    ----------
    labels : ndarray
        (U,) of the people.
    items : ndarray
        (U, K) int64, −1 where nothing is left to recommend.
    appeal : ndarray
        (U, K) π_ui, 0 where nothing is left.
    """

    labels: np.ndarray
    items: np.ndarray
    appeal: np.ndarray

    def __post_init__(self) -> None:
        if self.items.shape != self.appeal.shape or len(self.items) != len(self.labels):
            raise InputError(
                f"{len(self.labels)} people, items {self.items.shape} and appeal {self.appeal.shape} do not fit"
            )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, people: slice | np.ndarray) -> "Shelf":
        """The shelf of some of the people."""
        return Shelf(self.labels[people], self.items[people], self.appeal[people])


@dataclass(frozen=True, eq=False, repr=False)
class Audience:
    """People whose preferences are known to the simulation and to no recommender.

    Parameters
    ----------
    labels : ndarray
        (U,)
    history : csr_matrix
        (U, I) CSR, all that a recommender gets to see.
    preference : ndarray
        (U, I) true log-preferences up to a constant per person.
    """

    labels: np.ndarray
    history: sp.csr_matrix
    preference: np.ndarray

    def __post_init__(self) -> None:
        if self.history.shape != self.preference.shape or len(self.labels) != shape_of(self.history)[0]:
            raise InputError(
                f"{len(self.labels)} people, a history of shape {self.history.shape} and preferences of shape "
                f"{self.preference.shape} do not fit"
            )

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def taste(self) -> np.ndarray:
        """π_ui, the preferences normalised over the items that are new to a person, (U, I); 0 for the others."""
        taste = self.preference.copy()
        taste[self.history.nonzero()] = -np.inf
        taste = np.exp(taste - taste.max(1, keepdims=True))
        return taste / taste.sum(1, keepdims=True)

    @classmethod
    def planted(cls, data: Planted, people: np.ndarray, items: np.ndarray) -> "Audience":
        """Some people of a planted population, with all their interactions as history.

        Parameters
        ----------
        data : Planted
            The population.
        people : ndarray
            (U,) codes of users, which should not be among those that a model was trained on.
        items : ndarray
            (I,) codes of the items in the order of the models' columns: ``split.item_labels``.

        Raises
        ------
        InputError
            If `data` has no truth.
        """
        if data.truth is None:
            raise InputError("an audience needs the true preferences of a planted population: data.truth is None")
        people = np.asarray(people)
        return cls(people, as_csr(data.matrix[people][:, items]), data.truth.logits(people)[:, items])

    def shelf(self, model: Scorer, depth: int = DEPTH) -> Shelf:
        """The `depth` best new items of every person in the eyes of a recommender, and what they really think of them.

        Parameters
        ----------
        model : Scorer
            Anything with ``score(history) -> (B, I)``.
        depth : int, default DEPTH
            K; what is clicked leaves the list, so it should be several times the slots of a visit.
        """
        items, appeal = [], []
        for a in range(0, len(self), BLOCK):
            history = self.history[a : a + BLOCK]
            taste = self.taste[a : a + BLOCK]
            shown = recommend(model, history, depth)[0].cpu().numpy()
            items.append(shown)
            appeal.append(np.where(shown >= 0, np.take_along_axis(taste, np.maximum(shown, 0), 1), 0))
        return Shelf(self.labels, np.concatenate(items), np.concatenate(appeal))
