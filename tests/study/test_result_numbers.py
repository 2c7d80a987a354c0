"""From runs to numbers: pairs, standard errors, groups, both recalls, flags; each worked by hand."""

import math
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from minivae.config import TrainConfig
from minivae.data.audit import Finding
from minivae.options import METRICS, SELECTION
from minivae.ranking import Difference, Evaluation
from minivae.runtime.memory import Peak
from minivae.study import forecast, resolution
from minivae.study.observations import prototype
from minivae.study.output import display, published, report, tables
from minivae.study.run import conclusions, results
from minivae.study.run.conclusions import of_search, of_training
from minivae.study.run.records import BothRecalls, Doubt, Level, RecallDefinitions, RecallRow
from minivae.study.run.results import ModelResult
from minivae.study.run.settings import Section
from minivae.study.run.space import Choice, Range, at_an_end
from tests.study.rows import fold_in_of


def scored(values, n_heldout=None, coverage=0.5, popularity=7.0):
    values = np.asarray(values, float)
    return Evaluation({m: values for m in METRICS}, np.ones(len(values), int) if n_heldout is None else n_heldout,
                      coverage, popularity)  # fmt: skip


def run(values, of=None, **more):
    """A run with metrics of each user, and a mean in its metrics.json that may be another."""
    level = Level(float(np.nanmean(values)) if of is None else of, 0.0)
    return SimpleNamespace(
        scored={"test": scored(values, **more), "validation": scored(np.asarray(values) - 0.5)},
        metrics=SimpleNamespace(levels=lambda: {m: level for m in METRICS}, model="m"),
        log=[],
    )


def test_a_model_is_the_mean_over_its_seeds_with_the_error_of_a_sample_of_seeds():
    """Seeds with means 1, 2, 6: sd √7 with n − 1, standard error √(7 / 3)."""
    model = ModelResult("m", [run([m - 1, m + 1], coverage=m / 10, popularity=m) for m in (1.0, 2.0, 6.0)])
    assert model.seed_se(SELECTION) == pytest.approx(math.sqrt(7 / 3))
    assert ModelResult("m", [run([1.0, 2.0])]).seed_se(SELECTION) is None
    two = ModelResult("m", [run([0.0], of=1.0), run([0.0], of=3.0)])
    assert two.seed_se(SELECTION) == pytest.approx(1)  # sd √2, over √2
    pooled = model.pooled()
    assert pooled.per_user[SELECTION].tolist() == [2, 4]
    assert (pooled.coverage, pooled.popularity) == pytest.approx((0.3, 3))
    assert model.pooled("validation").per_user[SELECTION].tolist() == [1.5, 3.5]


def test_which_pairs_are_compared():
    """Sections decide; without one that fits, every pair; with and without anchors always; EASE for the rest."""
    names = ["popularity", "ease", "a", "a+anchor", "b", "b2", "c"]
    step = Section("t", "", (("a+anchor", "a"),))
    sweep = Section("t", "", (("b2", "b"), ("gone", "b")), "beta")
    assert results.comparisons(names, [step]) == [("a", "ease"), ("a+anchor", "ease"), ("b", "ease"), ("b2", "ease"),
                                                  ("c", "ease"), ("a+anchor", "a")]  # fmt: skip
    assert results.comparisons(names, [sweep]) == [("a", "ease"), ("a+anchor", "ease"), ("b", "ease"), ("c", "ease"),
                                                   ("a+anchor", "a"), ("b2", "b")]  # fmt: skip
    inner = Section("t", "", (("c", "a+anchor"),))
    assert results.comparisons(names, [inner]) == [("a", "ease"), ("a+anchor", "ease"), ("b", "ease"), ("b2", "ease"),
                                                   ("a+anchor", "a"), ("c", "a+anchor")]  # fmt: skip
    assert ("b2", "b") not in results.comparisons(["b", "c", "ease"], [sweep])
    assert results.comparisons(["b2", "ease", "b"], [step]) == results.every_pair(["b2", "ease", "b"])
    assert results.comparisons(["a", "a+anchor"], [step]) == [("a+anchor", "a")]  # no EASE ran
    assert results.every_pair(["x+anchor", "x", "ease"]) == [("x", "ease"), ("x+anchor", "ease"), ("x+anchor", "x")]
    assert results.with_and_without(["x+anchor", "y+anchor", "y"]) == [("y+anchor", "y")]


