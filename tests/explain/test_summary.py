"""What is said of a transfer matrix: every number of the page by loops, and the page itself word for word.

`python -m tests.explain.test_summary` writes the pages anew; read the difference before it is committed.
"""

from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from msgspec.structs import replace
from scipy.stats import spearmanr

from minivae.explain import conclusions, summary
from minivae.explain.kernel import ALONE, Transfer
from minivae.explain.radius import compose_radius
from minivae.explain.records import (
    CommonItems,
    CosineDifference,
    Example,
    FarPair,
    FarResults,
    Helper,
    LdsResults,
    RadiusStage,
    RemovalResults,
    Score,
    Segment,
    Summary,
)
from minivae.runtime.records import MeanInterval
from minivae.runtime.table import as_markdown

FOLDER = Path(__file__).parent / "golden"
USERS, ITEMS = 14, 40


@pytest.fixture(scope="module")
def world():
    """14 users, of whom user k has 1 + 2k items, drawn at random; effects of either sign, and seven receivers."""
    rng = np.random.default_rng(0)
    x = np.zeros((USERS, ITEMS))
    for k in rng.permutation(USERS):
        x[k, rng.permutation(ITEMS)[: 1 + 2 * k]] = 1
    total = rng.standard_normal((USERS, USERS))
    total = total + total.T
    np.fill_diagonal(total, rng.uniform(0.2, 1, USERS))
    cosine = rng.uniform(-1, 1, (USERS, USERS))
    to_others = Transfer(rng.standard_normal((7, USERS)), np.zeros((7, USERS)), (0, 1), (0.5, 0.5), False)
    return sp.csr_matrix(x), Transfer(total, (cosine + cosine.T) / 2, (0, 1), (0.5, 0.5), True), to_others


@pytest.fixture(scope="module")
def found(world):
    x, transfer, to_others = world
    titles, labels = np.array([f"t{i}" for i in range(ITEMS)]), np.array([f"u{k}" for k in range(USERS)])
    groups = np.array(["a", "b"])[np.arange(USERS) % 2], np.array(["a", "c"])[np.arange(7) % 2]
    return summary.summarise("d", transfer, to_others, x, titles, labels, {"parity": groups}, [])


def test_shares_are_those_of_loops(world, found):
    x, transfer, to_others = world
    t = transfer.total
    pairs = [(u, v) for u in range(USERS) for v in range(USERS) if u != v]
    assert found.helping_pairs == pytest.approx(sum(t[u, v] > 0 for u, v in pairs) / len(pairs))
    inflow = [sum(t[u, v] for v in range(USERS) if v != u) for u in range(USERS)]
    assert found.helped == pytest.approx(np.mean([f > 0 for f in inflow]))
    tiny = np.finfo(float).tiny
    assert found.over_own_effect == pytest.approx(np.median([f / max(t[u, u], tiny) for u, f in enumerate(inflow)]))
    assert found.test_helped == pytest.approx(np.mean([sum(row) > 0 for row in to_others.total]))
    given = to_others.total.sum(0)
    assert found.spearman == pytest.approx(spearmanr(given, np.diff(x.indptr)).statistic)
    assert (found.users, found.epochs, found.data) == (USERS, (0, 1), "d")
    assert summary._spearman(np.ones(4), np.arange(4)) == summary._spearman(np.arange(4), np.ones(4)) == 0


@pytest.mark.parametrize("block", [1, 3, 1024])
def test_pairs_are_counted_by_their_common_items(world, block, monkeypatch):
    x, transfer, _ = world
    monkeypatch.setattr(summary, "BLOCK", block)
    dense = x.toarray() > 0
    common = {(u, v): int((dense[u] & dense[v]).sum()) for u in range(USERS) for v in range(USERS) if u != v}
    rows = summary._by_common_items(transfer, x)
    assert [r.common for r in rows] == ["0", "1", "2–5", "6–20", "21 and more"]
    for row, (low, high) in zip(rows, [(0, 0), (1, 1), (2, 5), (6, 20), (21, 99)], strict=True):
        inside = [p for p, n in common.items() if low <= n <= high]
        assert row.pairs == len(inside)
        if inside:
            assert row.transfer == pytest.approx(np.mean([transfer.total[p] for p in inside]))
            assert row.cosine == pytest.approx(np.mean([transfer.cosine[p] for p in inside]))
            assert row.helped == pytest.approx(np.mean([transfer.total[p] > 0 for p in inside]))
        else:
            assert (row.transfer, row.cosine, row.helped) == (None, None, None)
    assert all(r.pairs for r in rows[:4])
    alone = summary._by_common_items(transfer, sp.csr_matrix(np.eye(USERS)))
    assert [r.pairs for r in alone] == [USERS * (USERS - 1), 0, 0, 0, 0]


