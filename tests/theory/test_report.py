"""The report card: right on a right theory, FAILED where a wrong constant is planted, same for outside models."""

import html
import json
import math
import re
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from rich.console import Console
from torch import nn

import minivae as mv
from minivae.errors import InputError
from minivae.runtime.text import PlainConsole
from minivae.theory import anchoring, bottleneck, conventions, distances, information, locality, masking, toy, transfer
from minivae.theory.card import card as report
from minivae.theory.card import check as verdict
from minivae.theory.numerics import smoothness


@pytest.fixture(scope="module")
def model(toy_split):
    model = mv.MultVAE(toy_split.n_items, hidden=24, latent=6)
    mv.fit(model, toy_split, mv.TrainConfig(epochs=3, batch_size=100, anneal_steps=10, anchor=1.0, precision="fp32"))
    return model


@pytest.fixture(scope="module")
def card(model, toy_split):
    return report.report_card(model, toy_split, n_users=60)


def assert_no_failure(card):
    assert [c.claim for c in card.failed] == []
    assert {c.statement for c in card.checks} == set(report.STATEMENTS)
    for c in card.checks:
        assert (c.slack is None) == (c.verdict == "measured")
        assert c.on
        if c.slack is not None:
            assert c.slack >= -verdict.ROUNDING
        else:
            assert c.value


def test_every_statement_holds_on_a_trained_model(card):
    assert_no_failure(card)
    for statement in report.STATEMENTS:  # each has a line that can fail
        assert any(c.slack is not None for c in card.checks if c.statement == statement)


def test_an_untrained_model_has_a_card_too(toy_split):
    assert_no_failure(
        report.report_card(mv.MultVAE(toy_split.n_items, hidden=8, latent=3), toy_split, n_users=40, seed=3)
    )


def test_the_card_is_a_function_of_its_seed(card, model, toy_split):
    assert report.report_card(model, toy_split, n_users=60).checks == card.checks
    assert report.report_card(model, toy_split, n_users=60, seed=1).checks != card.checks


def test_the_model_is_left_as_it_was(model, toy_split):
    before = {k: v.clone() for k, v in model.state_dict().items()}
    report.report_card(model, toy_split, n_users=30)
    for k, v in model.state_dict().items():
        assert v.dtype == before[k].dtype
        assert torch.equal(v, before[k])


# ------------------------------------------------------------------------------------------------------ broken twins


def without_bias(real):
    def gram(model, x, *args, **kwargs):
        bare = nn.Sequential(*(_no_bias(m) for m in model.decoder))
        return real(mv.theory.wrap(model.encode, bare, model.n_items, model.latent), x, *args, **kwargs)

    return gram


class _Shift(nn.Module):
    """A bias that is no parameter of a linear layer, so that its gradient is not counted."""

    def __init__(self, b):
        super().__init__()
        self.register_buffer("b", b)

    def forward(self, x):
        return x + self.b


def _no_bias(m):
    if not isinstance(m, nn.Linear):
        return m
    bare = nn.Linear(m.in_features, m.out_features, bias=False).double()
    bare.weight = m.weight
    return nn.Sequential(bare, _Shift(m.bias.detach())) if m.out_features < 100 else bare


def exchanged(law):
    return masking.MaskedDistance(law.n_common, law.n_different, 1 - law.keep, law.shared)


REAL_MEAN, REAL_VAR, REAL_PMF = (vars(masking.MaskedDistance)[k] for k in ("mean", "var", "pmf"))
REAL_MINIMIZER = anchoring.QuadraticModel.minimizer

