"""Every interval of the findings stands in a stored result, as it is written there."""

import csv
import json
import re
import tomllib
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import matplotlib.pyplot as plt
import pytest

import minivae as mv
from minivae.study.output import figures
from minivae.study.run.records import Comparison
from minivae.study.run.sources import fingerprint
from tests.test_chapter_claims import wider_of_two

ROOT = Path(__file__).resolve().parents[2]
NUMBER = r"[+−-]?\d*\.\d+"
INTERVAL = re.compile(rf"({NUMBER}) \[({NUMBER}), ({NUMBER})\]")


def stored(found: Any) -> list[tuple[float, float, float]]:
    """All estimates with the ends of their intervals, wherever they stand in a result."""
    if isinstance(found, list):
        return [row for part in found for row in stored(part)]
    if not isinstance(found, dict):
        return []
    centres = [found[key] for key in ("lds", "mean", "difference") if isinstance(found.get(key), float)]
    here = [(centre, found["low"], found["high"]) for centre in centres if "low" in found and "high" in found]
    return here + [row for part in found.values() for row in stored(part)]


def written(text: str) -> list[tuple[str, ...]]:
    return [match.groups() for match in INTERVAL.finditer(" ".join(text.replace("**", "").split()))]


def rounds_to(value: float, digits: str) -> bool:
    """Without the sign: a loss is written without it, and its interval from the smaller end."""
    decimals = len(digits.partition(".")[2])
    return abs(abs(value) - float(digits.strip("+−-"))) <= 0.5001 * 10**-decimals


def unknown(text: str) -> list[tuple[str, ...]]:
    """Intervals of a text that no stored result has."""
    results = [
        row
        for path in (ROOT / "chapters/results").glob("*.json")
        for row in stored(json.loads(path.read_text("utf-8")))
    ]
    return [
        said
        for said in written(text)
        if not any(
            all(map(rounds_to, ends, said))
            for centre, low, high in results
            for ends in ((centre, low, high), (centre, high, low))
        )
    ]


@pytest.mark.parametrize(("page", "at_least"), [("findings.md", 100), ("guides/anchor-draws.md", 90)])
def test_every_interval_of_a_page_is_a_stored_one(page, at_least):
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    assert len(written(text)) > at_least
    assert unknown(text) == []


def unsigned(intervals: list[tuple[str, ...]]) -> set[tuple[str, ...]]:
    return {tuple(end.lstrip("+−-") for end in said) for said in intervals}


@pytest.mark.parametrize("page", ["README.md", *(f"docs/guides/{of}.md" for of in ("which-model", "who-helps-whom"))])
def test_intervals_of_short_pages_are_stored_or_stand_in_the_results(page):
    """The results say how the wider intervals over folds are made, which no study stores."""
    text = (ROOT / page).read_text(encoding="utf-8")
    results = unsigned(written((ROOT / "docs/guides/results.md").read_text(encoding="utf-8")))
    assert written(text)
    assert unsigned(unknown(text)) <= results
    twin = text.replace(".0015, .0064]", ".0012, .0064]").replace("[.273, .324]", "[.274, .324]")
    assert not unsigned(unknown(twin)) <= results


