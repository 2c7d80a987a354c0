"""The smallest difference that a study can tell from nothing, said before it runs."""

import math

PERSISTENT, OF_A_SEED = 0.0013, 0.0049
"""Variance over users of nDCG@100 of one setting of a model minus another: what stays when seeds are averaged, and what
each seed adds. From the paired differences of the stored studies, of five seeds and of one."""
UNLIKE, UNLIKE_FEW_ITEMS = 0.09, 0.2
"""Standard deviation over users between models of different kinds: on the planted data and MovieLens-1M, and on the
Debian data, whose test users have few held-out items."""


def half_width(spread: float, n_users: int) -> float:
    """Half of a 95 % interval of a mean difference over users.

    Parameters
    ----------
    spread : float
        Standard deviation over users of the paired difference.
    n_users : int
        Test users with held-out items.

    Returns
    -------
    float
        ``1.96 spread / √n_users``.

    Examples
    --------
    >>> round(half_width(0.09, 2000), 4)
    0.0039
    """
    return 1.96 * spread / math.sqrt(n_users)


def sentence(n_users: int, seeds: int) -> str:
    """What a study of so many test users and seeds will leave undecided.

    >>> print(sentence(2000, 5))
    2,000 test users, seeds 5: differences of nDCG@100 below about .0021 between settings of one model,
    and below about .0039 between models of different kinds (.0088 where users have few items), will not be told
    apart from 0: that is half of a 95 % interval with the spread over users of earlier studies.
    """
    alike = half_width(math.sqrt(PERSISTENT + OF_A_SEED / seeds), n_users)
    unlike, few = (half_width(s, n_users) for s in (UNLIKE, UNLIKE_FEW_ITEMS))
    shown = [f"{x:.4f}".removeprefix("0") for x in (alike, unlike, few)]
    return (
        f"{n_users:,} test users, seeds {seeds}: differences of nDCG@100 below about {shown[0]} between settings of "
        f"one model,\nand below about {shown[1]} between models of different kinds ({shown[2]} where users have few "
        "items), will not be told\napart from 0: that is half of a 95 % interval with the spread over users of earlier "
        "studies."
    )