def test_a_difference_is_paired_and_carries_its_doubts():
    a, b = ModelResult("a", [run([0.5, 0.7, np.nan, 0.2])]), ModelResult("b", [run([0.1, 0.6, np.nan, 0.3])])
    doubt = [Doubt("a", "1 seed", "…", {})]
    rows = results.differences([a, b], [("a", "b")], {("a", "b"): doubt})
    assert [r.metric for r in rows] == list(METRICS)
    interval = stats.ttest_1samp([0.4, 0.1, -0.1], 0).confidence_interval(0.95)
    for r in rows:
        assert (r.a, r.b, list(r.doubts)) == ("a", "b", doubt)
        assert (r.difference, r.low, r.high) == pytest.approx((0.4 / 3, interval.low, interval.high))
        assert r.se == pytest.approx(np.std([0.4, 0.1, -0.1], ddof=1) / math.sqrt(3))
    assert results.differences([a, b], [("a", "b")])[0].doubts == ()
    (turned,) = {(r.difference, r.low) for r in results.differences([a, b], [("b", "a")])}
    assert turned == pytest.approx((-0.4 / 3, -interval.high))


def test_a_group_of_one_user_has_no_interval():
    """Sizes 6, 7, 20, 60, 70 by group of activity: two, one, two users."""
    test = fold_in_of(np.array([6, 7, 20, 60, 70]), np.array([1, 1, 4, 12, 14]), 80)
    n = np.diff(test.heldout.indptr)
    models = [ModelResult("m", [run([0.1, 0.1, 0.1, 0.1, 0.1], n_heldout=n)])]
    models += [ModelResult("m+anchor", [run([0.2, 0.4, 0.9, 0.0, 0.0], n_heldout=n)])]
    (claim,) = results.claims(models, test)
    assert {k: g.users for k, g in claim.groups.items()} == {"5–10": 2, "11–50": 1, "51–100": 2, "101+": 0}
    assert claim.groups["5–10"].difference == pytest.approx(0.2)
    assert claim.groups["51–100"].difference == pytest.approx(-0.1)
    assert claim.groups["11–50"].found is claim.groups["101+"].found is None
    assert (claim.a, claim.b, claim.verdict, claim.users) == ("m+anchor", "m", "cannot be told apart", 5)
    (doubted,) = results.claims(models, test, {("m+anchor", "m"): [Doubt("m", "1 seed", "…", {})]})
    assert doubted.verdict == "cannot be told apart"


def test_both_recalls_where_fewer_items_than_k_can_be_ranked():
    """30 items: recall@50 is hits / min(30, n); with n = 40 it is 30 / 40 of that."""
    n = np.array([40, 10, 0])
    model = ModelResult("m", [run([1.0, 0.5, np.nan], n_heldout=n)])
    value = results.recall_definitions([model], 30)
    (row,) = value.rows
    assert value.users == {"20": 1, "50": 0}
    assert (row.at_20.min, row.at_20.n) == pytest.approx((0.75, (20 / 40 + 0.5) / 2))
    assert (row.at_50.min, row.at_50.n) == pytest.approx((0.75, (30 / 40 + 0.5) / 2))
    assert results.recall_definitions(
        [ModelResult("m", [run([1.0, 1.0], n_heldout=np.array([20, 21]))])], 99
    ).users == {
        "20": 1,
        "50": 0,
    }


def test_whose_validation_users_a_search_looked_at():
    assert results.searched_here({"sha256": "x"}, "x")
    assert not results.searched_here({"sha256": "y"}, "x")
    assert not results.searched_here(None, "x")
    assert not results.searched_here({}, "x")


def test_the_environment_is_this_machine(monkeypatch, tmp_path):
    import torch

    here = results.environment("cpu", "fp32")
    assert (here.device, here.products, here.torch) == ("cpu", "float32", torch.__version__)
    assert here.threads == torch.get_num_threads()
    info = tmp_path / "cpuinfo"
    info.write_text("vendor_id : x\nmodel name\t: A processor: fast\nmodel name : another\n", encoding="utf-8")
    monkeypatch.setattr(results, "Path", lambda _: info)
    assert results.processor() == "A processor: fast"
    info.unlink()
    monkeypatch.setattr(results.platform, "processor", lambda: "")
    monkeypatch.setattr(results.platform, "machine", lambda: "a machine")
    assert results.processor() == "a machine"
    monkeypatch.setattr(results.platform, "processor", lambda: "its processor")
    assert results.processor() == "its processor"


