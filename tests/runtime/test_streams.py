"""Counter-based randomness against SplitMix64 in Python integers, and against the laws it should follow."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from minivae.runtime import streams

WORD = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15
ALPHA = 1e-4  # of each goodness-of-fit test; seeds are fixed, so a test passes always or never


def splitmix64(state):
    """SplitMix64 as published, in Python integers (Steele, Lea and Flood 2014)."""
    while True:
        state = (state + GOLDEN) & WORD
        z = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & WORD
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & WORD
        yield z ^ (z >> 31)


def stream(seed, purpose, step):
    """The same stream as `bits`: the key is SplitMix64 of the seed, the purpose and the step in turn."""
    key = seed & WORD
    for part in (streams.PURPOSES.index(purpose) + 1, step):
        key = next(splitmix64((key + GOLDEN * part) & WORD))
    return splitmix64(key)


def unsigned(words):
    return [int(w) & WORD for w in words]


def address(word, seed, purpose, step):
    """The index whose 64 bits are `word`: the mixing steps are bijections, so run them backwards."""

    def unshift(w, by):
        out = w
        for _ in range(64 // by + 1):
            out = w ^ (out >> by)
        return out

    w = unshift(word, 31) * pow(0x94D049BB133111EB, -1, 1 << 64) & WORD
    w = unshift(w, 27) * pow(0xBF58476D1CE4E5B9, -1, 1 << 64) & WORD
    state = unshift(w, 30)
    key = seed & WORD
    for part in (streams.PURPOSES.index(purpose) + 1, step):
        key = next(splitmix64((key + GOLDEN * part) & WORD))
    index = ((state - key) * pow(GOLDEN, -1, 1 << 64) - 1) & WORD
    return index - (1 << 64) if index >> 63 else index


def test_the_reference_is_splitmix64():
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    assert list(itertools.islice(splitmix64(1234567), 4)) == published


def check_bits(bits):
    for seed, purpose, step in [(0, "mask", 0), (1, "noise", 7), (2**63 - 1, "order", 10**6), (98765, "mask", 3)]:
        expected = list(itertools.islice(stream(seed, purpose, step), 300))
        assert unsigned(bits(seed, purpose, step, torch.arange(300))) == expected


def test_bits_are_splitmix64(monkeypatch):
    check_bits(streams.bits)
    monkeypatch.setattr(streams, "_shift", lambda words, by: words >> by)  # twin: torch's own >> copies the sign bit
    with pytest.raises(AssertionError):
        check_bits(streams.bits)


@given(st.integers(0, 2**63 - 1), st.integers(0, 10**7), st.integers(0, 2**62))
def test_a_number_depends_on_its_address_alone(seed, step, start):
    """However the addresses are asked for (alone, in a matrix, in another order), the numbers are the same."""
    index = start + torch.arange(24)
    for draw in (streams.bits, streams.uniform, streams.normal):
        whole = draw(seed, "noise", step, index)
        assert torch.equal(draw(seed, "noise", step, index.view(4, 6)), whole.view(4, 6))
        assert torch.equal(draw(seed, "noise", step, index.flip(0)), whole.flip(0))
        assert torch.equal(draw(seed, "noise", step, index[5:6]), whole[5:6])


def check_uniform(draw):
    """Chi-square of the values, of neighbouring pairs, and of pairs across steps and across purposes."""
    n = 1 << 16
    index = torch.arange(n)
    u = draw(5, "mask", 11, index).double().numpy()
    counts = np.histogram(u, 256, (0, 1))[0]
    assert stats.chisquare(counts).pvalue > ALPHA
    partners = {
        "next index": np.roll(u, 1),
        "64 on": np.roll(u, 64),
        "next step": draw(5, "mask", 12, index).double().numpy(),
        "other purpose": draw(5, "noise", 11, index).double().numpy(),
        "next seed": draw(6, "mask", 11, index).double().numpy(),
    }
    for name, v in partners.items():
        pairs = np.histogram2d(u, v, 16, [(0, 1), (0, 1)])[0].ravel()
        assert stats.chisquare(pairs).pvalue > ALPHA, name


def test_uniform_numbers_are_uniform_and_independent():
    check_uniform(streams.uniform)


@pytest.mark.parametrize(
    "twin",
    [
        lambda seed, purpose, step, index: (index * 0.6180339887498949 + 0.1 * step) % 1,  # too even: no pairs
        lambda seed, purpose, step, index: streams.uniform(seed, "mask", step, index),  # purposes share numbers
        lambda seed, purpose, step, index: streams.uniform(seed, purpose, 0, index),  # steps share numbers
        lambda seed, purpose, step, index: streams.uniform(seed, purpose, step, index) ** 1.05,  # not uniform
    ],
)
def test_uniform_twins_are_rejected(twin):
    with pytest.raises(AssertionError):
        check_uniform(twin)


def check_open_interval(draw):
    index = torch.tensor([address(word, 0, "mask", 3) for word in (0, WORD, WORD >> 1, 1 << 63)])
    u = draw(0, "mask", 3, index)
    assert bool((u > 0).all())
    assert bool((u < 1).all())


def test_uniform_is_never_0_nor_1():
    """Else keep = 1 would mask an interaction once in 2²⁴, and Box and Muller meet log 0."""
    index = torch.tensor([address(word, 0, "mask", 3) for word in (0, WORD)])
    assert unsigned(streams.bits(0, "mask", 3, index)) == [0, WORD]
    check_open_interval(streams.uniform)
    assert bool(streams.normal(0, "mask", 3, index).isfinite().all())

    def with_24_bits(seed, purpose, step, index):
        return ((streams.bits(seed, purpose, step, index) >> 40 & 0xFFFFFF).float() + 0.5) * 2.0**-24

    with pytest.raises(AssertionError):
        check_open_interval(with_24_bits)


def check_normal(draw):
    """Kolmogorov–Smirnov, and the first four moments within five standard errors."""
    n = 1 << 18
    x = draw(3, "noise", 2, torch.arange(n)).double().numpy()
    assert stats.kstest(x, "norm").pvalue > ALPHA
    for power, (moment, variance) in enumerate([(0, 1), (1, 2), (0, 15), (3, 96)], start=1):
        assert abs((x**power).mean() - moment) < 5 * math.sqrt(variance / n), power
    y = np.roll(x, 1)
    assert abs((x * y).mean()) < 5 / math.sqrt(n)
    assert abs(((x**2 - 1) * (y**2 - 1)).mean()) < 5 * 2 / math.sqrt(n)


def test_normal_numbers_are_normal():
    check_normal(streams.normal)

    def sum_of_uniforms(seed, purpose, step, index):
        """Broken twin: nearly normal, but its tails are short (excess kurtosis −0.2)."""
        return 2**0.5 * (sum(streams.uniform(seed, purpose, 6 * step + i, index) for i in range(6)) - 3)

    def one_radius_for_two(seed, purpose, step, index):
        """Broken twin: neighbours share the radius, so they are uncorrelated but dependent."""
        radius = (-2 * streams.uniform(seed, purpose, step, index // 2).log()).sqrt()
        return radius * torch.cos(2 * math.pi * streams.uniform(seed, purpose, step + 1, index))

    for twin in (sum_of_uniforms, one_radius_for_two):
        with pytest.raises(AssertionError):
            check_normal(twin)


def check_nothing_shared(bits):
    words = [
        bits(seed, purpose, step, torch.arange(200))
        for seed in (0, 1, 2, 1000)
        for purpose in streams.PURPOSES
        for step in range(40)
    ]
    words = torch.cat(words)
    assert len(torch.unique(words)) == len(words)


def test_seeds_purposes_and_steps_never_share_a_number():
    check_nothing_shared(streams.bits)
    with pytest.raises(AssertionError):  # twin: steps follow each other in one sequence
        check_nothing_shared(lambda seed, purpose, step, index: streams.bits(seed, purpose, 0, index + 100 * step))


@given(st.integers(0, 2**63 - 1), st.integers(0, 10**6), st.integers(0, 200))
def test_permutation_is_a_permutation(seed, epoch, n):
    order = streams.permutation(seed, epoch, n)
    assert torch.equal(order.sort().values, torch.arange(n))
    assert torch.equal(order, streams.permutation(seed, epoch, n))


def check_all_orders_are_as_likely(permutation):
    n, rounds = 5, 12000
    seen = np.zeros(n**n)
    for epoch in range(rounds):
        seen[int((permutation(1, epoch, n) * n ** torch.arange(n)).sum())] += 1
    possible = [sum(p * n**i for i, p in enumerate(order)) for order in itertools.permutations(range(n))]
    assert seen[possible].sum() == rounds
    assert stats.chisquare(seen[possible]).pvalue > ALPHA


def test_permutation_is_uniform_over_orders():
    check_all_orders_are_as_likely(streams.permutation)

    def with_ties(seed, epoch, n):
        """Broken twin: four bits tie often, and a stable sort then keeps the old order."""
        return torch.argsort(streams.bits(seed, "order", epoch, torch.arange(n)) & 15, stable=True)

    with pytest.raises(AssertionError):
        check_all_orders_are_as_likely(with_ties)


def test_a_normal_number_is_box_and_muller_of_its_word():
    """Radius from the upper 23 bits, angle from the lower 24, the cosine of both parts."""
    found = streams.normal(7, "noise", 3, torch.arange(200)).tolist()
    expected = []
    for w in itertools.islice(stream(7, "noise", 3), 200):
        radius, angle = ((w >> 41) + 0.5) / 2**23, 2 * math.pi * (w % 2**24) / 2**24
        expected.append(math.sqrt(-2 * math.log(radius)) * math.cos(angle))
    assert found == pytest.approx(expected, abs=1e-5)


def test_the_last_bit_of_the_angle_counts():
    """Beside a right angle the cosine falls by the angle: a step of 2π/2²⁴, three times what float32 rounds away."""
    for steps in (-3, -2, -1, 1, 2, 3):
        for above in (0, 1 << 24):  # a radius of √(2 log 2), an angle of π/2 and so many steps; bit 24 is of neither
            word = (1 << 63) + above + (1 << 22) + steps
            index = torch.tensor([address(word, 7, "noise", 3)])
            assert unsigned(streams.bits(7, "noise", 3, index)) == [word]
            in_steps = float(streams.normal(7, "noise", 3, index)) / math.sqrt(2 * math.log(2)) / (2 * math.pi / 2**24)
            assert abs(in_steps + steps) < 0.45


def test_the_purposes_have_numbers_of_their_own():
    """The key holds 1, 2 or 3: written here once more, so that no run of before is drawn otherwise."""
    assert streams.PURPOSES == ("order", "mask", "noise")
    for number, purpose in enumerate(streams.PURPOSES, start=1):
        key = 5
        for part in (number, 2):
            key = next(splitmix64((key + GOLDEN * part) & WORD))
        assert unsigned(streams.bits(5, purpose, 2, torch.arange(9))) == list(itertools.islice(splitmix64(key), 9))


def test_the_order_of_an_epoch_has_a_stream_of_its_own():
    words = list(itertools.islice(stream(5, "order", 2), 50))
    signed = [w - 2**64 if w >> 63 else w for w in words]
    assert streams.permutation(5, 2, 50).tolist() == np.argsort(signed, kind="stable").tolist()


@given(st.integers(0, WORD) | st.sampled_from([0, WORD, 1 << 63, (1 << 63) - 1]))
def test_a_word_as_int64_has_the_same_bytes(word):
    assert streams._signed(word) == int.from_bytes(word.to_bytes(8, "little"), "little", signed=True)
