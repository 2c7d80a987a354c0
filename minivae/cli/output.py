"""Standard output and standard error that may be closed, full, or unable to hold a character."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, cast


class Patient:
    """A stream to which everything can be written: what does not arrive is remembered, and the work goes on.

    Attributes
    ----------
    failure : OSError | None
        Why something did not arrive.
    """

    def __init__(self, stream: IO[str]) -> None:
        self.stream = stream
        self.failure: OSError | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        """As of a text stream."""
        try:
            return self.stream.write(text) if self.failure is None else len(text)
        except OSError as e:
            self._fail(e)
            return len(text)

    def writelines(self, lines: Iterator[str]) -> None:
        """As of a text stream."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """As of a text stream."""
        try:
            if self.failure is None:
                self.stream.flush()
        except OSError as e:
            self._fail(e)

    def _fail(self, reason: OSError) -> None:
        """Remember the reason; what is still in the buffer goes nowhere, so that the end of Python is quiet."""
        self.failure = reason
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.stream.fileno())
        os.close(nowhere)


@contextmanager
def patient_streams() -> Iterator[Patient]:
    """Make both streams `Patient`, with a question mark for what their encoding does not have; gives standard output.

    A stream that was closed before the start is replaced by the null device.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            stream = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 (for as long as the process lives)
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
        setattr(sys, name, Patient(stream))
    out = sys.stdout
    try:
        yield cast("Patient", out)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
