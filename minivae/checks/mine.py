"""Self-checks of the recommender that learners build: the parts of chapters 02, 04 and 06 to 09."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from minivae.checks.comparison import Compared, self_check


def _rows(generator: torch.Generator, users: int, items: int) -> Tensor:
    """Users of different activity, no row empty, (users, items)."""
    x = (torch.rand(users, items, generator=generator) < torch.linspace(0.2, 0.7, users)[:, None]).double()
    x[:, 0] = 1
    x[0, :2], x[1, :3] = 1, 1
    return x


@self_check
def check_mine_nll(fn: Callable[[Tensor, Tensor], Tensor], generator: torch.Generator) -> Compared:
    """Chapter 02: ``fn(logits, x)`` gives ``N log Σ_i exp f_i − ⟨x, f⟩`` of every user, (B,)."""
    x = _rows(generator, 5, 9)
    f = 2 * torch.randn(5, 9, generator=generator, dtype=torch.float64)
    want = -(x * f.log_softmax(1)).sum(1)
    wrong = {
        "one logsumexp a user: each of the N draws has one": f.logsumexp(1) - (x * f).sum(1),
        "the mean over the items: the items of a user are summed": want / 9,
        "the mean over the user's items: they are summed": want / x.sum(1),
        "the log likelihood: a loss has the other sign": -want,
        "the sum over users: one number a user is wanted": want.sum(),
    }
    return Compared(fn(f, x), want, wrong)


@self_check
def check_mine_kl(fn: Callable[[Tensor, Tensor], Tensor], generator: torch.Generator) -> Compared:
    """Chapter 02: ``fn(mu, logvar)`` gives ``KL(N(μ, σ²) ‖ N(0, I))`` with ``log σ²`` given, (B,)."""
    mu, logvar = torch.randn(2, 6, 4, generator=generator, dtype=torch.float64)
    q = torch.distributions.Normal(mu, (0.5 * logvar).exp())
    want = torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0 * mu, 1.0 + 0.0 * mu)).sum(1)
    wrong = {
        "a KL in which logvar is log σ: it is log σ²": 0.5 * (mu.square() + (2 * logvar).exp() - 1 - 2 * logvar).sum(1),
        "twice the KL: the factor ½ is missing": 2 * want,
        "the mean over dimensions: independent dimensions add up": want / 4,
        "the negative of the KL": -want,
    }
    return Compared(fn(mu, logvar), want, wrong)


@self_check
def check_mine_certificate(
    fn: Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor], generator: torch.Generator
) -> Compared:
    """Chapter 04: ``fn(mu, sd, norm, mismatch, K)`` gives ``[‖g_u‖ − Δ(u, v)]₊ / K_u − W₂(q_u, q_v)``, (U, U)."""
    mu = torch.randn(6, 3, generator=generator, dtype=torch.float64)
    sd, norm, K = (0.3 + torch.rand(*s, generator=generator, dtype=torch.float64) for s in ((6, 3), (6,), (6,)))
    mismatch = 1.5 * torch.rand(6, 6, generator=generator, dtype=torch.float64)
    square = torch.zeros(6, 6, dtype=torch.float64)
    for u in range(6):
        for v in range(6):
            square[u, v] = (mu[u] - mu[v]).square().sum() + (sd[u] - sd[v]).square().sum()
    radius = (norm[:, None] - mismatch).clamp_min(0) / K[:, None]
    want = radius - square.sqrt()
    wrong = {
        "the certificate with the gradient and K of v: those of u count": (norm - mismatch).clamp_min(0) / K
        - square.sqrt(),
        "a negative radius where Δ exceeds ‖g_u‖: there it is 0": (norm[:, None] - mismatch) / K[:, None]
        - square.sqrt(),
        "W₂², not W₂": radius - square,
        "the distance of the means alone": radius - torch.cdist(mu, mu),
        "the radius alone": radius,
    }
    return Compared(fn(mu, sd, norm, mismatch, K), want, wrong)


@self_check
def check_mine_objective(
    fn: Callable[[Tensor, Tensor, int, float, int], Tensor], generator: torch.Generator
) -> list[Compared]:
    """Chapter 06: ``fn(nll, kl, step, beta, rise)`` gives the mean of ``ℓ + β_t KL``, a number; β_t rises to beta."""
    nll, kl = 1 + 9 * torch.rand(2, 7, generator=generator, dtype=torch.float64)
    beta, rise = 0.3, 40

    def at(step: int) -> Compared:
        want = torch.stack([a + beta * min(1.0, step / rise) * b for a, b in zip(nll, kl, strict=True)]).mean()
        wrong = {
            "a sum over users: the mean is wanted": want * 7,
            "a weight that has no rise": (nll + beta * kl).mean(),
            "a weight that goes on rising after `rise` updates": (nll + beta * step / rise * kl).mean(),
            "step / rise cut at beta: β rises to beta over `rise` updates": (nll + min(beta, step / rise) * kl).mean(),
        }
        return Compared(fn(nll, kl, step, beta, rise), want, wrong)

    return [at(10), at(90)]


@self_check
def check_mine_input(fn: Callable[[Tensor, float, Tensor], Tensor], generator: torch.Generator) -> Compared:
    """Chapter 07: ``fn(x, keep, coins)`` gives ``x/‖x‖ ⊙ b/ρ`` with ``b = 1`` where the coin lies below ρ, (B, I)."""
    x = _rows(generator, 5, 9)
    coins = torch.rand(5, 9, generator=generator, dtype=torch.float64)
    coins[:, 0], coins[:, 1] = 0.1, 0.9
    keep = 0.3
    b = (coins < keep).double()
    want = torch.zeros(5, 9, dtype=torch.float64)
    for u in range(5):
        want[u] = x[u] / x[u].sum() ** 0.5 * b[u] / keep
    masked = x * b
    wrong = {
        "the row masked first, then normalised: the order of Mult-VAE is the other": masked
        / masked.norm(dim=1, keepdim=True),
        "an input that is not divided by ρ: its mean is ρ times the clean one": want * keep,
        "a mask that hides with probability ρ: it keeps with probability ρ": x
        / x.norm(dim=1, keepdim=True)
        * (1 - b)
        / keep,
        "the raw masked row": masked,
        "rows divided by N: they are divided by √N": x / x.sum(1, keepdim=True) * b / keep,
    }
    return Compared(fn(x, keep, coins), want, wrong)


@self_check
def check_mine_anchor(fn: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor], generator: torch.Generator) -> Compared:
    """Chapter 08: ``fn(mu, logvar, anchors, x)`` gives ``1/N Σ_{i∈S} E‖z − e_i‖²`` of every user, (B,)."""
    x = _rows(generator, 5, 9)
    mu, logvar = torch.randn(2, 5, 3, generator=generator, dtype=torch.float64)
    anchors = torch.randn(9, 3, generator=generator, dtype=torch.float64)
    n = x.sum(1)
    far = torch.cdist(mu, anchors).square()  # (B, I)
    spread = logvar.exp().sum(1)
    want = (x * far).sum(1) / n + spread
    centre = x @ anchors / n[:, None]
    wrong = {
        "the loss of the mean μ: the spread of the posterior is missing": want - spread,
        "a spread with σ in place of σ²": want - spread + (0.5 * logvar).exp().sum(1),
        "the distance to the centroid alone: the scatter of the anchors is missing": (mu - centre).square().sum(1)
        + spread,
        "the sum over the user's items: their mean is wanted": n * want,
        "the mean over all items: the user's items count": far.mean(1) + spread,
    }
    return Compared(fn(mu, logvar, anchors, x), want, wrong)


@self_check
def check_mine_ndcg(fn: Callable[[Tensor, Tensor, Tensor, int], Tensor], generator: torch.Generator) -> Compared:
    """Chapter 09: ``fn(scores, history, heldout, k)`` gives nDCG@k of every user, (U,)."""
    role = torch.rand(7, 14, generator=generator)
    history, heldout = (role < 0.3).double(), (role > 0.6).double()
    history[:, 0], heldout[:, 0] = 1, 0
    heldout[:, 1:7], history[:, 1:7] = 1, 0  # more than k
    heldout[0, 3:], heldout[0, 1:3] = 0, 1  # and one user with less
    scores = torch.randn(7, 14, generator=generator, dtype=torch.float64)
    scores[:, 0], scores[0, 1] = 9, 8  # what is known scores highest, and the user with less has a hit
    k = 4

    def mean(hide: bool, first: int, at_most: int) -> Tensor:
        out = torch.zeros(7, dtype=torch.float64)
        for u in range(7):
            items = [i for i in scores[u].argsort(descending=True).tolist() if not (hide and history[u, i])]
            gain = [1 / torch.log2(torch.tensor(r + first, dtype=torch.float64)) for r in range(max(k, at_most))]
            best = sum(gain[: min(at_most, int(heldout[u].sum()) if at_most == k else at_most)])
            out[u] = sum(g * heldout[u, i] for g, i in zip(gain, items[:k], strict=False)) / best
        return out

    want = mean(True, 2, k)
    full = 1 / torch.log2(torch.arange(k, dtype=torch.float64) + 2)
    wrong = {
        "a ranking with the history in it: what is known is not recommended": mean(False, 2, k),
        "gains that begin with 1/log2(3): rank 1 has 1/log2(2)": mean(True, 3, k),
        "a best sum over k ranks for every user: it ends at min(k, n)": want
        * torch.stack([full[: min(k, int(n))].sum() for n in heldout.sum(1)])
        / full.sum(),
        "the mean over users: one number a user is wanted": want.mean(),
    }
    return Compared(fn(scores, history, heldout, k), want, wrong)


@self_check
def check_mine_loss(
    fn: Callable[[nn.ModuleDict, Tensor, Tensor, Tensor, int], Tensor], generator: torch.Generator
) -> list[Compared]:
    """Chapter 09: ``fn(net, x, coins, noise, step)`` gives the loss of an update, a scalar.

    The mean over users of ``ℓ + β_t KL + λ L_A`` with ρ = ½, β_t rising to 0.2 over 300 updates, and λ = 1.
    """
    x = _rows(generator, 5, 9)
    clean = x / x.norm(dim=1, keepdim=True)
    coins = torch.rand(5, 9, generator=generator, dtype=torch.float64)
    noise = torch.randn(5, 3, generator=generator, dtype=torch.float64)
    encoder, decoder, anchors = nn.Linear(9, 6), nn.Linear(3, 9), nn.Embedding(9, 3)
    net = nn.ModuleDict({"encoder": encoder, "decoder": decoder, "anchors": anchors}).double()
    for weight in net.parameters():
        nn.init.normal_(weight, generator=generator)
    view = torch.where(coins < 0.5, 2 * clean, 0.0)

    def loss(
        step: int, given: Tensor = view, target: Tensor = x, half: float = 0.5, sign: float = 1.0, of: Tensor = x
    ) -> Tensor:
        mu, logvar = encoder(given)[:, :3], encoder(given)[:, 3:]
        spread = (half * logvar).exp() if half else 0.0
        nll = -(target * decoder(mu + spread * noise).log_softmax(1)).sum(1)
        q = torch.distributions.Normal(mu, (logvar / 2).exp())
        kl = torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0 * mu, 1.0 + 0.0 * mu)).sum(1)
        far = (of * torch.cdist(mu, anchors.weight).square()).sum(1) / of.sum(1).clamp_min(1) + logvar.exp().sum(1)
        return (nll + 0.2 * min(1.0, step / 300) * kl + sign * far).mean()

    def at(step: int) -> Compared:
        seen = x * (coins < 0.5)
        wrong = {
            "a loss without the anchor term": loss(step, sign=0.0),
            "an anchor term with the wrong sign: users are pulled to their anchors": loss(step, sign=-1.0),
            "an encoder that sees the whole input: `mine_input` hides half of it": loss(step, given=clean),
            "an input that is not divided by ρ": loss(step, given=view / 2),
            "the likelihood of the items that were seen: the target is the whole x": loss(step, target=seen),
            "anchors of the items that were seen: those of the whole x count": loss(step, of=seen),
            "noise times σ²: σ is (logvar / 2).exp()": loss(step, half=1.0),
            "the decoder at μ, without noise": loss(step, half=0.0),
            "a sum over users: the mean is wanted": 5 * loss(step),
            "a β without its rise over 300 updates": loss(300),
        }
        with torch.no_grad():
            found = fn(net, x, coins, noise, step)
        return Compared(found, loss(step).detach(), {k: v.detach() for k, v in wrong.items()})

    return [at(120), at(900)]
