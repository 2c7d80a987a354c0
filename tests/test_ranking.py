"""Ranking against fractions by hand, ir-measures, and a slow implementation that anybody can read."""

import functools
import math
from collections import defaultdict
from fractions import Fraction

import ir_measures
import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ranking_cases import Fixed, csr, problem
from scipy import stats

from minivae import FoldIn, InputError, Popularity, compare, evaluate, planted, ranking, register_metric, strong_split
from minivae.metrics import Ranking, metric_values, parse_metric
from minivae.ranking import activity_groups, paired_difference, top_items


def slow_metric(scores, history, heldout, name):
    """One user: sort the items that are not in the history, walk down the list."""
    kind, k = name.split("@")
    k = min(int(k), len(scores))
    ranked = [i for i in np.argsort(-scores, kind="stable") if not history[i]][:k]
    n = int(heldout.sum())
    if n == 0:
        return math.nan
    if kind == "recall":
        return sum(bool(heldout[i]) for i in ranked) / min(k, n)
    gained = sum(1 / math.log2(rank + 1) for rank, i in enumerate(ranked, start=1) if heldout[i])
    return gained / sum(1 / math.log2(rank + 1) for rank in range(1, min(k, n) + 1))


METRICS = ("recall@1", "recall@5", "recall@20", "ndcg@3", "ndcg@10", "ndcg@100")


def check_metrics(rank, seed):
    scores, history, heldout = problem(seed)
    got = rank(Fixed(scores), FoldIn(csr(history), csr(heldout)), METRICS).per_user
    for name in METRICS:
        expected = [slow_metric(*row, name) for row in zip(scores, history, heldout, strict=True)]
        np.testing.assert_allclose(got[name], expected, rtol=1e-12, err_msg=name)


@given(st.integers(0, 10**6))
def test_metrics_are_those_of_the_slow_implementation(seed):
    check_metrics(evaluate, seed)


def test_metric_twins_are_rejected(monkeypatch):
    def with_history(model, fold_in, metrics):
        """Broken twin: ranks what the user already has."""
        return evaluate(model, FoldIn(fold_in.history * 0, fold_in.heldout), metrics)

    def from_the_bottom(model, fold_in, metrics):
        """Broken twin: the worst come first."""
        model.scores = -model.scores
        return evaluate(model, fold_in, metrics)

    with pytest.raises(AssertionError):
        check_metrics(with_history, 0)
    with pytest.raises(AssertionError):
        check_metrics(from_the_bottom, 0)

    def recall_over_n(of, name):
        """Broken twin: divides recall by n, not min(k, n)."""
        values, k = metric_values(of, name), parse_metric(name)[1]
        return values * of.best(k) / np.maximum(of.n_heldout, 1) if name.startswith("recall") else values

    def untruncated_ideal(of, name):
        """Broken twin: the ideal ranking of nDCG is not cut at k."""
        hits, n_heldout = of.hits, of.n_heldout
        if name.startswith("recall"):
            return metric_values(of, name)
        ideal = np.concatenate([[np.nan], np.cumsum(1 / np.log2(np.arange(2, 200)))])
        k = min(parse_metric(name)[1], hits.shape[1])
        return (hits[:, :k] @ (1 / np.log2(np.arange(2, k + 2)))) / ideal[n_heldout]

    for twin in (recall_over_n, untruncated_ideal):
        monkeypatch.setattr(ranking, "metric_values", twin)
        with pytest.raises(AssertionError):
            check_metrics(evaluate, 0)


