"""What "users × items" may be: scipy sparse or dense, numpy or torch; and the ways to make a CSR of it."""

from __future__ import annotations  # so that scipy.sparse and torch are loaded at their first use, not for their names

import sys
from typing import TYPE_CHECKING, Any, TypeAlias, Union, cast

import numpy as np
import scipy

from minivae.data.codes import binary_csr
from minivae.errors import InputError

if TYPE_CHECKING:
    import scipy.sparse
    import torch

Users: TypeAlias = Union["scipy.sparse.spmatrix", "scipy.sparse.sparray", "np.ndarray", "torch.Tensor"]


def as_csr(x: Users) -> scipy.sparse.csr_matrix:
    """Users as scipy CSR (U, I) with the values they have; repeated entries are summed, explicit zeros go.

    Parameters
    ----------
    x : Users
        (U, I) sparse or dense, numpy or torch.

    Returns
    -------
    csr_matrix
        Of the dtype of `x`; float32 for half precision.

    Raises
    ------
    InputError
        If `x` is not two-dimensional, or holds NaN or infinity.
    """
    if getattr(x, "ndim", 0) != 2:
        shape = getattr(x, "shape", None)
        got = type(x).__name__ if shape is None else f"shape {tuple(shape)}"
        raise InputError(f"expected a matrix of users × items, scipy CSR or dense, got {got}")
    csr = scipy.sparse.csr_matrix(without_torch(x))
    if csr.dtype.kind == "f" and not np.isfinite(csr.data).all():
        raise InputError("the users × items matrix holds NaN or infinity; a user either has an item or has not")
    if not csr.has_canonical_format or not csr.data.all():
        csr = csr.copy()
        csr.sum_duplicates()
        csr.eliminate_zeros()
    return csr


def without_torch(x: Any) -> Any:
    """A tensor as a numpy array, half precision as float32; anything else as it is."""
    torch = sys.modules.get("torch")  # who has a tensor has loaded it
    if torch is not None and isinstance(x, torch.Tensor):
        x = x.detach().cpu()
        x = x if x.layout == torch.strided else x.to_dense()
        x = (x.float() if x.dtype in (torch.float16, torch.bfloat16) else x).numpy()
    return x.astype(np.float32) if x.dtype == np.float16 else x


def binary(matrix: Users, what: str) -> scipy.sparse.csr_matrix:
    """Who has which item: a one for each positive entry, as float32 CSR with sorted int32 indices.

    Parameters
    ----------
    matrix : Users
        (U, I); counts and ratings count as "has it".
    what : str
        How messages name the matrix.

    Raises
    ------
    InputError
        If it is not a matrix of finite numbers, or an entry is negative, which is no sign of liking an item.
    """
    try:
        csr = as_csr(matrix if hasattr(matrix, "ndim") else np.asarray(matrix))
    except InputError as e:
        raise InputError(f"{what}: {e}") from None
    except (TypeError, ValueError) as e:
        raise InputError(f"{what} must be a two-dimensional matrix of numbers: {e}") from e
    if csr.dtype.kind not in "biuf":
        raise InputError(f"{what} holds {csr.dtype}; it must hold real numbers")
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
