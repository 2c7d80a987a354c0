"""Self-checks of chapter 02: the KL to a wider prior, the sparse likelihood, a tighter bound."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from minivae.checks.comparison import Compared, self_check


@self_check
def check_kl_to_prior(fn: Callable[[Tensor, Tensor, float], Tensor], generator: torch.Generator) -> Compared:
    """Chapter 02, exercise 1: ``fn(mu, sd, s)`` gives KL(N(μ, diag sd²) ‖ N(0, s² I)), (B, d) -> (B,)."""
    mu = torch.randn(5, 3, generator=generator, dtype=torch.float64)
    sd = 0.3 + torch.rand(5, 3, generator=generator, dtype=torch.float64)
    s = 1.7
    each = (mu.square() + sd.square()) / s**2 - 1 - 2 * (sd / s).log()  # (B, d), twice the KL
    reverse = (s**2 + mu.square()) / sd.square() - 1 + 2 * (sd / s).log()
    wrong = {
        "twice the KL: where is the ½?": each.sum(1),
        "the KL to N(0, I): the prior has standard deviation s": (mu.square() + sd.square() - 1 - 2 * sd.log()).sum(1)
        / 2,
        "the KL of the prior to the posterior: the order matters": reverse.sum(1) / 2,
        "the KL with sd where the variance belongs": ((mu.square() + sd) / s**2 - 1 - (sd / s**2).log()).sum(1) / 2,
        "the KL with s where its square belongs": ((mu.square() + sd.square()) / s - 1 - (sd.square() / s).log()).sum(1)
        / 2,
        "the mean over dimensions: the KL is a sum": each.mean(1) / 2,
    }
    return Compared(fn(mu, sd, s), each.sum(1) / 2, wrong)


class _NoDenseTargets(TorchDispatchMode):
    """Refuses users × items numbers that do not come from the logits, as those of a dense target.

    It does so when they are made: a function that is graded runs in a process of its own.
    """

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.n_users, self.n_items = logits.shape
        self.derived = {id(logits): logits}  # kept, so that no other tensor gets the id

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        empty = "new_" in func.__name__ or "_like" in func.__name__  # takes the shape only
        if not empty and any(id(t) in self.derived for t in tree_leaves((args, kwargs))):
            self.derived |= {id(t): t for t in tree_leaves(made) if isinstance(t, Tensor)}
        elif any(self.large(t) for t in tree_leaves(made)):
            raise AssertionError(
                f"nll_of_lists makes a dense target, {self.n_users} × {self.n_items}: take logits by the lists"
            )
        return made

    def large(self, value: object) -> bool:
        """Whether it is a dense tensor with an entry for every user and item."""
        if not isinstance(value, Tensor) or value.layout != torch.strided:
            return False
        size = self.n_users * self.n_items
        return value.numel() >= size and (self.n_items in value.shape or value.numel() == size)


@self_check
def check_nll_of_lists(fn: Callable[[Tensor, Tensor, Tensor], Tensor], generator: torch.Generator) -> Compared:
    """Chapter 02, exercise 2: ``fn(logits, items, offsets)`` gives ℓ of every user, (B,), without a dense target.

    ``items`` (n,) holds the items of all users, one user after the other; user u owns
    ``items[offsets[u] : offsets[u + 1]]``. A user may have none, and costs nothing.
    """
    n_users, n_items = 6, 61
    logits = 3 * torch.randn(n_users, n_items, generator=generator, dtype=torch.float64)
    logits[1] += 1000  # e^1000 is infinite: only a stable logsumexp survives
    x = (torch.rand(n_users, n_items, generator=generator) < 0.4).double()
    x[2], x[0, :2] = 0, 1
    counts = x.sum(1)
    items = x.nonzero()[:, 1]
    offsets = torch.cat([torch.zeros(1), counts.cumsum(0)]).long()
    log_pi = torch.log_softmax(logits, 1)
    want = -(x * log_pi).sum(1)
    share = want / counts.clamp_min(1)
    wrong = {
        "the mean over a user's items: ℓ is their sum, N_u logsumexp": share,
        "one logsumexp a user: each of the N_u items needs one": logits.logsumexp(1) - (x * logits).sum(1),
        "the log-likelihood: its negative is asked for": -want,
        "the sum over all users: one number a user": want.sum(),
    }
    with _NoDenseTargets(logits):
        got = fn(logits, items, offsets)
    return Compared(got, want, wrong, atol=1e-7)


@self_check
def check_importance_bound(fn: Callable[[Tensor], Tensor], generator: torch.Generator) -> Compared:
    """Chapter 02, exercise 3: ``fn(log_w)`` gives log of the mean of w over S draws, (S, B) -> (B,)."""
    log_w = -800 + 3 * torch.randn(7, 4, generator=generator, dtype=torch.float64)  # e^-800 is 0
    largest = log_w.max(0).values
    want = largest + (log_w - largest).exp().mean(0).log()
    wrong = {
        "the ELBO, the mean of the logarithms: take the logarithm of the mean": log_w.mean(0),
        "the logarithm of the sum: divide by the number of draws": want + math.log(len(log_w)),
        "the largest draw": largest,
    }
    return Compared(fn(log_w), want, wrong, atol=1e-7)
