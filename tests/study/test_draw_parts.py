"""Parts of combining draws and of the table of anchors, on numbers made up by hand."""

from types import SimpleNamespace

import pytest

import minivae as mv
from minivae.runtime.records import MeanInterval
from minivae.study.draws import anchor_law, draws


def test_a_split_that_is_no_longer_that_of_the_study_is_refused(tmp_path, monkeypatch):
    """The split is there, and can be read, but its numbers are not those that the study wrote down."""
    split = mv.strong_split(mv.planted(n_users=60, n_items=40, n_events=900), n_heldout=10)
    split.save(tmp_path / "split.safetensors")
    (tmp_path / "results.json").touch()
    note = SimpleNamespace(data=SimpleNamespace(split=str(tmp_path / "split.safetensors"), sha256="0" * 64))
    results = SimpleNamespace(runs=[SimpleNamespace(model="ease", seed=0)])
    monkeypatch.setattr(draws, "read_record", lambda path, schema: results)
    monkeypatch.setattr(draws, "read_note", lambda folder: note)
    with pytest.raises(mv.InputError, match=r"is no longer the split that .* was made from; make it again"):
        draws.SplitStudy.load(tmp_path)


def fold(k, folds=3, seed=0):
    return {"fold": k, "folds": folds, "seed": seed}


@pytest.mark.parametrize(
    ("protocols", "answer"),
    [
        ([{"seed": 1}, {"seed": 2}], False),
        ([fold(1), fold(2), fold(3)], True),
        ([fold(3), fold(1), fold(2)], True),
        ([fold(1), fold(2)], None),  # one is missing
        ([fold(1), fold(2), fold(2)], None),  # one comes twice
        ([fold(1), fold(2), fold(3), fold(3)], None),
        ([fold(1), fold(2), fold(3, seed=1)], None),  # of another partition
        ([fold(1, folds=2), fold(2, folds=3)], None),
        ([fold(1), fold(2), {"seed": 0}], None),  # a draw among folds
    ],
)
def test_folds_count_together_only_if_they_are_a_whole_partition(protocols, answer):
    studies = [SimpleNamespace(results=SimpleNamespace(data=SimpleNamespace(protocol=p))) for p in protocols]
    if answer is None:
        with pytest.raises(mv.InputError, match="not all folds of one partition"):
            draws.are_folds(studies)
    else:
        assert draws.are_folds(studies) is answer


def test_the_table_of_anchors_has_each_number_in_its_column():
    def gain(mean, half):
        return MeanInterval(mean, mean - half, mean + half)

    groups = {"5–10": gain(-0.0045, 0.001), "11–50": gain(0.5, 0.1), "101+": gain(0.0067, 0.001)}
    rows = [
        anchor_law.LawRow("a", 7, "multvae", "full", 0.41234, 10.0, gain(0.0123, 0.002), {}, by_activity, {})
        for by_activity in (groups, {"11–50": groups["11–50"]})
    ]
    text = anchor_law.table(rows).markdown()
    first, second = text.strip().splitlines()[-2:]
    cells = [c.strip() for c in first.strip("|").split("|")]
    assert cells[:7] == ["7", "multvae", "full", "10", "0.4123", "+0.0123", "+0.0103 … +0.0143"]
    assert cells[7:] == ["-0.0045", "+0.0067"]
    assert "0.5" not in second  # a group that is not there is left empty, not filled by another