def test_the_table_of_the_readme_is_of_the_stored_study():
    """Without anchors, with anchors, and the difference of each model."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    of = json.loads((ROOT / "chapters/results/benchmark-ml-1m-tuned.json").read_text("utf-8"))
    level = {row["model"]: row["metrics"]["ndcg@100"]["mean"] for row in of["summary"]}
    gain = {(d["a"], d["b"]): d for d in of["differences"] if d["metric"] == "ndcg@100"}
    for model in ("Mult-VAE", "RecVAE", "H+Vamp", "Mult-DAE"):
        name = re.sub("[-+]", "", model).lower()
        d = gain[f"{name}+anchor", name]
        cells = [f"{level[n]:.4f}" for n in (name, f"{name}+anchor")]
        cells.append("{:+.4f} [{:+.4f}, {:+.4f}]".format(d["difference"], d["low"], d["high"]))
        row = f"| {model} | {' | '.join(cells)} |".replace("-0", "−0").replace("0.", ".")
        assert row in text


def test_the_first_figure_of_the_readme_is_of_the_stored_study(tmp_path):
    """The same picture when it is drawn from the file; with one estimate moved it is another."""
    stored_rows = json.loads((ROOT / "chapters/results/benchmark-planted.json").read_text("utf-8"))["differences"]
    shown_there = plt.imread(ROOT / "chapters/figures/study.png")

    def differs(rows: list[dict[str, Any]]) -> float:
        figures.save(figures.paired([Comparison.from_dict(row) for row in rows]), tmp_path, "again")
        again = plt.imread(tmp_path / "again.png")
        return 1.0 if again.shape != shown_there.shape else float(abs(again - shown_there).mean())

    moved = [row | {"difference": row["difference"] - 0.0004} for row in stored_rows]
    assert differs(stored_rows) < differs(moved) / 4


def test_the_radius_certifies_no_pair_in_a_stored_model():
    """README, 4, and finding 2."""
    shares = []
    for data in ("planted", "ml-1m"):
        of = json.loads((ROOT / f"chapters/results/theory-{data}-observations.json").read_text("utf-8"))["models"]
        shares += [model["certified"] for models in of.values() for model in models if "certified" in model]
    assert len(shares) == 55
    assert set(shares) == {0.0}


def test_a_digit_that_is_changed_is_noticed():
    text = (ROOT / "docs/findings.md").read_text(encoding="utf-8")
    assert unknown(text.replace(".305** [.273, .324]", ".305** [.274, .324]")) == [(".305", ".274", ".324")]


def test_far_but_related_users_end_as_rivals_on_both_data_sets():
    """Findings 5 and 6: nearer than strangers after one epoch, farther at the end, with masks and without."""
    for data in ("planted", "ml-1m"):
        of = json.loads((ROOT / f"chapters/results/far-{data}.json").read_text("utf-8"))["variants"]
        assert all(of[name]["epoch 1"]["low"] > 0 for name in ("clean", "masked"))
        assert all(line["end"]["high"] < 0 for line in of.values())
    assert of["masked"]["epoch 3"]["low"] > 0 > of["masked"]["epoch 8"]["high"]
    clean, masked, anchored = (of[name]["end"] for name in ("clean", "masked", "masked + PIA"))
    assert clean["high"] < masked["low"]
    assert 0.75 < masked["difference"] / clean["difference"] < 0.85
    assert masked["low"] < anchored["high"]
    assert anchored["low"] < masked["high"]


def rows(name: str) -> list[dict[str, Any]]:
    return json.loads((ROOT / f"chapters/results/anchor-law-{name}.json").read_text("utf-8"))["rows"]


def test_at_one_weight_codes_of_the_model_that_loses_shrink_less():
    """Finding 7: over twelve draws, `full` at λ = 1; harm on eleven."""
    of = {(name, r["seed of the draw"], r["model"]): r for name in ("planted", "debian", "ml-1m") for r in rows(name)
          if r["form"] == "full"}  # fmt: skip
    at = {key: r["at every weight"]["1"] for key, r in of.items()}
    kept = {key: r["norm of codes"]["1"] / r["norm of codes"]["0"] for key, r in of.items()}
    draws = sorted({key[:2] for key in of})
    assert len(draws) == 12
    assert [draw for draw in draws if at[*draw, "multdae"]["high"] >= 0] == [("planted", 3)]
    assert all(at[*draw, "multvae"]["high"] > 0 for draw in draws)
    assert sum(at[*draw, "multvae"]["low"] > 0 for draw in draws) == 3
    assert all(kept[*draw, "multvae"] < kept[*draw, "multdae"] for draw in draws)


def priors(data: str) -> dict[tuple[str, str, int], dict[str, Any]]:
    """(model, form, seed of the draw) -> row, of the models whose prior is learned."""
    return {(r["model"], r["form"], r["seed of the draw"]): r for r in rows(f"priors-{data}")}


FORMS = ("full", "centroid+variance", "direction")
DRAWS = (98765, 1, 2, 3, 4)


@pytest.mark.parametrize("data", ["planted", "debian"])
def test_every_form_of_both_models_with_a_learned_prior_was_asked_on_five_draws(data):
    asked = {(m, form, seed) for m in ("recvae", "hvamp") for form in FORMS for seed in DRAWS}
    assert priors(data).keys() == asked


@pytest.mark.parametrize("data", ["planted", "debian"])
def test_full_anchors_at_a_large_weight_shrink_codes_and_harm_on_all_ten_draws(data):
    """Finding 7 and the predictions Q1, Q4, R1, R6."""
    of = priors(data)
    for seed in DRAWS:
        kept = {}
        for model in ("recvae", "hvamp"):
            row = of[model, "full", seed]
            assert row["chosen weight"] == 0.05
            assert row["at every weight"]["1"]["high"] < 0
            kept[model] = row["norm of codes"]["1"] / row["norm of codes"]["0"]
        assert kept["hvamp"] < kept["recvae"]
        assert kept["hvamp"] < 0.25
        other = of["hvamp", "centroid+variance", seed]["norm of codes"]
        assert other["1"] < 0.25 * other["0"]


def seen(data: str, model: str, form: str) -> dict[int, int]:
    """Draws on which a gain (1) or a loss (-1) is seen at the chosen weight."""
    of = {s: priors(data)[model, form, s]["difference"] for s in DRAWS}
    return {s: 1 if d["low"] > 0 else -1 for s, d in of.items() if not d["low"] <= 0 <= d["high"]}


def test_on_which_draws_models_with_a_learned_prior_gain():
    """Finding 7: the predictions Q2 (refuted), Q3 (its first half refuted), Q5, R2 to R5."""
    assert seen("planted", "hvamp", "full") == {1: 1, 2: 1, 3: 1, 4: 1}
    assert seen("debian", "hvamp", "full") == {4: -1}
    assert seen("planted", "recvae", "full") == {3: 1, 4: 1}
    assert seen("debian", "recvae", "full") == {2: 1, 3: 1}
    means = {}
    for data in ("planted", "debian"):
        of = json.loads((ROOT / f"chapters/results/anchor-law-priors-{data}.json").read_text("utf-8"))["over draws"]
        means |= {(data, m["model"], m["form"]): m for m in of}
        assert all(-1 not in seen(data, m, "direction").values() for m in ("recvae", "hvamp"))
        for m in ("recvae", "hvamp"):
            full, other = (means[data, m, form]["difference"] for form in ("full", "centroid+variance"))
            assert abs(full["mean"] - other["mean"]) < 0.003
            assert means[data, m, "full"]["by activity"]["5–10"]["low"] < 0
    outside = {key for key, m in means.items() if not m["difference"]["low"] <= 0 <= m["difference"]["high"]}
    assert outside == {("debian", "hvamp", "full")}
    turned, whole = (means["planted", "recvae", form]["difference"]["mean"] for form in ("direction", "full"))
    assert turned < whole / 2
    at = {m: [priors(d)[m, "full", s]["at every weight"]["0.2"] for d in ("planted", "debian") for s in DRAWS]
          for m in ("recvae", "hvamp")}  # fmt: skip
    assert {m: sum(d["high"] < 0 for d in of) for m, of in at.items()} == {"recvae": 8, "hvamp": 6}
    assert means["debian", "hvamp", "full"]["by activity"]["5–10"]["high"] < 0


def test_which_users_with_fewest_items_gain():
    """Finding 9: in a Mult-VAE none, in any form; of all 135 intervals three lie above 0, and six below."""
    files = (
        "planted",
        "debian",
        "ml-1m",
        "planted-large",
        "priors-planted",
        "priors-debian",
    )
    again = ("planted-large", "multdae")  # its Mult-DAE is that of planted 98765
    few = [
        (r["model"], r["form"], r["by activity"]["5–10"]) for n in files for r in rows(n) if (n, r["model"]) != again
    ]
    above = sorted((model, form) for model, form, d in few if d["low"] > 0)
    below = sorted((model, form) for model, form, d in few if d["high"] < 0)
    assert len(few) == 135
    assert above == [("multdae", "direction"), ("recvae", "centroid+variance"), ("recvae", "full")]
    hvamp = [("hvamp", "centroid+variance")] * 2 + [("hvamp", "full")]
    assert below == hvamp + [("multdae", "full")] * 3


def test_spreads_of_the_masks_are_standard_deviations():
    """Finding 10: each mean with its spread over five seeds, as the page writes it."""
    text = (ROOT / "docs/findings.md").read_text(encoding="utf-8")
    assert "± is the standard deviation over seeds" in text
    of = json.loads((ROOT / "chapters/results/theory-ml-1m-observations.json").read_text("utf-8"))["models"]
    masked, anchored = of["masked β=0.2"], of["masked+PIA λ=1 β=0.2"]
    for models, key, decimals in (
        (masked, "ratio 1", 3),
        (masked, "ratio 5", 3),
        (masked, "within", 1),
        (anchored, "within", 1),
        (masked, "within/between", 3),
        (anchored, "within/between", 3),
    ):
        seen = [model[key] for model in models]
        said = f"{mean(seen):.{decimals}f} ± {stdev(seen):.{decimals}f}"
        assert re.sub(r"(^|(?<= ))0\.", ".", said) in text


def test_the_measured_lines_of_the_guide_are_those_of_the_stored_cards():
    """Each cell of the guide's table, in the words of the card."""
    text = (ROOT / "docs/guides/report-card.md").read_text(encoding="utf-8")
    table = [[cell.strip() for cell in line.split("|")[2:4]] for line in text.splitlines() if line.count("|") == 4]
    said = dict(zip(("planted", "debian"), map(" ".join, zip(*table, strict=True)), strict=True))
    for data, words in said.items():
        of = json.loads((ROOT / f"chapters/results/theory-{data}-card.json").read_text("utf-8"))["checks"]
        assert all(line["verdict"] != "FAILED" for line in of)
        value = {line["claim"]: line["value"] for line in of}
        shrunk = value["shrinkage over masks, predicted and seen, λ = 0.3"]
        filled = value["water-filling from β = 0.04 to 0.2"]
        along = re.findall(r"epoch (\d+): (\d+)%", value["the same along training"])
        least = min(along, key=lambda moment: int(moment[1]))
        assert f"{least[1]} % (epoch {least[0]})" in words
        assert value["neighbours with Δ_x ≥ ‖g_u‖, without any radius"] == "100%"
        numbers = [n.replace("0.", ".").replace("-", "−") for n in re.findall(r"[+-]?\d+\.\d+", shrunk)]
        kl = re.findall(r"\d+\.\d+", filled)
        assert f"{numbers[0]} [{numbers[1]}, {numbers[2]}], warning" in words
        assert f"{numbers[3]} predicted, {numbers[4]} seen" in words
        assert f"{kl[0]} predicted, {kl[1]} seen" in words
        assert words.endswith(numbers[5])