def test_recall_and_ndcg_by_hand():
    """Items ranked 0, 1, 2, ...; item 1 is in the history, so the ranks of 0, 2, 3, 4, 5 are 1 to 5."""
    scores = np.arange(6, 0, -1, dtype=np.float32)[None].repeat(3, 0)
    history = np.eye(6, dtype=bool)[[1, 1, 1]]
    heldout = np.zeros((3, 6), dtype=bool)
    heldout[0, [2, 5]] = True  # ranks 2 and 5
    heldout[1, [0, 2, 3, 4]] = True  # ranks 1, 2, 3, 4
    heldout[2, [5]] = True  # rank 5
    res = evaluate(
        Fixed(scores), FoldIn(csr(history), csr(heldout)), ("recall@2", "recall@3", "recall@5", "ndcg@1", "ndcg@3")
    )
    for name, by_hand in {
        "recall@2": (Fraction(1, 2), Fraction(1), Fraction(0)),
        "recall@3": (Fraction(1, 2), Fraction(1), Fraction(0)),
        "recall@5": (Fraction(1), Fraction(1), Fraction(1)),
        "ndcg@1": (Fraction(0), Fraction(1), Fraction(0)),
    }.items():
        assert res.per_user[name].tolist() == [float(f) for f in by_hand]
        assert math.isclose(res[name][0], float(sum(by_hand) / 3))
    one = 1 / math.log2(3)
    np.testing.assert_allclose(res.per_user["ndcg@3"], [one / (1 + one), 1, 0], rtol=1e-15)


def test_metrics_are_those_of_ir_measures():
    scores, history, heldout = problem(11, n_users=60, n_items=80)
    res = evaluate(Fixed(scores), FoldIn(csr(history), csr(heldout)), ("ndcg@5", "ndcg@100", "recall@5", "recall@20"))
    qrels, run = defaultdict(dict), defaultdict(dict)
    for u in np.flatnonzero(heldout.any(1)):
        qrels[str(u)] = {str(i): 1 for i in np.flatnonzero(heldout[u])}
        run[str(u)] = {str(i): float(scores[u, i]) for i in np.flatnonzero(~history[u])}
    measures = [ir_measures.parse_measure(m) for m in ("nDCG@5", "nDCG@100", "R@5", "R@20")]
    counted = 0
    for value in ir_measures.iter_calc(measures, dict(qrels), dict(run)):
        u, measure = int(value.query_id), str(value.measure)
        kind, k = measure.split("@")
        n = heldout[u].sum()
        expected = value.value * (n / min(int(k), n) if kind == "R" else 1)  # theirs divides by n, ours by min(k, n)
        name = {"R": "recall", "nDCG": "ndcg"}[kind] + "@" + k
        assert math.isclose(res.per_user[name][u], expected, rel_tol=1e-9, abs_tol=1e-12)
        counted += 1
    assert counted == 4 * res.n_users


def test_other_metrics_by_hand():
    """Ranks 1 to 5 are items 0, 2, 3, 4, 5. Held out: ranks 2 and 5; 1, 2, 3, 4; 5; nothing."""
    scores = np.arange(6, 0, -1, dtype=np.float32)[None].repeat(4, 0)
    heldout = np.zeros((4, 6), dtype=bool)
    heldout[0, [2, 5]] = heldout[1, [0, 2, 3, 4]] = heldout[2, [5]] = True
    fold_in = FoldIn(csr(np.eye(6, dtype=bool)[[1, 1, 1, 1]]), csr(heldout))
    counts = np.array([8, 100, 4, 2, 0, 50])
    by_hand = {
        "precision@2": (Fraction(1, 2), 1, 0),
        "precision@4": (Fraction(1, 4), 1, 0),
        "map@2": (Fraction(1, 2) / 2, 1, 0),  # one hit at rank 2 with precision 1/2, of two possible
        "map@4": (Fraction(1, 2) / 2, 1, 0),
        "map@5": ((Fraction(1, 2) + Fraction(2, 5)) / 2, 1, Fraction(1, 5)),
        "mrr@1": (0, 1, 0),
        "mrr@4": (Fraction(1, 2), 1, 0),
        "mrr@5": (Fraction(1, 2), 1, Fraction(1, 5)),
        "hit@1": (0, 1, 0),
        "hit@2": (1, 1, 0),
    }

    def check(rank):
        res = rank(Fixed(scores), fold_in, [*by_hand, "novelty@2"], counts)
        for name, values in by_hand.items():
            assert res.per_user[name][:3].tolist() == [float(v) for v in values], name
            assert math.isnan(res.per_user[name][3])
        bits = -(math.log2(8 / 164) + math.log2(4 / 164)) / 2
        np.testing.assert_allclose(res.per_user["novelty@2"], [bits, bits, bits, math.nan], rtol=1e-14)

    check(evaluate)
    for kind in ("precision", "map", "mrr", "hit", "novelty"):  # broken twins: of one rank more

        def one_more(of, name, kind=kind):
            k = parse_metric(name)[1]
            return metric_values(of, f"{kind}@{k + 1}" if name.startswith(kind) else name)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ranking, "metric_values", one_more)
            with pytest.raises(AssertionError):
                check(evaluate)


