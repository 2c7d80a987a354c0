"""Figures of a report card of the theory, one for each statement, and of the observations."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

from minivae.plots import kl_term, masking, theory

if TYPE_CHECKING:
    from minivae.theory.card import shown
    from minivae.theory.card.card import Card

WIDE, SINGLE = (11, 4.2), (6.4, 4.4)


def theory_figures(card: "Card") -> dict[str, Figure]:
    """File name -> figure, for every statement on the card."""
    draw: dict[str, tuple[str, Callable[[Any], Figure]]] = {
        "Theorem 2.3": ("theorem-2.3", _sharing),
        "Lemma 2.4": ("lemma-2.4", _smooth),
        "Theorem 2.5": ("theorem-2.5", _compromise),
        "β-KL": ("beta-kl", _information),
        "Theorem 2.6": ("theorem-2.6", _masks),
        "Proposition 3.1": ("proposition-3.1", _anchors),
        "Proposition 3.2": ("proposition-3.2", _shrinkage),
    }
    return {draw[statement][0]: draw[statement][1](data) for statement, data in card.figures.items()}


def _sharing(data: "shown.SharingShown") -> Figure:
    figure = Figure(figsize=(12, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.1, 1))
    m = data.plane
    own = (m.community == m.community[m.user]) & (np.arange(len(m.mu)) != m.user)
    typical = float(np.median(m.radius[own]))
    theory.sharing_plane(m.mu, m.community, m.change, m.certified, m.user, m.reach, typical, ax=left)
    left.set_title("toy: steps on its own community (circles) help the star")
    theory.certificate_chain(data.chains, ax=right)
    right.set_title("this model: what each bound still certifies", pad=24)  # the legend stands between
    return figure


def _smooth(data: "shown.SmoothShown") -> Figure:
    figure = Figure(figsize=SINGLE, layout="constrained")
    theory.lipschitz_line(data.inputs, data.latent, data.constant, ax=figure.subplots())
    return figure


def _compromise(data: "shown.CompromiseShown") -> Figure:
    figure = Figure(figsize=SINGLE, layout="constrained")
    theory.compromise_curve(data.at, data.curves, data.distance, data.share, ax=figure.subplots())
    return figure


def _information(data: "shown.InformationShown") -> Figure:
    figure = Figure(figsize=WIDE, layout="constrained")
    left, right = figure.subplots(1, 2)
    d = data.decomposition
    parts = (d.mean_kl, d.mutual_information, d.marginal_kl, d.mi_ceiling)
    kl_term.kl_sides(*map(float, parts), ax=left)
    kl_term.kl_by_dimension(data.kl, ax=right)
    return figure


def _masks(data: "shown.MasksShown") -> Figure:
    figure = Figure(figsize=WIDE, layout="constrained")
    left, right = figure.subplots(1, 2)
    masking.masked_law(data.draws, data.pmf, data.clean, ax=left)
    left.set_title(f"one pair, {data.common} items in common, keep {data.keep:g}")
    latent = data.latent
    masking.contraction_by_distance(latent.clean, latent.ratio, latent.ratio_se, ax=right)
    right.set_title("this model's encoder, fifths of all pairs")
    return figure


def _anchors(data: "shown.AnchorsShown") -> Figure:
    figure = Figure(figsize=SINGLE, layout="constrained")
    t = data.terms
    theory.anchor_terms(*(v.numpy() for v in (t.mean_term, t.variance_term, t.scatter_term)), ax=figure.subplots())
    return figure


def _shrinkage(data: "shown.ShrinkageShown") -> Figure:
    figure = Figure(figsize=SINGLE, layout="constrained")
    theory.shrinkage_bound(data.tau, data.trace, data.spectral, ax=figure.subplots())
    return figure


def observation_figures(
    found: Mapping[str, list[dict[str, float]]], toys: Sequence[Mapping[str, float]]
) -> dict[str, Figure]:
    """File name -> figure, from what `minivae.study.observations` collected."""
    figures = {}
    sweep = [r for v, of in found.items() if v.startswith("masked β=") for r in of]
    if len({r["beta"] for r in sweep}) > 1:
        informed = all("information" in r for r in sweep)  # not in what older versions measured
        figures["observed-beta"] = figure = Figure(figsize=WIDE if informed else SINGLE, layout="constrained")
        left, *right = np.atleast_1d(figure.subplots(1, 2 if informed else 1))
        beta, active, kl = (np.array([r[k] for r in sweep]) for k in ("beta", "active", "kl"))
        kl_term.active_over_beta(beta, active, int(sweep[0]["latent"]), ax=left)
        if informed:
            kl_term.information_over_beta(beta, kl, np.array([r["information"] for r in sweep]), ax=right[0])
    figures["observed-contraction"] = figure = Figure(figsize=SINGLE, layout="constrained")
    ax = figure.subplots()
    for k, variant in enumerate(v for v in found if v.endswith("β=0.2") and ("PIA" not in v or "λ=1 β" in v)):
        ratio = np.array([[r[f"ratio {q}"] for q in range(1, 6)] for r in found[variant]])
        error = ratio.std(0, ddof=1) if len(ratio) > 1 else np.zeros(5)
        masking.contraction_by_distance(np.arange(1, 6), ratio.mean(0), error, variant.removesuffix(" β=0.2"), k, ax=ax)
    ax.set_xlabel("fifths of all pairs by clean distance, 1 near … 5 far (bars: sd over seeds)")
    ax.set_xticks(range(1, 6))
    figures["observed-radius"] = figure = Figure(figsize=SINGLE, layout="constrained")
    theory.closing_radius([dict(t) for t in toys], ax=figure.subplots())
    return figures