def shown(value: float, sign: str = "") -> str:
    return f"{value:{sign}.4f}".replace("-", "−").replace("0.", ".", 1)


@pytest.mark.parametrize(
    ("heading", "name"),
    [
        ("## Embedded data, planted (fp32)", "planted"),
        ("### The same with 16 trials for each of six models (fp32)", "planted-searched"),
        ("## Embedded data, Debian (bf16)", "debian"),
        ("### The same with 16 trials for every model (fp32)", "debian-searched"),
        ("### Planted, the opponents with 16 trials each (fp32)", "planted-opponents"),
        ("### Planted, RecVAE with 16 trials each (fp32)", "planted-recvae"),
        ("### Debian, RecVAE with 16 trials each (fp32)", "debian-recvae"),
        ("### Debian, clean input and Mult-DAE with 16 trials each (fp32)", "debian-multdae"),
        ("### Debian, the opponents with 16 trials each (fp32)", "debian-opponents"),
        ("## MovieLens-1M, the same search for every model", "ml-1m-tuned"),
        ("### MovieLens-1M, Mult-VAE with 16 trials each (fp32)", "ml-1m-searched"),
    ],
)
def test_the_tables_of_the_results_are_the_stored_ones(heading, name):
    """Every model with its metrics; every difference that the section gives."""
    page = (ROOT / "docs/guides/results.md").read_text(encoding="utf-8").replace("**", "")
    section = re.split(r"^##+ ", page.split(f"\n{heading}\n")[1], maxsplit=1, flags=re.MULTILINE)[0]
    of = json.loads((ROOT / f"chapters/results/benchmark-{name}.json").read_text("utf-8"))
    for row in of["summary"]:
        cells = [
            f"{shown(m['mean'])} ± {shown(m['se'])}" + (f" ({shown(m['seed_se'])})" if row["seeds"] > 1 else "")
            for m in row["metrics"].values()
        ]
        assert f"| {row['model']} | {row['seeds']} | {' | '.join(cells)} |" in section
    given = {m[1]: m[2] for m in re.finditer(r"^\| (\S+ − \S+) \| ([+−]\S+ \[[^]]*\]) \|", section, re.MULTILINE)}
    stored_differences = {
        f"{d['a']} − {d['b']}": f"{shown(d['difference'], '+')} [{shown(d['low'], '+')}, {shown(d['high'], '+')}]"
        for d in of["differences"]
        if d["metric"] == "ndcg@100"
    }
    assert len(given) >= 2
    assert given.items() <= stored_differences.items()


