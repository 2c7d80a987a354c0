"""The observations: what is trained, read back, measured and compared; no observation itself is asserted."""

import csv
import json
from collections import defaultdict
from importlib.resources import files

import numpy as np
import pytest

import minivae as mv
from minivae.cli.main import main
from minivae.errors import InputError
from minivae.runtime.table import as_markdown
from minivae.study.observations import observations, prototype
from minivae.study.output import published
from minivae.study.run import presets
from minivae.study.run.runs import Job
from minivae.study.run.sources import fingerprint

VARIANTS = ("multvae+anchor", "multvae-clean", "multvae", "beta4")


@pytest.fixture(scope="module")
def few_jobs():
    size, quick = observations.SIZE, observations.QUICK
    with pytest.MonkeyPatch.context() as m:
        m.setattr(observations, "SIZE", {"hidden": 12, "latent": 4})
        m.setattr(observations, "QUICK", quick | {"epochs": 2})
        jobs = observations.jobs(2, VARIANTS)
    assert observations.SIZE is size
    return jobs


@pytest.fixture(scope="module")
def folder(toy_split, few_jobs, tmp_path_factory):
    out = tmp_path_factory.mktemp("observations")
    observations.train(few_jobs, toy_split, fingerprint(toy_split), out)
    return out


@pytest.fixture(scope="module")
def found(folder, toy_split):
    return observations.collect(observations.load(folder, toy_split, fingerprint(toy_split)), toy_split)


def test_variants_are_told_from_their_settings(found):
    assert set(found) == {prototype.CLEAN, prototype.MASKED, prototype.PIA, "masked β=4"}
    for rows in found.values():
        assert [r["seed"] for r in rows] == [0, 1]
    assert all("anchor norm" in r for r in found[prototype.PIA])
    assert not any("anchor norm" in r for r in found[prototype.CLEAN])


def test_nothing_is_trained_twice(folder, toy_split, few_jobs):
    models = {p: p.stat().st_mtime_ns for p in folder.glob("runs/*/model.safetensors")}
    assert len(models) == len(few_jobs)
    observations.train(few_jobs, toy_split, fingerprint(toy_split), folder)
    assert {p: p.stat().st_mtime_ns for p in models} == models


def assert_sound(row, model, split):
    """Numbers that must agree with what they are made of, whatever they are."""
    assert row["ndcg"] == pytest.approx(mv.evaluate(model, split.test)["ndcg@100"][0])
    mu, sd = (t.detach().double() for t in model.encode(split.train))
    kl = 0.5 * (mu**2 + sd**2 - 1 - 2 * sd.log()).sum(1).mean()
    assert row["kl"] == pytest.approx(float(kl), rel=1e-5)
    assert row["active"] == float((mu.var(0) > 0.01).sum())
    assert row["largest ratio"] <= row["proved"]
    for share in ("transfer", "certified exact", "certified", "views certified", "closer near", "overlap"):
        assert 0 <= row[share] <= 1
    assert row["certified"] <= row["certified exact"]
    clean = [row[f"clean {k}"] for k in range(1, 6)]
    assert clean == sorted(clean)


def test_numbers_are_those_of_the_model(found, folder, toy_split):
    row = found[prototype.MASKED][1]
    model = mv.load_model(folder / "runs" / "multvae-seed1")
    assert_sound(row, model, toy_split)
    with pytest.raises(AssertionError):
        assert_sound(found[prototype.MASKED][0], model, toy_split)  # another seed's


def test_a_model_without_a_proved_constant_has_all_other_numbers(found, toy_split):
    config, one = observations.TrainConfig(), found[prototype.MASKED]
    for kind in (mv.RecVAE, mv.HVamp):
        row = observations.measure(
            observations.Trained("x", kind(toy_split.n_items, hidden=12, latent=4), config, 0.3), toy_split
        )
        assert set(one[0]) - set(row) == {"proved", "seed", "beta"}  # the last two come from collect
        rows = prototype.compare({prototype.MASKED: [row | {"seed": 0, "beta": 0.2}]}, [], comparable=False)
        assert not [r for r in rows if "proved" in r.what]
        assert [r for r in rows if "seen" in r.what]
    assert [r for r in prototype.compare({prototype.MASKED: one}, [], comparable=False) if "proved" in r.what]


def test_another_split_is_refused(folder, toy_split, tmp_path):
    with pytest.raises(InputError, match="another split"):
        next(observations.load(folder, toy_split, "0" * 64))
    with pytest.raises(InputError, match="no finished runs"):
        next(observations.load(tmp_path, toy_split, fingerprint(toy_split)))


def test_the_table_says_what_agrees():
    numbers = {prototype.MASKED: [{"cosine": c, "seed": k} for k, c in enumerate((0.0010, 0.0012, 0.0008))]}

    def verdict(prototype_value, comparable=True):
        values = [r["cosine"] for r in numbers[prototype.MASKED]]
        return prototype._number("2", "cosine", prototype_value, values, comparable)

    assert verdict(0.0010).agrees == "yes"
    assert verdict(0.0013).agrees == "yes"  # within 2 sd
    assert verdict(0.0020).agrees == "no"
    assert verdict(None).agrees == "–"
    assert verdict(0.0010, comparable=False).agrees == "– (other data)"
    assert verdict(0.0010).observed == f"{0.001:.4g} ± {np.std([10, 12, 8], ddof=1) * 1e-4:.2g}"
    assert [prototype._claim("2", "x", "yes", h).agrees for h in ([1, 1], [0, 0], [1, 0])] == ["yes", "no", "mixed"]


class EveryNumber(defaultdict):
    """Has a number under every key."""

    def __contains__(self, key):
        return True


