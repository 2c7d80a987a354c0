"""What the Python library computes for the settings of an explorable: the truth that its `math.js` has to meet.

Each function takes the settings of one explorable, as its `compute` does, and gives some of the values that it returns.
"""

import json
from collections.abc import Callable
from functools import lru_cache
from importlib.resources import files
from typing import Any

import numpy as np
import torch
from scipy import stats

from minivae import metrics, online
from minivae.models import MultVAE
from minivae.study.memory_forecast import ease_memory, vae_memory
from minivae.theory import anchoring, bottleneck, distances, locality, masking, merging, toy, transfer
from minivae.theory.numerics.quadrature import grid, log_density

Settings = dict[str, Any]
Values = dict[str, Any]
FREE_PLACES = [[-1.5, -0.7], [1.6, -0.5], [0.1, 1.3]]


def masked_distance(t: Settings) -> Values:
    """Theorem 2.6; items of two kinds are two independent parts of the distance."""
    if t["masks"] == "popular":
        different = masking.masked_distance(0, t["d"], t["rho"])
        common = masking.masked_distance(t["s"], 0, t["common"])
        pmf = np.convolve(different.pmf(), common.pmf())
        mean, var = different.mean + common.mean, different.var + common.var
        k = np.arange(len(pmf))
        closer, farther = pmf[k < t["d"]].sum(), pmf[k > t["d"]].sum()
        stay, fresh = different.mean, common.mean
        threshold = (1 - t["rho"]) / ((1 - t["rho"]) + 2 * t["common"] * (1 - t["common"]))
    else:
        law = masking.masked_distance(t["s"], t["d"], t["rho"], shared=t["masks"] == "shared")
        mean, var, pmf, closer, farther = law.mean, law.var, law.pmf(), law.prob_contract(), law.prob_expand()
        stay, fresh = (
            masking.masked_distance(*n, t["rho"], t["masks"] == "shared").mean for n in ((0, t["d"]), (t["s"], 0))
        )
        threshold = 1.0 if t["masks"] == "shared" else masking.contraction_threshold(t["rho"])
    return {
        "mean": mean,
        "stay": stay,
        "fresh": fresh,
        "sd": np.sqrt(var),
        "change": mean - t["d"],
        "closer": closer,
        "farther": farther,
        "slope": 1 / threshold - 1,
        "threshold": threshold,
        "pmf": pmf,
    }


def sharing_disc(t: Settings) -> Values:
    """Theorem 2.3 for one pair, by the functions with which the library draws its conclusions."""
    g, w, lipschitz, mismatch, along, across, smoothness = (
        torch.tensor(float(t.get(k, 1.0)), dtype=torch.float64)
        for k in ("g", "w", "lipschitz", "mismatch", "along", "across", "smoothness")
    )
    penalty = lipschitz * w + mismatch
    norm = torch.stack([g, torch.hypot(along, across)])
    bound = penalty.expand(2, 2)
    certified = transfer.cauchy_schwarz(norm, bound)[0, 1]
    least = g * (g - penalty)
    return {
        "penalty": penalty,
        "radius": transfer._radius(g, mismatch, lipschitz),
        "least": least,
        "inner": g * along,
        "slack": g * along - least,
        "certified": certified.double(),
        "polarised": transfer.polarised(norm, bound)[0, 1].double(),
        "step": torch.where(certified, 2 * least / (smoothness * norm[1].square()), 0.0),
    }


def free_minimisers() -> np.ndarray:
    """(3 users, 10 masks, 2): directions by the golden angle, sizes by the golden ratio, centred on the user."""
    h, user = np.arange(10), np.arange(3)[:, None]
    angle, size = 2.399963229728653 * h + user, 0.4 + 0.45 * (h * 0.6180339887498949 % 1)
    around = np.stack([size * np.cos(angle), 0.85 * size * np.sin(angle)], -1)
    return around - around.mean(1, keepdims=True) + np.array(FREE_PLACES)[:, None]