TWINS = {
    "2.3: bias left out of the Gram matrix": (transfer, "gram", without_bias(transfer.gram), "Theorem 2.3"),
    "2.3: smoothness too small": (
        toy,
        "proved_smoothness",
        lambda d, x, real=toy.proved_smoothness: real(d, x) / 1e6,
        "Theorem 2.3",
    ),
    "2.4: variances in place of spreads": (
        distances,
        "w2_gaussian",
        lambda a, s, b, t, real=distances.w2_gaussian: real(a, s**2, b, t**2),
        "Lemma 2.4",
    ),
    "2.4: a constant without the decoder's half": (
        smoothness.EncoderConstants,
        "joint",
        property(lambda c: 1e-3 * c.normalisation),
        "Lemma 2.4",
    ),
    "2.5: unweighted mean": (
        locality,
        "compromise_gap",
        lambda p, q, u, v, real=locality.compromise_gap: real(p, q, (u + v) / 2, (u + v) / 2),
        "Theorem 2.5",
    ),
    "β-KL: log q̄ that leaves the user out": (
        information,
        "log_density_matrix",
        lambda z, mu, sd, real=information.log_density_matrix: real(z, mu, sd) - 0.5,
        "β-KL",
    ),
    "β-KL: nats for the root": (
        bottleneck,
        "t1_bound",
        lambda mu, sd, real=bottleneck.t1_bound: 0.1 * real(mu, sd),
        "β-KL",
    ),
    "2.6: ρ and 1 − ρ exchanged in the mean": (
        masking.MaskedDistance,
        "mean",
        property(lambda law: REAL_MEAN.fget(exchanged(law))),
        "Theorem 2.6",
    ),
    "2.6: variance of one coin only": (
        masking.MaskedDistance,
        "var",
        property(lambda law: law.keep * (1 - law.keep) * (law.n_different + law.n_common)),
        "Theorem 2.6",
    ),
    "2.6: ρ and 1 − ρ exchanged in the law": (
        masking.MaskedDistance,
        "pmf",
        lambda law: REAL_PMF(exchanged(law)),
        "Theorem 2.6",
    ),
    "2.6: threshold 1/(1+ρ)": (masking, "contraction_threshold", lambda keep: 1 / (1 + keep), "Theorem 2.6"),
    "2.6: tails without the factor": (
        masking.MaskedDistance,
        "hoeffding",
        lambda law, t: np.exp(-2.0 * t**2 * np.ones(20)),
        "Theorem 2.6",
    ),
    "2.6: Mult-VAE's input contracts": (
        conventions,
        "input_distance",
        lambda a, b, s, keep, real=conventions.input_distance: real(a, b, s, keep, "raw"),
        "Theorem 2.6",
    ),
    "3.1: centroid over part of the set": (
        anchoring,
        "alignment",
        lambda mu, sd, e, x, real=anchoring.alignment: real(mu, sd, e, _half(x)),
        "Proposition 3.1",
    ),
    "3.2: λ in place of 2λ": (anchoring, "shrinkage", lambda L, lam: L / (L + lam), "Proposition 3.2"),
    "3.2: minimiser with λ in place of 2λ": (
        anchoring.QuadraticModel,
        "minimizer",
        lambda q, m: REAL_MINIMIZER(anchoring.QuadraticModel(q.H, q.lam / 2, q.centroid), m),
        "Proposition 3.2",
    ),
}


def _half(x):
    x = x.tocsr(copy=True)
    x.data[::2] = 0
    x.eliminate_zeros()
    return x


@pytest.mark.parametrize("twin", TWINS)
def test_a_planted_error_is_reported_as_failed(twin, model, toy_split, monkeypatch):
    home, name, broken, statement = TWINS[twin]
    monkeypatch.setattr(home, name, broken)
    monkeypatch.setattr(report, "STATEMENTS", {statement: report.STATEMENTS[statement]})
    card = report.report_card(model, toy_split, n_users=60)
    assert card.failed
    assert all(c.slack < 0 or not math.isfinite(c.slack) for c in card.failed)
    assert "FAILED" in card.markdown()
    with pytest.raises(AssertionError):
        assert_no_failure(card)


def test_the_verdict_follows_from_the_slack():
    for found, allowed, good in [
        (1.0, 2.0, True),
        (2.0, 2.0, True),
        (2.1, 2.0, False),
        (0.0, 0.0, True),
        (1.0, 0.0, False),
        (1.0, -1.0, False),
        (math.nan, 1.0, False),
        (1.0, math.nan, False),
    ]:
        check = verdict.bound("s", "c", "o", found, allowed)
        assert (check.verdict == "bound holds") == good
        assert verdict.identity("s", "c", "o", [0.0, -found], allowed).verdict == ("exact" if good else "FAILED")
        if found == 1 and allowed == 2:
            assert check.slack == 0.5


# ------------------------------------------------------------------------------------------------------ outside models


