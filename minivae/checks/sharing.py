"""Self-checks of chapter 04: gradients, content mismatch, batches."""

from collections.abc import Callable

import torch
from torch import Tensor

from minivae.checks.comparison import Compared, self_check
from minivae.theory.numerics.coupling import coupled
from minivae.theory.toy import ToyVAE, toy_users


@self_check
def check_gradient_distance(fn: Callable[[Tensor], Tensor], generator: torch.Generator) -> Compared:
    """Chapter 04, exercise 1: ``fn(gram)`` gives ‖g_u − g_v‖ for all pairs, (U, U) -> (U, U)."""
    g = torch.randn(7, 11, generator=generator, dtype=torch.float64)
    g[3] = g[2] + 1e-9
    want = torch.cdist(g, g, compute_mode="donot_use_mm_for_euclid_dist")
    wrong = {"the squared distance": want.square(), "‖g_u + g_v‖ (a sign)": torch.cdist(g, -g)}
    gram = g @ g.T
    # Rounding of the product may make the square of this distance negative; here it always does.
    gram[2, 3] = gram[3, 2] = gram.diagonal()[2:4].max() * (1 + 4 * torch.finfo(gram.dtype).eps)
    return Compared(fn(gram), want, wrong, atol=1e-6)


@self_check
def check_content_mismatch(fn: Callable[[Tensor, Tensor, Tensor], Tensor], generator: torch.Generator) -> Compared:
    """Chapter 04, exercise 2: ``fn(pi, h, x)`` gives Δ_x(u, v) at one sample per user, (U, U).

    ``pi`` (U, I) and ``h`` (U, H) belong to the samples, ``x`` (U, I) are the users; the sample is that of v.
    """
    x, _ = toy_users(6, 12, seed=generator.initial_seed() % 1000)
    model = ToyVAE(12, features=5, generator=generator)
    z = torch.randn(6, 2, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        h, pi = model.decoder[0](z), torch.softmax(model.decoder(z), -1)
        want = coupled(model.decoder, z[:, None], x).mismatch
    n = x.sum(1)
    no_counts = (x[:, None] - x).norm(dim=-1) * (h.square().sum(1) + 1).sqrt()
    wrong = {
        "the transpose: the sample must be that of v, the column": want.mT,
        "the mismatch without the bias: (h, 1) has one coordinate more than h": want
        / (h.square().sum(1) + 1).sqrt()
        * h.norm(dim=1),
        "the square": want.square(),
    }
    if not torch.equal(n, n.roll(1)):
        wrong["the mismatch without (N_u − N_v) π_v: it vanishes only for equal counts"] = no_counts
    return Compared(fn(pi, h, x), want, wrong)


@self_check
def check_batch_transfer(fn: Callable[[Tensor, Tensor], Tensor], generator: torch.Generator) -> Compared:
    """Chapter 04, exercise 3: ``fn(gram, batch)`` gives ⟨g_u, mean of g_v over v in the batch⟩ for all users, (U,)."""
    g = torch.randn(9, 5, generator=generator, dtype=torch.float64)
    batch = torch.randperm(9, generator=generator)[:4]
    want = g @ g[batch].mean(0)
    wrong = {"the sum over the batch, not the mean": 4 * want, "the mean over all users": g @ g.mean(0)}
    return Compared(fn(g @ g.T, batch), want, wrong)
