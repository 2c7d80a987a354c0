"""What settings are possible: the defaults as they are documented, both sides of every border, and the rule of λ_A."""

import contextlib
import dataclasses
import itertools
import math

import numpy as np
import pytest

from minivae import InputError, TrainConfig
from minivae.config import LARGEST

# Liang et al. 2018 for what Mult-VAE has; nothing that the paper does not have is on by itself.
DEFAULTS = {
    **{"keep": 0.5, "mask": "normalize-then-mask", "beta": 0.2, "anneal_steps": 1500, "gamma": 0.0},
    **{"anchor": 0.0, "anchor_start": 0.0, "anchor_steps": 0, "anchor_schedule": "linear", "anchor_variant": "full"},
    **{"anchor_weights": "uniform", "anchor_temperature": 1.0, "keep_exponent": 0.0, "label_smoothing": 0.0},
    **{"weight_decay": 0.0, "lr": 1e-3, "batch_size": 500, "epochs": 100, "patience": 15, "seed": 0},
    **{"device": "auto", "precision": "auto"},
}


def test_defaults_are_the_documented_ones():
    assert dataclasses.asdict(TrainConfig()) == DEFAULTS


above, below = (lambda v: float(np.nextafter(v, math.inf))), (lambda v: float(np.nextafter(v, -math.inf)))
# Field -> (values at the border that are possible, values just beyond it)
BORDERS = {
    "keep": ((above(0.0), 1.0), (0.0, above(1.0))),
    "keep_exponent": ((-10.0, 10.0), (below(-10.0), above(10.0), math.nan)),
    "label_smoothing": ((0.0, below(1.0)), (below(0.0), 1.0)),
    "lr": ((above(0.0), 1e300), (0.0, -1e-3, math.inf, math.nan)),
    "anchor_temperature": ((above(0.0), 1e300), (0.0, math.inf, math.nan)),
    "seed": ((0, (1 << 63) - 1), (-1, 1 << 63)),
    **{name: ((0.0, 1e300), (below(0.0), math.inf, math.nan)) for name in ("beta", "gamma", "weight_decay", "anchor")},
    **{name: ((0, 2**53), (-1, 2**53 + 1)) for name in ("anneal_steps", "anchor_steps")},
    **{name: ((1, 2**53), (0, 2**53 + 1)) for name in ("batch_size", "epochs", "patience")},
}


@pytest.mark.parametrize("field", BORDERS)
def test_both_sides_of_every_border(field):
    possible, beyond = BORDERS[field]
    for value in possible:
        assert getattr(TrainConfig(**{field: value}), field) == value
    for value in beyond:
        with pytest.raises(InputError, match=f"^{field}={value!r} is not possible".replace("+", r"\+")):
            TrainConfig(**{field: value})


def test_every_number_has_a_border():
    """No field of a number is without a rule; that of anchor_start has its own table below."""
    assert {f.name for f in dataclasses.fields(TrainConfig) if f.type in (int, float)} == {*BORDERS, "anchor_start"}
    assert LARGEST == 2**53  # the last whole number that float64, and so JSON, keeps apart from its neighbour
    assert float(LARGEST) != float(LARGEST - 1)
    assert float(LARGEST) == float(LARGEST + 1)


def test_where_the_anchor_weight_may_start():
    """Linear from 0 always; from elsewhere only on the way to a weight; geometric never from 0."""
    good = set()
    for anchor, start, steps, schedule in itertools.product((0, 1), (0, 0.5), (0, 1), ("linear", "geometric")):
        with contextlib.suppress(InputError):
            TrainConfig(anchor=anchor, anchor_start=start, anchor_steps=steps, anchor_schedule=schedule)
            good.add((anchor, start, steps, schedule))
    assert good == {
        *((anchor, 0, steps, "linear") for anchor in (0, 1) for steps in (0, 1)),
        *((anchor, 0, 0, "geometric") for anchor in (0, 1)),
        *((1, 0.5, 1, schedule) for schedule in ("linear", "geometric")),
    }
    for start in (-0.1, math.inf, math.nan):
        with pytest.raises(InputError, match="anchor_start"):
            TrainConfig(anchor=1, anchor_start=start, anchor_steps=1)


def test_the_weight_of_an_update_is_that_of_its_schedule():
    linear, geometric = (
        TrainConfig(anchor=8, anchor_start=2, anchor_steps=4, anchor_schedule=s) for s in ("linear", "geometric")
    )
    assert [linear.anchor_at(t) for t in (0, 1, 2, 4, 9)] == pytest.approx([2, 3.5, 5, 8, 8])
    assert [geometric.anchor_at(t) for t in (0, 2, 4, 9)] == pytest.approx([2, 4, 8, 8])
    assert TrainConfig(anchor=3).anchor_at(0) == 3


def test_numbers_of_other_libraries_are_plain_ones():
    """A run is described in JSON, so numpy's numbers become Python's; a whole number for a float becomes a float."""
    made = TrainConfig(beta=1, lr=np.float32(0.5), epochs=np.int64(3), seed=np.uint8(7))
    assert [type(v) for v in (made.beta, made.lr, made.epochs, made.seed)] == [float, float, int, int]
    assert (made.beta, made.lr, made.epochs, made.seed) == (1.0, 0.5, 3, 7)
    assert made == TrainConfig(beta=1.0, lr=0.5, epochs=3, seed=7)


def test_what_is_no_number_is_refused():
    for value in [True, np.True_, "1", None, [1]]:
        for field, kind in (("beta", "a number"), ("epochs", "a whole number")):
            with pytest.raises(InputError, match=f"^{field}=.* is not possible; it must be {kind}"):
                TrainConfig(**{field: value})


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("anchor_weights", "uniform, popularity, idf"),
        ("anchor_schedule", "linear, geometric"),
        ("precision", "auto, fp32, bf16"),
        ("mask", "normalize-then-mask, mask-then-normalize, raw"),
        ("anchor_variant", "full, centroid+variance, centroid, softmin, direction"),
    ],
)
def test_each_word_that_is_offered_is_possible(field, words):
    for word in words.split(", "):
        assert getattr(TrainConfig(**{field: word}), field) == word
    with pytest.raises(InputError, match=f"{field}='other'"):
        TrainConfig(**{field: "other"})


@pytest.mark.parametrize(
    "field", ["device", "mask", "precision", "anchor_variant", "anchor_weights", "anchor_schedule"]
)
def test_what_is_no_name_is_refused(field):
    for value in [1.5, True, None, ["cpu"], {"a": 1}]:
        with pytest.raises(InputError) as refused:
            TrainConfig(**{field: value})
        assert "\n" not in str(refused.value)
