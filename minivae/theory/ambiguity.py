"""★ Proposition 3.2 for an encoder without any limits: a view that fits several users is answered with their mean.

The encoder sees a masked view v = x ⊙ h only. Let it be any function μ(v), and let the loss of user x at μ be
``½(μ − m_x)ᵀH(μ − m_x) + λ‖μ − ē_x‖²`` with one free minimiser m_x for each user, whatever the mask. The mean over
users and masks falls apart into one problem for each view, with weights ``P(x|v) ∝ P(x) P(v|x)``. Its minimum is

    ``μ*(v) = (H + 2λI)⁻¹ (H E[m_x|v] + 2λ E[ē_x|v])``.

*Proof.* Given v the loss is ``Σ_x P(x|v) (½(μ − m_x)ᵀH(μ − m_x) + λ‖μ − ē_x‖²)``; it is convex in μ(v), and its
gradient ``H(μ − E[m_x|v]) + 2λ(μ − E[ē_x|v])`` is 0 there and nowhere else. ∎

So the free minimisers of the proposition, ``m_h = E[m_x | x_h]``, differ from mask to mask although no m_x does: it
needs no weakness of the encoder. And the anchors pull towards ``E[ē_x | x_h]``. The proposition's fixed ē_x, and its
bound τ² on the variance over masks with it, is right where a view belongs to one user. Otherwise some of that variance
stays however large λ is: as λ → ∞ it is the variance of ``E[ē_x | x_h]``.
"""

from dataclasses import dataclass

import numpy as np

from minivae.data.users import Users, as_csr
from minivae.errors import InputError

ITEMS = 14
"""Most items of a catalogue whose masks are all enumerated."""


@dataclass(frozen=True)
class Views:
    """All views of the users of a small catalogue.

    Attributes
    ----------
    views : ndarray
        (V, I) 0 or 1, each view that some user can have, once.
    seen : ndarray
        (V, U) ``P(v | x_u)``: columns sum to 1.
    whose : ndarray
        (V, U) ``P(x_u | v)``: rows sum to 1.

    Examples
    --------
    >>> views = views_of([[1]], keep=0.25)  # one user with one item: nothing is shown, or all
    >>> views.seen.ravel().tolist(), views.variance(np.array([[0.0], [4.0]])).tolist()
    ([0.75, 0.25], [3.0])
    """

    views: np.ndarray
    seen: np.ndarray
    whose: np.ndarray

    def expected(self, values: np.ndarray) -> np.ndarray:
        """``E[a_x | v]`` of one vector for each user, (U, d) -> (V, d)."""
        return self.whose @ values

    def variance(self, answers: np.ndarray) -> np.ndarray:
        """Trace of the covariance over masks of what each user is answered, (V, d) -> (U,)."""
        mean = self.seen.T @ answers
        return self.seen.T @ (answers**2).sum(1) - (mean**2).sum(1)


def views_of(x: Users, keep: float, weights: np.ndarray | None = None) -> Views:
    """Every view of every user, with independent masks of keep probability ρ.

    Parameters
    ----------
    x : Users
        (U, I) binary users of at most 14 items.
    keep : float
        ρ, above 0 and below 1.
    weights : ndarray, optional
        (U,) how often each user is met; all the same if None.

    Raises
    ------
    InputError
        If the catalogue is too large to enumerate, ρ is not inside (0, 1), or a weight is not positive.

    Examples
    --------
    >>> views = views_of([[1, 0], [1, 1]], keep=0.5)
    >>> views.views.tolist()
    [[0, 0], [0, 1], [1, 0], [1, 1]]
    >>> views.whose[2].round(3).tolist()  # only the first item is seen: twice as likely it is all there is
    [0.667, 0.333]
    """
    rows = as_csr(np.asarray(x)).toarray() > 0
    n_users, n_items = rows.shape
    if n_items > ITEMS:
        raise InputError(f"{n_items} items have too many masks to enumerate; at most {ITEMS} can be looked at")
    if not 0 < keep < 1:
        raise InputError(f"keep={keep} hides nothing or everything; it must be above 0 and below 1")
    prior = np.ones(n_users) if weights is None else np.asarray(weights, float)
    if prior.shape != (n_users,) or not (prior > 0).all():
        raise InputError(f"weights {prior.shape} must be one positive number for each of {n_users} users")
    masks = (np.arange(2**n_items)[:, None] >> np.arange(n_items)[::-1]) & 1  # (2^I, I)
    fits = (masks[:, None] <= rows).all(2)  # (2^I, U): a view shows no item that the user does not have
    shown, had = masks.sum(1)[:, None], rows.sum(1)
    seen = np.where(fits, keep**shown * (1 - keep) ** np.maximum(had - shown, 0), 0.0)
    possible = fits.any(1)
    seen = seen[possible]
    joint = seen * prior
    return Views(masks[possible], seen, joint / joint.sum(1, keepdims=True))


def bayes_minimizer(views: Views, H: np.ndarray, lam: float, free: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """``μ*(v) = (H + 2λI)⁻¹ (H E[m_x|v] + 2λ E[ē_x|v])`` of every view, (V, d).

    Parameters
    ----------
    H : ndarray
        (d, d) symmetric, positive semidefinite.
    lam : float
        λ ≥ 0; at 0 H must have an inverse.
    free, centroids : ndarray
        (U, d) m_x and ē_x of every user.

    Raises
    ------
    InputError
        If the shapes do not fit, H is not symmetric, λ is negative or H + 2λI not positive definite.

    Examples
    --------
    >>> views = views_of([[1, 0], [1, 1]], keep=0.5)
    >>> m, e = np.array([[0.0], [3.0]]), np.array([[0.0], [6.0]])
    >>> bayes_minimizer(views, np.eye(1), 0.5, m, e)[2:].ravel().tolist()  # shared between two users, and not
    [1.5, 4.5]
    """
    n_users, d = views.whose.shape[1], len(H)
    if H.shape != (d, d) or free.shape != (n_users, d) or centroids.shape != (n_users, d):
        raise InputError(
            f"H {H.shape}, free {free.shape} and centroids {centroids.shape} do not fit {n_users} users; "
            "expected (d, d), (U, d) and (U, d)"
        )
    if not 0 <= lam < np.inf:
        raise InputError(f"lam={lam} is not possible; it must be a finite number, at least 0")
    pulled = H + 2 * lam * np.eye(d)
    if not np.allclose(H, H.T) or np.linalg.eigvalsh(pulled)[0] <= 0:
        raise InputError("H must be symmetric and H + 2λI positive definite, or no answer is the best")
    return np.linalg.solve(pulled, H @ views.expected(free).T + 2 * lam * views.expected(centroids).T).T
