"""Arrays that an experiment keeps in its folder, compared with what it writes there before they are used again."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from minivae.errors import InputError
from minivae.runtime.storage import load_arrays


def read_kept(
    path: Path, kind: str, shapes: Mapping[str, tuple[int, ...]], undefined: Mapping[str, np.ndarray] | None = None
) -> dict[str, np.ndarray]:
    """The arrays of a file by their names.

    Parameters
    ----------
    path : Path
        The file, as `save_arrays` wrote it.
    kind : str
        Its kind.
    shapes : mapping
        The name of every array in it, and its shape.
    undefined : mapping, optional
        Of some arrays, bool in their shape: where they have no value, which NaN says.

    Raises
    ------
    InputError
        If the file is damaged or of another kind, or an array is missing, new, of another shape, or holds something
        else than finite numbers where it has values.
    """
    arrays, _ = load_arrays(path, kind)
    if why := _misfit(arrays, shapes, undefined or {}):
        raise InputError(f"{path} does not hold what minivae writes there ({why}); remove it, then it is made again")
    return arrays


def _misfit(
    arrays: Mapping[str, np.ndarray], shapes: Mapping[str, tuple[int, ...]], undefined: Mapping[str, np.ndarray]
) -> str:
    """What is wrong, in words; "" if nothing is."""
    odd = sorted(arrays.keys() ^ shapes.keys())
    if odd:
        return f"{odd[0]!r} is {'missing' if odd[0] in shapes else 'not part of it'}"
    for name, shape in shapes.items():
        a = arrays[name]
        if a.shape != shape:
            return f"{name!r} has shape {a.shape} instead of {shape}"
        numbers = a.dtype in (np.float32, np.float64)
        if not numbers or not (np.isfinite(a) | (np.isnan(a) & undefined.get(name, False))).all():
            return f"{name!r} holds something else than finite numbers"
    return ""
