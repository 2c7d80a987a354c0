"""What is worth saying about a transfer matrix: totals, segments, common items, single users, far pairs."""

from collections.abc import Mapping, Sequence

import numpy as np
import scipy.sparse as sp
from scipy.stats import spearmanr

from minivae.data.users import shape_of
from minivae.explain.flows import best_helpers, distant_helpers, flow
from minivae.explain.kernel import ALONE, Transfer
from minivae.explain.radius import compose_radius
from minivae.explain.records import CommonItems, Example, FarPair, Helper, RadiusStage, Segment, Summary
from minivae.runtime.table import Part, Table, numbers, words
from minivae.runtime.text import code, markdown

COMMON = ((0, 0), (1, 1), (2, 5), (6, 20), (21, None))
"""Groups of pairs by the number of items that both users have."""
EXAMPLES, SHOWN = (0.1, 0.5, 0.9), 3
"""Users shown: those at these quantiles of activity. Titles shown of each helper."""
BLOCK = 1024


def summarise(
    data: str,
    transfer: Transfer,
    to_others: Transfer,
    x: sp.csr_matrix,
    titles: np.ndarray,
    labels: np.ndarray,
    segments: Mapping[str, tuple[np.ndarray, np.ndarray]],
    radius: Sequence[RadiusStage],
) -> Summary:
    """Everything that the report shows.

    Parameters
    ----------
    data : str
        Name of the split.
    transfer : Transfer
        Of the training users among each other. It is symmetric, so what a user gets is what that user gives.
    to_others : Transfer
        From the same users to people outside training, whose loss is that of held-out items.
    x : csr_matrix
        (U, I) the users.
    titles : ndarray
        (I,) of the items.
    labels : ndarray
        (U,) what the users are called.
    segments : mapping
        Name of a grouping -> (U,) group of each training user and (R,) of each receiver of `to_others`.
    radius : Sequence[RadiusStage]
        From `minivae.explain.radius.radius_stages`.
    """
    n = np.diff(x.indptr)
    own = np.diag(transfer.total).astype(float)
    inflow, reached = transfer.inflow(), to_others.inflow()
    return Summary(
        data=data,
        users=shape_of(x)[0],
        epochs=transfer.epochs,
        helping_pairs=float(((transfer.total > 0).sum() - (own > 0).sum()) / (len(own) * (len(own) - 1))),
        over_own_effect=float(np.median(inflow / np.maximum(own, np.finfo(float).tiny))),
        helped=float((inflow > 0).mean()),
        test_helped=float((reached > 0).mean()),
        spearman=_spearman(to_others.outflow(), n),
        by_common_items=_by_common_items(transfer, x),
        segments={name: _segment(to_others, *groups) for name, groups in segments.items()},
        examples=[_example(transfer, x, titles, labels, u) for u in _examples(n)],
        far=_far(transfer, x, titles, labels),
        radius=radius,
    )


def _spearman(a: np.ndarray, b: np.ndarray) -> float:
    if not np.ptp(a) or not np.ptp(b):
        return 0.0
    return float(spearmanr(a, b).statistic)  # pyright: ignore[reportAttributeAccessIssue]  (SciPy hides its class)


def _segment(transfer: Transfer, groups: np.ndarray, receivers: np.ndarray) -> Segment:
    of = flow(transfer, groups, receivers)
    between = [_known(row) for row in of.between]
    return Segment(of.names, of.users.tolist(), between, _known(of.inflow), _known(of.outflow))


def _known(values: np.ndarray) -> list[float | None]:
    """Numbers for JSON; None for a group without users."""
    return [None if np.isnan(v) else float(v) for v in values]