def test_the_table_of_the_searched_folds_is_the_stored_one():
    page = (ROOT / "docs/guides/results.md").read_text(encoding="utf-8")
    section = page.partition("### MovieLens-1M, Mult-VAE with 16 trials each (fp32)")[2].partition("\n## ")[0]
    of = json.loads((ROOT / "chapters/results/benchmark-ml-1m-folds-searched.json").read_text("utf-8"))
    for row in of["levels"]:
        if row["metric"] == "ndcg@100":
            ends = [shown(row["pooled"][key]) for key in ("difference", "low", "high")]
            assert f"| {row['model']} | {ends[0]} [{ends[1]}, {ends[2]}] |" in section
    for row in of["differences"]:
        if row["metric"] == "ndcg@100":
            each = " | ".join(shown(one["difference"], "+") for one in row["draws"])
            wide, _ = wider_of_two(of, row)
            middle = row["pooled"]["difference"]
            ends = [shown(value, "+") for value in (middle, middle - wide, middle + wide)]
            assert f"| {row['a']} − {row['b']} | {each} | {ends[0]} [{ends[1]}, {ends[2]}] |" in section
    (row,) = (d for d in of["differences"] if d["metric"] == "ndcg@100" and d["b"] == "multvae")
    assert row["verdict"] == "helps"
    low, high = (shown(row["pooled"][key], "+") for key in ("low", "high"))
    assert f"{shown(row['pooled']['difference'], '+')} with its own t interval over folds, [{low}, {high}]" in section


