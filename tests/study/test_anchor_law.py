"""When do anchors help: the weight is chosen on validation users, the difference is that of the test users."""

import json
import shutil

import numpy as np
import pytest

import minivae as mv
from minivae.cli.main import main
from minivae.study.draws import anchor_law
from minivae.study.run.runs import Result
from minivae.study.run.sources import fingerprint


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("law")
    mv.strong_split(mv.planted(n_users=300, n_items=120, n_events=6000), n_heldout=50).save(folder / "data.safetensors")
    models = "multdae,multdae-full-1,multdae-full-10,multdae-direction-1"
    command = ["study", "--preset", "anchor-law", "--data", str(folder / "data.safetensors"), "--models", models]
    assert main([*command, "--epochs", "3", "--device", "cpu", "--out", str(folder / "study")]) == 0
    return folder / "study"


def test_the_choice_and_the_difference(study, tmp_path):
    assert main(["explain", "anchors", "--study", str(study), "--out", str(tmp_path / "o")]) == 0
    rows = json.loads((tmp_path / "o" / "anchors.json").read_text("utf-8"))["rows"]
    runs = {p.name.removesuffix("-seed0"): Result.load(p) for p in (study / "runs").iterdir()}
    assert {(r["model"], r["form"]) for r in rows} == {("multdae", "full"), ("multdae", "direction")}
    assert {r["events"] for r in rows} == {fingerprint(mv.StrongSplit.load(study.parent / "data.safetensors"))}
    full = next(r for r in rows if r["form"] == "full")
    validation = {w: runs[f"multdae-full-{w}"].metrics.validation["ndcg@100"].mean for w in ("1", "10")}
    assert full["chosen weight"] == float(max(validation, key=validation.get))
    a, b = (runs[n].scored["test"].per_user["ndcg@100"] for n in (f"multdae-full-{full['chosen weight']:g}", "multdae"))
    assert full["difference"]["mean"] == pytest.approx(np.nanmean(a - b))
    assert full["difference"]["low"] < full["difference"]["mean"] < full["difference"]["high"]
    assert set(full["norm of codes"]) == {"0", "1", "10"}
    assert len(anchor_law.table([anchor_law.LawRow.from_dict(row) for row in rows]).rows) == 2


def test_a_folder_that_is_no_such_study(tmp_path, capsys):
    assert main(["explain", "anchors", "--out", str(tmp_path / "a")]) == 2
    assert "needs --study" in capsys.readouterr().err
    with pytest.raises(mv.InputError, match="no finished run"):
        anchor_law.collect([tmp_path])


def test_another_split_in_the_place_of_the_first_is_refused(study, tmp_path):
    """Activity and norms of codes would be of users that no difference is of."""
    copy = shutil.copytree(study.parent, tmp_path / "copy") / "study"
    found = anchor_law.collect([copy]).rows
    assert [r.events for r in found] == [r.events for r in anchor_law.collect([study]).rows]
    other = mv.strong_split(mv.planted(n_users=300, n_items=120, n_events=6000), n_heldout=50, seed=3)
    for path in (copy.parent / "data.safetensors", copy / "split.safetensors"):
        if path.exists():
            other.save(path)
    with pytest.raises(mv.InputError, match="is no longer the split"):
        anchor_law.collect([copy])
