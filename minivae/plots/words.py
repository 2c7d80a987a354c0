"""What is seen in the figures of a report card and of the observations, with the numbers: for those who do not see."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minivae.plots.theory import NOTHING

if TYPE_CHECKING:
    from minivae.theory.card import shown
    from minivae.theory.card.card import Card

Words = tuple[str, str]
"""A caption, and what is seen."""


def theory_words(card: "Card") -> dict[str, Words]:
    """File name -> caption and what is seen, for every figure of `minivae.plots.theory_figures`."""
    say: dict[str, tuple[str, str, Callable[[Any], str]]] = {
        "Theorem 2.3": ("theorem-2.3", "whom a step on one user helps", _sharing),
        "Lemma 2.4": ("lemma-2.4", "how far posteriors move with their inputs", _smooth),
        "Theorem 2.5": ("theorem-2.5", "what two users pay for sharing a place", _compromise),
        "β-KL": ("beta-kl", "what the KL term is made of", _information),
        "Theorem 2.6": ("theorem-2.6", "what masks do to distances", _masks),
        "Proposition 3.1": ("proposition-3.1", "the three terms of the anchor loss", _anchors),
        "Proposition 3.2": ("proposition-3.2", "how much anchors shrink the variance over masks", _shrinkage),
    }
    return {say[s][0]: (f"{s}: {say[s][1]}.", say[s][2](data)) for s, data in card.figures.items()}


def _sharing(data: "shown.SharingShown") -> str:
    m = data.plane
    others = np.arange(len(m.mu)) != m.user
    own = others & (m.community == m.community[m.user])
    helped = f"{int((m.change[own] < 0).sum())} of {int(own.sum())} users of the star's community"
    strangers = f"{int((m.change[others & ~own] < 0).sum())} of {int((others & ~own).sum())} others"
    chains = "; ".join(
        f"{label}: {chain['inner product']:.0%} help, the coarsest bound certifies {list(chain.values())[-1]:.0%}"
        for label, chain in data.chains.items()
    )
    return f"Left, the toy: a step on {helped} helps the star, and on {strangers}. Right, this model: {chains}."


def _smooth(data: "shown.SmoothShown") -> str:
    some = data.inputs > 0
    largest = float((data.latent[some] / data.inputs[some]).max())
    proved = "nothing is proved" if data.constant is None else f"the proved line has slope {data.constant:.3g}"
    return f"Every pair of users as a dot: {proved}, the steepest pair {largest:.3g}."


def _compromise(data: "shown.CompromiseShown") -> str:
    share, distance = data.share, data.distance
    return (
        f"The theorem's curves fall from 1 at distance 0 to {float(data.curves[:, -1].mean()):.1g} at distance "
        f"{data.at[-1]:g}. Pairs of this model are {np.median(distance):.1f} spreads apart in the median; "
        f"{int((share < NOTHING).sum())} of {len(share)} pay less than {NOTHING:g} of the gap."
    )


def _information(data: "shown.InformationShown") -> str:
    d, kl = data.decomposition, np.sort(data.kl)[::-1]
    return (
        f"Left bar: E KL {float(d.mean_kl):.2f} nats a user. Bar beside it: I(U; Z) {float(d.mutual_information):.2f}, "
        f"whose ceiling log U is {float(d.mi_ceiling):.2f}, and on top KL(q̄‖p) {float(d.marginal_kl):.2f}. "
        f"Right: the KL of {len(kl)} dimensions falls from {kl[0]:.2f} to {kl[-1]:.2f}."
    )


def _masks(data: "shown.MasksShown") -> str:
    law, latent = np.asarray(data.pmf), data.latent
    mean = float(law @ np.arange(len(law)))
    return (
        f"Left: one pair differs in {mean:.2f} items by the exact law, in {np.mean(data.draws):.2f} "
        f"under simulated masks, in {data.clean:g} without. Right: masks change the latent distance of near "
        f"pairs to {latent.ratio[0]:.3f} of the clean one, that of far pairs to {latent.ratio[-1]:.3f}."
    )


def _anchors(data: "shown.AnchorsShown") -> str:
    t = data.terms
    means = [float(v.mean()) for v in (t.mean_term, t.variance_term, t.scatter_term)]
    return "Stacked for each user, means: centroid {:.2f}, spread of the posterior {:.2f}, scatter {:.2f}.".format(
        *means
    )


def _shrinkage(data: "shown.ShrinkageShown") -> str:
    worst = float(np.max(np.maximum(data.trace, data.spectral) / data.tau**2))
    return (
        f"{len(data.tau)} random quadratic models and the line of the bound τ²: the nearest has {worst:.2f} "
        "of the bound, more than 1 would break it."
    )


def observation_words(
    found: Mapping[str, list[dict[str, float]]], toys: Sequence[Mapping[str, float]]
) -> dict[str, Words]:
    """The same for `minivae.plots.observation_figures`."""
    sweep = [r for v, of in found.items() if v.startswith("masked β=") for r in of]
    low, high = (min(sweep, key=lambda r: r["beta"]), max(sweep, key=lambda r: r["beta"])) if sweep else ({}, {})
    near_far = [
        f"{v.removesuffix(' β=0.2')} {np.mean([r['ratio 1'] for r in of]):.3f} near and "
        f"{np.mean([r['ratio 5'] for r in of]):.3f} far"
        for v, of in found.items()
        if v.endswith("β=0.2") and ("PIA" not in v or "λ=1 β" in v)
    ]
    steps = sorted(int(k.split()[-1]) for k in toys[0] if k.startswith("local same"))
    first, last = (float(np.mean([t[f"local same {step}"] for t in toys])) for step in (steps[0], steps[-1]))
    words = {
        "observed-contraction": (
            "Theorem 2.6 in latent space: masked over clean distance, by fifths of all pairs.",
            f"Ratios above 1 drive apart: {'; '.join(near_far)}.",
        ),
        "observed-radius": (
            "Theorem 2.3 along the training of the toy.",
            f"Pairs of one community that the constant of each pair certifies: {first:.0%} at the start, {last:.0%} at "
            f"the last of {len(steps)} stops; mean over {len(toys)} seeds.",
        ),
    }
    if sweep:
        seen = (
            f"From β {low['beta']:g} to {high['beta']:g} active units go from {low['active']:g} to {high['active']:g}, "
            f"the KL term from {low['kl']:.1f} to {high['kl']:.1f} nats a user."
        )
        words["observed-beta"] = ("The β-KL term over β: active units, KL and information.", seen)
    return words
