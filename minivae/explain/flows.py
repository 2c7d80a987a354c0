"""Transfer summed up: between groups of users, from the best helpers of one user, and between users far apart."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from minivae.data.users import Users, as_csr, shape_of
from minivae.errors import InputError, check_whole
from minivae.explain.kernel import Transfer

BLOCK = 1024
"""Users whose common items with all others are held at a time."""


@dataclass(frozen=True)
class Flow:
    """Transfer between groups of users.

    Attributes
    ----------
    names : list[str]
        (G,) of the groups.
    users : ndarray
        (G,) how many training users are in each.
    between : ndarray
        (G, G) mean over pairs u ≠ v of T(u, v), u in the row's group and v in the column's; nats. NaN where there is no
        such pair.
    inflow, outflow : ndarray
        (G,) mean over the group of what a user gets from all others and gives to all others, nats.
    """

    names: list[str]
    users: np.ndarray
    between: np.ndarray
    inflow: np.ndarray
    outflow: np.ndarray


def flow(transfer: Transfer, groups: np.ndarray, of: np.ndarray | None = None) -> Flow:
    """Inflow and outflow by group.

    Parameters
    ----------
    groups : ndarray
        (U,) group of each training user.
    of : ndarray, optional
        (R,) group of each receiver; `groups` where the receivers are the training users.

    Raises
    ------
    InputError
        If the groups do not fit the users.
    """
    of = groups if of is None else np.asarray(of)
    if (len(of), len(groups)) != transfer.total.shape:
        raise InputError(
            f"{len(of)} and {len(groups)} groups do not fit {transfer.total.shape[0]} receivers and "
            f"{transfer.total.shape[1]} training users"
        )
    names = sorted(set(np.unique(groups)) | set(np.unique(of)), key=_natural)
    to, source = (np.array([[g == name for g in labels] for name in names], float) for labels in (of, groups))
    others = transfer.others().astype(np.float64)
    pairs = np.outer(to.sum(1), source.sum(1))
    if transfer.itself:
        pairs -= np.diag(to.sum(1))
    with np.errstate(invalid="ignore", divide="ignore"):
        return Flow(
            names=[str(n) for n in names],
            users=source.sum(1).astype(int),
            between=(to @ others @ source.T) / pairs,
            inflow=to @ others.sum(1) / to.sum(1),
            outflow=source @ others.sum(0) / source.sum(1),
        )


def _natural(name: str) -> tuple[int, str]:
    """ "8–9 items" before "10–20 items"."""
    digits = "".join(c for c in str(name).split("–")[0] if c.isdigit())
    return (int(digits) if digits else 0, str(name))


def best_helpers(transfer: Transfer, user: int, k: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """The k training users who helped receiver `user` most: (k,) users and (k,) T(u, v), the largest first.

    Raises
    ------
    InputError
        If there is no such receiver.
    """
    check_whole(0, k=k, user=user)
    if user >= len(transfer.total):
        raise InputError(f"user={user} is none of the {len(transfer.total):,} receivers, which are counted from 0")
    row = transfer.total[user].astype(np.float64)
    if transfer.itself:
        row[user] = -np.inf
    top = np.argsort(-row, kind="stable")[: min(k, len(row) - transfer.itself)]
    return top, row[top]


def distant_helpers(transfer: Transfer, x: Users, k: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """Far but related: the k pairs of training users without a common item whose gradients agree most.

    Returns
    -------
    pairs : ndarray
        (k, 2), each pair once, u < v; fewer if fewer pairs have no common item.
    cosine : ndarray
        (k,) mean cosine of their gradients along training.

    Raises
    ------
    InputError
        If the receivers are not the training users `x`.
    """
    check_whole(0, k=k)
    csr = as_csr(x)
    if not transfer.itself or shape_of(csr)[0] != len(transfer.total):
        raise InputError("distant helpers are looked for among training users; pass the users that transfer was for")
    binary = sp.csr_matrix(csr.astype(bool), dtype=np.float32)
    cosine = np.triu(transfer.cosine, 1)
    for a in range(0, len(cosine), BLOCK):
        common = (binary[a : a + BLOCK] @ binary.T).toarray()
        cosine[a : a + BLOCK][common > 0] = 0
    k = min(k, int((cosine > 0).sum()))
    flat = np.argpartition(-cosine, max(k - 1, 0), axis=None)[:k]
    flat = flat[np.argsort(-cosine.ravel()[flat], kind="stable")]
    return np.column_stack(np.unravel_index(flat, cosine.shape)), cosine.ravel()[flat]