@given(st.integers(0, 10**6))
@settings(max_examples=10)
def test_other_metrics_are_those_of_ir_measures(seed):
    """Theirs divide average precision by n, ours by min(k, n): as with recall, 1 can be reached."""
    scores, history, heldout = problem(seed, n_users=20, n_items=40)
    names = {"P@3": "precision@3", "AP@5": "map@5", "RR@5": "mrr@5", "Success@2": "hit@2"}
    res = evaluate(Fixed(scores), FoldIn(csr(history), csr(heldout)), list(names.values()))
    qrels, run = defaultdict(dict), defaultdict(dict)
    for u in np.flatnonzero(heldout.any(1)):
        qrels[str(u)] = {str(i): 1 for i in np.flatnonzero(heldout[u])}
        run[str(u)] = {str(i): float(scores[u, i]) for i in np.flatnonzero(~history[u])}
    counted = 0
    for value in ir_measures.iter_calc([ir_measures.parse_measure(m) for m in names], dict(qrels), dict(run)):
        u, measure = int(value.query_id), str(value.measure)
        n = int(heldout[u].sum())
        expected = value.value * (n / min(5, n) if measure == "AP@5" else 1)
        assert math.isclose(res.per_user[names[measure]][u], expected, rel_tol=1e-9, abs_tol=1e-12)
        counted += 1
    assert counted == 4 * res.n_users


def test_names_of_metrics_in_any_capitals():
    scores, history, heldout = problem(4)
    fold_in = FoldIn(csr(history), csr(heldout))
    res = evaluate(Fixed(scores), fold_in, ["NDCG@10", "HR@3", "Precision@7"])
    assert list(res.per_user) == ["ndcg@10", "hit@3", "precision@7"]
    assert res["NDCG@10"] == res["ndcg@10"] == evaluate(Fixed(scores), fold_in, ["ndcg@10"])["nDCG@10"]
    assert "ndcg@10 0." in repr(res)
    with pytest.raises(InputError, match="novelty needs the training counts"):
        evaluate(Fixed(scores), fold_in, ["novelty@3"])


def test_one_metric_needs_no_list_and_a_split_is_no_part_of_itself():
    scores, history, heldout = problem(3)
    model, users = Fixed(scores), FoldIn(csr(history), csr(heldout))

    def first(of, k):
        return of.hits[:, 0].astype(float)

    assert evaluate(model, users, "ndcg@5").per_user.keys() == {"ndcg@5"}
    assert evaluate(model, users, first).per_user.keys() == {"first"}
    with pytest.raises(
        InputError, match=r"a StrongSplit has no held-out items; give a FoldIn, for instance split\.test"
    ):
        evaluate(model, strong_split(planted(n_users=60, n_items=40, n_events=900), n_heldout=10))