def anchors(t: Settings) -> Values:
    """Proposition 3.2 for three users."""
    free, angle = free_minimisers(), np.deg2rad(t["turn"])
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    hessian = turn @ np.diag([t["steep"], t["flat"]]) @ turn.T
    if t["lambda"] == 0:
        models, moved = None, free
    else:
        models = [anchoring.QuadraticModel(hessian, t["lambda"], t["apart"] * np.array(home)) for home in FREE_PLACES]
        moved = np.stack([model.minimizer(m) for model, m in zip(models, free, strict=True)])
    within = [np.mean([np.trace(np.cov(cloud.T)) for cloud in clouds]) for clouds in (free, moved)]
    between = [np.trace(np.cov(clouds.mean(1).T)) for clouds in (free, moved)]
    values = {
        "tau": anchoring.shrinkage(max(t["steep"], t["flat"]), t["lambda"]),
        "bound": anchoring.shrinkage(max(t["steep"], t["flat"]), t["lambda"]) ** 2,
        "shrink": within[1] / within[0],
        "between": between[1] / between[0],
        "relative": within[1] / between[1] / (within[0] / between[0]),
    }
    if models:
        shrunk = [model.shrink(m) for model, m in zip(models, free, strict=True)]
        values["ratios"] = [s.trace_ratio for s in shrunk]
        values["tops"] = [s.spectral_ratio for s in shrunk]
        values["gap"] = shrunk[0].loewner_gap
    return values


def compromise(t: Settings) -> Values:
    """Theorem 2.5 for a user with 20 items and another one, the price of their distance, and when they merge."""
    n, heavy, distance, differ = 20, t["heavy"], t["t"], t["differ"]
    common = (n + heavy - differ) // 2
    p_u, p_v = locality.shared_profile(float(common), float(n), float(heavy))
    gap = locality.gap_against_distance(p_u, p_v, float(n), float(heavy), distance)
    spread = (1 + distance**2 / 4) ** -0.5  # the one that makes both divergences least
    pull = 2 * t["beta"] * distances.gaussian_kl([spread * distance / 2], [spread])
    full = locality.compromise_gap(p_u, p_v, float(n), float(heavy))
    share = gap / full if differ else np.float64("nan")
    x_u = np.repeat([1.0, 1.0, 0.0], [common, n - common, heavy - common])
    x_v = np.repeat([1.0, 0.0, 1.0], [common, n - common, heavy - common])
    threshold = merging.merging_threshold(x_u, x_v)
    return {"gap": gap, "full": full, "share": share, "pull": pull, "total": gap + pull, "threshold": threshold}


def beta(t: Settings) -> Values:
    """Both sides of the decomposition by quadrature, and the bound on the distance of the two outer users."""
    tastes = np.array(t["tastes"])
    h, b = t["surety"], t["beta"]
    mu = (h * tastes / (h + b))[:, None]
    sd = np.full_like(mu, (b / (h + b)) ** 0.5)
    low, high = tastes.argmin(), tastes.argmax()
    parts, pairs = bottleneck.kl_decomposition_quadrature(mu, sd), bottleneck.contraction(mu, sd)
    return {
        "kl": parts.mean_kl,
        "information": parts.mutual_information,
        "marginal": parts.marginal_kl,
        "ceiling": parts.mi_ceiling,
        "distance": pairs.w2[low, high],
        "bound": pairs.radius[low] + pairs.radius[high],
    }


def transport(t: Settings) -> Values:
    """W2 by the Bures formula of the library, KL by torch.distributions."""
    angle = np.deg2rad(t["turn"])
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    upright = np.diag([t["thin"] ** 2, 1.5**2])
    means, covs = [np.zeros(2), np.array([t["shift"], 0.0])], [upright, turn @ upright @ turn.T]
    u, v = (
        torch.distributions.MultivariateNormal(torch.from_numpy(m), torch.from_numpy(c))
        for m, c in zip(means, covs, strict=True)
    )
    return {
        "w2": distances.w2_gaussian_full(means[0], covs[0], means[1], covs[1]),
        "low": t["shift"],
        "kl": torch.distributions.kl_divergence(u, v),
    }


def elbo(t: Settings) -> Values:
    """The bound of the decoder of chapter 02, by quadrature."""
    items = torch.tensor({"light": [0, 0, 0, 0, 1, 0], "heavy": [0, 0, 1, 1, 1, 1]}[t["user"]], dtype=torch.float64)
    centre = torch.linspace(-3, 3, 6, dtype=torch.float64)
    mu, sd = (torch.tensor([[t[k], p]], dtype=torch.float64).T for k, p in (("mu", 0.0), ("sd", 1.0)))
    z, weight = grid(mu, sd)
    likelihood = torch.log_softmax(centre * z - centre.square() / 2, -1) @ items
    prior, q = (log_density(z, m[None], s[None]) for m, s in ((mu[1], sd[1]), (mu[0], sd[0])))
    evidence = (weight @ (prior + likelihood).exp()).log()
    fit = -(weight @ (q.exp() * likelihood))
    kl = distances.gaussian_kl(mu[0], sd[0])
    gap = weight @ (q.exp() * (q - (prior + likelihood - evidence)))
    return {
        "fit": fit,
        "kl": kl,
        "gap": gap,
        "elbo": -fit - kl,
        "evidence": evidence,
        "objective": fit + t["beta"] * kl,
    }