def test_users_at_three_quantiles_of_activity_are_shown_with_their_helpers(world, found):
    """Of 14 users by activity the places int(.1 · 13) = 1, int(.5 · 13) = 6 and int(.9 · 13) = 11."""
    x, transfer, _ = world
    assert [e.user for e in found.examples] == ["u1", "u6", "u11"]
    popularity = np.asarray(x.sum(0)).ravel()

    def rarest(items):
        return [f"t{i}" for i in sorted(items, key=lambda i: (popularity[i], i))[:3]]

    has = [set(np.flatnonzero(row)) for row in x.toarray()]
    for e, u in zip(found.examples, (1, 6, 11), strict=True):
        assert (e.items, e.titles) == (1 + 2 * u, rarest(has[u]))
        assert e.own_effect == pytest.approx(transfer.total[u, u])
        assert e.inflow == pytest.approx(transfer.total[u].sum() - transfer.total[u, u])
        best = sorted((v for v in range(USERS) if v != u), key=lambda v: -transfer.total[u, v])[:10]
        assert [h.user for h in e.helpers] == [f"u{v}" for v in best]
        for h, v in zip(e.helpers, best, strict=True):
            both = has[u] & has[v]
            assert (h.items, h.common, h.titles) == (1 + 2 * v, len(both), rarest(both))
            assert h.transfer == pytest.approx(transfer.total[u, v])
    assert summary._examples(np.array([5, 5])) == [0]
    assert summary._examples(np.arange(21)[::-1]) == [18, 10, 2]


def test_groups_give_and_get(world, found):
    _, _, to_others = world
    of = found.segments["parity"]
    assert (list(of.names), list(of.users)) == (["a", "b", "c"], [7, 7, 0])
    t = to_others.total
    getters = {"a": [0, 2, 4, 6], "b": [], "c": [1, 3, 5]}
    givers = {"a": range(0, USERS, 2), "b": range(1, USERS, 2), "c": ()}
    for k, name in enumerate("abc"):
        gets = [t[u].sum() for u in getters[name]]
        gives = [t[:, v].sum() for v in givers[name]]
        assert of.inflow[k] == (pytest.approx(np.mean(gets)) if gets else None)
        assert of.outflow[k] == (pytest.approx(np.mean(gives)) if gives else None)
        for j, giver in enumerate("abc"):
            pairs = [t[u, v] for u in getters[name] for v in givers[giver]]
            assert of.between[k][j] == (pytest.approx(np.mean(pairs)) if pairs else None)


def test_far_pairs_have_their_own_titles(world, found):
    x, transfer, _ = world
    has = [set(np.flatnonzero(row)) for row in x.toarray()]
    apart = [(u, v) for u in range(USERS) for v in range(u + 1, USERS) if not has[u] & has[v]]
    best = sorted((p for p in apart if transfer.cosine[p] > 0), key=lambda p: -transfer.cosine[p])[:10]
    assert [tuple(f.users) for f in found.far] == [(f"u{u}", f"u{v}") for u, v in best]
    assert [f.cosine for f in found.far] == pytest.approx([transfer.cosine[p] for p in best])
    for f, pair in zip(found.far, best, strict=True):
        assert [len(t) for t in f.titles] == [min(3, len(has[w])) for w in pair]
        assert all({int(t[1:]) for t in titles} <= has[w] for titles, w in zip(f.titles, pair, strict=True))


def stage(epoch, k):
    return RadiusStage(epoch, 1.5 + k, 0.25 + k, 3.125 + k, 0.5 + k, 0.9 - k / 10, 0.01 + k / 10, 0.6 + k / 10)


def a_summary():
    between = [[0.001, None, -0.5], [2.5, 0.75, None]]
    return Summary(
        data="a|b",
        users=1234,
        epochs=[0, 1, 13],
        helping_pairs=0.625,
        over_own_effect=12.3456,
        helped=0.987,
        test_helped=0.751,
        spearman=-0.126,
        by_common_items=[CommonItems("0", 1000, 0.00012345, 0.0126, 0.5), CommonItems("1", 0, None, None, None)],
        segments={
            "taste": Segment(["rare", "pop"], [1000, 234], [[-1.0, 0.5], [0.25, -2.0]], [1.5, None], [-0.25, 3.0]),
            "more": Segment(["x", "y", "z"], [1, 2, 3], between, [1, 2, 3], [4, 5, 6]),
        },
        examples=[
            Example("7", 5, ["A *title*", "B"], 0.001234, 9.8765,
                    [Helper("8", 12, 2, 0.012345, ["A *title*", "C"]), Helper("9", 3, 0, -0.5, [])]),
        ],
        far=[FarPair(["1", "2"], 0.12345, [["D"], ["E", "F"]])],
        radius=[stage(0, 0), stage(13, 1)],
    )  # fmt: skip