def test_functions_are_metrics_and_can_be_registered():
    scores, history, heldout = problem(4)
    fold_in = FoldIn(csr(history), csr(heldout))

    def last_hit(of, k):
        return np.where(of.n_heldout > 0, of.hits[:, k - 1], np.nan)

    def wrong(of, k):
        return np.zeros(3)

    register_metric("hit_at_last")(last_hit)
    whole = evaluate(Fixed(scores), fold_in, [last_hit, "hit_at_last@5", "hit@5", "hit@4"])
    assert list(whole.per_user) == ["last_hit", "hit_at_last@5", "hit@5", "hit@4"]
    fifth, upto5, upto4 = (whole.per_user[m] for m in ("hit_at_last@5", "hit@5", "hit@4"))
    np.testing.assert_array_equal(upto5, np.where(np.isnan(fifth), np.nan, np.maximum(fifth, upto4)))
    with pytest.raises(InputError, match=r"metric wrong gave values of shape \(3,\) for 40 users"):
        evaluate(Fixed(scores), fold_in, [wrong])
    with pytest.raises(InputError, match="metric='ndcg' is there already"):
        register_metric("ndcg")(last_hit)


def test_users_without_heldout_items_have_no_value_of_an_own_metric_either():
    """The documented example: both users are shown item 1, the first has it held out and the second nothing."""
    users = FoldIn(history=np.array([[1, 0, 0], [1, 0, 0]]), heldout=np.array([[0, 1, 0], [0, 0, 0]]))
    model = Popularity().fit(np.array([[1, 1, 0], [1, 1, 1]]))

    def first(of, k):
        return of.hits[:, 0].astype(float)

    def always(of, k):
        return np.ones(len(of.hits))

    register_metric("first_of_all")(first)
    res = evaluate(model, users, [first, "first_of_all@1", always, "hit@1"])
    for name in res.per_user:
        np.testing.assert_array_equal(res.per_user[name], [1, math.nan], err_msg=name)
        assert res[name] == (1.0, 0.0)
    with pytest.raises(AssertionError):  # the twin: the function's own number
        np.testing.assert_array_equal(first(Ranking(np.array([[True], [False]]), np.array([1, 0])), 1), [1, math.nan])


def test_functions_of_the_same_name_do_not_take_each_others_place():
    scores, history, heldout = problem(4)
    model, users = Fixed(scores), FoldIn(csr(history), csr(heldout))

    def at(of, k, rank):
        return of.hits[:, rank].astype(float)

    class Last:
        def __call__(self, of, k):
            return of.hits[:, k - 1].astype(float)

    second = functools.partial(at, rank=1)
    found = evaluate(model, users, [second, Last(), second, "ndcg@5", "NDCG@5"])
    assert list(found.per_user) == ["at", "Last", "ndcg@5"]
    precision = evaluate(model, users, ["precision@1", "precision@2"])
    np.testing.assert_allclose(
        found.per_user["at"], 2 * precision.per_user["precision@2"] - precision.per_user["precision@1"]
    )
    lambdas = [lambda of, k: of.hits[:, 0], lambda of, k: of.hits[:, 1]]
    with pytest.raises(InputError, match=r"two metrics have the name '<lambda>': .*lambda.* and .*lambda"):
        evaluate(model, users, lambdas)
    with pytest.raises(InputError, match="two metrics have the name 'at'"):
        evaluate(model, users, [second, functools.partial(at, rank=2)])


def test_counts_of_other_items_are_refused():
    scores, history, heldout = problem(4)
    with pytest.raises(InputError, match=r"item_counts of shape \(29,\) does not fit 30 items"):
        evaluate(Fixed(scores), FoldIn(csr(history), csr(heldout)), item_counts=np.ones(29))


def test_a_function_sees_a_hundred_ranks_or_as_many_as_the_others_ask_for():
    seen = []

    def width(of, k):
        seen.append((k, of.hits.shape[1], of.items.shape[1]))
        return np.zeros(len(of.hits))

    fold_in = FoldIn(csr(np.zeros((2, 150))), csr(np.eye(2, 150)))
    for others, k in (([], 100), (["ndcg@20"], 100), (["ndcg@130"], 130), (["ndcg@999"], 150)):
        evaluate(Fixed(np.zeros((2, 150))), fold_in, [width, *others])
        assert seen.pop() == (k, k, k)


