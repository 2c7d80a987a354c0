"""The checks of Theorem 2.3, Lemma 2.4, Theorem 2.5 and the β-KL decomposition on one model and its users.

Each function draws afresh, computes both sides independently of each other, and returns the lines of the report card
with what a figure needs. Section numbers and statements are those of the paper.
"""

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor

from minivae.theory import bottleneck, distances, locality, toy, transfer
from minivae.theory.adapter import wrap
from minivae.theory.card.check import SIGMA, UNSEEN, Check, bound, identity, measured
from minivae.theory.card.content import content
from minivae.theory.card.shown import CompromiseShown, InformationShown, SharingShown, Shown, SmoothShown
from minivae.theory.card.subject import Subject
from minivae.theory.numerics.layers import stack_of
from minivae.theory.numerics.quadrature import resolves
from minivae.theory.numerics.samples import float64_decoder

Evidence = tuple[list[Check], Shown]
LIPSCHITZ = "Lipschitz per pair"
TOO_NARROW = "not checked: the spreads are too small beside the means for quadrature in float64"
SLOW_USERS = 12
"""Users for gradients of all pairs where the decoder has gates or norms, so that autograd takes one after the other."""


def sharing_radius(all_users: Subject) -> Evidence:
    """Theorem 2.3."""
    name, s = "Theorem 2.3", all_users.users(60 if stack_of(all_users.model.decoder) else SLOW_USERS)
    checks = [_gram_against_autograd(name, s.users(6))]
    given = transfer.sharing(s.model, s.x, 4, s.generator)
    off = ~torch.eye(len(given.norm), dtype=torch.bool)
    apart, penalty = given.links["gradient distance"][off], given.links["coupling"][off]
    own = given.norm[:, None].expand_as(given.exact)[off]
    rounding = 1e-7 * own  # the left side is the root of a difference of squares
    on = f"{int(off.sum()):,} pairs of {len(off)} users, 4 samples each"
    checks.append(bound(name, "‖g_u − g_v‖ ≤ D_uv (coupling + content)", on, apart, penalty + rounding))
    least = own.square() - given.exact[off]
    checks.append(bound(name, "⟨g_u, g_v⟩ ≥ ‖g_u‖ (‖g_u‖ − D_uv)", on, least, own * (penalty + rounding)))
    model, x, community, generator = _toy(s.seed)
    checks.append(_steps_that_help(name, model, x, generator))
    views = transfer.view_sharing(s.model, s.x, s.keep, s.mask, n_views=2, n_samples=4, generator=s.generator)
    chain, twins = given.chain(), views.chain()
    independent = transfer.gram(s.model, s.x, 4, s.generator)  # common noise makes gradients look alike
    chain["inner product"] = float((independent[off] > 0).double().mean())
    sharp = given.chain(sharp=True)
    checks += [
        measured(
            name,
            "pairs that transfer | certified: ‖g_u − g_v‖ exact | local constant | polarised",
            on,
            f"{chain['inner product']:.0%} | {chain['gradient distance']:.1%} | {chain[LIPSCHITZ]:.1%} | "
            f"{sharp[LIPSCHITZ]:.1%}",
        ),
        measured(
            name,
            "the same for two masked views of one user",
            f"{len(off)} users, keep {s.keep:g}",
            f"{twins['inner product']:.0%} | {twins['gradient distance']:.1%} | {twins[LIPSCHITZ]:.1%} | "
            f"{views.chain(sharp=True)[LIPSCHITZ]:.1%}",
        ),
    ]
    checks.append(content(given))
    for _ in toy.train_toy(model, x, (90,), generator=generator):  # communities apart, gradients not yet gone
        pass
    plane = toy.sharing_map(model, x, community, user=0, generator=generator)
    return checks, SharingShown(plane, {"pairs of users": chain, "two masked views": twins})