DONE = TrainConfig(epochs=100, anneal_steps=1000, beta=0.2, anchor_steps=0, anchor=1.0, patience=15)


def ran(best, epochs, per_epoch, n=3):
    log = [{"epoch": k, "updates": k * per_epoch} for k in range(1, epochs + 1)]
    return [SimpleNamespace(metrics=SimpleNamespace(best_epoch=best, epochs=epochs), log=log) for _ in range(n)]


def test_the_flags_that_remove_a_doubt_are_the_smallest_that_do():
    (last,) = of_training("m", ran(55, 55, 60), DONE)
    assert dict(last.flags) == {"epochs": 200}
    assert last.detail == "The best epoch of m is the last one that ran, 100: longer training may be better."
    (short,) = of_training("m", ran(20, 35, 18), DONE)  # 1,000 updates are reached in epoch 56 of 18 each
    assert dict(short.flags) == {"epochs": 100, "patience": 56}
    assert short.detail == "m stopped after 630 updates, but its weights rise over 1,000."
    (short,) = of_training("m", ran(20, 35, 18), replace(DONE, epochs=40, patience=60))
    assert dict(short.flags) == {"epochs": 116, "patience": 60}
    (seeds,) = of_training("m", ran(20, 35, 60, 2), DONE)
    assert dict(seeds.flags) == {"seeds": 3}
    assert seeds.detail == "m ran with 2 seeds; at least 3 are needed."
    assert of_training("m", [SimpleNamespace(metrics=r.metrics, log=[]) for r in ran(20, 35, 1)], DONE) == []
    mixed = [*ran(20, 35, 60, 2), *ran(20, 30, 10, 1)]
    assert of_training("m", mixed, DONE)[0].detail.startswith("m stopped after 300 updates")


def test_the_doubt_of_an_unequal_search_names_who_was_not_searched():
    (doubt,) = of_search("a", "b", {"a": 16, "b": 0})
    assert (doubt.model, doubt.what, doubt.search) == ("b", "unequal search", True)
    assert doubt.detail == "a was searched with 16 trials, b with none."
    (doubt,) = of_search("a", "b", {"a": 0, "b": 9})
    assert doubt.detail == "b was searched with 9 trials, a with none."
    assert of_search("a", "b", {"b": 9}) == of_search("a", "b", {"a": 9}) == []
    assert conclusions.because([doubt, doubt]) == "not decided: unequal search"


def test_numbers_of_tables():
    assert [tables.number(v) for v in (0.4135, -0.01, -0.00001, 0.0, 1.0, -2.5, 10.25)] == [
        *(".4135", "−.0100", ".0000", ".0000", "1.0000", "−2.5000", "10.2500"),
    ]
    assert tables.number(0.123456, 2) == ".12"
    assert [tables.signed(v) for v in (0.1, 0.0, -0.1, -0.00001)] == ["+.1000", "+.0000", "−.1000", ".0000"]
    assert tables.level(Level(0.1, 0.02)) == ".1000 ± .0200"
    assert tables.level(Level(0.1, 0.02, 0.003)) == ".1000 ± .0200 (.0030)"
    assert tables.level(Level(0.1, 0.02, 0.0)) == ".1000 ± .0200 (.0000)"
    assert tables.interval(Difference(-0.1, 9.0, -0.3, 0.2)) == "−.1000 [−.3000, +.2000]"
    assert [tables.size(n) for n in (999_400_000, 10**9, 1_234_000_000, 56_700_000)] == [
        *("999 MB", "1.00 GB", "1.23 GB", "57 MB"),
    ]
    assert tables.count(1234567) == "1,234,567"
    assert tables._digits("0.5") == ".500"
    assert tables._digits("0.41354") == ".41354"
    facts = [(6034, "6,034"), (0.0123456, "0.01235"), (True, "yes"), (False, "no"), (2.0, "2"), (1e6, "1,000,000")]
    assert [display.fact(v) for v, _ in facts] == [said for _, said in facts]
    assert display.fact("a") == "a"


def test_a_question_of_the_audit_is_a_leak_or_not_known():
    rows = [Finding("test", "q", 1200, 3400, True), Finding("validation", "r", None, 3, False)]
    assert tables.leakage(rows).cells() == [
        ["test", "q", "1,200 of 3,400", "leak"],
        ["validation", "r", "not known", ""],
    ]


