"""The allocator's thresholds: raised once, and left alone where that is asked for."""

import ctypes
import sys
from types import SimpleNamespace

import pytest

from minivae.runtime import memory


@pytest.mark.skipif(sys.platform != "linux", reason="glibc is that of Linux")
@pytest.mark.parametrize(("said", "raised"), [(None, True), ("1", True), ("0", False)])
def test_the_thresholds_are_left_alone_where_that_is_asked_for(said, raised, monkeypatch):
    asked = []
    libc = SimpleNamespace(mallopt=lambda option, value: asked.append((option, value)) or 1)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: libc)
    monkeypatch.delenv(memory.KEEP, raising=False) if said is None else monkeypatch.setenv(memory.KEEP, said)
    assert memory.keep_freed_memory.__wrapped__() is raised
    assert [option for option, _ in asked] == ([-3, -1] if raised else [])
