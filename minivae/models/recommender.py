"""What every model can do, VAEs and baselines alike."""

from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from minivae.data.users import Users


@runtime_checkable
class Recommender(Protocol):
    """A model that ranks items for users, and knows the arguments that make an empty one like it.

    A `Baseline` learns by ``model.fit(train)``; a `VAE`, which needs validation users and settings, by
    ``minivae.fit(model, split, config)``. Both are kept by `save_model` and come back by `load_model`.

    Examples
    --------
    >>> from minivae.models import EASE
    >>> isinstance(EASE().fit([[1, 1], [0, 1]]), Recommender)
    True
    """

    n_items: int

    @property
    def sizes(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        ...

    def score(self, history: Users) -> Tensor:
        """(B, I) scores, higher is better."""
        ...
