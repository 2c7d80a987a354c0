"""Where each number of an observation comes from, and with which users, masks and draws it was asked for."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

import minivae as mv
from minivae.study.observations import observations
from minivae.study.observations.observations import Trained
from minivae.theory.card.evidence import LIPSCHITZ


@pytest.fixture
def asked(monkeypatch):
    """Answers of the theory that are all different, and what was asked for them."""
    calls = {}

    def answer(module, name, value):
        def fake(*arguments, **named):
            calls[name] = (arguments, named)
            return value

        monkeypatch.setattr(module, name, fake)

    chain = {"gradient distance": 0.11, LIPSCHITZ: 0.12}
    gram = np.array([[4.0, -1.0, 1.5], [-1.0, 1.0, 0.2], [1.5, 0.2, 9.0]])
    answer(observations.bottleneck, "active_units", torch.tensor([1, 1, 0, 1]))
    answer(observations.bottleneck, "kl_per_dimension", torch.tensor([0.5, 0.25]))
    answer(observations.bottleneck, "kl_decomposition", SimpleNamespace(mutual_information=0.13))
    answer(observations.transfer, "sharing", SimpleNamespace(norm=torch.ones(3), chain=lambda: chain))
    answer(observations.transfer, "view_sharing", SimpleNamespace(chain=lambda: {LIPSCHITZ: 0.14, "other": 9}))
    answer(observations.transfer, "gram", gram)
    answer(observations.locality, "without_one", ("rows", "others"))
    answer(observations.locality, "observed_smoothness",
           SimpleNamespace(largest=0.15, proved=SimpleNamespace(joint=0.16)))  # fmt: skip
    moved = SimpleNamespace(clean=[1.1, 1.2], ratio=[2.1, 2.2], prob_contract=[0.31, 0.5, 0.32])
    answer(observations.masking, "latent_contraction", moved)
    answer(observations.masking, "neighbourhood_drift", SimpleNamespace(within=0.41, ratio=0.42, overlap=0.43))
    answer(observations.anchoring, "anchor_norms", SimpleNamespace(norms=torch.tensor([1.0, 3.0]), ratio=0.45))
    return calls


def test_every_number_is_the_one_it_is_called(asked, toy_split):
    """Cosines of the three pairs: −1 / 2, 1.5 / 6 and .2 / 3; two of three are above 0."""
    model = mv.MultVAE(toy_split.n_items, hidden=6, latent=4)
    model.add_anchors()
    found = observations.measure(Trained("m-seed3", model.eval(), mv.TrainConfig(seed=3), 0.77), toy_split)
    assert found == pytest.approx(
        {
            "ndcg": 0.77,
            "active": 3,
            "latent": 4,
            "kl": 0.75,
            "information": 0.13,
            "transfer": 2 / 3,
            "certified exact": 0.11,
            "certified": 0.12,
            "cosine": 0.25,
            "views certified": 0.14,
            "largest ratio": 0.15,
            "proved": 0.16,
            "clean 1": 1.1,
            "clean 2": 1.2,
            "ratio 1": 2.1,
            "ratio 2": 2.2,
            "closer near": 0.31,
            "closer far": 0.32,
            "within": 0.41,
            "within/between": 0.42,
            "overlap": 0.43,
            "anchor norm": 2,
            "anchor scatter": 0.45,
        }
    )
    few = observations.PAIRS
    for name in ("sharing", "gram", "view_sharing"):
        (inside, rows, *_), _ = asked[name]
        assert rows.shape[0] == few == 100
        assert next(inside.parameters()).dtype == torch.float64
    (_, some, keep), named = asked["latent_contraction"]
    assert (some.shape[0], keep, named["n_masks"]) == (min(2000, toy_split.train.shape[0]), 0.5, 6)
    assert asked["neighbourhood_drift"][1]["n_masks"] == 6
    assert asked["view_sharing"][0][2] == asked["neighbourhood_drift"][0][2] == 0.5
    assert asked["view_sharing"][1]["n_samples"] == asked["sharing"][0][2] == asked["gram"][0][2] == 4
    assert asked["kl_decomposition"][0][2] == 8
    assert asked["observed_smoothness"][0][1:] == ("rows", "others")
    assert asked["without_one"][0][0] is some
    own, shared = asked["kl_decomposition"][0][3], asked["sharing"][0][3]
    assert own.initial_seed() == shared.initial_seed() == 3
    assert own is not shared  # so that a new number moves no old one
    order = np.random.default_rng(3).permutation(toy_split.train.shape[0])
    assert (some != toy_split.train[order[:2000]]).nnz == 0
    with torch.no_grad():
        mu, sd = observations.in_float64(model).encode(some)
    torch.testing.assert_close(asked["kl_per_dimension"][0][0], mu)
    torch.testing.assert_close(asked["kl_per_dimension"][0][1], sd)


def test_a_model_without_a_proved_constant_or_anchors_has_no_such_number(asked, toy_split, monkeypatch):
    monkeypatch.setattr(
        observations.locality, "observed_smoothness", lambda *a: SimpleNamespace(largest=0.15, proved=None)
    )
    model = mv.MultVAE(toy_split.n_items, hidden=6, latent=4).eval()
    found = observations.measure(Trained("m-seed0", model, mv.TrainConfig(), 0.7), toy_split)
    assert not {"proved", "anchor norm", "anchor scatter"} & set(found)


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"keep": 1.0, "beta": 0.2}, "clean β=0.2"),
        ({"keep": 0.5, "beta": 4.0}, "masked β=4"),
        ({"keep": 0.5, "beta": 0.2, "anchor": 1.0}, "masked+PIA λ=1 β=0.2"),
        ({"keep": 1.0, "beta": 0.2, "anchor": 0.1, "anchor_variant": "centroid"}, "clean+PIA λ=0.1 centroid β=0.2"),
    ],
)
def test_a_variant_is_named_after_its_settings(settings, name):
    model = mv.MultVAE(9, hidden=4, latent=2)
    config = mv.TrainConfig(**({"anchor": 0.0} | settings))
    assert Trained("m", model, config, 0.5).variant == name
    assert Trained("m", mv.RecVAE(9, hidden=4, latent=2), config, 0.5).variant == f"RecVAE {name}"


def test_the_small_models_are_made_seed_after_seed():
    jobs = observations.jobs(2, ("multvae", "beta4"))
    assert [(j.spec.name, j.config.seed) for j in jobs] == [("multvae", 0), ("beta4", 0), ("multvae", 1), ("beta4", 1)]
    assert (jobs[1].config.beta, jobs[0].config.beta) == (4.0, 0.2)
    assert {j.config.lr for j in jobs} == {2e-3}
    assert dict(jobs[0].spec.arguments) == {"hidden": 200, "latent": 50}


def test_the_radius_of_the_toy_is_read_line_by_line(monkeypatch):
    def closing(seed, stops, n_samples):
        assert (stops, n_samples) == ((0, 30, 100, 300), 4)
        return [
            {"test": "theorem", "link": LIPSCHITZ, "step": 0, "same": 1 + seed, "other": 2},
            {"test": "theorem", "link": "Lipschitz proved", "step": 0, "same": 3, "other": 4},
            {"test": "theorem", "link": "gradient distance", "step": 0, "same": 5, "other": 6},
            {"test": "corollary", "link": LIPSCHITZ, "step": 0, "same": 7, "other": 8},
            {"test": "theorem", "link": LIPSCHITZ, "step": 300, "same": 9, "other": 10},
        ]

    monkeypatch.setattr(observations.toy, "closing_radius", closing)
    first, second = observations.toy_radius(2)
    assert first == {"local same 0": 1, "local other 0": 2, "proved same 0": 3, "proved other 0": 4,
                     "local same 300": 9, "local other 300": 10}  # fmt: skip
    assert second["local same 0"] == 2
