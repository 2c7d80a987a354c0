"""Groups of users: by activity, by popularity of taste, and by communities found in the data."""

from typing import cast

import numpy as np
import scipy.sparse as sp
from scipy.cluster.vq import kmeans2
from scipy.sparse.linalg import svds

from minivae.data.users import Users, as_csr, binary, shape_of
from minivae.errors import InputError

TASTES = ("rare items", "mixed", "popular items")


def activity(x: Users) -> np.ndarray:
    """(U,) the quarter of each user by number of items, as a label such as "14–37 items".

    Examples
    --------
    >>> [str(g) for g in activity(np.tri(4))]
    ['1 item', '2 items', '3 items', '4 items']
    """
    n = np.diff(as_csr(x).indptr)
    if not n.size:
        raise InputError("there are no users to be put in groups")
    edges = np.unique(np.quantile(n, (0.25, 0.5, 0.75), method="lower"))
    quarter = np.searchsorted(edges, n)  # (U,), 0 … 3
    names = np.array([_span(n[quarter == k]) for k in np.unique(quarter)])
    return names[np.unique(quarter, return_inverse=True)[1]]


def _span(n: np.ndarray) -> str:
    low, high = n.min(), n.max()
    return f"{low}–{high} items" if low < high else "1 item" if low == 1 else f"{low} items"


def popularity_of_taste(x: Users) -> np.ndarray:
    """(U,) the third of each user by the mean log-popularity of their items: rare items, mixed, or popular items."""
    csr = as_csr(x)
    if not shape_of(csr)[0]:
        raise InputError("there are no users to be put in groups")
    popularity = np.log(np.maximum(np.bincount(csr.indices, minlength=shape_of(csr)[1]), 1))
    n = np.maximum(np.diff(csr.indptr), 1)
    mean = np.asarray(sp.csr_matrix((np.ones(csr.nnz), csr.indices, csr.indptr), csr.shape) @ popularity) / n
    return np.array(TASTES)[np.searchsorted(np.quantile(mean, (1 / 3, 2 / 3)), mean)]


def communities(x: Users, n: int = 8, seed: int = 0) -> np.ndarray:
    """(U,) communities found in the data, "group 1" (the largest), "group 2", …

    Spectral co-clustering (Dhillon 2001): the leading singular vectors of ``diag(N_u)^{−½} x diag(m_i)^{−½}`` without
    the trivial first, then k-means on the users. At most `n` groups; a group that k-means leaves empty is left out.

    Raises
    ------
    InputError
        If there are not more users and items than groups.
    """
    csr = sp.csr_matrix(binary(x, "x"), dtype=np.float64)
    users, items = shape_of(csr)
    if not 2 <= n < min(users, items):
        raise InputError(f"{n} communities cannot be found among {users} users and {items} items")
    if not csr.nnz:
        raise InputError("the users have no items, so no communities can be found among them")
    per_user, per_item = (np.maximum(np.asarray(csr.sum(axis)).ravel(), 1) for axis in (1, 0))
    scaled = sp.diags(per_user**-0.5) @ csr @ sp.diags(per_item**-0.5)
    start = np.random.default_rng(seed).standard_normal(min(users, items))
    vectors, values, _ = cast("tuple[np.ndarray, np.ndarray, np.ndarray]", svds(scaled, k=n, v0=start))
    order = np.argsort(-values)[1:]  # the first is constant
    places = vectors[:, order] / np.sqrt(per_user)[:, None]
    places /= places.std(0)
    rng = np.random.default_rng(seed)
    _, group = kmeans2(places, n, minit="++", seed=rng)  # pyright: ignore[reportCallIssue]  (`rng` before SciPy 1.15)
    found, group, sizes = np.unique(group, return_inverse=True, return_counts=True)
    rank = np.empty(len(found), int)
    rank[np.argsort(-sizes, kind="stable")] = np.arange(1, len(found) + 1)
    return np.array([f"group {rank[k]}" for k in group])