def recall_and_ndcg(t: Settings) -> Values:
    """The metrics of `minivae.metrics`, and recall divided by n, as means over the two users."""
    n = np.array([t["light"], t["heavy"]])
    values = {}
    for model, users in t["hits"].items():
        hits = np.zeros((2, 20), dtype=bool)
        for row, ranks in zip(hits, users, strict=True):
            row[np.array(ranks) - 1] = True
        values[f"recall{model}"] = metrics.metric_values(metrics.Ranking(hits, n), f"recall@{t['k']}").mean()
        values[f"plain{model}"] = (hits[:, : t["k"]].sum(1) / n).mean()
        values[f"ndcg{model}"] = metrics.metric_values(metrics.Ranking(hits, n), f"ndcg@{t['k']}").mean()
    return values


@lru_cache
def walks(seed: int, tests: int = 400, evenings: int = 30) -> np.ndarray:
    """Sums of standard normal numbers from the generator that the page uses: mulberry32, Box and Muller."""
    word, state = 0xFFFFFFFF, seed

    def uniform() -> float:
        nonlocal state
        state = (state + 0x6D2B79F5) & word
        t = ((state ^ (state >> 15)) * (state | 1)) & word
        t = ((t + (((t ^ (t >> 7)) * (t | 61)) & word)) & word) ^ t
        return (((t ^ (t >> 14)) & word) + 0.5) / 2**32

    pairs = np.array([[uniform(), uniform()] for _ in range(tests * evenings)])
    steps = np.sqrt(-2 * np.log(pairs[:, 0])) * np.cos(2 * np.pi * pairs[:, 1])
    return steps.reshape(tests, evenings).cumsum(1)


def peeking(t: Settings) -> Values:
    """The shares of `minivae.online.Rehearsal` for these experiments."""
    k = np.arange(1, t["evening"] + 1)
    difference = walks(t["seed"])[:, : t["evening"]] / k + t["effect"]
    se = np.broadcast_to(k**-0.5, difference.shape)
    found = online.Rehearsal(difference, se)
    share, error = found.peeking()
    return {
        "peeking": share,
        "error": error,
        "valid": found.always_valid(t["scale"])[0],
        "fixed": found.fixed()[0],
        "limit": online.boundary(se[0, -1], t["scale"]),
    }


@lru_cache
def stored_run() -> dict[str, Any]:
    """The numbers of `sharing-plane/run.js`."""
    text = files("minivae.explorables").joinpath("sharing-plane/run.js").read_text(encoding="utf-8")
    return json.loads(text.split("RUN = ")[1].strip().removesuffix(";"))


def sharing_plane(t: Settings) -> Values:
    """Theorem 2.3 by `minivae.theory.transfer.sharing` for the stored decoder and the users where they are."""
    run, u = stored_run(), t["user"]
    stop = run["stops"][t["stop"]]
    x = torch.tensor([[int(b) for b in row] for row in run["items"]], dtype=torch.float64)
    model = toy.ToyVAE(x.shape[1], features=len(run["c"]), hidden=16)
    named = {"0.a": run["a"], "0.c": run["c"], "1.weight": stop["w"], "1.bias": stop["b"]}
    model.decoder.load_state_dict({k: torch.tensor(v, dtype=torch.float64) for k, v in named.items()})
    mu, sd = (torch.tensor(stop[k], dtype=torch.float64) for k in ("mu", "sd"))
    for v, place in t["moved"].items():
        mu[int(v)] = torch.tensor(place, dtype=torch.float64)
    noise = torch.tensor([[1, 1], [1, -1], [-1, 1], [-1, -1]], dtype=torch.float64)
    z = mu[:, None] + sd[:, None] * noise
    s = transfer.sharing(model, x, lipschitz="user", target=x / x.sum(1, keepdim=True), z=z)
    others = torch.arange(len(x)) != u
    mates = others & (torch.tensor(run["community"]) == run["community"][u])
    return {
        "norm": s.norm[u],
        "lipschitz": s.lipschitz[u, u],
        "reach": s.norm[u] / s.lipschitz[u, u],
        "typical": np.median(s.radius[u][mates]),
        "helped": (s.exact[u] > 0)[others].sum(),
        "sure": s.certified[u][others].sum(),
        "exact": s.exact[u],
        "distance": s.distance[u],
        "mismatch": s.mismatch[u],
    }


