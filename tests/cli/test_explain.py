"""`minivae explain` as a person meets it."""

import json
import re

import numpy as np
import pytest

import minivae as mv
from minivae.cli.main import main
from minivae.explain import conclusions, experiment
from minivae.explain.records import RemovalResults
from minivae.models import load_model
from minivae.runtime.records import MeanInterval
from minivae.study.run.sources import fingerprint
from tests.report_pages import dead_links

TINY = ["--epochs", "4", "--device", "cpu", "--precision", "fp32"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "tiny.safetensors"
    mv.strong_split(mv.planted(n_users=300, n_items=120, n_events=6000), n_heldout=50).save(path)
    return path


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("trained") / "run"
    assert main(["train", "--data", str(data), *TINY, "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def explained(trained, tmp_path_factory):
    """A page with a user-given grouping: users with an odd label against the others."""
    folder = tmp_path_factory.mktemp("explained")
    groups = folder / "parity.csv"
    groups.write_text("user,group\n" + "".join(f"{u},{'odd' if u % 2 else 'even'}\n" for u in range(290)), "utf-8")
    out = folder / "whom"
    assert main(["explain", "--model", str(trained), "--groups", str(groups), "--out", str(out)]) == 0
    return out


def test_the_page_says_how_the_model_was_seen(explained):
    text = (explained / "explain.md").read_text("utf-8")
    assert "trained again for its snapshots: the same parameters to the last bit" in text
    page = (explained / "explain.html").read_text("utf-8")
    assert page.count("data:image/svg+xml;base64,") == 2
    assert 'src="flows.png"' not in page
    assert dead_links(page) == []


def test_the_numbers_are_those_of_the_library(explained, trained):
    value = json.loads((explained / "transfer.json").read_text("utf-8"))
    assert value["command"].split()[0] == "minivae"
    assert set(value["segments"]) == {"activity", "popularity of taste", "communities found in the data", "parity"}
    parity = value["segments"]["parity"]
    assert set(parity["names"]) == {"odd", "even", "not given"}
    split = mv.StrongSplit.load(trained / json.loads((trained / "config.json").read_text("utf-8"))["data"]["split"])
    assert sum(parity["users"]) == split.train.shape[0] == value["users"]
    from minivae.explain import transfer

    last = transfer(load_model(trained), split.train)
    assert 0 < last.cosine.max() <= 1 + 1e-5
    assert [stage["epoch"] for stage in value["sharing radius"]] == value["epochs of the snapshots"]
    by_common = value["by common items"]
    assert sum(row["pairs"] for row in by_common) == value["users"] * (value["users"] - 1)
    for example in value["examples"]:
        assert len(example["helpers"]) == 10
        values = [h["transfer"] for h in example["helpers"]]
        assert values == sorted(values, reverse=True)
        assert example["user"] not in [h["user"] for h in example["helpers"]]


def test_without_a_record_of_the_training_the_last_parameters_count(trained, data, tmp_path):
    alone = tmp_path / "alone.safetensors"
    alone.write_bytes((trained / "model.safetensors").read_bytes())
    out = tmp_path / "whom"
    assert main(["explain", "--model", str(alone), "--data", str(data), "--users", "40", "--out", str(out)]) == 0
    assert "The parameters as they are, alone" in (out / "explain.md").read_text("utf-8")
    assert json.loads((out / "transfer.json").read_text("utf-8"))["users"] == 40


def page_of(out, name):
    """The Markdown of a page, whose HTML has its conclusion first, command, contents and a figure that is described."""
    text, page = ((out / f"{name}.{kind}").read_text("utf-8") for kind in ("md", "html"))
    assert "tabular" in (out / f"{name}.tex").read_text("utf-8")
    parts = re.findall(r"<h2[^>]*>([^<]*)</h2>", page)
    assert dead_links(page) == []
    assert parts[0] == "Conclusion"
    assert parts[-1] == "Figures"
    assert page.index("Conclusion") < page.index("<code>minivae") < page.index("<nav ")
    alts = re.findall(r'<img src="data:image/svg[^>]*alt="([^"]*)"', page)
    assert len(alts) == 1
    assert re.search(r"\d", alts[0])
    return text


def test_lds_can_be_continued_and_says_the_same(data, tmp_path, monkeypatch, capsys):
    """Interrupted after three retrainings; the scores are on disk before the first of them."""
    flags = ["explain", "lds", "--data", str(data), "--subsets", "3", "--receivers", "12", "--epochs", "2"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert main([*flags, "--out", str(whole)]) == 0
    real, calls = experiment.retrain, []

    def stops(*arguments):
        assert (parts / "sums.safetensors").is_file()
        if len(calls) == 3:
            raise KeyboardInterrupt
        calls.append(0)
        return real(*arguments)

    monkeypatch.setattr(experiment, "retrain", stops)
    assert main([*flags, "--out", str(parts)]) == 130
    assert "--resume" in capsys.readouterr().err
    monkeypatch.setattr(experiment, "retrain", real)
    assert main([*flags, "--out", str(parts)]) == 2  # says that it holds a run already
    assert main([*flags, "--out", str(parts), "--resume"]) == 0
    a, b = (json.loads((out / "lds.json").read_text("utf-8")) for out in (whole, parts))
    assert a["scores"] == b["scores"]
    assert {"transfer", "ceiling", "sharing radius", "Jaccard"} <= set(a["scores"]["reconstruction"])
    for line in a["scores"]["heldout"].values():
        assert line["low"] <= line["lds"] <= line["high"] or np.isclose(line["low"], line["high"])
    text = page_of(whole, "lds")
    assert f"transfer has LDS {a['scores']['heldout']['transfer']['lds']:.3f}" in text
    assert "against retraining: planted" in text


@pytest.mark.parametrize("what", ["lds", "removal"])
def test_other_data_in_the_same_place_is_not_gone_on_with(what, tmp_path, monkeypatch, capsys):
    place = tmp_path / "data.safetensors"
    one, two = (mv.planted(n_users=200, n_items=40, n_events=3000, seed=seed) for seed in (0, 1))
    mv.strong_split(one, n_heldout=30).save(place)
    few = {"lds": ["--subsets", "2", "--receivers", "8"], "removal": ["--receivers", "2", "--helpers", "3"]}[what]
    flags = ["explain", what, "--data", str(place), *few, "--epochs", "1", "--out", str(tmp_path / "out")]

    def stop(*arguments, **more):
        raise KeyboardInterrupt

    begins = {"lds": "minivae.explain.experiment.retrain", "removal": "minivae.explain.removal"}[what]
    with monkeypatch.context() as patch:
        patch.setattr(begins, stop)
        assert main(flags) == 130
    mv.strong_split(two, n_heldout=30).save(place)
    capsys.readouterr()
    assert main([*flags, "--resume"]) == 2
    assert "was begun with other data than planted is now" in capsys.readouterr().err
    mv.strong_split(one, n_heldout=30).save(place)
    assert main([*flags, "--resume"]) == 0


@pytest.mark.parametrize(
    ("extra", "says"),
    [
        (["--groups", "nowhere.csv"], "nowhere.csv does not exist"),
        (["--model", "nowhere"], "nowhere"),
        (["lds", "--model", "anything"], "--model belongs to another question of minivae explain (transfer)"),
        (["lds", "--subsets", "1"], "--subsets 1 is not possible; it must be a whole number from 2 to 65536"),
        (["lds", "--subsets", "1" + "0" * 24], "it must be a whole number from 2 to 65536"),
        (["lds", "--receivers", "-1"], "--receivers -1 is not possible; it must be a whole number, at least 2"),
        (["lds", "--again", "-1"], "--again -1 is not possible; it must be a whole number, at least 0"),
    ],
)
def test_bad_input_is_one_sentence(extra, says, data, tmp_path, capsys):
    what = [e for e in extra if e == "lds"]
    rest = [e for e in extra if e != "lds"]
    rest += [] if "--model" in rest else ["--epochs", "1"]
    command = ["explain", *what, "--data", str(data), *rest, "--out", str(tmp_path / "o")]
    assert main(command) == 2
    message = capsys.readouterr().err.strip()
    assert message.startswith("error: ")
    assert says in re.sub(r"\s+", " ", message)
    assert "Traceback" not in message


def test_the_removal_test_is_made_by_a_command(data, tmp_path, capsys):
    out = tmp_path / "removal"
    words = ["explain", "removal", "--data", str(data), "--epochs", "2", "--receivers", "3", "--helpers", "4"]
    assert main([*words, "--out", str(out)]) == 0
    assert "are the helpers missed?" in capsys.readouterr().out
    value = json.loads((out / "removal.json").read_text("utf-8"))
    gaps = np.array(value["loss without helpers"]) - np.array(value["loss without others"])
    assert (value["receivers"], value["left out"]) == (3, 4)
    assert value["events"] == fingerprint(mv.StrongSplit.load(data))
    assert value["difference"]["mean"] == pytest.approx(gaps.mean())
    assert value["difference"]["low"] < gaps.mean() < value["difference"]["high"]
    assert f"{gaps.mean():+.4f} nats higher" in page_of(out, "removal")
    assert main([*words, "--out", str(out), "--resume"]) == 0


def test_far_pairs_leave_a_page(tmp_path):
    """Two epochs are enough: what is tested is the page."""
    out = tmp_path / "far"
    words = ["explain", "far", "--data", "planted", "--users", "400", "--epochs", "2", "--seeds", "2"]
    assert main([*words, "--hidden", "8", "--latent", "4", "--out", str(out)]) == 0
    value = json.loads((out / "far.json").read_text("utf-8"))
    assert value["events"] == fingerprint(mv.strong_split(mv.planted(), n_heldout=2000, min_user=5))
    text = page_of(out, "far")
    for name, of in value["variants"].items():
        assert f"**{name}**, end: difference {of['end']['difference']:+.4f}" in text


@pytest.mark.parametrize("seeds", ["0", "1" + "0" * 24])
def test_far_pairs_ask_for_a_possible_number_of_seeds(seeds, tmp_path, capsys):
    words = ["explain", "far", "--data", "planted", "--users", "400", "--seeds", seeds, "--out", str(tmp_path / "far")]
    assert main(words) == 2
    assert f"--seeds {seeds} is not possible" in re.sub(r"\s+", " ", capsys.readouterr().err)


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [(0.1, 0.3, "missed more"), (-0.3, -0.1, "missed less"), (-0.1, 0.3, "cannot be told apart")],
)
def test_a_conclusion_says_what_its_interval_allows(low, high, said):
    value = RemovalResults(
        data="d",
        receivers=2,
        left_out=5,
        without_helpers=[low, high],
        without_others=[0.0, 0.0],
        difference=MeanInterval((low + high) / 2, low, high),
        missed=0.5,
    )
    sentence = conclusions.removal_conclusion(value)
    others = {"missed more", "missed less", "cannot be told apart"} - {said}
    assert f": the helpers are {said}." in sentence or f": the two {said}." in sentence
    assert not any(f"are {o}." in sentence or f"two {o}" in sentence for o in others)