def _gram_against_autograd(name: str, s: Subject) -> Check:
    """Inner products from layer pieces against gradients taken one user after the other by autograd."""
    noise = torch.randn(len(s.mu), 3, s.mu.shape[1], generator=s.generator, dtype=torch.float64)
    z = s.mu[:, None] + s.sd[:, None] * noise
    rows = torch.from_numpy(s.x.toarray()).double()
    decoder = float64_decoder(s.model).requires_grad_(True)
    flat = []
    for at, row in zip(z, rows, strict=True):
        loss = -(row * torch.log_softmax(decoder(at), -1)).sum(-1).mean()
        flat.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(decoder.parameters()))]))
    slow = torch.stack(flat) @ torch.stack(flat).T
    pieces = wrap(s.model.encode, decoder, s.model.n_items, s.model.latent)
    scale = slow.diagonal().sqrt()
    error = (transfer.gram(pieces, rows, z=z) - slow) / (scale[:, None] * scale)
    return identity(name, "⟨g_u, g_v⟩ from layer pieces = autograd", f"{len(z)} users, 3 samples, float64", error, 1e-8)


def _toy(seed: int) -> tuple[toy.ToyVAE, Tensor, np.ndarray, torch.Generator]:
    """Three communities and a decoder whose constants are proved, after ten steps of training."""
    generator = torch.Generator().manual_seed(seed)
    x, community = toy.toy_users(seed=seed)
    model = toy.ToyVAE(x.shape[1], generator=generator)
    for _ in toy.train_toy(model, x, (10,), generator=generator):
        pass
    return model, x, community, generator


def _steps_that_help(name: str, model: toy.ToyVAE, x: Tensor, generator: torch.Generator) -> Check:
    """Real SGD steps of the proved size on a decoder whose constants are proved."""
    goal = x / x.sum(1, keepdim=True)
    s = transfer.sharing(model, x, 4, generator, toy.proved_lipschitz(model.decoder, goal), target=goal)
    smooth = toy.proved_smoothness(model.decoder, goal)[:, None]
    eta = s.max_step(smooth)
    eta = torch.where(s.certified & ~torch.eye(len(x), dtype=torch.bool), eta, torch.inf)
    rate = eta.amin(0)  # of a step on v, small enough for every u that it is certified to help
    helped = torch.isfinite(eta) & torch.isfinite(rate)
    rate = torch.where(torch.isfinite(rate), rate / 2, 0.0)
    gain = s.norm[:, None] * (s.norm[:, None] - s.penalty)
    promised = rate * gain - smooth / 2 * (rate * s.norm).square()  # a decrease
    actual = -transfer.step_effect(model, goal, range(len(x)), rate, s.z)
    return bound(
        name,
        "certified steps lower the loss by what the descent lemma promises",
        f"toy with proved constants, {int(helped.sum()):,} certified of {len(x) * (len(x) - 1):,} pairs, real SGD",
        promised[helped],
        actual[helped],
    )


def smooth_encoder(all_users: Subject) -> Evidence:
    """Lemma 2.4."""
    import ot

    name, s = "Lemma 2.4", all_users.users(200)
    u, v = s.pairs(5)
    bures = [  # in float64 its trace of roots leaves about 1e-8 of the size, also between equal posteriors
        ot.gaussian.bures_wasserstein_distance(s.mu[a].numpy(), s.mu[b].numpy(), *_covariances(s.sd, a, b))
        for a, b in zip(u, v, strict=True)
    ]
    w2 = distances.w2_gaussian(s.mu[u], s.sd[u], s.mu[v], s.sd[v])
    size = torch.cat([s.mu, s.sd], 1).square().sum(1).mean().sqrt().item()
    error, allowed = w2.numpy() - np.array(bures), 1e-6 * (np.array(bures) + 0.1 * size)
    checks = [identity(name, "W2 of posteriors = Bures formula of POT", f"{len(u)} pairs", error, allowed)]
    u, v = s.pairs(200)
    w1 = distances.w1_gaussian_1d(s.mu[u], s.sd[u], s.mu[v], s.sd[v])
    low, high = distances.w1_bounds(s.mu[u, :, None], s.sd[u, :, None], s.mu[v, :, None], s.sd[v, :, None])
    on = f"{len(u)} pairs × {s.mu.shape[1]} single dimensions, where W1 is known"
    sides = torch.stack([low, w1]), torch.stack([w1, high])
    checks.append(bound(name, "|μ_u − μ_v| ≤ W1 ≤ W2", on, *sides))
    x, y = locality.without_one(s.x, s.generator)
    seen = locality.observed_smoothness(s.model, s.x)
    apart = seen.input_distance > 0
    inputs, latent, proved = seen.input_distance[apart], seen.latent_distance[apart], seen.proved
    if x.nnz:  # a user has two items, of which one can be left out
        near = locality.observed_smoothness(s.model, x, y)
        inputs, latent = torch.cat([inputs, near.input_distance]), torch.cat([latent, near.latent_distance])
        proved = near.proved if proved is None or near.proved is None or near.proved.joint > proved.joint else proved
    on = f"{len(latent):,} pairs: all of {len(s.mu)} users, and users without one item"
    constant = None
    if proved is not None:
        constant = proved.joint  # the smaller user of a pair decides
        largest = float((latent / inputs).max())
        value = f"largest ratio {largest:.3g}, proved constant {constant:.3g}"
        checks.append(bound(name, "W2(q_u, q_v) ≤ L ‖x_u − x_v‖₁, L proved", on, latent, constant * inputs, value))
    else:
        value = f"largest ratio {float((latent / inputs).max()):.3g}; nothing is proved about this encoder"
        checks.append(measured(name, "W2(q_u, q_v) / ‖x_u − x_v‖₁", on, value))
    return checks, SmoothShown(inputs.numpy(), latent.numpy(), constant)


