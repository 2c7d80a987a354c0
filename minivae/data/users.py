"""What "users × items" may be: sparse or dense, of scipy, numpy, torch, pandas, polars or lists; and a CSR of it."""

from __future__ import annotations  # so that scipy.sparse and torch are loaded at their first use, not for their names

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, Union, cast

import numpy as np
import scipy

from minivae.data.codes import binary_csr
from minivae.errors import InputError

if TYPE_CHECKING:
    import scipy.sparse
    import torch

Users: TypeAlias = Union[
    "scipy.sparse.spmatrix", "scipy.sparse.sparray", "np.ndarray", "torch.Tensor", "Sequence[Sequence[float]]"
]
# What people give in place of one of its matrices, known by an attribute, and which of them they may have meant.
MEANT = {"train": "split.train or split.test.history", "heldout": "its history or heldout", "matrix": "its matrix"}


def as_csr(x: Users) -> scipy.sparse.csr_matrix:
    """Users as scipy CSR (U, I) with the values they have; repeated entries are summed, explicit zeros go.

    Parameters
    ----------
    x : Users
        (U, I) sparse or dense: scipy, numpy, torch, rows in lists, or a data frame with one column for each item.

    Returns
    -------
    csr_matrix
        Of the dtype of `x`; float32 for half precision, int64 for booleans and shorter integers of a sparse `x`.

    Raises
    ------
    InputError
        If `x` is no matrix of real numbers, or holds NaN or infinity.
    """
    csr = scipy.sparse.csr_matrix(_two_dimensional(x))
    if csr.dtype.kind == "f" and not np.isfinite(csr.data).all():
        raise InputError(
            "the users × items matrix holds NaN or infinity; a user either has an item or has not (0 for not)"
        )
    if not csr.has_canonical_format or not csr.data.all():
        csr = csr.copy()
        csr.sum_duplicates()
        csr.eliminate_zeros()
    return csr


def _two_dimensional(x: Any) -> Any:
    """`x` as a scipy matrix or a numpy array of two dimensions, half precision as float32, short integers widened."""
    torch = sys.modules.get("torch")  # who has a tensor has loaded it
    if torch is not None and isinstance(x, torch.Tensor):
        found = x.detach().cpu()
        found = found.float() if found.dtype in (torch.float16, torch.bfloat16) else found
        if found.layout != torch.strided:
            whole = not (found.is_floating_point() or found.is_complex())
            found = (found.long() if whole else found).to_dense()
        found = found.numpy()
    elif scipy.sparse.issparse(x):
        found = x
    else:
        found = _array(x)
    if found.ndim != 2:
        raise InputError(
            f"expected a matrix of users × items, sparse or dense, got {_named(x)}{_advice(x, found.ndim)}"
        )
    if found.dtype.kind not in "biuf":
        raise InputError(f"the users × items matrix holds {found.dtype}; it must hold real numbers")
    if scipy.sparse.issparse(found) and found.dtype.kind in "bui" and found.dtype.itemsize < 8:
        return found.astype(np.int64)  # repeated entries are added up: 256 ones of uint8 would be none
    return found.astype(np.float32) if found.dtype == np.float16 else found


def _array(x: Any) -> np.ndarray:
    """What numpy makes of an object; numbers that a data frame keeps as objects become numbers."""
    try:
        found = np.asarray(x)
        return found.astype(np.float64) if found.dtype == object and found.ndim == 2 else found
    except (TypeError, ValueError) as e:
        why = " ".join(str(e).split())
        raise InputError(f"expected a matrix of numbers, users × items, got {_named(x)} that is none ({why})") from e


def _named(x: Any) -> str:
    """The type and, where it has one, the shape of what came in place of a matrix."""
    shape = getattr(x, "shape", None)
    return f"a {type(x).__name__}" + ("" if shape is None else f" of shape {tuple(shape)}")


def _advice(x: Any, ndim: int) -> str:
    if ndim == 1:
        return "; for one user give a matrix of one row, x[None]"
    return next((f"; give {part}" for name, part in MEANT.items() if hasattr(x, name)), "")


def binary(matrix: Users, what: str) -> scipy.sparse.csr_matrix:
    """Who has which item: a one for each positive entry, as float32 CSR with sorted int32 indices.

    Parameters
    ----------
    matrix : Users
        (U, I) in any form that `as_csr` takes; counts and ratings count as "has it".
    what : str
        How messages name the matrix.

    Raises
    ------
    InputError
        If it is not a matrix of finite numbers, or an entry is negative, which is no sign of liking an item.
    """
    try:
        csr = as_csr(matrix)
    except InputError as e:
        raise InputError(f"{what}: {e}") from None
    if csr.data.size and csr.data.min() < 0:
        raise InputError(
            f"{what} holds negative entries ({int((csr.data < 0).sum()):,} of {csr.nnz:,}), which are no likes; "
            "keep only the entries that count as liked"
        )
    if csr.dtype == np.float32 and csr.indices.dtype == np.int32 and (csr.data == 1).all():
        return csr
    return binary_csr(np.repeat(np.arange(csr.indptr.size - 1), np.diff(csr.indptr)), csr.indices, csr.shape)  # pyright: ignore


def shape_of(x: Users) -> tuple[int, int]:
    """U and I. SciPy has no types for the shape of its matrices."""
    n_users, n_items = cast("tuple[int, int]", getattr(x, "shape"))  # noqa: B009
    return n_users, n_items
