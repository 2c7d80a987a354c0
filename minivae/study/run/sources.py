"""From what the command line says about data to a split."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from minivae.data import catalogue
from minivae.data.audit import warnings
from minivae.data.embedded import debian
from minivae.data.given import given_split
from minivae.data.interactions import KIND, Interactions
from minivae.data.population import planted
from minivae.data.read_interactions import read_interactions
from minivae.data.splits import StrongSplit
from minivae.data.strong_split import strong_split
from minivae.data.temporal import leave_last_out, time_split
from minivae.errors import InputError
from minivae.runtime.storage import digest, kind

COLUMNS = ("user", "item", "rating", "title", "time")
FORM = ("separator", "header", "encoding", "adjacency", "comments", "title_file")
TABLE_OPTIONS = (*COLUMNS, "min_rating", *FORM, "min_user", "min_item", "split", "test", "validation")
EMBEDDED: dict[str, tuple[Callable[[], Interactions], int]] = {  # name -> data, users held out for each of two parts
    "planted": (planted, 2000),  # enough test users to detect a paired difference of .005 in nDCG@100
    "debian": (debian, 1500),
}


@dataclass(frozen=True)
class Source:
    """What to load: "planted" or "debian", a split file, the name of a prepared data set, a raw table, or interactions.

    Attributes
    ----------
    data : str
        The name or path.
    user, item, rating, title, time : str, optional
        Columns of a table, by name or by position (digits).
    min_rating : float, optional
        Keep rating >= min_rating.
    heldout : int, optional
        Validation users, and as many test users; by default 2,000 of planted, 1,500 of debian; of a table a tenth of
        the users that the filters leave, at most 1,000.
    split_seed : int, optional
        Of the draw of held-out users.
    separator, header, encoding, adjacency, comments, title_file : optional
        As of `minivae.read_interactions`.
    min_user, min_item : int, optional
        Filters of the split.
    split : str, optional
        "users" after Liang et al., "time" for a global cut, "last" to leave each user's last item out.
    test, validation : Path, optional
        Other parts of a split of one's own, of which `data` is the training part.
    """

    data: str = "planted"
    user: str | None = None
    item: str | None = None
    rating: str | None = None
    min_rating: float | None = None
    title: str | None = None
    heldout: int | None = None
    split_seed: int | None = None
    time: str | None = None
    separator: str | None = None
    header: bool | None = None
    encoding: str | None = None
    adjacency: bool | None = None
    comments: bool | None = None
    title_file: Path | None = None
    min_user: int | None = None
    min_item: int | None = None
    split: str | None = None
    test: Path | None = None
    validation: Path | None = None

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
    def given(self) -> dict[str, str | int | float | bool]:
        """What was said, without what was left open."""
        return {k: str(v) if isinstance(v, Path) else v for k, v in asdict(self).items() if v is not None}

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
                raise InputError(f"{self.data} is no split but a table; give the split.safetensors that a study leaves")
            return self._split(self._read_table(self.data), None)
        self._refuse((*COLUMNS, "min_rating", *FORM), "it has no columns to choose from")
        if path is None:
            make, heldout = EMBEDDED[self.data]
            return self._split(make(), heldout)
        others = ("heldout", "split_seed", "min_user", "min_item", "split", "test", "validation")
        self._refuse(others, "it is split already")
        return StrongSplit.load(path)

    def events(self) -> Interactions:
        """A raw table as it is, with the account of its rows on standard error."""
        data = self._read_table(self.data)
        _say_reading(self.data, data)
        return data

    def _refuse(self, options: tuple[str, ...], why: str) -> None:
        given = [f"--{k.replace('_', '-')}" for k in options if getattr(self, k) is not None]
        if given:
            raise InputError(f"{' and '.join(given)} cannot go with --data {self.data}: {why}; leave it out")

    def _read_table(self, path: str | Path) -> Interactions:
        name = str(path).lower()
        if name.endswith(".safetensors"):
            self._refuse((*COLUMNS, "min_rating", *FORM), "it has no columns to choose from")
            return Interactions.load(path)
        if name.endswith(".npz"):
            self._refuse((*COLUMNS, *FORM), "a matrix has no columns to choose from")
        if self.rating is not None and self.min_rating is None:
            raise InputError(
                "--rating does nothing without --min-rating: say from which rating on a row counts, for instance "
                "--min-rating 4 (or 1 for a column of 0 and 1), or leave --rating out to count every row"
            )
        if self.time is not None and self.split not in ("time", "last") and self.test is None:
            raise InputError(
                "--time does nothing without --split time or --split last, or --test with events that came later: give "
                "one of them, or leave --time out"
            )
        chosen = {k: int(v) if v.isdecimal() else v for k in COLUMNS if (v := getattr(self, k)) is not None}
        form = {k: getattr(self, k) for k in FORM}
        return read_interactions(path, **chosen, min_rating=self.min_rating, **form)

    def _split(self, data: Interactions, n_heldout: int | None) -> StrongSplit:
        split = self._made(data, n_heldout)
        _say_reading(self.data, data)
        steps = [f"{step}: {u:,} users, {i:,} items, {e:,} events" for step, (u, i, e) in split.filters.items()]
        if self.table:
            print(f"left after each step: {'; '.join(steps)}", file=sys.stderr)
        for sentence in warnings(split):
            print(f"warning: {sentence}", file=sys.stderr)
        return split

    def _made(self, data: Interactions, n_heldout: int | None) -> StrongSplit:
        filters = {k: v for k in ("min_user", "min_item") if (v := getattr(self, k)) is not None}
        seed = {} if self.split_seed is None else {"seed": self.split_seed}
        if self.test is not None or self.validation is not None:
            self._refuse(("heldout", "split", "min_user", "min_item"), "the parts are given")
            if self.test is None:
                raise InputError("--validation needs --test, the events of the test part")
            if self.validation is not None:
                self._refuse(("split_seed",), "nothing is drawn")
            validation = None if self.validation is None else self._read_table(self.validation)
            test = self._read_table(self.test)
            for path, part in ((self.test, test), (self.validation, validation)):
                if part is not None:
                    _say_reading(path, part)
            return given_split(data, test, validation, **seed)
        if self.split in ("time", "last"):
            self._refuse(("heldout", "split_seed"), f"--split {self.split} draws no users")
            return (time_split if self.split == "time" else leave_last_out)(data, **filters)
        return strong_split(data, n_heldout=n_heldout if self.heldout is None else self.heldout, **seed, **filters)


def _say_reading(source: str | Path | None, data: Interactions) -> None:
    """What became of the rows of a table, on standard error."""
    if data.reading is not None:
        print(f"{source}: {data.reading}", file=sys.stderr)


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