def _covariances(sd: Tensor, u: int, v: int) -> tuple[np.ndarray, np.ndarray]:
    a, b = (np.diag(sd[k].square().numpy()) for k in (u, v))
    return a, b


def compromise(s: Subject) -> Evidence:
    """Theorem 2.5."""
    name = "Theorem 2.5"
    u, v = s.pairs(8)
    n_u, n_v, common = s.counts(u, v)
    p_u, p_v = (s.x[k].toarray() / n[:, None] for k, n in ((u, n_u), (v, n_v)))
    share = np.random.default_rng(s.seed).uniform(0.05, 0.95, len(u))
    closed = locality.compromise_gap(p_u, p_v, n_u * share, n_v * (1 - share))
    numerical = [
        locality.compromise_gap_numerical(a, b, n * t, m * (1 - t))
        for a, b, n, m, t in zip(p_u, p_v, n_u, n_v, share, strict=True)
    ]
    error = (closed - np.array(numerical)) / (n_u + n_v)
    checks = [
        identity(name, "gap = weighted Jensen–Shannon = numerical minimum", f"{len(u)} pairs, nats/item", error, 1e-6)
    ]
    q_u, q_v = locality.shared_profile(common, n_u, n_v)
    plane = torch.topk(s.mu.var(0), min(2, s.mu.shape[1])).indices
    there = (s.mu[u][:, plane], s.sd[u][:, plane], s.mu[v][:, plane], s.sd[v][:, plane])
    tensors = [torch.from_numpy(t) for t in (q_u, q_v, n_u, n_v)]
    on, same = f"{len(u)} pairs, the {len(plane)} dimensions that vary most", "integrated gap: sampling = quadrature"
    if resolves(s.mu[:, plane], s.sd[:, plane]):
        draws = 20_000
        sampled = locality.compromise_monte_carlo(*there, *tensors, n_samples=draws, generator=s.generator)
        error = sampled.value - locality.compromise_integral(*there, *tensors)
        allowed = SIGMA * sampled.se + UNSEEN / draws * sampled.full
        checks.append(identity(name, same, on, error, allowed))
    else:
        checks.append(measured(name, same, on, TOO_NARROW))

    u, v = s.pairs(300)
    n_u, n_v, common = s.counts(u, v)
    different = (common < n_u) | (common < n_v)
    u, v, n_u, n_v, common = (t[different] for t in (u, v, n_u, n_v, common))
    q_u, q_v = locality.shared_profile(common, n_u, n_v)
    far = distances.w2_gaussian(s.mu[u], s.sd[u], s.mu[v], s.sd[v])
    tensors = [torch.from_numpy(t) for t in (q_u, q_v, n_u, n_v)]
    posteriors = (s.mu[u], s.sd[u], s.mu[v], s.sd[v])
    paid = locality.compromise_monte_carlo(*posteriors, *tensors, n_samples=200, generator=s.generator)
    on = f"{len(u)} pairs of different content, this model's posteriors"
    smaller = torch.stack([torch.zeros_like(paid.value), paid.value - SIGMA * paid.se])
    larger = torch.stack([paid.value + SIGMA * paid.se, paid.full])
    checks.append(bound(name, "0 ≤ integrated gap ≤ gap of coinciding posteriors", on, smaller, larger))
    at, few = np.linspace(0, 6, 13), slice(0, 6)
    curve = locality.gap_against_distance(
        q_u[few, None], q_v[few, None], n_u[few, None], n_v[few, None], np.broadcast_to(at, (len(u[few]), 13))
    )
    fall = "the gap falls as the means move apart"
    checks.append(bound(name, fall, f"{len(curve)} pairs, equal spreads, 0 to 6 sd", curve[:, 1:], curve[:, :-1]))
    share = (paid.value / paid.full).numpy()
    rank = spearmanr(far.numpy(), share)[0] if len(u) > 2 else float("nan")
    value = f"median {np.median(share):.2%} of the full gap; rank correlation with W2 {rank:+.2f}"
    checks.append(measured(name, "what pairs of this model pay for their overlap", on, value))
    scale = ((s.mu[u] - s.mu[v]) / (s.sd[u].square() + s.sd[v].square()).div(2).sqrt()).norm(dim=1)
    return checks, CompromiseShown(at, curve / curve[:, :1], scale.numpy(), share)


