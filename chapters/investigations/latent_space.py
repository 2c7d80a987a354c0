"""Open tasks about posteriors and what they share: chapters 02 to 06."""

from typing import Any

import numpy as np
import scipy.stats
import torch
from torch.distributions import Normal

import minivae as mv
from minivae.theory import distances, locality, toy, transfer

from .chapter import interval, names_of


def geometry() -> dict[str, Any]:
    """03: how far projections close the bracket of W1, for the chapter's pairs in the plane and for trained users."""
    space = names_of(
        "03", "def in_common", "def across_fifths", "data = mv.planted", "rows, posteriors =", "def lower_bound"
    )
    bound = space["lower_bound"]
    one = {"dtype": torch.float64}
    pairs = {
        "wider": ([0.0, 0.0], [0.75, 0.75], [0.0, 0.0], [2.25, 2.25]),
        "needles": ([-0.25, 0.0], [0.05, 1.5], [0.25, 0.0], [0.05, 1.5]),
    }
    found: dict[str, Any] = {}
    for name, pair in pairs.items():
        mu_u, sd_u, mu_v, sd_v = (torch.tensor([values], **one) for values in pair)
        low, high = distances.w1_bounds(mu_u, sd_u, mu_v, sd_v)
        angle = torch.linspace(0, np.pi, 181, **one)
        best = bound(mu_u, sd_u, mu_v, sd_v, torch.stack([angle.cos(), angle.sin()]))
        common = (
            mu_u - mu_v + (sd_u - sd_v) * torch.randn(200_000, 2, generator=torch.Generator().manual_seed(0), **one)
        )
        rows = {"means": low, "projections": best, "common noise": common.norm(dim=1).mean(), "W2": high}
        found[name] = {key: round(float(value), 2) for key, value in rows.items()}
    found["trained"] = {"raised": [], "median": [], "least": [], "common noise": []}
    for mu, sd in space["posteriors"]:  # five seeds
        generator = torch.Generator().manual_seed(0)
        u, v = torch.randint(len(mu), (2, 2000), generator=generator)
        u, v = u[u != v], v[u != v]
        pair = mu[u], sd[u], mu[v], sd[v]
        low, high = distances.w1_bounds(*pair)
        along = torch.randn(mu.shape[1], 2000, generator=generator, **one)
        best = bound(*pair, along / along.norm(dim=0))
        eps = torch.randn(20_000, mu.shape[1], generator=generator, **one)
        moved = [
            (mu[a] - mu[b] + (sd[a] - sd[b]) * eps).norm(dim=1).mean() for a, b in zip(u[:200], v[:200], strict=True)
        ]
        trained = found["trained"]
        trained["raised"].append(float((best > low + 1e-12).double().mean()))
        trained["median"].append(float((low / high).median()))
        trained["least"].append(float((low / high).min()))
        trained["common noise"].append(float((torch.stack(moved) / high[:200]).median()))
    return found


