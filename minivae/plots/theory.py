"""Figures of Theorem 2.3, Lemma 2.4, Theorem 2.5 and of the anchors: one message for each."""

from collections.abc import Mapping, Sequence
from itertools import cycle

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.patches import Circle
from matplotlib.ticker import FuncFormatter, MaxNLocator

from minivae.plots.style import COLOURS, open_axes

LINKS = {
    "inner product": "helps: $\\langle g_u, g_v\\rangle > 0$",
    "gradient distance": "$\\Vert g_u - g_v\\Vert$ exact",
    "coupling": "latent part along samples, $+\\ \\Delta_x$",
    "Lipschitz per pair": "$K\\,W_2 + \\Delta_x$, $K$ seen on the pair",
    "Lipschitz per user": "… on the user's pairs",
    "Lipschitz per global": "… on all pairs",
    "Lipschitz proved": "… $K$ proved",
}
"""What each link of `minivae.theory.transfer.Sharing.chain` bounds, for an axis."""
NOTHING = 1e-16
"""Shares below it are counted, not drawn: a logarithmic axis has no 0."""


def sharing_plane(
    mu: np.ndarray,
    community: np.ndarray,
    change: np.ndarray,
    certified: np.ndarray,
    user: int,
    reach: float,
    radius: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Theorem 2.3 in the latent plane: one user, the sharing radius, and what a step on each other user does.

    The fields of `minivae.theory.toy.SharingMap`. Distances between posteriors are at least those between the means
    drawn here, so no user outside a circle can be certified by it.

    Parameters
    ----------
    mu : ndarray
        (U, 2) posterior means.
    community : ndarray
        (U,) drawn as the marker.
    change : ndarray
        (U,) change of the user's loss after a step on each other one.
    certified : ndarray
        (U,) bool, drawn as a blue rim.
    user : int
        Whose loss it is; the star.
    reach : float
        Radius if the contents were equal (dashed): beyond it no user is certified.
    radius : float, optional
        Radius for a typical member of the user's community, content included (solid), if any.
    """
    ax = plt.gca() if ax is None else ax
    others = np.arange(len(mu)) != user
    top = float(np.abs(change[others]).max()) or 1.0
    power = int(np.floor(np.log10(top)))
    norm = Normalize(-top, top)
    for group, marker in zip(np.unique(community), cycle("osD^vP"), strict=False):
        part = others & (community == group)
        ax.scatter(
            *mu[part].T,
            c=change[part],
            cmap="PuOr_r",
            norm=norm,
            marker=marker,
            s=45,
            edgecolors=[COLOURS[5] if sure else "0.7" for sure in certified[part]],
            linewidths=[1.6 if sure else 0.4 for sure in certified[part]],
        )
    ax.scatter(*mu[user], marker="*", s=110, color="black", edgecolors="white", zorder=3)
    for r, style in ((reach, "--"), (radius, "-")):
        if r is not None and np.isfinite(r):
            ax.add_patch(Circle(mu[user], r, fill=False, linestyle=style, color="0.25", linewidth=1.4))
    label = f"change of the star's loss by a step on this user\n($10^{{{power}}}$ nats; below 0 the step helps)"
    digits = FuncFormatter(lambda v, _: f"{v / 10.0**power:g}".replace("-", "−"))
    shades, ticks = ScalarMappable(norm, "PuOr_r"), MaxNLocator(8, steps=[1, 2, 5, 10])
    bar = ax.figure.colorbar(shades, ax=ax, label=label, format=digits, ticks=ticks)
    bar.outline.set_visible(False)
    ax.set_xlabel("$\\mu_1$\nblue rim: certified; radius for equal content (dashed),\nfor one of its community (solid)")
    ax.set_ylabel("$\\mu_2$")
    ax.set_aspect("equal", adjustable="datalim")
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def certificate_chain(
    chains: Mapping[str, Mapping[str, float]],
    errors: Mapping[str, Mapping[str, float]] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """How many pairs are certified at each link of Theorem 2.3, from what is true to what is bounded most coarsely.

    A waterfall: the pale end of a bar is what this link loses against the one above.

    Parameters
    ----------
    chains : Mapping[str, Mapping[str, float]]
        Label -> the result of `Sharing.chain`.
    errors : Mapping[str, Mapping[str, float]], optional
        The same with standard errors.
    """
    ax = plt.gca() if ax is None else ax
    links = list(next(iter(chains.values())))
    height = 0.8 / len(chains)
    for k, ((label, chain), colour) in enumerate(zip(chains.items(), cycle(COLOURS), strict=False)):
        y = np.arange(len(links))[::-1] - (k - (len(chains) - 1) / 2) * height
        spread = np.array([errors[label][link] if errors else 0.0 for link in links])
        left = np.array([chain[link] for link in links])
        ax.barh(y, left, height=0.9 * height, color=colour, label=label, xerr=spread if errors else None)
        lost = np.concatenate([[0.0], np.maximum(left[:-1] - left[1:], 0)])
        ax.barh(y, lost, left=left, height=0.9 * height, color=colour, alpha=0.25)
        for at, end, gone in zip(y, np.maximum(left + lost, left + spread), lost, strict=True):  # beyond the error bar
            if gone >= 0.005:
                ax.text(end, at, f" −{gone:.2f}", va="center", fontsize=8, color="0.25")
    ax.set_yticks(np.arange(len(links))[::-1], [LINKS.get(link, link) for link in links])
    ax.set_xlim(0, 1)
    ax.set_xlabel("fraction of pairs known to transfer")
    ax.grid(axis="x", color="0.9")
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    return ax


def lipschitz_line(inputs: np.ndarray, latent: np.ndarray, constant: float | None, ax: Axes | None = None) -> Axes:
    """Lemma 2.4: how far posteriors are apart against how far inputs are, under the proved line.

    Parameters
    ----------
    inputs : ndarray
        (P,) ‖x_u − x_v‖₁.
    latent : ndarray
        (P,) W2(q_u, q_v).
    constant : float, optional
        Proved slope, or None.
    """
    ax = plt.gca() if ax is None else ax
    some = (inputs > 0) & (latent > 0)
    inputs, latent = inputs[some], latent[some]
    shown = np.random.default_rng(0).permutation(len(inputs))[:4000]
    ax.scatter(inputs[shown], latent[shown], s=6, alpha=0.4, color=COLOURS[0], linewidths=0)
    ends = np.array([inputs.min(), inputs.max()])
    for slope, label, style in ((constant, "proved", "-"), (float((latent / inputs).max()), "largest seen", "--")):
        if slope is not None:
            rounded = float(f"{slope:.2g}")
            digits = f"{rounded:,.0f}" if rounded >= 10 else f"{rounded:g}"
            ax.plot(ends, slope * ends, style, color="0.2", label=f"{label}: slope {digits}")
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel("items in which two users differ, $\\|x_u - x_v\\|_1$")
    ax.set_ylabel("$W_2$ of their posteriors")
    ax.legend(frameon=False)
    return open_axes(ax)


def compromise_curve(
    at: np.ndarray, curves: np.ndarray, distance: np.ndarray, share: np.ndarray, ax: Axes | None = None
) -> Axes:
    """Theorem 2.5: what sharing a place costs against the distance of the posteriors, curves and this model's pairs.

    Parameters
    ----------
    at, curves : ndarray
        (D,) distances in spreads and (P, D) share of the full gap that pairs of equal spreads pay there.
    distance, share : ndarray
        (Q,) the same for pairs of a model, in d dimensions.
    """
    ax = plt.gca() if ax is None else ax
    for k, curve in enumerate(curves):
        label = "theorem: one pair each, equal spreads" if k == 0 else None
        ax.plot(at, curve, color=COLOURS[0], linewidth=1.2, alpha=0.8, label=label)
    drawn = share >= NOTHING
    dots = {"s": 10, "color": COLOURS[3], "alpha": 0.6, "linewidths": 0}
    ax.scatter(distance[drawn], share[drawn], label="pairs of this model", **dots)
    ax.set_xlabel("distance of the posterior means, in spreads")
    ax.set_ylabel("compromise gap / gap at distance 0")
    ax.set_yscale("log")  # it falls like exp(−distance² / 8): a model's pairs are many powers of ten below 1
    least = float(np.min(share[drawn], initial=1e-3))
    ax.set_ylim(0.3 * least, 3)
    if not drawn.all():
        far = float(np.median(distance[~drawn]))
        left_out = f"{int((~drawn).sum())} of {len(share)} pairs are not drawn:"
        left_out += f"\ntheir share is below $10^{{-16}}$\n(median distance {far:.0f})"
        ax.text(0.03, 0.04, left_out, transform=ax.transAxes, ha="left", va="bottom", color="0.25")
    ax.legend(frameon=False, loc="upper right")
    return open_axes(ax)


def closing_radius(rows: Sequence[Mapping[str, float]], ax: Axes | None = None) -> Axes:
    """Theorem 2.3 during training: certified pairs of the same community of the toy, one line per seed.

    Parameters
    ----------
    rows : Sequence[Mapping[str, float]]
        Per seed, "local same STEP" and "proved same STEP" -> fraction of pairs.
    """
    ax = plt.gca() if ax is None else ax
    for kind, colour, label in (("local", 0, "constant of each pair (measured)"), ("proved", 3, "proved constant")):
        steps = sorted(int(k.split()[-1]) for k in rows[0] if k.startswith(f"{kind} same"))
        for k, row in enumerate(rows):
            share = [row[f"{kind} same {step}"] for step in steps]
            ax.plot(steps, share, "o-", color=COLOURS[colour], alpha=0.7, label=label if k == 0 else None)
    ax.set_ylim(-0.02, 1.05)
    ax.set_xlabel("steps of training (toy)")
    ax.set_ylabel("certified pairs of one community")
    ax.legend(frameon=False)
    return open_axes(ax)


def shrinkage_bound(tau: np.ndarray, trace: np.ndarray, spectral: np.ndarray, ax: Axes | None = None) -> Axes:
    """Proposition 3.2: how much the variance over masks shrinks, against the bound τ².

    Parameters
    ----------
    tau, trace, spectral : ndarray
        (R,) fields of `minivae.theory.shrinkage.Shrinkage` for R quadratic models.
    """
    ax = plt.gca() if ax is None else ax
    square = tau**2
    ends = [min(trace.min(), spectral.min(), square.min()) / 1.5, 1]
    ax.plot(ends, ends, color="black", label="bound $\\tau^2$")
    ax.scatter(square, spectral, s=28, color=COLOURS[1], marker="D", label="spectral norm", linewidths=0)
    ax.scatter(square, trace, s=28, color=COLOURS[0], label="trace", linewidths=0)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel("$\\tau^2$,   $\\tau = L/(L + 2\\lambda)$   (left: strong anchors)")
    ax.set_ylabel("variance over masks, anchored / free")
    ax.legend(frameon=False)
    return open_axes(ax)


def anchor_terms(
    mean_term: np.ndarray, variance_term: np.ndarray, scatter_term: np.ndarray, ax: Axes | None = None
) -> Axes:
    """Proposition 3.1: the three terms of the anchor loss, (B,) each, users in ascending order of their sum."""
    ax = plt.gca() if ax is None else ax
    terms = np.stack([scatter_term, variance_term, mean_term])
    terms = terms[:, np.argsort(terms.sum(0))]
    labels = ("scatter of the user's anchors", "spread of the posterior", "distance of $\\mu$ from the centroid")
    ax.stackplot(np.arange(terms.shape[1]), terms, labels=labels, colors=[COLOURS[k] for k in (2, 1, 0)], step="mid")
    ax.set_xlim(0, terms.shape[1] - 1)
    ax.set_xlabel("users, by anchor loss")
    ax.set_ylabel("$L_A$ of the user")
    ax.legend(frameon=False, loc="upper left", reverse=True)
    ax.set_ylim(0, 1.35 * terms.sum(0).max())
    return open_axes(ax)