def test_users_without_heldout_items_are_left_out_and_counted():
    scores, history, heldout = problem(1)
    heldout[[3, 8]] = False
    res = evaluate(Fixed(scores), FoldIn(csr(history), csr(heldout)), METRICS)
    empty = ~heldout.any(1)
    assert res.n_skipped == empty.sum() >= 2
    assert res.n_users == (~empty).sum()
    for name in METRICS:
        values = res.per_user[name]
        assert len(values) == len(scores)
        np.testing.assert_array_equal(np.isnan(values), empty)
        mean, se = res[name]
        assert math.isclose(mean, values[~empty].mean())
        assert math.isclose(se, math.sqrt(((values[~empty] - mean) ** 2).mean() / (~empty).sum()))
    few = np.arange(10)
    assert res.mean("ndcg@10", few)[0] == np.nanmean(res.per_user["ndcg@10"][few])
    assert all(math.isnan(v) for v in res.mean("ndcg@10", empty))


@pytest.mark.parametrize("cells", [1, 30 * 7, 1 << 23])
def test_block_size_does_not_matter(monkeypatch, cells):
    scores, history, heldout = problem(2, seen=0.6)  # few new items: lists shorter than 20
    fold_in, counts = FoldIn(csr(history), csr(heldout)), np.arange(30) ** 2
    whole = evaluate(Fixed(scores), fold_in, METRICS, counts)
    monkeypatch.setattr(ranking, "BLOCK_CELLS", cells)
    parts = evaluate(Fixed(scores), fold_in, METRICS, counts)
    for name in METRICS:  # BLAS adds the rows of a large block in another order: the last bit may differ
        np.testing.assert_allclose(parts.per_user[name], whole.per_user[name], rtol=1e-15 * 4)
    assert parts.coverage == whole.coverage
    assert math.isclose(parts.popularity, whole.popularity)


def test_coverage_and_popularity_of_what_is_recommended():
    scores, history, heldout = problem(3, n_items=60)
    counts = np.arange(60)
    res = evaluate(Fixed(scores), FoldIn(csr(history), csr(heldout)), ("recall@5", "ndcg@2"), counts)
    top = [[i for i in np.argsort(-s) if not h[i]][:5] for s, h in zip(scores, history, strict=True)]
    assert math.isclose(res.coverage, len(np.unique(top)) / 60)
    best = [[i for i in np.argsort(-s) if not h[i]][:20] for s, h in zip(scores, history, strict=True)]
    assert math.isclose(res.popularity, counts[np.array(best)].mean())
    for metrics in (["ndcg@1"], ["ndcg@20"], ["ndcg@55"]):  # what is asked for beside it changes nothing
        more = evaluate(Fixed(scores), FoldIn(csr(history), csr(heldout)), metrics, counts.tolist())
        assert math.isclose(more.popularity, res.popularity)
        k = int(metrics[0].split("@")[1])
        wide = [[i for i in np.argsort(-s) if not h[i]][:k] for s, h in zip(scores, history, strict=True)]
        assert math.isclose(more.coverage, len(set().union(*wide)) / 60)
    assert math.isnan(evaluate(Fixed(scores), FoldIn(csr(history), csr(heldout))).popularity)


@pytest.mark.parametrize(
    "give",
    [
        lambda rows: rows,  # its own tensor, not a copy
        lambda rows: rows.T.contiguous().T,  # strided
        lambda rows: rows.double(),
        lambda rows: rows.to(torch.int64),
        lambda rows: rows.numpy(),
        lambda rows: torch.inference_mode()(lambda: rows * 1)(),
        lambda rows: rows.clone().requires_grad_() * 1,
        lambda rows: torch.nn.Parameter(rows.clone()),
    ],
)
def test_scores_of_any_kind_are_ranked_and_left_alone(give):
    scores, history, heldout = problem(4)
    fold_in = FoldIn(csr(history), csr(heldout))
    model, kept = Fixed(scores.copy(), give), torch.from_numpy(scores.copy())
    first, second = evaluate(model, fold_in, METRICS), evaluate(model, fold_in, METRICS)
    expected = evaluate(Fixed(scores), fold_in, METRICS)
    for name in METRICS:
        np.testing.assert_array_equal(first.per_user[name], expected.per_user[name])
        np.testing.assert_array_equal(second.per_user[name], expected.per_user[name])
    assert torch.equal(model.scores, kept)