def batches() -> dict[str, Any]:
    """04: the fraction of users that a batch helps, by its size; five seeds of the toy and of a trained Mult-VAE."""
    of_batch = names_of("04", "def batch_transfer")["batch_transfer"]
    sizes, found = (1, 5, 20), {"0": {}, "300": {}, "Mult-VAE": {}}
    helped: dict[tuple[str, str], list[list[float]]] = {}  # of every seed

    def draw(name: str, gram: torch.Tensor, generator: torch.Generator, kinds: torch.Tensor | None = None) -> None:
        of_seed: dict[str, list[float]] = {}
        for size in sizes:
            for _ in range(50):
                batch = torch.randperm(len(gram), generator=generator)[:size]
                member = torch.zeros(len(gram), dtype=torch.bool)
                member[batch] = True
                helps = of_batch(gram, batch) > 0
                groups = {"members": member, "others": ~member}
                if kinds is not None and size == 1:
                    alike = kinds == kinds[batch]
                    groups |= {"own community": alike & ~member, "other communities": ~alike}
                for who, group in groups.items():
                    of_seed.setdefault(f"{size} {who}", []).append(float(helps[group].double().mean()))
        for key, values in of_seed.items():
            helped.setdefault((name, key), []).append(values)

    for seed in range(5):
        generator = torch.Generator().manual_seed(seed)
        x, community = toy.toy_users(seed=seed)
        model, kinds = toy.ToyVAE(x.shape[1], generator=generator), torch.from_numpy(community)
        goal = x / x.sum(1, keepdim=True)
        for step in toy.train_toy(model, x, (0, 300), generator=generator):
            gram = transfer.sharing(model, x, 8, generator, lipschitz="user", target=goal).exact
            draw(str(step), gram, generator, kinds)
    split = mv.strong_split(mv.planted(n_users=2_000, n_items=300, n_events=60_000, seed=0), n_heldout=200)
    for seed in range(5):  # the masked models of 4.9
        config = mv.TrainConfig(keep=0.5, lr=3e-3, batch_size=100, epochs=25, anneal_steps=300, seed=seed)
        vae = mv.fit(mv.MultVAE(split.n_items, hidden=100, latent=16), split, config).model
        generator = torch.Generator().manual_seed(seed)
        draw("Mult-VAE", transfer.gram(vae, split.test.history[:100], generator=generator), generator)
    for (name, key), values in helped.items():
        means = np.mean(values, axis=1)
        found[name][key] = round(float(np.mean(values)), 2)
        found[name][f"{key}, lowest and highest seed"] = [round(float(means.min()), 2), round(float(means.max()), 2)]
    for name, of_name in found.items():
        rise = np.mean(helped[name, "20 others"], axis=1) - np.mean(helped[name, "1 others"], axis=1)  # of every seed
        of_name["others, 20 less 1, lowest and highest seed"] = [
            round(float(rise.min()), 2),
            round(float(rise.max()), 2),
        ]
    return found


def importance() -> dict[str, Any]:
    """02: the importance-weighted bound of Mult-VAEs trained with two β, by draws and by items; five seeds."""
    space = names_of("02", "def importance_bound(", "z = torch.linspace(-12", "def terms(")
    split, bound = space["split"], space["importance_bound"]
    rows = split.test.history
    x = torch.tensor(rows.toarray(), dtype=torch.float64)  # (300, I)
    sizes, seeds, generator = (1, 10, 100, 1000), 5, torch.Generator().manual_seed(0)
    fifth = np.argsort(np.argsort(x.sum(1).numpy(), kind="stable")) * 5 // len(x)
    found: dict[str, Any] = {"items, mean of each fifth": [float(x.sum(1)[fifth == k].mean()) for k in range(5)]}
    best = {}
    for beta in (0.2, 1.0):
        bounds, ndcg = np.zeros((seeds, len(sizes), len(x))), []
        for seed in range(seeds):
            config = mv.TrainConfig(beta=beta, lr=3e-3, batch_size=100, epochs=20, anneal_steps=100, seed=seed)
            vae = mv.fit(mv.MultVAE(split.n_items, hidden=100, latent=16), split, config).model.double()
            ndcg.append(mv.evaluate(vae, split.test).per_user["ndcg@100"])
            with torch.no_grad():
                q = Normal(*vae.encode(rows))  # clean input
                log_w = torch.stack([_log_weight(vae, q, x, generator) for _ in range(sizes[-1])])  # (1000, 300)
            for k, size in enumerate(sizes):
                bounds[seed, k] = torch.stack([bound(block) for block in log_w.split(size)]).mean(0)
        best[beta] = bounds[:, -1].mean(0), np.mean(ndcg, axis=0)
        gap = (bounds[:, -1] - bounds[:, 0]).mean(0)
        found[f"β = {beta:g}"] = {
            "bound, by draws": bounds.mean((0, 2)).tolist(),
            "rise from 1 to 1000 draws, each fifth": [float(gap[fifth == k].mean()) for k in range(5)],
            "nDCG@100": float(np.mean(ndcg)),
        }
    found["on the line"] = _line(space, bound, sizes)
    found["likelihood, β = 1 − β = 0.2"] = interval(best[1.0][0] - best[0.2][0])
    found["nDCG@100, β = 1 − β = 0.2"] = interval(best[1.0][1] - best[0.2][1])
    return found


