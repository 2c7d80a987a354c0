"""Random masks of the input: how they are drawn, and the three conventions of what the encoder sees under one.

normalize-then-mask as published, mask-then-normalize, raw, and whatever `register_mask` adds.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from minivae.batches import UserBatch
from minivae.data.users import Users, as_csr
from minivae.errors import InputError
from minivae.options import Mask
from minivae.runtime import streams
from minivae.runtime.registry import Registry


def input_weights(rows: Tensor, counts: Tensor, kept: Tensor, keep: float | Tensor, mask: Mask | str) -> Tensor:
    """Encoder input of each interaction under a mask.

    * normalize-then-mask: ``x/‖x‖ ⊙ b / ρ`` (Mult-VAE as published: inverted dropout, unbiased);
    * mask-then-normalize: ``x⊙b / ‖x⊙b‖`` (a row with nothing kept is the zero vector);
    * raw: ``x ⊙ b``.

    Parameters
    ----------
    rows : Tensor
        (n,) int64, row of each interaction.
    counts : Tensor
        (B,) N_x.
    kept : Tensor
        (n,) bool, the mask b on the interactions.
    keep : float | Tensor
        ρ, the probability to keep, or (n,) that of each interaction.

    Returns
    -------
    Tensor
        (n,) of the dtype of `counts`.
    """
    return MASKS.find(mask)(rows, counts, kept, keep)


def normalize_then_mask(rows: Tensor, counts: Tensor, kept: Tensor, keep: float | Tensor) -> Tensor:
    """``x/‖x‖ ⊙ b / ρ``."""
    b = kept.to(counts.dtype)
    if isinstance(keep, Tensor):
        return b * counts.clamp_min(1).rsqrt()[rows] / keep
    return b * (counts.clamp_min(1).rsqrt() / keep).index_select(0, rows)


def mask_then_normalize(rows: Tensor, counts: Tensor, kept: Tensor, keep: float | Tensor) -> Tensor:
    """``x⊙b / ‖x⊙b‖``."""
    b = kept.to(counts.dtype)
    n_kept = torch.zeros_like(counts).index_add_(0, rows, b)
    return b * n_kept.clamp_min(1).rsqrt()[rows]


def raw_mask(rows: Tensor, counts: Tensor, kept: Tensor, keep: float | Tensor) -> Tensor:
    """``x ⊙ b``."""
    return kept.to(counts.dtype)


MaskFunction = Callable[[Tensor, Tensor, Tensor, float | Tensor], Tensor]
MASKS: Registry[MaskFunction] = Registry(
    "mask",
    {"normalize-then-mask": normalize_then_mask, "mask-then-normalize": mask_then_normalize, "raw": raw_mask},
    ("rows", "counts", "kept", "keep"),
)


def register_mask(name: str) -> Callable[[MaskFunction], MaskFunction]:
    """Decorator: make ``fn(rows, counts, kept, keep)`` the input convention `name`, as `input_weights` describes it.

    Where everything is kept with ``keep = 1`` it must give ``x/‖x‖`` or ``x``: that is how a trained model is fed.

    Examples
    --------
    >>> @register_mask("never_in_example")
    ... def never(rows, counts, kept, keep):
    ...     return counts.clamp_min(1).rsqrt()[rows]  # x/‖x‖, whatever was to be hidden
    >>> mask_input(np.array([[1, 1, 1, 1]]), keep=0.5, mask="never_in_example").toarray()
    array([[0.5, 0.5, 0.5, 0.5]], dtype=float32)
    """
    return MASKS.register(name)


def normalizes(mask: str) -> bool:
    """Whether the whole input is ``x/‖x‖`` under this convention; False: it is ``x``.

    Raises
    ------
    InputError
        If the mask is unknown, or the whole input is something else.
    """
    answer = _unit_input(MASKS.find(mask))
    if answer is not None:
        return answer
    raise InputError(f"mask={mask!r} makes something else than x/‖x‖ or x of whole input; see minivae.register_mask")


@cache
def _unit_input(mask: MaskFunction) -> bool | None:
    """Whether a user with four items and one with one item have whole input of length 1; None: of another length."""
    counts, rows = torch.tensor([4.0, 1.0]), torch.tensor([0, 0, 0, 0, 1])
    whole = mask(rows, counts, torch.ones(5, dtype=torch.bool), 1.0).tolist()
    return {(0.5, 0.5, 0.5, 0.5, 1.0): True, (1.0,) * 5: False}.get(tuple(whole))


def masked(batch: UserBatch, keep: float, mask: Mask | str, seed: int, step: int) -> UserBatch:
    """The batch with the input mask of update `step`: interaction `j` is kept with probability ρ = keep.

    Where the batch has keep probabilities of its own, they count instead. The draw depends on (seed, step, position of
    the interaction) alone, whatever batch or process it is in.
    """
    rho = keep if batch.keep is None else batch.keep
    kept = streams.uniform(seed, "mask", step, batch.positions) < rho
    return replace(batch, weights=input_weights(batch.rows, batch.counts, kept, rho, mask))


def clean(batch: UserBatch, mask: Mask | str) -> UserBatch:
    """The batch with its whole input, in the scale of the convention: ``x/‖x‖``, or ``x`` for raw."""
    return batch if normalizes(mask) else replace(batch, weights=torch.ones_like(batch.weights))


def mask_input(
    x: Users,
    keep: float,
    mask: Mask | str = "normalize-then-mask",
    generator: torch.Generator | None = None,
) -> sp.csr_matrix:
    """One random mask per row, in the form that ``model.encode(..., normalize=False)`` takes.

    Parameters
    ----------
    x : sparse matrix | ndarray | Tensor
        (U, I) binary rows, CSR or dense.
    keep : float
        ρ in (0, 1].
    mask : Mask, default 'normalize-then-mask'
        Convention, see `input_weights`.
    generator : Generator, optional
        Torch generator of the draw; the global one if None.

    Returns
    -------
    csr_matrix
        Scipy CSR (U, I), float64 for dense float64 input, else float32; masked interactions are not stored.
    """
    if not 0 < keep <= 1:
        raise InputError(f"keep={keep} is no probability of keeping an interaction; it must be in (0, 1]")
    csr = as_csr(x)
    dtype = torch.float64 if csr.dtype == np.float64 else torch.float32
    counts = torch.from_numpy(np.diff(csr.indptr)).to(dtype)
    rows = torch.repeat_interleave(torch.arange(len(counts)), counts.to(torch.int64))
    kept = torch.rand(csr.nnz, generator=generator) < keep
    weights = input_weights(rows, counts, kept, keep, mask)
    out = sp.csr_matrix((weights.numpy(), csr.indices.copy(), csr.indptr.copy()), shape=csr.shape)
    out.eliminate_zeros()
    return out
