"""The data sets of the catalogue, each with its reader."""

from pathlib import Path
from typing import Any

from minivae.data.catalogue import DATASETS
from minivae.errors import InputError
from minivae.preparation import movielens, msd, netflix
from minivae.preparation.command import Options, Reader, make_split

READERS: dict[str, Reader] = {
    **dict.fromkeys(movielens.LAYOUTS, movielens.read),
    "netflix": netflix.read,
    "msd": msd.read,
}


def prepare(name: str, **options: Any) -> Path:
    """The verified split of a data set of the catalogue.

    Parameters
    ----------
    name : str
        For instance "ml-1m".
    **options : Any
        Fields of `minivae.preparation.command.Options`.

    Returns
    -------
    Path
        Of the split.

    Raises
    ------
    InputError
        If no data set has that name, or something is not as it should be.
    """
    if name not in READERS:
        raise InputError(f"{name!r} is no data set that can be prepared; choose one of {', '.join(READERS)}")
    return make_split(DATASETS[name], READERS[name], Options(**options))
