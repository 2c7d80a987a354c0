"""Search spaces: which settings of a model are tried, and the list of trials that follows from a seed.

A space is written in TOML, in a preset or in a file of one's own:

    [models.ease.search]
    l2 = { low = 50, high = 2000, log = true }      # log-uniform; without `log` uniform; whole ends give whole numbers

    [models.multvae.search]
    batch_size = [100, 200, 500]                    # one of a list

or on the command line, ``--space ease.l2=50:2000:log multvae.batch_size=100,200,500``.
"""

import itertools
import math
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np

from minivae.errors import InputError, check_whole
from minivae.options import MOST_RUNS

Method = Literal["random", "grid"]
Value = int | float | str | bool
LARGEST = 2**53  # beyond it, a float is no longer exact to one
FEW = 100  # points at most of a space that is sure to be gone through whole
ENOUGH = 5  # different values before the smallest or largest of them says anything


@dataclass(frozen=True)
class Choice:
    """One of some values, each as likely as any other."""

    values: tuple[Value, ...]

    def at(self, u: float) -> Value:
        """The value at u in [0, 1)."""
        return self.values[int(u * len(self.values))]

    @property
    def size(self) -> float:
        """How many values there are."""
        return len(self.values)


@dataclass(frozen=True)
class Range:
    """A number between two ends, uniform, or uniform in its logarithm.

    The quantile function is ``low + u (high − low)``, with `log` ``low (high / low)^u``; it is cut to four significant
    digits, so that a table shows what was used. Between whole ends it is rounded to a whole number.
    """

    low: int | float
    high: int | float
    log: bool = False

    def at(self, u: float) -> int | float:
        """The number at u in [0, 1)."""
        x = self.low * (self.high / self.low) ** u if self.log else self.low + u * (self.high - self.low)
        return round(x) if self.whole else float(f"{x:.4g}")

    @property
    def whole(self) -> bool:
        """Whether only whole numbers are drawn."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def values(self) -> range:
        """All whole numbers in it."""
        return range(int(self.low), int(self.high) + 1)

    @property
    def size(self) -> float:
        """How many values there are; infinity unless they are whole."""
        return len(self.values) if self.whole else math.inf


Space = Mapping[str, Choice | Range]


def parse(key: str, written: Any, where: str) -> Choice | Range:
    """A list or a table ``{low, high, log}`` as it stands in TOML.

    Raises
    ------
    InputError
        If it is neither, empty, or its ends make no range.
    """
    if isinstance(written, list) and written and all(isinstance(v, Value) for v in written):
        return Choice(tuple(dict.fromkeys(written)))
    if not isinstance(written, Mapping) or not {"low", "high"} <= set(written) <= {"low", "high", "log"}:
        raise InputError(f"{where}: the space of {key} must be a list of values or a table with low, high and log")
    low, high, log = written["low"], written["high"], written.get("log", False)
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) and abs(v) <= LARGEST for v in (low, high))
    if not numbers or not low < high or not isinstance(log, bool) or (log and low <= 0):
        rule = "0 < low < high" if log is True else "low < high, and log true or false"
        raise InputError(f"{where}: {key} from {low!r} to {high!r} is no range; it needs {rule}")
    return Range(low, high, log)


def parse_flag(text: str) -> tuple[str, str, Choice | Range]:
    """(model, key, space) of ``MODEL.KEY=a,b,c`` or ``MODEL.KEY=low:high[:log]``; model "" where none is named.

    >>> parse_flag("multvae+anchor.anchor=0.1:10:log")
    ('multvae+anchor', 'anchor', Range(low=0.1, high=10, log=True))
    """
    name, equals, written = text.partition("=")
    model, _, key = name.strip().rpartition(".")
    where = f"--space {text}"
    if not equals or not key or not written.strip():
        raise InputError(f"{where}: write MODEL.KEY=a,b,c or MODEL.KEY=low:high or MODEL.KEY=low:high:log")
    ends = written.split(":")
    if len(ends) > 3 or ends[2:] not in ([], ["log"]):
        raise InputError(f"{where}: a range is low:high or low:high:log")
    if len(ends) == 1:
        return model, key, parse(key, [_value(v) for v in written.split(",")], where)
    table = {"low": _value(ends[0]), "high": _value(ends[1]), "log": len(ends) == 3}
    return model, key, parse(key, table, where)


def _value(text: str) -> Value:
    """A TOML value, or a word without quotes."""
    try:
        return tomllib.loads(f"x = {text.strip()}")["x"]
    except (ValueError, RecursionError):
        return text.strip()


def trials(
    space: Space, method: Method, n: int, seed: int, own: Mapping[str, Value] | None = None
) -> list[dict[str, Value]]:
    """What is tried, in order: at most `n` settings of the keys of `space`; {} stands for the model as it is.

    * random: the model as it is, then draws that are spread evenly along each key (`stratified`), the keys independent
      of each other. The draw of trial k for a key depends on (seed, key, k) alone: more trials only lengthen the list,
      and models that share a key meet the same values. No setting comes twice; a space of at most `FEW` points is gone
      through whole if `n` allows it.
    * grid: every combination of the lists.

    Parameters
    ----------
    own : Mapping[str, Value], optional
        The values that the model has as it is; they are not drawn again.

    Raises
    ------
    InputError
        If n is no possible number of trials, or a grid has more than `n` points or contains a range.
    """
    check_whole(1, MOST_RUNS, trials=n)
    if not space:
        return [{}]
    size = math.prod(s.size for s in space.values())
    if method == "grid":
        for key, s in space.items():
            if isinstance(s, Range):
                raise InputError(f"a grid needs lists, but {key} is a range; list its values or use --method random")
        if size > n:
            raise InputError(f"the grid has {size} points for {n} trials; raise --trials or use --method random")
        return list(_points(space))
    # Not for ever: a narrow range may have fewer than n numbers of four digits. What a small space still lacks after
    # many draws is appended; how many does not depend on n, so that more trials only lengthen the list.
    few = size <= FEW
    drawn = (
        {key: s.at(stratified(seed, key, k)) for key, s in space.items()} for k in range(100 * (FEW if few else n))
    )
    seen = {tuple((own or {}).get(key) for key in space)}
    found: list[dict[str, Value]] = [{}]
    for point in itertools.chain(drawn, _points(space) if few else ()):
        if len(found) == min(n, size + 1):
            break
        if (values := tuple(point.values())) not in seen:
            seen.add(values)
            found.append(point)
    return found


def _points(space: Space) -> Iterator[dict[str, Value]]:
    """Every point of a space of lists and whole numbers."""
    return (dict(zip(space, point, strict=True)) for point in itertools.product(*(s.values for s in space.values())))


def stratified(seed: int, key: str, k: int) -> float:
    """Point number k of the stream of (seed, key): the first 2^m points lie one in each of 2^m equal cells of [0, 1).

    Each point is uniform, so a search stays a random one, but eight trials cannot all fall into one corner of a range,
    as eight independent draws now and then do. Streams of different keys are independent, so that several of them make
    a nested Latin hypercube: McKay, Beckman and Conover (1979), Qian (2009).
    """
    return float(_cells(seed, key, k.bit_length())[k])


@cache
def _cells(seed: int, key: str, m: int) -> np.ndarray:
    """The first 2^m points: those of m − 1, then one in each cell that is still empty, in random order."""
    rng = np.random.default_rng([seed, m, *key.encode()])
    if m == 0:
        return rng.random(1)
    before, n = _cells(seed, key, m - 1), 2**m
    empty = np.setdiff1d(np.arange(n), (before * n).astype(int))
    return np.append(before, (rng.permutation(empty) + rng.random(n // 2)) / n)


def at_an_end(space: Space, chosen: Mapping[str, Value], tried: Sequence[Mapping[str, Value]]) -> list[str]:
    """Keys whose chosen number is the smallest or the largest that was tried: beyond it may lie a better one."""
    keys = []
    for key in space:
        values = [t[key] for t in tried if isinstance(t.get(key), int | float)]
        if len(set(values)) >= ENOUGH and chosen.get(key) in (min(values), max(values)):
            keys.append(key)
    return keys
