"""Do masks and anchors reach users who are far but related? Pairs with known relatedness, and matched controls."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp
from scipy.special import stdtrit

from minivae.config import TrainConfig
from minivae.data.splits import StrongSplit
from minivae.errors import InputError
from minivae.explain.kernel import transfer
from minivae.explain.records import CosineDifference, Variants
from minivae.explain.snapshots import record
from minivae.models import VAE

RELATED, UNRELATED = 0.5, 0.1
"""Cosine of tastes of a related pair, at least; of a control, at most in absolute value."""
COMMON, ITEMS, RATIO = 1, 10, 1.25
"""Of far pairs: at most so many common items, at least so many items each; N of a control within this ratio."""


@dataclass(frozen=True)
class MatchedPairs:
    """Far pairs, each with a control that differs in relatedness only.

    Attributes
    ----------
    related : ndarray
        (P, 2) users u, v: few common items, related tastes.
    unrelated : ndarray
        (P, 2) users u, w: the same u, as many common items, N_w near N_v (so the same Jaccard index up to that), tastes
        that have nothing to do with each other.
    """

    related: np.ndarray
    unrelated: np.ndarray


def matched_pairs(x: sp.csr_matrix, relatedness: np.ndarray, n_pairs: int = 2000, seed: int = 0) -> MatchedPairs:
    """Draw far-but-related pairs and a control for each.

    Parameters
    ----------
    x : csr_matrix
        (U, I) users.
    relatedness : ndarray
        (U, U) cosine of their tastes, from a known truth or from what is known of the items.
    n_pairs : int, default 2000
        At most.

    Raises
    ------
    InputError
        If there are fewer than 10 such pairs.
    """
    binary = x.astype(bool).astype(np.float32)
    common = (binary @ binary.T).toarray()
    n = np.diff(x.indptr)
    enough = (n[:, None] >= ITEMS) & (n[None, :] >= ITEMS)
    far = (common <= COMMON) & enough & ~np.eye(len(n), dtype=bool)
    candidates = np.argwhere(far & (relatedness >= RELATED))
    controls = far & (np.abs(relatedness) <= UNRELATED)
    pairs = []
    for u, v in np.random.default_rng(seed).permutation(candidates):
        alike = np.flatnonzero(controls[u] & (common[u] == common[u, v]))
        if not alike.size:
            continue
        w = alike[np.argmin(np.abs(np.log(n[alike] / n[v])))]
        if max(n[w], n[v]) <= RATIO * min(n[w], n[v]):
            pairs.append((u, v, w))
        if len(pairs) == n_pairs:
            break
    if len(pairs) < 10:
        raise InputError(f"only {len(pairs)} far but related pairs with a control were found; look at more users")
    u, v, w = np.array(pairs).T
    return MatchedPairs(np.column_stack([u, v]), np.column_stack([u, w]))


def item_relatedness(x: sp.csr_matrix, features: np.ndarray) -> np.ndarray:
    """(U, U) cosine of two users' mean item features (I, F), the mean over users taken off, as for genres."""
    n = np.maximum(np.diff(x.indptr), 1)
    profile = np.asarray(x.astype(float) @ features) / n[:, None]
    profile = profile - profile.mean(0)
    length = np.linalg.norm(profile, axis=1, keepdims=True)
    profile = profile / np.where(length > 0, length, 1)
    return profile @ profile.T


def reach(
    build: Callable[[], VAE],
    split: StrongSplit,
    variants: Mapping[str, TrainConfig],
    users: np.ndarray,
    pairs: MatchedPairs,
    seeds: Sequence[int],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Variants:
    """Mean cosine of gradients of related and of matched unrelated pairs, along training and at its end.

    Parameters
    ----------
    build : callable
        Makes an empty model.
    variants : mapping
        Name -> how to train, for instance without masks, with masks, with anchors too.
    users : ndarray
        (U,) rows of the training matrix that the pairs count.

    Returns
    -------
    mapping
        variant -> moment ("along training", "epoch 1", …, "end") -> related, unrelated, difference with its 95 % t
        interval over seeds, and the difference of every seed.

    Raises
    ------
    InputError
        If there is no seed.
    """
    if not seeds:
        raise InputError("seeds is empty; give at least one")
    x = split.train[users]
    values: dict[str, dict[str, list[tuple[float, float]]]] = {name: {} for name in variants}
    done = 0
    for name, config in variants.items():
        for seed in seeds:
            fixed = replace(config, seed=seed, patience=config.epochs)
            snapshots, model, _ = record(build, split, fixed, to_the_end=True)
            moments = {"along training": snapshots} | {f"epoch {s.epoch}": [s] for s in snapshots} | {"end": model}
            for moment, models in moments.items():
                cosine = transfer(models, x).cosine
                related, unrelated = (
                    float(cosine[p[:, 0], p[:, 1]].mean(dtype=float)) for p in (pairs.related, pairs.unrelated)
                )
                values[name].setdefault(moment, []).append((related, unrelated))
            done += 1
            progress(done, len(variants) * len(seeds))
    return {name: {m: _line(np.array(of)) for m, of in moments.items()} for name, moments in values.items()}


def _line(means: np.ndarray) -> CosineDifference:
    """Means over seeds (S, 2), and their difference with its interval."""
    each = means[:, 0] - means[:, 1]
    mean, low, high = float(each.mean()), None, None
    if len(each) > 1:
        half = float(stdtrit(len(each) - 1, 0.975)) * float(each.std(ddof=1)) / len(each) ** 0.5
        low, high = mean - half, mean + half
    return CosineDifference(float(means[:, 0].mean()), float(means[:, 1].mean()), mean, low, high, each.tolist())