def _line(space: dict[str, Any], bound: Any, sizes: tuple[int, ...]) -> dict[str, Any]:
    """What the bound of 2.3's user of four items lacks to log p(x), by draws: q has mean 0.8, sd 0.7; 1,000 blocks.

    A block's mean weight over p(x) has mean 1. That mean less 1 is added to what the block's bound lacks, which changes
    the expectation by 0 and removes most of the noise. For each number of draws: mean and standard error.
    """
    evidence, _, _, lacking, _ = space["terms"](space["heavy"], 0.8, 0.7)
    q = Normal(torch.tensor(0.8, dtype=torch.float64), 0.7)
    generator, centre = torch.Generator().manual_seed(0), space["centre"]
    found: dict[str, Any] = {"ELBO, by integral": float(lacking)}
    for size in sizes:
        z = q.loc + q.scale * torch.randn(size, 1_000, generator=generator, dtype=torch.float64)
        fit = torch.log_softmax(centre * z[..., None] - centre.square() / 2, -1) @ space["heavy"]
        log_w = fit + Normal(0.0, 1.0).log_prob(z) - q.log_prob(z)
        ratio = bound(log_w) - evidence  # (1000,) log of the mean weight over p(x)
        lacks = ratio.exp() - 1 - ratio
        found[str(size)] = [float(lacks.mean()), float(lacks.std() / len(lacks) ** 0.5)]
    return found


