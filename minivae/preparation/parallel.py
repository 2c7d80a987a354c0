"""Blocks made by one thread and worked on by others; what they come to is given in the order of the blocks."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

S = TypeVar("S")
T = TypeVar("T")
WORKERS = 3  # about as many as one thread can unpack for


def in_order(work: Callable[[S], T], items: Iterator[S]) -> Iterator[T]:
    """`map`, with the items made in one thread while others work on those before; a few are held at a time.

    `work` should spend its time where Python's lock is free, as polars and NumPy do. An error, of `items` or of
    `work`, comes after the results before it, as it does with `map`.
    """
    with ThreadPoolExecutor(1) as maker, ThreadPoolExecutor(WORKERS) as workers:
        pending: deque[Future] = deque()
        upcoming = maker.submit(next, items, None)
        while upcoming.exception() is None and (item := upcoming.result()) is not None:
            upcoming = maker.submit(next, items, None)
            pending.append(workers.submit(work, item))
            if len(pending) > WORKERS:
                yield pending.popleft().result()
        if upcoming.exception() is not None:
            pending.append(upcoming)
        while pending:
            yield pending.popleft().result()
