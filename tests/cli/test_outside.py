"""--model package.module:name: an outside VAE, by the commands that take a saved model."""

import json
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch

import minivae as mv
from minivae.cli.main import main

EXAMPLE = str(Path(__file__).parents[2] / "docs" / "examples" / "outside_vae")
OUTSIDE = """
import minivae as mv
from outside_vae import OutsideVAE, train
import torch

def model():
    torch.manual_seed(0)
    split = mv.StrongSplit.load("small.safetensors")
    net = OutsideVAE(split.n_items, hidden=10, latent=3)
    train(net, torch.tensor(split.train.toarray(), dtype=torch.float32), epochs=3)
    return mv.theory.wrap(encode=net.encode, decode=net.decoder, normalize=True)

word = "no model"
net = torch.nn.Linear(3, 2)
Net = OutsideVAE

def needs(x):
    return x

fewer = mv.theory.wrap(lambda x: (x[:, :2], x[:, :2] + 1), torch.nn.Linear(2, 7))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    here = tmp_path_factory.mktemp("outside")
    split = mv.strong_split(mv.planted(n_users=300, n_items=40, n_events=4000), n_heldout=40)
    split.save(here / "small.safetensors")
    (here / "mine.py").write_text(OUTSIDE)
    (here / "table.csv").write_text("user,item\n1,2\n1,3\n2,3\n")
    (here / "config.json").write_text("{not JSON")  # that of something else, which nobody may read
    return here


@pytest.fixture
def run(folder, monkeypatch, capsys):
    """One command in that folder: its status, and what it said on standard error."""
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(EXAMPLE)
    monkeypatch.syspath_prepend(folder)

    def call(*words):
        return main(list(words)), capsys.readouterr().err

    yield call
    for name in ("mine", "outside_vae"):
        sys.modules.pop(name, None)


def test_an_outside_model_is_evaluated_as_python_does_it(folder, run):
    data = ("--data", "small.safetensors")
    assert run("evaluate", "--model", "mine:model", *data, "--json-file", "seen.json") == (0, "")
    seen = json.loads((folder / "seen.json").read_text())["metrics"]["ndcg@100"]["mean"]
    outside = import_module("outside_vae")
    torch.manual_seed(0)
    split = mv.StrongSplit.load(folder / "small.safetensors")
    net = outside.OutsideVAE(split.n_items, hidden=10, latent=3)
    untrained = mv.evaluate(mv.theory.wrap(net.encode, net.decoder, normalize=True), split.test)["ndcg@100"][0]
    outside.train(net, torch.tensor(split.train.toarray(), dtype=torch.float32), epochs=3)
    expected = mv.evaluate(mv.theory.wrap(net.encode, net.decoder, normalize=True), split.test)["ndcg@100"][0]
    np.testing.assert_allclose(seen, expected, rtol=1e-4)
    assert abs(seen - untrained) > 1e-3  # the twin: the same network before its training


@pytest.mark.slow
def test_its_card_and_its_page_are_made(folder, run):
    data = ("--data", "small.safetensors", "--model", "mine:model")
    assert run("theory", *data, "--users", "30", "--out", "card")[0] == 0
    assert "Theorem 2.3" in (folder / "card" / "card.md").read_text("utf-8")
    assert run("explain", *data, "--out", "whom")[0] == 0
    assert "The parameters as they are, alone" in (folder / "whom" / "explain.md").read_text("utf-8")
    assert (folder / "whom" / "explain.html").is_file()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("evaluate", "--model", "mine:model"), "does not say which data the model was trained on; give --data"),
        (
            ("evaluate", "--model", "mine:word", "--data", "small.safetensors"),
            "of class str; give what minivae",
        ),
        (("evaluate", "--model", "mine:net", "--data", "small.safetensors"), "is of class Linear; give what"),
        (("evaluate", "--model", "mine:Net", "--data", "small.safetensors"), "is of class type; give what"),
        (("evaluate", "--model", "mine:needs", "--data", "small.safetensors"), "cannot be called without arguments"),
        (("evaluate", "--model", "mine:model", "--data", "table.csv"), "says nothing of its items' labels"),
        (("explain", "--model", "nowhere:model", "--data", "small.safetensors"), "cannot be imported"),
        (("evaluate", "--model", "mine:other", "--data", "small.safetensors"), "has no attribute 'other'"),
        (("evaluate", "--model", "mine:fewer", "--data", "small.safetensors"), "knows 7 items but the data has 40"),
    ],
)
def test_what_is_no_model_is_refused_in_a_sentence(run, words, sentence):
    status, said = run(*words)
    assert status == 2
    assert said.startswith("error: ")
    assert sentence in said