def _by_common_items(transfer: Transfer, x: sp.csr_matrix) -> list[CommonItems]:
    """Mean transfer and mean cosine of pairs u ≠ v, by how many items both have."""
    binary = sp.csr_matrix(x.astype(bool), dtype=np.float32)
    counts, sums, cosines, helped = (np.zeros(len(COMMON)) for _ in range(4))
    for a in range(0, shape_of(x)[0], BLOCK):
        common = (binary[a : a + BLOCK] @ binary.T).toarray()
        rows = np.arange(len(common))
        common[rows, a + rows] = -1
        total, cosine = transfer.total[a : a + BLOCK], transfer.cosine[a : a + BLOCK]
        for k, (low, high) in enumerate(COMMON):
            inside = (common >= low) & (common <= (np.inf if high is None else high))
            counts[k] += inside.sum()
            sums[k] += total[inside].sum(dtype=float)
            cosines[k] += cosine[inside].sum(dtype=float)
            helped[k] += (total[inside] > 0).sum()
    some = np.maximum(counts, 1)
    means = np.column_stack([sums, cosines, helped]) / some[:, None]
    rows = []
    for (low, high), count, row in zip(COMMON, counts, means.tolist(), strict=True):
        label = f"{low}" if low == high else f"{low} and more" if high is None else f"{low}–{high}"
        rows.append(CommonItems(label, int(count), *(row if count else [None] * 3)))
    return rows


def _examples(n: np.ndarray) -> list[int]:
    """One user at each quantile of activity of EXAMPLES."""
    order = np.argsort(n, kind="stable")
    return list(dict.fromkeys(int(order[int(q * (len(n) - 1))]) for q in EXAMPLES))


def _example(transfer: Transfer, x: sp.csr_matrix, titles: np.ndarray, labels: np.ndarray, user: int) -> Example:
    who, how_much = best_helpers(transfer, user)
    mine = x[user].indices
    helpers = []
    for v, value in zip(who.tolist(), how_much.tolist(), strict=True):
        both = np.intersect1d(mine, x[v].indices)
        helpers.append(Helper(str(labels[v]), int(x[v].nnz), len(both), value, _rarest(both, x, titles)))
    own, inflow = float(transfer.total[user, user]), float(transfer.inflow()[user])
    return Example(str(labels[user]), len(mine), _rarest(mine, x, titles), own, inflow, helpers)


def _rarest(items: np.ndarray, x: sp.csr_matrix, titles: np.ndarray) -> list[str]:
    """Titles of the items that the fewest users have: they say most about what two users share."""
    popularity = np.bincount(x.indices, minlength=shape_of(x)[1])
    return [str(titles[i]) for i in items[np.argsort(popularity[items], kind="stable")][:SHOWN]]


def _far(transfer: Transfer, x: sp.csr_matrix, titles: np.ndarray, labels: np.ndarray) -> list[FarPair]:
    pairs, cosine = distant_helpers(transfer, x)
    return [
        FarPair([str(labels[u]), str(labels[v])], c, [_rarest(x[w].indices, x, titles) for w in (u, v)])
        for (u, v), c in zip(pairs.tolist(), cosine.tolist(), strict=True)
    ]


def meaning(s: Summary) -> str:
    """What T is here."""
    if s.epochs == (ALONE,):
        return (
            "T(u, v) is the inner product of the decoder gradients of two users: to first order, by how much a step of "
            "plain gradient descent of length 1 on v lowers the loss of u. What happened in training is not in it."
        )
    return (
        "T(u, v) is the sum over the snapshots of learning rate × inner product of the decoder gradients of two users: "
        "to first order and for plain gradient descent, by how much training on v lowered the loss of u. The run "
        "itself used Adam, batches and masks; `minivae explain lds` measures how well T agrees with retraining."
    )