def test_the_cost_of_a_baseline_has_no_epochs():
    metrics = SimpleNamespace(model="m", seed=1, parameters=1234, epochs=0, best_epoch=None, seconds=1.25,
                              peak_memory=Peak(2 * 10**9, None))  # fmt: skip
    trained = SimpleNamespace(**{**vars(metrics), "epochs": 9, "best_epoch": 4, "peak_memory": Peak(5 * 10**7, 10**9)})
    table = tables.cost([ModelResult("m", [SimpleNamespace(metrics=metrics), SimpleNamespace(metrics=trained)])])
    assert table.cells() == [
        ["m", "1", "1,234", "–", "–", "1.2", "2.00 GB", "–"],
        ["m", "1", "1,234", "9", "4", "1.2", "50 MB", "1.00 GB"],
    ]


def test_published_figures_have_the_digits_they_were_published_with():
    assert tables._published({"value": "0.5", "se": "", "tag": "S"}) == ".500 [S]"
    assert tables._published({"value": "0.4135", "se": "0.001", "tag": "V"}) == ".4135 ± .001 [V]"
    assert published.paper("A/B test") != published.paper("by activity")
    assert published.paper("by activity")["5-10"]["Multi-VAE"] == (0.317, "S")
    assert published.curves("planted") == {}
    (found,) = (v for k, v in published.curves("ml-20m").items() if "Mult-VAE" in k and "RaCT" in k)
    assert (found[0][0], found[1][0]) == (1, 0.2849)


def test_the_order_of_models_by_both_recalls():
    def value(*rows):
        return RecallDefinitions(
            [RecallRow(n, BothRecalls(*a), BothRecalls(*b)) for n, a, b in rows], {"20": 3, "50": 1}
        )

    same = value(("a", (0.5, 0.4), (0.6, 0.5)), ("b", (0.4, 0.3), (0.5, 0.4)))
    assert report._recall(same).endswith("the test users 3 have more than 20 and 1 have more than 50. The order stays.")
    turned = value(("a", (0.5, 0.2), (0.6, 0.5)), ("b", (0.4, 0.3), (0.5, 0.4)))
    assert report._recall(turned).endswith("The order of the models changes for Recall@20.")
    both = value(("a", (0.5, 0.2), (0.6, 0.3)), ("b", (0.4, 0.3), (0.5, 0.4)))
    assert report._recall(both).endswith("The order of the models changes for Recall@20 and Recall@50.")


@pytest.mark.filterwarnings("error")
def test_a_number_agrees_within_two_deviations_or_a_tenth():
    def agrees(of, *values, comparable=True):
        return prototype._number("s", "w", of, values, comparable).agrees

    assert agrees(12.8, 9, 11) == "yes"  # sd √2 with n − 1
    assert agrees(12.9, 9, 11) == "no"
    assert agrees(7.2, 9, 11) == "yes"
    assert agrees(10.0, 11) == "yes"  # a tenth of 10
    assert agrees(10.0, 11.01) == "no"
    assert agrees(-10.0, -10.9) == "yes"
    assert [agrees(0.0, v) for v in (0.005, -0.005, 0.006)] == ["yes", "yes", "no"]
    assert agrees(0.001, 0.002) == "no"
    assert prototype._number("s", "w", 10.0, [11.0]).observed == "11 (one seed)"
    assert agrees(None, 1.0, 2.0, comparable=False) == "–"
    assert prototype._number("s", "w", 0.25, [1.0], False).prototype == "0.25"


def test_how_many_observations_agree():
    kinds = ["yes", "no", "no", "mixed", "mixed", "mixed", "–", "– (other data)"]
    rows = [prototype.Row("1", "w", "o", "p", k) for k in kinds]
    assert prototype.conclusion(rows) == (
        "Of 8 observations 1 agree with the prototype, 2 do not, 3 depend on the seed, and 1 have nothing to be "
        "compared with."
    )


