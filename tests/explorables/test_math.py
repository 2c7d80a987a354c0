"""The arithmetic of the explorables equals that of the Python library, and an error planted in a formula is seen."""

import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix
from torch.utils.flop_counter import FlopCounterMode

from minivae import explorables
from minivae.batches import DeviceCSR
from minivae.config import TrainConfig
from minivae.models import MultVAE
from minivae.update import loss_terms
from tests.explorables import engines
from tests.explorables.make_golden import SETTINGS, plain
from tests.explorables.planted import ERRORS
from tests.explorables.reference import REFERENCE, update_operations

GOLDEN = engines.numbers(json.loads(Path(__file__).with_name("golden.json").read_text(encoding="utf-8")))
RELATIVE = 1e-10
NAMES = explorables.names()


def equal(found: Any, wanted: Any) -> bool:
    """To 1e-10 of the wanted number; in a list to 1e-10 of its largest, and of every entry that is not tiny."""
    found, wanted = np.asarray(found, dtype=np.float64), np.asarray(wanted, dtype=np.float64)
    if found.shape != wanted.shape:
        return False
    floor = 1e-14 * max(
        1.0, float(np.abs(wanted[np.isfinite(wanted)]).max(initial=0))
    )  # rounding where the terms of a sum cancel
    return bool(np.allclose(found, wanted, rtol=RELATIVE, atol=floor, equal_nan=True))


def mismatches(answers: list[dict[str, Any]], cases: list[dict[str, Any]]) -> list[str]:
    """What differs, in words."""
    return [
        f"{key} of {case['settings']}: {answer.get(key)} is not {wanted}"
        for answer, case in zip(answers, cases, strict=True)
        for key, wanted in case["values"].items()
        if not equal(answer.get(key, np.nan), wanted)
    ]


@pytest.fixture(scope="module", params=["node", "browser"])
def engine(request):
    if request.param == "node":
        if not shutil.which("node"):
            pytest.skip("no Node on this machine: apt-get install nodejs")
        yield engines.in_node
        return
    if reason := engines.why_no_browser():
        pytest.skip(reason)
    with engines.browser() as chromium:
        tab = chromium.new_page()
        yield partial(engines.in_browser, tab)


@pytest.mark.parametrize("name", NAMES)
def test_golden(engine, name):
    cases = GOLDEN[name]
    assert len(cases) >= 50
    answers = engine(engines.math_script(name), cases)
    assert not mismatches(answers, cases)


@pytest.mark.parametrize(("name", "right", "wrong"), [(n, *e) for n in ERRORS for e in ERRORS[n]])
def test_planted_error_is_seen(engine, name, right, wrong):
    cases = GOLDEN[name]
    answers = engine(engines.math_script(name, (right, wrong)), cases)
    assert mismatches(answers, cases)


def test_every_explorable_has_golden_values_and_planted_errors():
    assert set(NAMES) == set(GOLDEN) == set(ERRORS) == set(REFERENCE)
    assert all(len(cases) == SETTINGS for cases in GOLDEN.values())


@pytest.mark.parametrize("name", NAMES)
def test_golden_is_what_the_library_computes_today(name):
    for case in GOLDEN[name][::10]:
        found = engines.numbers({key: plain(v) for key, v in REFERENCE[name](case["settings"]).items()})
        assert not mismatches([found], [case])


def test_the_operations_of_an_update_are_those_that_pytorch_counts():
    """The counter sees the products alone, and one more for the bias: a row of ones times the gradient."""
    model, batch = MultVAE(60, hidden=12, latent=5), 20
    users = csr_matrix((np.random.default_rng(0).random((batch, 60)) < 0.2).astype(np.float32))
    rows = DeviceCSR(users).batch(torch.arange(batch))
    with FlopCounterMode(display=False) as counter:
        loss_terms(model, rows, TrainConfig(precision="fp32"), step=0)["loss"].backward()
    parts = update_operations(model, batch, users.nnz)
    assert counter.get_total_flops() == parts["output"] + parts["between"] + 2 * batch * 60
