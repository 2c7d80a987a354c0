"""From what the command line says about data to a split."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from minivae.data import catalogue
from minivae.data.embedded import debian
from minivae.data.interactions import KIND, Interactions, read_interactions
from minivae.data.population import planted
from minivae.data.splits import StrongSplit, strong_split
from minivae.errors import InputError
from minivae.runtime.storage import digest, kind

DEFAULT_HELDOUT = 1000
EMBEDDED: dict[str, tuple[Callable[[], Interactions], int]] = {  # name -> data, users held out for each of two parts
    "planted": (planted, 2000),  # so many test users tell a paired difference of .005 in nDCG@100 from nothing
    "debian": (debian, 1500),
}


@dataclass(frozen=True)
class Source:
    """What to load: "planted" or "debian", a split file, the name of a prepared data set, a raw table, or interactions.

    Attributes
    ----------
    data : str
        The name or path.
    user, item, rating, title : str, optional
        Columns of a table, by name or by position (digits).
    min_rating : float, optional
        Keep rating >= min_rating.
    heldout : int, optional
        Validation users, and as many test users; by default 1,000; 2,000 of planted, 1,500 of debian; of a table at
        most a tenth of the users.
    split_seed : int, optional
        Of the draw of held-out users.
    """

    data: str = "planted"
    user: str | None = None
    item: str | None = None
    rating: str | None = None
    min_rating: float | None = None
    title: str | None = None
    heldout: int | None = None
    split_seed: int | None = None

    @property
    def file(self) -> Path | None:
        """Where a prepared split lies; None for what is split here.

        Raises
        ------
        InputError
            If `data` is neither a file nor a known name.
        """
        if self.data in EMBEDDED:
            return None
        path = catalogue.resolve(self.data)
        if path.is_dir():
            raise InputError(f"{path} is a folder; give the split file or the table in it")
        return path.absolute() if path.suffix == ".safetensors" and kind(path) != KIND else None

    @property
    def given(self) -> dict[str, object]:
        """What was said, without what was left open."""
        return {k: v for k, v in asdict(self).items() if v is not None}

    @property
    def table(self) -> bool:
        """Whether it is a raw table, or interactions that are not split yet."""
        return self.data not in EMBEDDED and self.file is None

    def load(self, tables: bool = True) -> StrongSplit:
        """The split; a prepared one is read, anything else is split by Liang et al.'s protocol.

        Parameters
        ----------
        tables : bool, default True
            Whether a raw table will do.

        Raises
        ------
        InputError
            If there is no such data, it is damaged, or an option does not fit its kind.
        """
        path = self.file
        if self.table:
            if not tables:
                raise InputError(
                    f"{self.data} is no split; give a split.safetensors, as train and study leave beside a run"
                )
            data = self._read_table()
            return self._split(data, min(DEFAULT_HELDOUT, max(1, data.n_users // 10)))
        self._refuse(("user", "item", "rating", "min_rating", "title"), "it has no columns to choose from")
        if path is None:
            make, heldout = EMBEDDED[self.data]
            return self._split(make(), heldout)
        self._refuse(("heldout", "split_seed"), "it is split already")
        return StrongSplit.load(path)

    def _refuse(self, options: tuple[str, ...], why: str) -> None:
        given = [f"--{k.replace('_', '-')}" for k in options if getattr(self, k) is not None]
        if given:
            raise InputError(f"{' and '.join(given)} cannot go with --data {self.data}: {why}; leave it out")

    def _read_table(self) -> Interactions:
        columns = ("user", "item", "rating", "title")
        if self.data.lower().endswith(".safetensors"):
            self._refuse((*columns, "min_rating"), "it has no columns to choose from")
            return Interactions.load(self.data)
        if self.data.lower().endswith(".npz"):
            self._refuse(columns, "a matrix has no columns to choose from")
        chosen = {k: int(v) if v.isdecimal() else v for k in columns if (v := getattr(self, k)) is not None}
        return read_interactions(self.data, **chosen, min_rating=self.min_rating)

    def _split(self, data: Interactions, n_heldout: int) -> StrongSplit:
        seed = {} if self.split_seed is None else {"seed": self.split_seed}
        return strong_split(data, n_heldout=n_heldout if self.heldout is None else self.heldout, **seed)


def fingerprint(split: StrongSplit, parts: Sequence[str] = ("validation", "test")) -> str:
    """sha256 of the training users, of those of `parts`, and of the item labels: what a result depends on."""
    matrices = {"train": split.train}
    for name in parts:
        fold_in = getattr(split, name)
        matrices |= {f"{name}.history": fold_in.history, f"{name}.heldout": fold_in.heldout}
    arrays = {
        f"{k}.{a}": np.asarray(getattr(m, a), np.int64) for k, m in matrices.items() for a in ("indptr", "indices")
    }
    labels = "\n".join(map(str, split.item_labels.tolist())).encode()
    return digest(arrays | {"labels": np.frombuffer(labels, np.uint8)}, {})