def test_every_number_of_the_prototype_has_a_source_and_a_row(monkeypatch):
    """Each row of prototype.csv stands in the table once; a number under a misspelt key would stand nowhere."""
    text = (files("minivae.study") / "published" / "prototype.csv").read_text(encoding="utf-8")
    source = list(csv.DictReader(text.splitlines()))
    assert len(source) == len(published.prototype())
    assert all(r["source"] for r in source)
    seed = EveryNumber(lambda: 0.5, seed=0, beta=0.2)
    found = {variant: [seed] for variant in prototype.NAMES.values()}

    def stated():
        shown = (r.prototype for r in prototype.compare(found, [seed], comparable=True))
        return sorted(float(value) for value in shown if value not in ("–", "yes"))

    values = sorted(float(r["value"]) for r in source)
    assert stated() == values
    misspelt = {(*key[:2], key[2].replace("overlap", "overlaps")): v for key, v in published.prototype().items()}
    monkeypatch.setattr(published, "prototype", lambda: misspelt)
    assert stated() != values


def test_claims_pair_the_seeds_of_variants(found):
    """Swapping two seeds of one variant must not change the table: rows are matched by seed, not by position."""
    rows = prototype.compare(found, [], comparable=False)
    swapped = found | {prototype.PIA: found[prototype.PIA][::-1]}
    assert [r.agrees for r in prototype.compare(swapped, [], comparable=False)] == [r.agrees for r in rows]
    assert any(r.what == "active units fall from the smallest to the largest β" for r in rows)
    text = as_markdown(prototype.compose(rows, "title"))
    assert all(r.observed in text for r in rows)


def test_the_command_writes_card_and_observations(folder, toy_split, tmp_path, capsys):
    data, out = tmp_path / "split.safetensors", tmp_path / "card"
    toy_split.save(data)
    model = folder / "runs" / "multvae-seed0"
    flags = ["--data", str(data), "--model", str(model), "--study", str(folder), "--users", "40", "--out", str(out)]
    assert main(["theory", *flags]) == 0
    shown = capsys.readouterr().out
    assert str(out) in shown.splitlines()[-1]
    assert "Report card" in shown
    card = json.loads((out / "card.json").read_text(encoding="utf-8"))
    assert {c["verdict"] for c in card["checks"]} == {"exact", "bound holds", "measured"}
    value = json.loads((out / "observations.json").read_text(encoding="utf-8"))
    assert len(value["models"][prototype.MASKED]) == 2
    text = (out / "observations.md").read_text(encoding="utf-8").replace("\\|", "|")
    for row in value["table"]:
        assert (
            f"| {row['section']} | {row['what']} | {row['observed']} | {row['prototype']} | {row['agrees']} |" in text
        )
    pictures = {p.stem for p in out.glob("*.png")}
    assert pictures >= {"theorem-2.3", "lemma-2.4", "theorem-2.5", "beta-kl", "theorem-2.6"}
    assert pictures >= {"proposition-3.1", "proposition-3.2", "observed-beta", "observed-contraction"}
    assert all(p.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n" for p in out.glob("*.png"))
    assert main(["theory", *flags]) == 2  # the folder is taken
    assert "already holds" in capsys.readouterr().err
    assert main(["theory", "--data", str(data), "--seeds", "2"]) == 2
    assert "need --out" in capsys.readouterr().err


class Posterior(mv.MultVAE):
    """Another class of model, trained like MultVAE."""


def trained(model, name, seed=0, **settings):
    return observations.Trained(f"{name}-seed{seed}", model, mv.TrainConfig(seed=seed, **settings), 0.5, name)


def test_models_of_another_class_or_name_are_other_variants(monkeypatch):
    monkeypatch.setattr(observations, "measure", lambda trained, split: {})
    first, other = mv.MultVAE(9, hidden=4, latent=2), Posterior(9, hidden=4, latent=2)
    models = [trained(first, "multvae"), trained(first, "multvae", 1), trained(first, "wide"), trained(other, "own")]
    found = observations.collect(iter(models), None)
    assert {v: [r["seed"] for r in rows] for v, rows in found.items()} == {
        "masked β=0.2": [0, 1],
        "masked β=0.2 (wide)": [0],
        "Posterior masked β=0.2": [0],
    }


def test_what_is_no_vae_is_passed_over(folder, toy_split, monkeypatch):
    """A model of another kind that was trained has no posterior to look at, and nothing is said of it."""
    monkeypatch.setattr(observations, "load_model", lambda run: mv.Popularity())
    left_out = []
    assert not list(observations.load(folder, toy_split, fingerprint(toy_split), left_out))
    assert not left_out


def test_a_run_says_where_its_split_lies(folder):
    """Seen from the folder of the run, so that the study can be moved as a whole."""
    note = json.loads((folder / "runs" / "multvae-seed0" / "config.json").read_text(encoding="utf-8"))
    assert note["data"]["split"] == "../../split.safetensors"


def test_a_model_without_spread_is_left_out_with_a_sentence(few_jobs, toy_split, tmp_path):
    spec = presets.ModelSpec("multdae", "MultDAE", {"latent": 4}, {"epochs": 1})
    job = Job(spec, spec.config())
    observations.train([few_jobs[0], job], toy_split, fingerprint(toy_split), tmp_path)
    left_out = []
    names = [t.name for t in observations.load(tmp_path, toy_split, fingerprint(toy_split), left_out)]
    assert names == [few_jobs[0].name]
    (sentence,) = left_out
    assert sentence.startswith("multdae-seed0 is left out: it gives users points")
    with pytest.raises(InputError, match="none of the finished runs"):
        observations.collect(iter(()), toy_split)
