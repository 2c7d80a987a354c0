"""What a baseline costs, with a clock that ticks once per look: sums, powers and shares worked out by hand."""

import numpy as np
import pytest
import scipy.sparse as sp

import minivae as mv
from minivae.models.item_item import BLOCK
from minivae.objective import CHUNK_CELLS
from minivae.ranking import BLOCK_CELLS
from minivae.study import forecast, memory_forecast
from minivae.study.run import presets
from minivae.study.run.model_spec import ModelSpec
from minivae.study.run.runs import Job


@pytest.fixture(scope="module")
def split():
    """50 training users, of whom user k has 1 + k % 4 of 30 items; 4 and 6 held-out users."""
    rows = [np.arange(1 + k % 4) for k in range(50)]
    train = sp.lil_matrix((50, 30), dtype=np.float32)
    for k, row in enumerate(rows):
        train[k, row] = 1

    def part(n):
        history, heldout = (sp.lil_matrix((n, 30), dtype=np.float32) for _ in range(2))
        history[:, 0], heldout[:, 1] = 1, 1
        return mv.FoldIn(history.tocsr(), heldout.tocsr())

    return mv.StrongSplit(train.tocsr(), part(4), part(6), np.arange(30))


@pytest.fixture
def ticks():
    numbers = iter(range(10**6))
    return lambda: next(numbers)


def cost(kind, split, clock, **arguments):
    spec = ModelSpec(kind, kind, arguments)
    return forecast.forecast(Job(spec, spec.config()), split, clock)


def test_a_linear_system_grows_with_the_cube_of_its_items(split, ticks, monkeypatch):
    """30 items by a system of 10: 27 ticks. All users are counted: 1 tick. Scores of 256 of 30 items for 4 of 10."""
    monkeypatch.setattr(forecast, "SOLVED", 10)
    found = cost("EASE", split, ticks, l2=1.0)
    assert found.setup == pytest.approx(27 + 1 + 10 * (30 / 256) / 4)
    assert (found.epochs, found.updates, found.parameters) == (0, 0, mv.EASE(1.0).size(0, 30))
    assert found.longest == found.setup
    assert found.memory == memory_forecast.ease_memory(30, split.train.nnz)


def test_the_gram_matrix_grows_with_the_squares_of_what_users_have(split, ticks, monkeypatch):
    """Of 8 users: 2 (1 + 4 + 9 + 16) = 60 pairs of 12 · 30 + 1 + 4 = 365."""
    monkeypatch.setattr(forecast, "FITTED", 8)
    found = cost("EASE", split, ticks, l2=1.0)
    assert found.setup == pytest.approx(1 + 365 / 60 + 10 * (30 / 256) / 4)


def test_rounds_of_slim_are_counted(split, ticks, monkeypatch):
    """EASE takes 1 tick and SLIM, with 3 rounds, 3: (3 − 1) · 60 / 3 more for 60 rounds, all times 27."""
    monkeypatch.setattr(forecast, "SOLVED", 10)
    numbers = iter([0, 1, 1, 4, 4, 5, 5, 6])
    found = cost("SLIM", split, lambda: next(numbers), iterations=60)
    assert found.setup == pytest.approx((2 * 60 / 3 + 1) * 27 + 1 + 10 * (30 / 256) / 4)
    assert found.memory.state == 5 * 4 * 30**2
    quick = iter([0, 9, 9, 10, 10, 11, 11, 12])  # EASE was slower, so nothing is known of a round
    assert cost("SLIM", split, lambda: next(quick), iterations=60).setup == pytest.approx(9 * 27 + 1 + 300 / 1024)


def test_other_baselines_are_linear_in_their_users(split, ticks, monkeypatch):
    """Fitted to 20 of 50: 2.5 ticks; 4 users are ranked in a tick, and 10 are held out."""
    monkeypatch.setattr(forecast, "FITTED", 20)
    found = cost("Popularity", split, ticks)
    assert found.setup == pytest.approx(2.5 + 10 / 4)
    assert found.parameters == 30
    assert found.memory.data == 8 * split.train.nnz
    assert found.memory.state == 4 * 30
    assert found.memory.passing == 12 * 4 * 30
    monkeypatch.setattr(forecast, "RANKED", 2)
    assert cost("Popularity", split, ticks).setup == pytest.approx(2.5 + 10 / 2)