def trials(search: str, model: str) -> tuple[list[float], list[float]]:
    """Validation nDCG@100 of every trial without anchors and with, all other settings the same."""
    with (ROOT / f"chapters/results/search-{search}.csv").open(encoding="utf-8") as file:
        rows = {(row["model"], row["trial"]): row for row in csv.DictReader(file)}
    pairs = [(rows[model, str(k)], rows[f"{model}+anchor", str(k)]) for k in range(16)]
    for plain, anchored in pairs:
        assert json.loads(plain["settings"]).items() <= json.loads(anchored["settings"]).items()
    without, with_anchors = ([float(pair[n]["ndcg@100 mean"]) for pair in pairs] for n in (0, 1))
    return without, with_anchors


@pytest.mark.parametrize(
    ("search", "model", "words"),
    [
        ("ml-1m", "multvae", "ahead in {} of the 16 pairs of trials"),
        ("debian-recvae", "recvae", "ahead in {} of the 16 pairs"),
        ("planted", "recvae", "the anchored RecVAE is ahead in {} of the 16 pairs"),
        ("planted", "multvae", "the anchored Mult-VAE is ahead in {} of the 16 pairs"),
        ("planted", "multdae", "The anchored Mult-DAE is ahead in {} of the 16 pairs"),
    ],
)
def test_pairs_of_trials_with_the_same_other_settings_are_counted_as_the_search_has_them(search, model, words):
    gains = [b - a for a, b in zip(*trials(search, model), strict=True)]
    text = " ".join((ROOT / "docs/guides/results.md").read_text(encoding="utf-8").split())
    ahead = sum(gain > 0 for gain in gains)
    assert f"{words.format(ahead)}; the mean of all 16 is {shown(mean(gains), '+')}" in text