def test_one_row_expanded_for_everybody_is_ranked():
    _, history, heldout = problem(4)

    class Same:
        row = torch.arange(30.0)

        def score(self, history):
            return self.row.expand(history.shape[0], -1)

    res = evaluate(Same(), FoldIn(csr(history), csr(heldout)), METRICS)
    same = np.tile(np.arange(30.0), (40, 1))
    assert res["recall@5"] == evaluate(Fixed(same), FoldIn(csr(history), csr(heldout)), METRICS)["recall@5"]
    assert torch.equal(Same.row, torch.arange(30.0))


def test_bad_scores_and_shapes_are_refused():
    scores, history, heldout = problem(5)
    fold_in = FoldIn(csr(history), csr(heldout))
    bad = scores.copy()
    bad[17, np.flatnonzero(~history[17])[2]] = np.nan
    with pytest.raises(InputError, match="NaN"):
        evaluate(Fixed(bad), fold_in)
    with pytest.raises(InputError, match=r"shape \(40, 29\)"):
        evaluate(Fixed(scores[:, :29]), fold_in)
    with pytest.raises(InputError, match="same shape"):
        FoldIn(csr(history), csr(heldout[:, :29]))
    for name in ("ndcg", "ndcg@0", "ndcg@-1", "gain@10", "recall@5.0", "recall@5 ", 5):
        with pytest.raises(InputError, match="unknown"):
            evaluate(Fixed(scores), fold_in, (name,))


def test_top_items_in_order():
    values, items = top_items(torch.tensor([[3.0, 9.0, 1.0, 5.0]]), csr([[0, 1, 0, 0]]), 3)
    assert items.tolist() == [[3, 0, 2]]
    assert values.tolist() == [[5.0, 3.0, 1.0]]


def test_an_array_of_the_model_is_never_written_to(tmp_path, monkeypatch):
    """It may be a file that is only read: a write there ends the process, before anything can be undone."""
    scores, history, _ = problem(4)
    kept, topk = scores.copy(), torch.topk

    def looking(*given, **named):
        np.testing.assert_array_equal(kept, scores)
        return topk(*given, **named)

    monkeypatch.setattr(torch, "topk", looking)
    want = top_items(torch.from_numpy(scores.copy()), csr(history), 5)
    found = top_items(kept, csr(history), 5)
    np.save(tmp_path / "scores.npy", scores)
    mapped = top_items(np.load(tmp_path / "scores.npy", mmap_mode="r")[:], csr(history), 5)
    for got in (found, mapped):
        assert all(torch.equal(a, b) for a, b in zip(got, want, strict=True))


def test_a_tensor_of_the_model_is_as_it_was_when_ranking_fails(monkeypatch):
    scores, history, _ = problem(4)
    kept = torch.from_numpy(scores.copy())

    def failing(*given, **named):
        raise MemoryError

    monkeypatch.setattr(torch, "topk", failing)
    with pytest.raises(MemoryError):
        top_items(kept, csr(history), 5)
    np.testing.assert_array_equal(kept.numpy(), scores)


def check_interval(difference):
    rng = np.random.default_rng(0)
    a, b = rng.random(200), rng.random(200) + 0.05
    a[[3, 77]] = b[[3, 77]] = np.nan
    ok = ~np.isnan(a)
    test = stats.ttest_rel(a[ok], b[ok])
    interval = test.confidence_interval(0.95)
    d = difference(a - b)
    assert math.isclose(d.difference, (a[ok] - b[ok]).mean(), rel_tol=1e-12)
    assert math.isclose(d.low, interval.low, rel_tol=1e-10)
    assert math.isclose(d.high, interval.high, rel_tol=1e-10)
    assert math.isclose(d.difference / d.se, test.statistic, rel_tol=1e-10)