def information(all_users: Subject) -> Evidence:
    """The β-KL decomposition."""
    name, s = "β-KL", all_users.users(300)
    few, plane = torch.arange(min(6, len(s.mu))), torch.topk(s.mu.var(0), min(2, s.mu.shape[1])).indices
    mu, sd = s.mu[few][:, plane], s.sd[few][:, plane]
    on = f"{len(few)} users, the {len(plane)} dimensions that vary most"
    same, sums = "I(U; Z) and KL(q̄‖p): sampling = quadrature", "E KL = I(U; Z) + KL(q̄‖p), by quadrature"
    if resolves(mu, sd):
        draws = 2000
        known = bottleneck.kl_decomposition_quadrature(mu, sd)
        drawn = bottleneck.kl_decomposition(mu, sd, draws, s.generator)
        parts = ("mutual_information", "marginal_kl")
        error = [float(getattr(drawn, p) - getattr(known, p)) for p in parts]
        allowed = [SIGMA * float(getattr(drawn, f"{p}_se")) + 1e-9 for p in parts]  # equal posteriors have no spread
        allowed[0] += UNSEEN / (draws * len(few)) * float(known.mi_ceiling)  # where all are apart, every draw is log U
        checks = [
            identity(name, same, on, error, allowed),
            identity(name, sums, on, known.residual, 1e-7 * (1 + known.mean_kl)),
        ]
    else:
        checks = [measured(name, claim, on, TOO_NARROW) for claim in (same, sums)]
    whole = bottleneck.kl_decomposition(s.mu, s.sd, 8, s.generator)
    value = (
        f"{float(whole.mutual_information):.2f} + {float(whole.marginal_kl):.2f} ≈ {float(whole.mean_kl):.2f} nats; "
        f"ceiling log U {float(whole.mi_ceiling):.2f}"
    )
    on = f"{len(s.mu)} users, all {s.mu.shape[1]} dimensions, 8 samples"
    checks += [
        identity(name, "E KL = I(U; Z) + KL(q̄‖p), sampled", on, whole.residual, SIGMA * whole.se, value),
        bound(name, "I(U; Z) ≤ log U", on, whole.mutual_information, whole.mi_ceiling),
    ]
    pairs = bottleneck.contraction(s.mu, s.sd)
    limit = pairs.radius[:, None] + pairs.radius
    claim = "W2(q_u, q_v) ≤ √(2 KL_u) + √(2 KL_v)"
    checks.append(bound(name, claim, f"all pairs of {len(s.mu)} users", pairs.w2, limit))
    active = int(bottleneck.active_units(s.mu).sum())
    value = f"{active} of {s.mu.shape[1]}; KL {float(whole.mean_kl):.2f} nats a user"
    checks.append(measured(name, "active units (variance of μ over users > 0.01)", f"{len(s.mu)} users", value))
    return checks, InformationShown(whole, bottleneck.kl_per_dimension(s.mu, s.sd).numpy())
