"""Checks of Theorem 2.6 and Propositions 3.1 and 3.2 on one model and its users; see `minivae.theory.card.evidence`."""

import numpy as np
import scipy.sparse as sp
import torch
from scipy import optimize
from torch import Tensor

from minivae.masks import mask_input
from minivae.options import Mask
from minivae.theory import anchoring, conventions, locality, masking
from minivae.theory.card.check import SIGMA, Check, bound, identity, measured
from minivae.theory.card.evidence import Evidence
from minivae.theory.card.shown import AnchorsShown, MasksShown, ShrinkageShown
from minivae.theory.card.subject import Subject
from minivae.theory.latent_contraction import LatentContraction

KEEPS = (0.3, 0.5, 0.8)
"""Probabilities at which the laws are checked: at 1/2 alone, ρ and 1 − ρ could be exchanged unnoticed."""
DRAWS = 1000
DKW = (np.log(2e12) / (2 * DRAWS)) ** 0.5
"""An empirical distribution function is off by more than this with a probability below 1e-12 (Massart)."""


def masked_distances(s: Subject) -> Evidence:
    """Theorem 2.6."""
    name = "Theorem 2.6"
    pairs = _pairs(s)
    n_u, n_v, common = _counts(*pairs)
    different = n_u + n_v - 2 * common
    generator = s.generator
    on = f"{len(common)} pairs (half of them near-duplicates), {DRAWS} draws, keep {', '.join(f'{k:g}' for k in KEEPS)}"
    off, allowed, spread, spread_allowed, law_off = [], [], [], [], []
    for keep in KEEPS:
        drawn = _simulate(pairs, keep, "raw", generator)  # (pairs, draws)
        law = masking.masked_distance(common, different, keep)
        centred = drawn - drawn.mean(1, keepdims=True)
        off.append(drawn.mean(1) - law.mean)
        allowed.append(SIGMA * drawn.std(1, ddof=1) / DRAWS**0.5)
        spread.append(drawn.var(1, ddof=1) - law.var)
        spread_allowed.append(SIGMA * ((centred**4).mean(1) - drawn.var(1) ** 2).clip(0) ** 0.5 / DRAWS**0.5)
        law_off.append([_furthest(d, a, b, keep) for d, a, b in zip(drawn, common, different, strict=True)])
    checks = [
        identity(name, "E D_h = ρd + 2ρ(1−ρ)s, against simulated masks", on, off, allowed),
        identity(name, "Var D_h, against simulated masks", on, spread, spread_allowed),
        identity(name, "law of D_h: distribution functions of both", on, law_off, DKW),
    ]
    tails = [
        (law.tail(t), np.minimum(law.hoeffding(t), 1))
        for keep in KEEPS
        for law in [masking.masked_distance(common, different, keep)]
        for t in (1, 3, 10, 30)
    ]
    exact, limit = (np.stack(t) for t in zip(*tails, strict=True))
    checks.append(bound(name, "P(|D_h − E D_h| ≥ t) ≤ 2 exp(−2t²/(d+s))", f"{on}, exact tails", exact, limit))
    checks += [_threshold(name), *_unbiased_input(name, s, pairs, on)]
    near_far = _nearer(s)
    checks += _in_latent_space(name, s, near_far)
    shown = int(np.argmax(common[: len(common) // 2]))  # a random pair with much in common
    one_pair = MasksShown(
        common=int(common[shown]),
        clean=float(different[shown]),
        pmf=masking.masked_distance(common[shown], different[shown], s.keep).pmf(),
        draws=_simulate(pairs, s.keep, "raw", generator)[shown],
        latent=near_far,
        keep=s.keep,
    )
    return checks, one_pair


def _nearer(s: Subject) -> LatentContraction:
    """Distances of the users in latent space under masks."""
    return masking.latent_contraction(
        s.model, s.x, s.keep, s.mask, n_pairs=5000, n_masks=6, n_quantiles=5, generator=s.generator
    )


Rows = tuple[sp.csr_matrix, sp.csr_matrix]


def _pairs(s: Subject) -> Rows:
    """Random pairs of users, and users beside themselves without one item: for those the common items decide."""
    u, v = s.pairs(10)
    x, y = locality.without_one(s.x, s.generator)
    return sp.csr_matrix(sp.vstack([s.x[u], x[:10]])), sp.csr_matrix(sp.vstack([s.x[v], y[:10]]))


def _counts(a: sp.csr_matrix, b: sp.csr_matrix) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``N_u``, ``N_v`` and ``|S_u ∩ S_v|``."""
    n_a, n_b, common = (np.asarray(m.sum(1)).ravel() for m in (a, b, a.multiply(b)))
    return n_a, n_b, common


def _simulate(pairs: Rows, keep: float, mask: Mask, generator: torch.Generator) -> np.ndarray:
    """``‖x̃_u − x̃_v‖₁`` of pairs under fresh masks, (pairs, DRAWS)."""
    a, b = (mask_input(sp.csr_matrix(sp.vstack([rows] * DRAWS)), keep, mask, generator) for rows in pairs)
    return np.asarray(abs(a - b).sum(1)).reshape(DRAWS, -1).T


def _furthest(drawn: np.ndarray, common: float, different: float, keep: float) -> float:
    """Largest distance of the empirical distribution function from the exact one."""
    exact = np.cumsum(masking.masked_distance(common, different, keep).pmf())
    seen = np.cumsum(np.bincount(np.rint(drawn).astype(int), minlength=len(exact))) / len(drawn)
    return float(np.abs(exact - seen).max()) if len(seen) == len(exact) else 1.0


def _threshold(name: str) -> Check:
    """The rule for the Jaccard index against the means of the exact laws."""
    wrong = 0
    cases = [(s, d, k) for s in range(0, 30, 3) for d in range(1, 40, 3) for k in (*KEEPS, 0.45)]
    for common, different, keep in cases:
        law = masking.masked_distance(common, different, keep).pmf()
        drift = np.arange(len(law)) @ law - different
        if abs(drift) > 1e-9:  # at the threshold itself neither is true
            jaccard = common / (common + different)
            wrong += (drift < 0) != (jaccard < masking.contraction_threshold(keep))
    return identity(name, "E D_h < d iff Jaccard < 1/(1+2ρ)", f"{len(cases):,} exact laws", wrong, 0.5)


def _unbiased_input(name: str, s: Subject, pairs: Rows, on: str) -> list[Check]:
    """Mult-VAE's input: no pair comes closer on average."""
    clean, masked, off, allowed = [], [], [], []
    generator, counts = s.generator, _counts(*pairs)
    for keep in KEEPS:
        exact = conventions.input_distance(*counts, keep)
        drawn = _simulate(pairs, keep, "normalize-then-mask", generator)
        clean.append(exact.clean)
        masked.append(exact.masked)
        off.append(drawn.mean(1) - exact.masked)
        allowed.append(SIGMA * drawn.std(1, ddof=1) / DRAWS**0.5 + 1e-9)
    ratio = np.stack(masked) / np.maximum(clean, 1e-12)
    value = f"masked / clean: {ratio.min():.2f} to {ratio.max():.2f}"
    return [
        identity(name, "Mult-VAE's input (x/‖x‖)⊙b/ρ: E‖x̃_u − x̃_v‖₁, simulated", on, off, allowed),
        bound(name, "and it never contracts: E‖x̃_u − x̃_v‖₁ ≥ clean", on, clean, masked, value),
    ]


def _in_latent_space(name: str, s: Subject, near_far: LatentContraction) -> list[Check]:
    on = f"{len(s.mu)} users, keep {s.keep:g}, 6 masks"
    ratio = ", ".join(f"{r:.2f}" for r in near_far.ratio)
    closer = f"{near_far.prob_contract[0]:.2f} → {near_far.prob_contract[-1]:.2f}"
    drift = masking.neighbourhood_drift(
        s.model, s.x, s.keep, min(10, len(s.mu) - 1), n_masks=6, mask=s.mask, generator=s.generator
    )
    value = f"overlap {drift.overlap:.3f} (chance {drift.chance:.3f}); within/between variance {drift.ratio:.3f}"
    return [
        measured(name, "latent distance masked/clean, near → far; P(contract)", on, f"{ratio}; {closer}"),
        measured(name, "10 nearest neighbours under two masks (Jaccard)", on, value),
    ]


def anchor_alignment(all_users: Subject) -> Evidence:
    """Proposition 3.1."""
    name, s = "Proposition 3.1", all_users.users(30)
    trained, generator, d = s.model.anchors, s.generator, s.mu.shape[1]
    if trained is not None:
        anchors, origin = trained.detach().double(), "trained anchors"
    else:
        anchors = torch.randn(s.model.n_items, d, generator=generator, dtype=torch.float64) / d**0.5
        origin = "anchors drawn N(0, I/d), the model has none"
    x_h = mask_input(sp.csr_matrix(s.x, dtype=np.float64), s.keep, s.mask, generator)
    with torch.no_grad():
        mu, sd = (t.double() for t in s.model.encode(x_h, normalize=False))
    closed = anchoring.alignment(mu, sd, anchors, s.x)
    noise = torch.randn(16, d, generator=generator, dtype=torch.float64)
    noise = noise - noise.mean(0)
    noise = noise / noise.square().mean(0).sqrt()  # first two moments exact: so is the mean of a square
    z = mu[:, None] + sd[:, None] * noise  # (U, S, d)
    items = torch.from_numpy(s.x.indices.astype(np.int64)).split(np.diff(s.x.indptr).tolist())
    brute = torch.stack([torch.cdist(at, anchors[i]).square().mean() for at, i in zip(z, items, strict=True)])
    on = f"{len(mu)} users masked with keep {s.keep:g}, {origin}"
    claim = "L_A = mean + variance + scatter term = mean ‖z − e_i‖² item by item"
    checks = [identity(name, claim, f"{on}, z with exact moments", closed.total / brute - 1, 1e-9)]
    norms = anchoring.anchor_norms(anchors, s.x)
    terms = [float(t.mean()) for t in (closed.mean_term, closed.variance_term, closed.scatter_term)]
    value = (
        f"{terms[0]:.3g} + {terms[1]:.3g} + {terms[2]:.3g}; mean ‖e_i‖ {float(norms.norms.mean()):.3g}, "
        f"scatter within a user / over all items {float(norms.ratio):.2f}"
    )
    checks.append(measured(name, "the three terms; collapse watch", on, value))
    return checks, AnchorsShown(closed)


def _sizes(covariance: Tensor) -> list[float]:
    """Trace and spectral norm."""
    return [float(covariance.trace()), float(torch.linalg.eigvalsh(covariance)[-1])]


def mask_shrinkage(s: Subject) -> Evidence:
    """Proposition 3.2."""
    name = "Proposition 3.2"
    moved = views(s.users(8), 24)  # (U, M, d), the free minimisers of this encoder
    d = moved.shape[-1]
    generator = s.generator
    lam = [0.1, 0.3, 1.0, 3.0, 10.0]
    rows, pull, sizes = {"trace": [], "spectral": [], "tau": []}, [], []
    for m in moved:
        for weight in lam:
            basis = torch.linalg.qr(torch.randn(d, d, generator=generator, dtype=torch.float64))[0]
            curve = 4 * torch.rand(d, generator=generator, dtype=torch.float64) ** 2
            model = anchoring.QuadraticModel(basis * curve @ basis.T, weight, m.mean(0) + 1)
            shrunk = model.shrink(m)
            rows["trace"].append(float(shrunk.trace_ratio))
            rows["spectral"].append(float(shrunk.spectral_ratio))
            rows["tau"].append(float(shrunk.tau))
            away, kept = ((t - model.centroid).norm(dim=1) for t in (m, model.minimizer(m)))
            pull.append((kept, shrunk.tau * away))
            sizes.append([_sizes(c) for c in (shrunk.anchored, shrunk.tau**2 * shrunk.free)])
    anchored, limits = torch.tensor(sizes, dtype=torch.float64).unbind(1)  # (cases, 2) each
    rounding = 1e-14 * (moved.square().sum(-1).mean() + d)  # of the covariance, where masks move nothing
    on = (
        f"{len(sizes)} random H, μ(x_h) of {len(moved)} users under {moved.shape[1]} masks, λ {lam[0]:g} to {lam[-1]:g}"
    )
    kept, limit = (torch.stack(t) for t in zip(*pull, strict=True))
    checks = [
        _minimiser(name, moved[0], s.seed),
        bound(name, "‖μ*_h − ē‖ ≤ τ ‖m_h − ē‖", on, kept, limit),
        bound(name, "tr Cov μ* ≤ τ² tr Cov m, and the spectral norm", on, anchored, limits + rounding),
        _attained(name, moved[0], lam),
        _not_loewner(name),
    ]
    variance = anchoring.mask_variance(s.model, s.x, s.keep, n_masks=6, mask=s.mask, generator=s.generator)
    value = f"within {variance.within:.3g}, between {variance.between:.3g}, ratio {variance.ratio:.3f}"
    on = f"{len(s.mu)} users, 6 masks, keep {s.keep:g}"
    checks.append(measured(name, "variance of μ over masks, absolute and scale-free", on, value))
    return checks, ShrinkageShown(**{k: np.array(r) for k, r in rows.items()})


def views(s: Subject, n: int) -> Tensor:
    """μ(x_h) of every user under `n` masks, (U, n, d)."""
    generator, x = s.generator, sp.csr_matrix(s.x, dtype=np.float64)
    with torch.no_grad():
        drawn = [s.model.encode(mask_input(x, s.keep, s.mask, generator), normalize=False)[0] for _ in range(n)]
    return torch.stack(drawn, 1).double()


def _minimiser(name: str, m: Tensor, seed: int) -> Check:
    """The closed form against a minimiser that knows only the values of F_h."""
    k = min(4, m.shape[1])
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(k, k))
    model = anchoring.QuadraticModel(root @ root.T, 0.7, rng.normal(size=k))
    free = m[:3, :k].numpy()

    def cost(mu: np.ndarray, at: np.ndarray) -> float:
        return 0.5 * (mu - at) @ model.H @ (mu - at) + model.lam * ((mu - model.centroid) ** 2).sum()

    options = {"xatol": 1e-9, "fatol": 1e-15, "maxiter": 20_000, "maxfev": 20_000}
    found = [optimize.minimize(cost, at, args=(at,), method="Nelder-Mead", options=options).x for at in free]
    error = np.abs(model.minimizer(free) - np.array(found)) / (1 + np.abs(free).max())
    claim = "μ*_h = (H+2λI)⁻¹(H m_h + 2λē) = numerical minimum"
    return identity(name, claim, f"{len(free)} masks, {k} dimensions", error, 1e-5)


def _attained(name: str, m: Tensor, lam: list[float]) -> Check:
    """For H = L·I the bound is an equality, so a τ that is too large is found out as well."""
    off = []
    for weight in lam:
        curvature = 2.0
        tau = float(anchoring.shrinkage(curvature, weight))
        model = anchoring.QuadraticModel(curvature * torch.eye(m.shape[1], dtype=m.dtype), weight, m.mean(0) + 1)
        away, kept = ((t - model.centroid).norm(dim=1) for t in (m, model.minimizer(m)))
        off.append((kept / away - tau).abs().max())
    claim = "τ = L/(L+2λ) is attained for H = L·I"
    return identity(name, claim, f"{len(lam)} values of λ, {len(m)} masks", torch.stack(off), 1e-10)


def _not_loewner(name: str) -> Check:
    """The counterexample's smallest eigenvalue, worked out by hand: it is negative."""
    model, m = anchoring.loewner_counterexample()
    gap = float(model.shrink(m).loewner_gap)
    b = 0.01 / 1.01  # the second coordinate shrinks by this, the first by τ = 1/2; Cov m has twos everywhere
    trace, corner = 2 * (0.25 - b**2), 2 * (0.25 - 0.5 * b)
    by_hand = trace / 2 - (trace**2 / 4 + corner**2) ** 0.5
    value = f"smallest eigenvalue of τ² Cov m − Cov μ*: {gap:.3f} < 0"
    return identity(name, "no Loewner order: H = diag(1, .01)", "2 dimensions", gap - by_hand, 1e-9, value)