def users_and_seeds(t: Settings) -> Values:
    """By the weights that every independent part has in the mean, and in one value less the mean."""
    n, m = int(t["n"] + 0.5), t["m"]
    sd = {"a": (t["a"], n), "b": (t["b"], m), "e": (t["e"], n * m)}

    def variance(n: int, m: int) -> float:
        weights = (np.full(n, t["a"] / n), np.full(m, t["b"] / m), np.full(n * m, t["e"] / (n * m)))
        return float(sum(w @ w for w in weights))

    one = sum(s**2 * ((1 - 1 / k) ** 2 + (k - 1) / k**2) for s, k in sd.values())  # of D_us − mean
    both, naive = variance(n, m) ** 0.5, (one / (n * m - 1)) ** 0.5
    users = np.hypot(t["a"] / n**0.5, t["e"] / (n * m) ** 0.5)
    return {
        "both": both,
        "users": users,
        "naive": naive,
        "coverUsers": 1 - 2 * stats.norm.sf(stats.norm.ppf(0.975) * users / both),
        "coverNaive": 1 - 2 * stats.norm.sf(stats.norm.ppf(0.975) * naive / both),
        "ofSeeds": (t["b"] / m**0.5 / both) ** 2,
        "twiceUsers": 1 - variance(2 * n, m) ** 0.5 / both,
        "twiceSeeds": 1 - variance(n, 2 * m) ** 0.5 / both,
    }


def update_operations(model: MultVAE, batch: int, interactions: int) -> dict[str, int]:
    """From the weights of a model: three products with each dense layer, sums of rows in the input layer, and Adam.

    The last item-sized bias takes part in no product with `batch` rows.
    """
    small = [p for name, p in model.named_parameters() if name in ("encoder_output.weight", "decoder.0.weight")]
    return {
        "output": 6 * batch * model.decoder[-1].weight.numel(),
        "between": sum(6 * batch * p.numel() for p in small),
        "input": 4 * interactions * model.encoder_input.weight.shape[1],
        "adam": 12 * sum(p.numel() for p in model.parameters()),
    }


def cost(t: Settings) -> Values:
    """Operations from the shapes of the library's own model, memory by its forecast."""
    users, items, latent = t["users"], t["items"], t["latent"]
    batch, taken = min(500, users), 73

    def one_update(items: int, latent: int) -> dict[str, int]:
        with torch.device("meta"):
            return update_operations(MultVAE(items, 600, latent), batch, batch * taken)

    parts, updates = one_update(items, latent), -(-users // batch)
    one = sum(parts.values())
    with torch.device("meta"):
        model = MultVAE(items, 600, latent)
    n, layer = (sum(p.numel() for p in m.parameters()) for m in (model, model.decoder[-1]))
    kept = sum(v.numel() for v in model.state_dict().values())
    return {
        **parts,
        "one": one,
        "updates": updates,
        "epoch": updates * one,
        "parameters": n,
        "vae": vae_memory(n, kept, layer, (users, items), users * taken, batch, torch.float32).total,
        "ease": ease_memory(items, users * taken).total,
        "twiceItems": sum(one_update(2 * items, latent).values()) / one,
        "twiceLatent": sum(one_update(items, 2 * latent).values()) / one,
        "twiceUsers": -(-2 * users // batch) / updates,
    }


REFERENCE: dict[str, Callable[[Settings], Values]] = {
    "masked-distance": masked_distance,
    "sharing-disc": sharing_disc,
    "anchors": anchors,
    "compromise": compromise,
    "beta": beta,
    "transport": transport,
    "elbo": elbo,
    "sharing-plane": sharing_plane,
    "recall-and-ndcg": recall_and_ndcg,
    "peeking": peeking,
    "users-and-seeds": users_and_seeds,
    "cost": cost,
}