def test_memory_of_a_vae_by_hand():
    """Parameters 1,000, kept 1,200, in the output layer 300; 50 users by 40 items with 600 events, 10 a batch."""
    import torch

    of = (1000, 1200, 300, (50, 40), 600, 10)
    found = memory_forecast.vae_memory(*of, torch.float32)
    assert found.libraries == memory_forecast.LIBRARIES == 95 * 2**20
    assert (found.data, found.state) == (4800, 12 * 1000 + 8 * 1200)
    assert found.passing == max(8 * 300 + 12 * 10 * 40 + 160 * 600 * 10 // 50, 12 * 50 * 40) == 26400
    assert found.total == found.libraries + 4800 + 21600 + 26400
    half = memory_forecast.vae_memory(*of, torch.bfloat16, cuda=True)
    assert half.libraries == 0
    assert half.passing - found.passing == 2 * 2 * 300
    ranking = memory_forecast.vae_memory(1000, 1200, 300, (5000, 40), 600, 10, torch.float32)
    assert ranking.passing == 12 * 5000 * 40
    wide = memory_forecast.vae_memory(1, 1, 0, (10, CHUNK_CELLS // 2), 0, 10, torch.float32)
    assert wide.passing == 12 * max(2 * (CHUNK_CELLS // 2), min(BLOCK_CELLS, 10 * (CHUNK_CELLS // 2)))
    assert memory_forecast.vae_memory(1, 1, 0, (0, 40), 0, 10, torch.float32).passing == 12 * 10 * 40
    ease = memory_forecast.ease_memory(20, 7, 5)
    assert (ease.data, ease.state, ease.passing) == (112, 5 * 4 * 400, 12 * BLOCK * 20)
    assert ease.libraries == memory_forecast.LIBRARIES_OF_EASE == 6 * 2**20


# ------------------------------------------------------------------------------------------------------------- of a VAE


def test_the_time_of_a_vae_is_that_of_its_phases_rankings_and_checkpoints(split, ticks, monkeypatch):
    """RecVAE of 50 users in batches of 15: 4 updates a pass, 3 passes of 2 seconds an update and one of 5.

    The first update of a phase takes 10 and 20 seconds more, building takes a tick, a user 0.5 to rank, a model 7 to
    write: twice two moments, best epoch and model, and the model once more.
    """
    seconds = iter([(2.0, 10.0), (5.0, 20.0)])
    phases = []
    monkeypatch.setattr(forecast, "_step_time", lambda t, o, phase, c: phases.append((phase, len(o))) or next(seconds))
    monkeypatch.setattr(forecast, "_ranking_time", lambda *_: 0.5)
    monkeypatch.setattr(forecast, "_saving_time", lambda *_: 7.0)
    spec = ModelSpec("recvae", "RecVAE", {"hidden": 8, "latent": 4}, {"batch_size": 15, "beta": 0.0, "gamma": 0.01})
    config = spec.config(epochs=3, device="cpu", precision="fp32")
    found = forecast.forecast(Job(spec, config), split, ticks)
    model = mv.RecVAE(30, hidden=8, latent=4)
    n, kept = sum(p.numel() for p in model.parameters()), sum(v.numel() for v in model.state_dict().values())
    assert kept > n  # the prior keeps an older encoder
    assert phases == [(phase, 4) for phase in model.phases]
    assert (found.parameters, found.updates, found.epochs) == (n, 16, 3)
    assert isinstance(found.updates, int)
    assert found.update == pytest.approx((3 * 4 * 2 + 4 * 5) / 16)
    assert found.validation == 4 * 0.5
    written = (2 * (2 * n + 2 * kept) + kept) / kept
    assert found.setup == pytest.approx(1 + 10 + 20 + (4 + 6) * 0.5 + written * 7)
    last = 30 * 4 + 30
    assert found.memory == memory_forecast.vae_memory(
        n, kept, last, (50, 30), split.train.nnz, 15, forecast.torch.float32
    )
    seconds = iter([(1.0, 0.0), (1.0, 0.0)])
    assert (
        forecast.forecast(Job(spec, spec.config(batch_size=999, device="cpu")), split, ticks).updates == 4
    )  # one batch a pass


# ----------------------------------------------------------------------------------------------------- of all together


def test_the_median_leaves_out_what_warms_up_and_the_first_pays_for_code():
    """Nine seconds, then two, then five timed steps of 1, 2, 3, 4 and 10: median 3, and 9 − 3 more for the first."""
    steps = [9, 2, 1, 2, 3, 4, 10]
    looks, done = iter([t for k, s in enumerate(steps) for t in (100 * k, 100 * k + s)]), []
    assert forecast._median(done.append, lambda: next(looks)) == (3, 6)
    assert done == list(range(7))
    short = iter([t for k in range(100) for t in (k, k + 1 / 16)])  # eight of them are half a second
    assert forecast._median(done.append, lambda: next(short)) == (1 / 16, 0)
    assert done[7:] == list(range(10))
    quick = iter([t for k, s in enumerate([0, 0, 1, 1, 1, 1, 1]) for t in (100 * k, 100 * k + s)])
    assert forecast._median(done.append, lambda: next(quick)) == (1, 0)  # a first that was quicker pays nothing


def test_the_table_of_a_study_row_by_row(split, monkeypatch):
    """Two seeds of a VAE of 10 + 3 · (4 · 2 + 5) = 49 seconds, and a baseline of 7: together 105, the larger memory."""
    memory = {"multvae": memory_forecast.Memory(1, 2, 3, 4), "popularity": memory_forecast.Memory(0, 0, 0, 50)}
    costs = {
        "multvae": forecast.Cost(1234, memory["multvae"], 10, update=2, validation=5, updates=4, epochs=3),
        "popularity": forecast.Cost(30, memory["popularity"], 7),
    }
    assert (costs["multvae"].epoch, costs["multvae"].longest) == (13, 49)
    monkeypatch.setattr(forecast, "forecast", lambda job, of: costs[job.spec.name])
    preset = presets.load("default")
    jobs = [Job(preset.model(n), preset.model(n).config()) for n in ("multvae", "popularity", "multvae")]
    for held in (1000, None):
        monkeypatch.setattr(forecast, "status", lambda name, held=held: held if name == "VmRSS" else 10**9)
        rows = forecast.table(jobs, split).rows
        more = held or 0
        assert [list(row) for row in rows] == [
            ["multvae", 2, 1234, more + 10, 4, 13, 3, 98],
            ["popularity", 1, 30, more + 50, None, None, None, 7],
            ["together", "", "", more + 50, "", "", "", 105],
        ]


def test_a_study_is_long_from_a_hundred_trillion_operations_on(split, monkeypatch):
    for operations, long in ((1e14, False), (np.nextafter(1e14, 2e14), True)):
        monkeypatch.setattr(forecast, "operations", lambda jobs, of, n=operations: n)
        assert forecast.long([], split) == long
