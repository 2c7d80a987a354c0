"""Take tensors or numpy arrays, compute in torch, and give back the kind that was given."""

from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

import numpy as np
import torch

from minivae.errors import InputError

Array = np.ndarray | torch.Tensor | float
"""What a theory function takes: a tensor, a numpy array, a number or a nested list of numbers."""
Kind = TypeVar("Kind", torch.Tensor, np.ndarray)
"""A public function has an overload for arrays of one kind, which gives that kind, and one for numbers and mixtures."""
Same: TypeAlias = Any
"""What it gives back: the kind that it was given, a tensor if one argument was a tensor, else numpy."""


def as_tensors(*values: Array) -> tuple[list[torch.Tensor], Callable[[torch.Tensor], Same]]:
    """Bring `values` to tensors of one floating dtype on one device; also return the function for the way back.

    The dtype is the widest floating dtype among the arrays; numbers and integer arrays take it too and are float64
    where there is no other. If any value is a tensor, the way back returns tensors (autograd passes through), on the
    device of the first tensor; otherwise it returns numpy arrays, or numpy scalars for results without axes.

    Raises
    ------
    InputError
        If a value holds anything but real numbers.

    Examples
    --------
    >>> (a, b), back = as_tensors(np.ones(3, dtype=np.float32), 2)
    >>> back(a * b)
    array([2., 2., 2.], dtype=float32)
    """
    given = [_dense(v) if isinstance(v, torch.Tensor) else _numbers(v) for v in values]
    device = next((v.device for v in given if isinstance(v, torch.Tensor)), None)
    made = [v if isinstance(v, torch.Tensor) else torch.from_numpy(_native(v)).to(device) for v in given]
    kept = [m.dtype for m, v in zip(made, values, strict=True) if isinstance(v, (torch.Tensor, np.ndarray, np.generic))]
    dtype = None
    for d in (d for d in kept if d.is_floating_point):
        dtype = d if dtype is None else torch.promote_types(dtype, d)
    made = [m.to(device=device, dtype=dtype or torch.float64) for m in made]
    return made, _to_numpy if device is None else _identity


def _dense(value: torch.Tensor) -> torch.Tensor:
    if value.is_meta or value.is_complex():
        what = "a tensor without values (device meta)" if value.is_meta else "complex numbers"
        raise InputError(f"expected real numbers, got {what}")
    return value if value.layout == torch.strided else value.to_dense()


def _numbers(value: Array) -> np.ndarray:
    try:
        a = np.asarray(value)
    except ValueError as e:
        raise InputError(f"expected numbers in the shape of an array, got a ragged {type(value).__name__}") from e
    if a.dtype.kind not in "biuf":
        raise InputError(f"expected a tensor, an array or a number, got {type(value).__name__} of {a.dtype}")
    return a


def check_fit(**arrays: torch.Tensor) -> None:
    """Refuse arrays whose shapes do not belong together: users of different dimension, for instance.

    Leading axes broadcast. The last does not, because a norm or a sum over it would count one entry once where it
    stands for d. A number stands for every dimension, and so does a single spread (an array named `sd` or `sd_…`).

    Raises
    ------
    InputError
        With the name and shape of each.
    """
    widths = {
        a.shape[-1] for name, a in arrays.items() if a.ndim and not (a.shape[-1] == 1 and name.split("_")[0] == "sd")
    }
    try:
        torch.broadcast_shapes(*(a.shape for a in arrays.values()))
    except RuntimeError:
        widths = {-1, -2}
    if len(widths) > 1:
        shapes = ", ".join(f"{name} {tuple(a.shape)}" for name, a in arrays.items())
        raise InputError(f"the shapes do not fit together: {shapes}; all but leading axes must be the same")


def check_broadcast(**arrays: torch.Tensor) -> None:
    """Refuse arrays that do not belong together element by element.

    Raises
    ------
    InputError
        With the name and shape of each.
    """
    try:
        torch.broadcast_shapes(*(a.shape for a in arrays.values()))
    except RuntimeError:
        *first, last = arrays
        shapes = ", ".join(str(tuple(a.shape)) for a in arrays.values())
        raise InputError(f"{', '.join(first)} and {last} of shapes {shapes} do not broadcast") from None


def check_sd(*sds: torch.Tensor) -> None:
    """Refuse a spread that is negative, infinite or NaN: a log variance handed over as `sd` is the usual slip.

    Raises
    ------
    InputError
        If any value is below zero or not a finite number.
    """
    for sd in sds:
        if not bool(((sd >= 0) & sd.isfinite()).all()):
            raise InputError(
                "sd has a negative, infinite or missing value; pass the standard deviation, exp(logvar / 2)"
            )


def check_finite(**arrays: torch.Tensor) -> None:
    """Refuse NaN and infinity, which a model that has diverged gives.

    Raises
    ------
    InputError
        With the name of the first array that holds one.
    """
    for name, a in arrays.items():
        if not bool(a.isfinite().all()):
            raise InputError(f"{name} holds NaN or infinity; the model has diverged or its file is damaged")


def _native(a: np.ndarray) -> np.ndarray:
    """`a` as torch can share it: native byte order, positive strides, writable, at most 64 bits (copies only where it
    must)."""
    if a.dtype.kind == "f" and a.dtype.itemsize > 8:
        a = a.astype(np.float64)
    if not a.dtype.isnative:
        a = a.astype(a.dtype.newbyteorder("="))
    if any(stride < 0 for stride in a.strides):  # of one element they do not count for NumPy
        a = a.copy()
    return np.require(a, requirements=["C", "W"])


def _to_numpy(t: torch.Tensor) -> np.ndarray:
    return t.detach().numpy()[()]


def _identity(t: torch.Tensor) -> torch.Tensor:
    return t