def test_paired_difference_is_the_t_interval_of_scipy():
    check_interval(paired_difference)

    def normal_interval(d):
        """Broken twin: the normal quantile for Student's, and the population sd."""
        right = paired_difference(d)
        d = d[~np.isnan(d)]
        half = 1.96 * d.std() / math.sqrt(len(d))
        return ranking.Difference(right.difference, right.se, right.difference - half, right.difference + half)

    with pytest.raises(AssertionError):
        check_interval(normal_interval)


def test_paired_difference_of_few_users():
    assert paired_difference(np.array([0.5])).difference == 0.5
    assert math.isnan(paired_difference(np.array([0.5])).low)
    assert math.isnan(paired_difference(np.array([np.nan])).difference)


def test_compare_pairs_user_by_user():
    scores, history, heldout = problem(6)
    fold_in = FoldIn(csr(history), csr(heldout))
    a, b = evaluate(Fixed(scores), fold_in, METRICS), evaluate(Fixed(-scores), fold_in, ("ndcg@10", "recall@5"))
    result = compare(a, b)
    assert list(result) == ["recall@5", "ndcg@10"]  # the order of a
    difference, se, low, high = result["ndcg@10"]
    d = (a.per_user["ndcg@10"] - b.per_user["ndcg@10"])[heldout.any(1)]
    assert math.isclose(difference, d.mean())
    assert math.isclose(se, d.std(ddof=1) / math.sqrt(len(d)))
    assert low < difference < high
    assert compare(b, a)["ndcg@10"].difference == -difference


def test_compare_refuses_other_users():
    scores, history, heldout = problem(6)
    a = evaluate(Fixed(scores), FoldIn(csr(history), csr(heldout)))
    fewer = evaluate(Fixed(scores[:20]), FoldIn(csr(history[:20]), csr(heldout[:20])))
    others = evaluate(Fixed(scores), FoldIn(csr(history), csr(heldout[::-1] & ~history)))
    with pytest.raises(InputError, match="40 users with 20"):
        compare(a, fewer)
    with pytest.raises(InputError, match="other held-out items"):
        compare(a, others)


def test_activity_groups_count_history_and_heldout():
    n = np.array([4, 5, 10, 11, 50, 51, 100, 101, 120])
    rows = np.arange(130)[None] < n[:, None]
    heldout = rows & (np.arange(130) % 5 == 0)
    groups = activity_groups(FoldIn(csr(rows & ~heldout), csr(heldout)))
    assert {k: np.flatnonzero(v).tolist() for k, v in groups.items()} == {
        "1–4": [0],
        "5–10": [1, 2],
        "11–50": [3, 4],
        "51–100": [5, 6],
        "101+": [7, 8],
    }
    assert "1–4" not in activity_groups(FoldIn(csr(rows[1:]), csr(0 * heldout[1:])))


def test_a_fold_in_without_users():
    res = evaluate(Fixed(np.zeros((1, 4))), FoldIn(csr(np.zeros((0, 4))), csr(np.zeros((0, 4)))))
    assert (res.n_users, res.n_skipped) == (0, 0)
    assert math.isnan(res["ndcg@100"][0])


def test_no_metric_is_one_sentence():
    one = sp.csr_matrix(np.eye(3, dtype=np.float32))
    with pytest.raises(InputError, match="no metric"):
        evaluate(None, FoldIn(history=one, heldout=0 * one), metrics=())


def test_a_difference_is_a_tuple_of_four():
    d = paired_difference(np.array([0.1, 0.3, np.nan]))
    assert len(d) == 4
    assert d[0] == d.difference
    assert d[1:] == (d.se, d.low, d.high)