def test_a_choice_at_an_end_of_at_least_five_values():
    space = {"lr": Range(1, 9), "mask": Choice(("a", "b"))}
    tried = [{"lr": v, "mask": "a"} for v in (1, 2, 3, 4, 5)]
    assert at_an_end(space, {"lr": 5, "mask": "a"}, tried) == ["lr"]
    assert at_an_end(space, {"lr": 1, "mask": "a"}, tried) == ["lr"]
    assert at_an_end(space, {"lr": 2, "mask": "a"}, tried) == []
    assert at_an_end(space, {"lr": 4, "mask": "a"}, tried[:4]) == []  # four values say nothing
    assert at_an_end(space, {"lr": 4, "mask": "a"}, [*tried[:4], {"lr": 4, "mask": "b"}]) == []


def test_values_of_a_space_by_hand():
    assert [Choice(("a", "b", "c")).at(u) for u in (0, 0.34, 0.67, 0.999)] == ["a", "b", "c", "c"]
    assert [Range(10, 20).at(u) for u in (0, 0.55, 0.999)] == [10, 16, 20]
    assert Range(1.0, 3.0).at(0.123456) == 1.247
    assert Range(1.0, 100.0, log=True).at(0.5) == 10.0
    assert [Range(1, 4).size, Choice((1, 2)).size, Range(1.0, 4).size] == [4, 2, math.inf]
    assert (Range(1, 4).whole, Range(1, 4.0).whole, Range(1.0, 4).whole) == (True, False, False)
    assert list(Range(1, 4).values) == [1, 2, 3, 4]


def test_the_resolution_by_hand():
    assert resolution.half_width(0.1, 400) == pytest.approx(1.96 * 0.1 / 20)
    assert resolution.of_folds(2) == pytest.approx(12.706, abs=1e-3)
    assert resolution.of_draws(2, 100, 400) == pytest.approx(12.7062 * math.sqrt(0.75), abs=1e-3)
    said = resolution.sentence(400, 2)
    alike = 1.96 * math.sqrt(0.0013 + 0.0049 / 2) / 20
    assert f"below about {alike:.4f}".replace("0.", ".") in said
    assert f"below about {1.96 * 0.09 / 20:.4f}".replace("0.", ".") in said
    assert f"({1.96 * 0.2 / 20:.4f} where".replace("0.", ".") in said


def test_the_median_of_updates_leaves_out_those_that_warm_up():
    """A clock that gives 9, 5, 1, 2, 3, 4, 100 seconds: the median of the last five, and what the first took more."""
    ticks = iter(np.cumsum([0, 9, 0, 5, 0, 1, 0, 2, 0, 3, 0, 4, 0, 100]).tolist())
    calls = []
    assert forecast._median(calls.append, lambda: next(ticks)) == (3.0, 6.0)
    assert calls == list(range(7))
    quick = iter(np.cumsum([0.0, *[0.01, 0.0] * 200]).tolist())
    calls.clear()
    assert forecast._median(calls.append, lambda: next(quick))[0] == pytest.approx(0.01)
    assert len(calls) in (52, 53)  # half a second of updates beyond the two that warm up


def test_the_cost_of_all_epochs():
    cost = forecast.Cost(1, None, setup=10.0, update=0.5, validation=2.0, updates=6, epochs=4)
    assert (cost.epoch, cost.longest) == (5.0, 30.0)


def of_pairs(pairs, *seeds):
    differences = [SimpleNamespace(a=a, b=b, users=9) for a, b in pairs]
    summary = [SimpleNamespace(seeds=n) for n in seeds]
    return SimpleNamespace(differences=differences, summary=summary, data=SimpleNamespace(protocol={}))


def test_a_report_counts_its_pairs_and_says_what_two_seeds_mean():
    one, two = report._pairing(of_pairs([("a", "b")], 1, 1)), report._pairing(of_pairs([("a", "b"), ("a", "c")], 1, 2))
    assert "one comparison at a time" not in one
    assert "over seeds first" not in one
    assert "one comparison at a time, and there are 2 of them" in two
    assert "Each user's value is averaged over seeds first." in two
    assert "averaged over them" in report._reading(of_pairs([], 1, 2).summary)
    assert "averaged over them" not in report._reading(of_pairs([], 1, 1).summary)


def test_a_page_says_when_and_with_what_it_was_made(monkeypatch):
    here = SimpleNamespace(minivae="1.2", torch="3.4", processor="Some CPU")
    monkeypatch.setattr(results, "environment", lambda device, precision: here)
    assert re.fullmatch(r"20\d\d-\d\d-\d\d \d\d:\d\d UTC, minivae 1\.2, torch 3\.4, Some CPU\.", results.made())