def _log_weight(vae: Any, q: Normal, x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """log p(x, z) − log q(z) without log N!, at one draw for each user, (B,)."""
    z = q.loc + q.scale * torch.randn(q.loc.shape, generator=generator, dtype=x.dtype)
    fit = (x * vae.decode(z).log_softmax(1)).sum(1)
    return fit + (Normal(0.0, 1.0).log_prob(z) - q.log_prob(z)).sum(1)


def steepest() -> dict[str, Any]:
    """05: the largest ratio that a search over one item more finds, under the proved constant; five models."""
    space = names_of("05", "def overlap(", "data = mv.planted", "models = [", "def steepest(")
    x = space["x"]  # (1600, I)
    alone = torch.eye(x.shape[1], dtype=x.dtype)  # everybody with a single item
    found: dict[str, list[float]] = {
        "users": [],
        "users with one item": [],
        "K_mu": [],
        "K": [],
        "moves, popularity": [],
        "ten that move most, median rank": [],
    }
    popularity = x.sum(0)
    rank = popularity.argsort(descending=True, stable=True).argsort() + 1
    for model in space["models"]:
        proved = locality.encoder_constants(model)
        found["users"].append(float(space["steepest"](model.encode, x[:500]).max()))
        found["users with one item"].append(float(space["steepest"](model.encode, alone).max()))
        moved = _moves(model.encode, x[:500])
        ranks = [scipy.stats.rankdata(values) for values in (moved, popularity)]
        found["moves, popularity"].append(float(np.corrcoef(*ranks)[0, 1]))
        found["ten that move most, median rank"].append(float(rank[moved.topk(10).indices].double().median()))
        found["K_mu"].append(proved.mu)
        found["K"].append(proved.joint)
    return found


def _moves(encode: Any, x: torch.Tensor) -> torch.Tensor:
    """The mean W2 by which an item that is added moves a user, (I,)."""
    at, moved = torch.cat(encode(x), 1), []
    for item in range(x.shape[1]):
        without = x[:, item] == 0
        more = x[without].clone()
        more[:, item] = 1
        moved.append(float((torch.cat(encode(more), 1) - at[without]).norm(dim=1).mean()))
    return torch.tensor(moved)


def merging() -> dict[str, Any]:
    """05b: which pairs of a real model still pay most of their gap, by β and by the items in which they differ."""
    space = names_of("05b", "data = mv.planted", "def sampled_gap(")
    split, differ, above = (space[name] for name in ("split", "differ", "above"))
    generator, found = torch.Generator().manual_seed(0), {}
    bands = ((4, 10), (10, 40), (40, 1000))  # no two users differ in fewer than four items
    for beta in (0.2, 1.0, 5.0, 20.0):
        paid = np.zeros((5, len(bands)))
        for seed in range(5):
            config = mv.TrainConfig(
                keep=1.0, beta=beta, lr=3e-3, batch_size=100, epochs=25, anneal_steps=300, seed=seed
            )
            vae = mv.fit(mv.MultVAE(split.n_items, hidden=100, latent=16), split, config).model.double()
            with torch.no_grad():
                mu, sd = vae.encode(split.train)
            for k, (low, high) in enumerate(bands):
                pairs = (above & (differ >= low) & (differ < high)).nonzero()
                for u, v in pairs[torch.randperm(len(pairs), generator=generator)[:60]].tolist():
                    x = torch.tensor(split.train[[u, v]].toarray(), dtype=mu.dtype)
                    x = x[:, x.sum(0) > 0]
                    eps = torch.randn(2, 100, mu.shape[1], generator=generator, dtype=mu.dtype)
                    gap = space["sampled_gap"](mu[[u, v]], sd[[u, v]], x, eps)
                    full = space["sampled_gap"](mu[[u, u]], sd[[u, u]], x, eps)
                    paid[seed, k] += float(gap / full) / 60
        found[f"β = {beta:g}"] = {
            f"{low} to {high - 1} differ": [paid[:, k].mean(), paid[:, k].min(), paid[:, k].max()]
            for k, (low, high) in enumerate(bands)
        }
    return found


def water() -> dict[str, Any]:
    """06: active units against water-filling with the noise that fits best; masks and early stopping taken away."""
    space = names_of("06", "def water_filling(", "def active(")
    split, filling, active = (space[name] for name in ("split", "water_filling", "active"))
    rows = torch.nn.functional.normalize(torch.tensor(split.train.toarray(), dtype=torch.float64))
    variances = torch.linalg.svdvals(rows - rows.mean(0)).square()[:16] / len(rows)
    betas, noises = (0.02, 0.2, 1.0, 4.0), np.geomspace(1e-6, 1e-1, 501)
    changes = {"as in the chapter": {}, "without masks": {"keep": 1.0}, "40 epochs": {"epochs": 40}}
    changes["40 epochs, without masks"] = {"keep": 1.0, "epochs": 40}
    found: dict[str, Any] = {"largest and 16th variance": [float(variances[0]), float(variances[-1])]}
    for name, change in changes.items():
        seen = []
        for beta in betas:
            settings: dict[str, Any] = {"epochs": 8, "precision": "fp32", "batch_size": 100, "lr": 6e-3} | change
            configs = [mv.TrainConfig(beta=beta, anneal_steps=0, seed=seed, **settings) for seed in range(5)]
            runs = [mv.fit(mv.MultVAE(split.n_items, hidden=100, latent=16), split, config) for config in configs]
            seen.append(np.mean([active(space["posteriors"](run)[0]) for run in runs]))
        of = {s: [int((filling(variances, beta, s)[0] > 0).sum()) for beta in betas] for s in noises}
        best = min(of, key=lambda s: float(np.abs(np.subtract(of[s], seen)).sum()))
        found[name] = {"active": seen, "water-filling": of[best], "noise": float(best)}
    return found
