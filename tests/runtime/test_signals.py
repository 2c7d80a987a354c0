"""What a signal does to the program, and what a second one does to its last sentence."""

import os
import signal

import pytest

from minivae.errors import Interrupted, ProcessLost, Resumable, WriteError
from minivae.runtime.signals import handled_by, interrupt


def asked_to_end():
    os.kill(os.getpid(), signal.SIGTERM)


def asked_to_end_while_handling(error):
    try:
        raise error
    except BaseException:
        asked_to_end()


def test_a_signal_interrupts():
    with handled_by(interrupt), pytest.raises(KeyboardInterrupt):
        asked_to_end()


@pytest.mark.parametrize("error", [KeyError("read in another way now"), WriteError("nothing was kept")])
def test_a_signal_interrupts_what_goes_on_after_an_error(error):
    with handled_by(interrupt), pytest.raises(KeyboardInterrupt):
        asked_to_end_while_handling(error)


def test_one_more_signal_leaves_an_ending_alone(tmp_path):
    kept = Resumable("the checkpoint is", tmp_path)
    full = WriteError("no space")
    full.kept = kept
    with handled_by(interrupt):
        for ending in (KeyboardInterrupt(), ProcessLost("gone"), Interrupted(kept), full):
            asked_to_end_while_handling(ending)