class Outside(nn.Module):
    """Somebody else's VAE: its own names, a gated encoder, dropout, log-variances, relu."""

    def __init__(self, n):
        super().__init__()
        self.inp, self.gate = nn.Linear(n, 20), nn.Linear(n, 20)
        self.drop, self.out = nn.Dropout(0.5), nn.Linear(20, 10)
        self.generator = nn.Sequential(nn.Linear(5, 20), nn.ReLU(), nn.Linear(20, n))

    def q(self, x):
        h = self.drop(torch.relu(self.inp(x)) * torch.sigmoid(self.gate(x)))
        mean, logvar = self.out(h).chunk(2, dim=-1)
        return mean, logvar


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_an_outside_vae_gets_the_same_card_in_three_lines(toy_split, dtype):
    torch.manual_seed(0)
    net = Outside(toy_split.n_items).to(dtype).eval()

    def encode(x):
        mean, logvar = net.q(x)
        return mean, torch.exp(0.5 * logvar)

    model = mv.theory.wrap(encode=encode, decode=net.generator)
    card = mv.theory.report_card(model, toy_split.train, n_users=40, label="outside")
    assert_no_failure(card)
    assert "outside" in card.markdown()
    lemma = next(c for c in card.checks if "‖x_u − x_v‖₁" in c.claim and c.statement == "Lemma 2.4")
    assert lemma.verdict == "measured"  # nothing is proved about a gated encoder


# ------------------------------------------------------------------------------------------------------ what it writes


def test_markdown_json_and_terminal_say_the_same(card):
    value = json.loads(json.dumps(card.as_dict(), allow_nan=False))
    text = card.markdown()
    console = Console(width=300, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(card.table())
    shown = console.export_text()
    plain = PlainConsole(width=300, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    plain.print(card.table())
    assert plain.export_text() == shown  # the command's console reads no markup, so the table must hold none
    assert len(value["checks"]) == len(card.checks)
    unescaped = html.unescape(re.sub(r"\\([^A-Za-z0-9\s])", r"\1", text))
    for c in value["checks"]:
        cell = f"| {c['claim']} | {c['on']} |"
        line = next(row for row in unescaped.splitlines() if cell in row)
        assert c["verdict"] in line
        assert c["verdict"] in shown
        if c["slack"] is not None:
            assert f"| {round(c['slack'], 3) + 0.0:+.3f} |" in line
    assert "positive is room left" in text
    assert value["legend"] in text


def test_bad_input_is_one_sentence(model, toy_split):
    with pytest.raises(InputError, match="too few"):
        report.report_card(model, toy_split.train[:5])
    with pytest.raises(InputError, match="seed=-1 is not possible"):
        report.report_card(model, toy_split.train, seed=-1)
    with pytest.raises(InputError, match="do not belong together"):
        report.report_card(model, toy_split.train[:, :60])
    with pytest.raises(InputError, match="points, not distributions"):
        report.report_card(mv.MultDAE(toy_split.n_items, 4), toy_split)


@pytest.mark.parametrize("make", [mv.RecVAE, mv.HVamp])
def test_the_other_vaes_have_a_card(make, toy_split):
    assert_no_failure(report.report_card(make(toy_split.n_items, hidden=8, latent=3), toy_split, n_users=30))


# -------------------------------------------------------------------------------------- where the theory holds as 0 = 0


def collapsed(n_items):
    made = mv.MultVAE(n_items, hidden=8, latent=3).double().eval()
    with torch.no_grad():
        for p in made.parameters():
            p.zero_()
    return made


def narrow(n_items):
    made = mv.MultVAE(n_items, hidden=8, latent=3)
    made.reset_parameters(torch.Generator().manual_seed(0))
    with torch.no_grad():
        made.encoder_output.bias[3:] = -60  # logvar: a spread of 1e-13
    return made.double().eval()


EDGES = {
    "clean input": lambda m, split: (m, split, {"keep": 1.0}),
    "hardly anything is kept": lambda m, split: (m, split, {"keep": 1e-6}),
    "users who are the same": lambda m, split: (m, sp.csr_matrix(sp.vstack([split.train[:2]] * 15)), {}),
    "users who have everything": lambda m, split: (m, sp.csr_matrix(np.ones((30, split.n_items))), {}),
    "one item each": lambda m, split: (m, sp.csr_matrix(np.eye(30, split.n_items)), {}),
    "a collapsed encoder": lambda m, split: (collapsed(split.n_items), split, {}),
    "hardly any spread": lambda m, split: (narrow(split.n_items), split, {}),
}


@pytest.mark.parametrize("edge", EDGES)
def test_at_its_edges_the_theory_holds_and_the_card_says_so(edge, model, toy_split):
    made, users, settings = EDGES[edge](model, toy_split)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert_no_failure(report.report_card(made, users, n_users=30, **settings))