def test_the_finding_about_the_search_on_movielens_counts_the_same_pairs():
    ahead = sum(b > a for a, b in zip(*trials("ml-1m", "multvae"), strict=True))
    found = " ".join((ROOT / "docs/findings.md").read_text(encoding="utf-8").split())
    assert f"in {ahead} of 16 pairs of trials" in found


def test_the_best_anchored_trial_of_recvae_is_told_beside_the_same_without():
    without, with_anchors = trials("debian-recvae", "recvae")
    text = " ".join((ROOT / "docs/guides/results.md").read_text(encoding="utf-8").split())
    best, same = max(zip(with_anchors, without, strict=True))
    assert f"its settings without anchors have {shown(same)}, with them {shown(best)}" in text


def test_the_settings_that_differ_between_two_searched_models_are_all_named():
    text = " ".join((ROOT / "docs/guides/results.md").read_text(encoding="utf-8").split())
    models = tomllib.loads((ROOT / "chapters/results/best-ml-1m-opponents.toml").read_text("utf-8"))["models"]
    plain, anchored = models["recvae"], models["recvae+anchor"]
    differ = {key: anchored[key] for key in anchored if anchored[key] != plain.get(key)}
    assert differ.keys() == {"latent", "batch_size", "lr", "gamma", "anchor", "keep", "anchor_variant"}
    said = text.partition("differ between RecVAE with and without anchors: ")[2].partition("The anchors alone")[0]
    words = {"latent": ("latent size of {} for {}", 0), "batch_size": ("batches of {} for {}", 0)}
    words |= {"lr": ("step size of {} for {}", 4), "gamma": ("γ = {} for {}", 3), "keep": ("keep ({} for {})", 2)}
    for key, (form, digits) in words.items():
        new, old = (f"{of[key]:.{digits}f}".removeprefix("0") for of in (anchored, plain))
        assert form.format(new, old) in said
    assert f"λ = {anchored['anchor']:.2f}".replace("0.", ".") in said


def events_of(stored: dict[str, Any]) -> list[tuple[int, str]]:
    """Seed of the draw and fingerprint, as a stored result says of its data: a search, a study, one draw or several."""
    if "rows" in stored:
        return [(row["seed of the draw"], row.get("events")) for row in stored["rows"]]
    data = stored.get("data")
    return [(98765, data.get("searchable", data.get("sha256")) if isinstance(data, dict) else stored.get("events"))]


def test_stored_results_on_planted_data_are_of_todays_events():
    """The population was drawn otherwise until 30 November 2026; what a command gives today must be what is stored."""
    data, results = mv.planted(), ROOT / "chapters/results"
    splits = {seed: mv.strong_split(data, n_heldout=2000, min_user=5, seed=seed) for seed in (98765, 1, 2, 3, 4)}
    today = {
        (k, fingerprint(v, parts)) for k, v in splits.items() for parts in (("validation",), ("validation", "test"))
    }
    origin = tomllib.loads((results / "best-planted.toml").read_text(encoding="utf-8"))["origin"]
    assert (98765, origin["sha256"]) in today
    paths = list(results.glob("*planted*.json"))
    assert len(paths) > 10
    for path in paths:
        found = events_of(json.loads(path.read_text(encoding="utf-8")))
        assert found, path.name
        assert set(found) <= today, path.name