def compose(s: Summary, remarks: Sequence[str]) -> list[Part]:
    """The report, from top to bottom."""
    alone = s.epochs == (ALONE,)
    unit = "nats for a step of length 1" if alone else "nats"
    cosines = ", ".join(f"{row.common}: {row.cosine:.3f}" for row in s.by_common_items if row.cosine is not None)
    parts: list[Part] = [
        f"# Who helps whom: {markdown(s.data)}",
        "## Conclusion",
        f"{s.helping_pairs:.0%} of the pairs of training users help each other, and all training users "
        f"together help {s.test_helped:.0%} of the test users. For half of the users the help from others "
        f"together is at least {s.over_own_effect:.3g} times the effect of their own steps.",
        *remarks,
        Table.make(
            [words(""), numbers("value")],
            [
                ["users", f"{s.users:,}"],
                [
                    "epochs of the snapshots",
                    "none: the parameters as they are" if alone else ", ".join(map(str, s.epochs)),
                ],
                ["pairs in which the one helps the other", f"{s.helping_pairs:.1%}"],
                ["users whom all others together help", f"{s.helped:.1%}"],
                ["help from others over a user's own effect, median", f"{s.over_own_effect:.3g}"],
                ["test users helped by all training users", f"{s.test_helped:.1%}"],
                ["Spearman of help given and number of items", f"{s.spearman:.2f}"],
            ],
        ),
        "## By the number of common items",
        _by_common_table(s.by_common_items),
        f"![Mean cosine of the gradients of two users by their common items: {cosines}](common.png)",
        *compose_radius(s.radius),
        "## By group",
        "From training users to the held-out items of test users. Inflow: what a test user of the group gets from all "
        "training users together. Outflow: what a training user of the group gives to all test users. Means, in "
        f"{unit}.",
        "![Mean help of training users of a group for test users of a group: "
        f"{markdown(_strongest(s.segments))}](flows.png)",
    ]
    for name, of in s.segments.items():
        parts += [f"### {markdown(name)}", flow_table(of)]
    parts += ["## Ten users who helped one user most"]
    for e in s.examples:
        parts += [
            f"User {code(e.user)} has {e.items} items, among them {'; '.join(map(markdown, e.titles))}. "
            f"Help from all others: {short(e.inflow)} {unit}; own effect: {short(e.own_effect)}.",
            _helpers_table(e.helpers),
        ]
    parts += ["## Far but related", "Pairs without any common item whose gradients agree most along training."]
    columns = [words("users", " and ".join), numbers("cosine", "{:.3f}".format)]
    columns += [words(f"rarest items of the {which}", "; ".join) for which in ("first", "second")]
    return [*parts, Table.make(columns, ([f.users, f.cosine, *f.titles] for f in s.far))]


def _by_common_table(rows: Sequence[CommonItems]) -> Table:
    columns = [words("common items"), numbers("pairs", "{:,}".format), numbers("mean T (nats)", short)]
    columns += [numbers("mean cosine of gradients", "{:.3f}".format), numbers("pairs with T > 0", "{:.1%}".format)]
    return Table.make(columns, ([r.common, r.pairs, r.transfer, r.cosine, r.helped] for r in rows))


def _helpers_table(helpers: Sequence[Helper]) -> Table:
    columns = [words("helper"), numbers("items"), numbers("common"), numbers("T (nats)", short)]
    columns.append(words("rarest common items", _titles))
    return Table.make(columns, ([h.user, h.items, h.common, h.transfer, h.titles] for h in helpers))


def _strongest(segments: Mapping[str, Segment]) -> str:
    """The largest entry of each heat map, in words."""
    said = []
    for name, of in segments.items():
        known = [(v, to, start) for to, row in enumerate(of.between) for start, v in enumerate(row) if v is not None]
        value, to, start = max(known)
        said.append(f"by {name} most from {of.names[start]} to {of.names[to]}, {short(value)} nats")
    return "; ".join(said)


def short(value: float) -> str:
    """Three digits; a large number is written out.

    Examples
    --------
    >>> [short(v) for v in (1553.2, -46.61, 0.01234)]
    ['1,553', '-46.6', '0.0123']
    """
    return f"{value:,.0f}" if abs(value) >= 999.5 else f"{value:.3g}"


def _titles(titles: Sequence[str]) -> str:
    return "; ".join(titles) or "–"


def flow_table(of: Segment) -> Table:
    """One segment: what each group of users gets and gives."""
    columns = [words("group"), numbers("training users", "{:,}".format)]
    columns += [numbers(name, short) for name in ("inflow", "outflow")]
    return Table.make(columns, zip(of.names, of.users, of.inflow, of.outflow, strict=True))