def an_lds():
    def line(lds, half, above):
        return Score(lds, lds - half, lds + half, above)

    scores = {
        "heldout": {"transfer": line(0.3, 0.1, 0.85), "Jaccard": line(0.25, 0.3, 0.6),
                    "transfer of another user": line(0.6, 0.1, 1.0), "ceiling": line(0.7, 0.05, 0.999)},
        "heldout, personal": {"transfer": line(0.05, 0.1, 0.55), "activity": line(0.1, 0.2, 0.6)},
        "ndcg": {"transfer": line(-0.2, 0.1, 0.2), "activity": line(-0.5, 0.2, 0.1)},
    }  # fmt: skip
    return LdsResults("a|b", 4000, 300, 1050, 20, {}, scores)


def a_far():
    def of(difference, low, high):
        return CosineDifference(0.2, 0.2 - difference, difference, low, high, [difference])

    return FarResults("d", 2000, {
        "clean": {"along training": of(0.01, 0.005, 0.015), "epoch 1": of(9, 9, 9), "end": of(-0.01, -0.015, -0.005)},
        "mask*ed": {"along training": of(0.001, -0.005, 0.015), "end": of(0.02, None, None)},
    })  # fmt: skip


def a_removal(low, high):
    return RemovalResults("d", 12, 10, [1.0], [2.0], MeanInterval((low + high) / 2, low, high), 0.675)


def composed():
    lds, far = an_lds(), a_far()
    tables = {name: conclusions.lds_table(of) for name, of in lds.scores.items()}
    removals = [a_removal(0.1, 0.3), a_removal(-0.3, -0.1), a_removal(-0.1, 0.3), a_removal(0.0, 0.3)]
    only = conclusions.lds_conclusion(LdsResults("d", 9, 3, 4, 0, {}, {"ndcg": lds.scores["ndcg"]}))
    return {
        "whom.md": as_markdown(summary.compose(a_summary(), ["A remark."])),
        "radius.md": as_markdown(compose_radius([stage(None, 1)])),
        "lds.md": as_markdown([conclusions.lds_conclusion(lds), *tables.values(), only]),
        "far.md": as_markdown(
            [conclusions.far_conclusion(far), conclusions.far_table(far.variants, "along training"),
             conclusions.far_table(far.variants, "end")]
        ),
        "removal.md": as_markdown(
            [*map(conclusions.removal_conclusion, removals), conclusions.removal_table(removals[0])]
        ),
    }  # fmt: skip


@pytest.mark.parametrize("name", ["whom.md", "radius.md", "lds.md", "far.md", "removal.md"])
def test_a_page_is_word_for_word_what_was_read_and_found_right(name):
    assert composed()[name] == (FOLDER / name).read_text(encoding="utf-8")


def test_a_model_that_was_not_seen_in_training_is_not_given_a_training():
    seen, alone = a_summary(), replace(a_summary(), epochs=(ALONE,))
    page = as_markdown(summary.compose(alone, [summary.meaning(alone)]))
    assert "| epochs of the snapshots | none: the parameters as they are |" in page
    assert "nats for a step of length 1; own effect" in page
    assert "What happened in training is not in it" in page
    other = as_markdown(summary.compose(seen, [summary.meaning(seen)]))  # the twin: snapshots
    assert "step of length 1" not in other
    assert "| epochs of the snapshots | 0, 1, 13 |" in other


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [(0.1, 0.2, "above 0"), (-0.2, -0.1, "below 0"), (-0.1, 0.2, "not told apart from 0"),
     (0.0, 0.2, "not told apart from 0"), (-0.2, 0.0, "not told apart from 0")],
)  # fmt: skip
def test_both_ends_of_an_interval_decide(low, high, said):
    assert conclusions._against(low, high, "0") == said
    verdict = conclusions.removal_conclusion(a_removal(low, high))
    missed = {"above 0": "the helpers are missed more", "below 0": "the helpers are missed less"}
    assert f"): {missed.get(said, 'the two cannot be told apart')}." in verdict


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for file, text in composed().items():
        (FOLDER / file).write_text(text, encoding="utf-8")
