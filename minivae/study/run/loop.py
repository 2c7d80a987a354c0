"""The one loop over runs: what is finished is skipped, what is there must be the same run, the rest is executed.

Studies, searches and observations hand their runs to `run_all`. With several `jobs` runs go side by side, each in a
process of its own with one thread: the same bytes as one after the other with one thread.
"""

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Literal

import torch

from minivae.data.splits import StrongSplit
from minivae.errors import Diverged, InputError, UserError, option
from minivae.runtime import progress, signals
from minivae.runtime.checkpoint import remove_checkpoints
from minivae.runtime.device import resolve_device
from minivae.runtime.records import write_record
from minivae.study.run import folders
from minivae.study.run.notes import RunNote
from minivae.study.run.records import DivergedTrial, Part
from minivae.study.run.runs import PARTS, Job, execute, finished

Jobs = int | Literal["auto"]
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class Task:
    """One run, and where it is kept.

    Attributes
    ----------
    job : Job
        What is run.
    folder : Path
        Its folder.
    label : str
        Shown while it runs.
    note : RunNote
        The content of its config.json.
    parts : Sequence[Part]
        Which held-out users are looked at.
    keep_divergence : bool
        Whether a run that leaves the range of numbers is a result, {"diverged": why}, and no error.
    """

    job: Job
    folder: Path
    label: str
    note: RunNote
    parts: Sequence[Part] = PARTS
    keep_divergence: bool = False


def run_all(
    tasks: Sequence[Task],
    split: StrongSplit,
    jobs: Jobs = 1,
    line_of: Callable[[Task], str] | None = None,
) -> None:
    """Execute all tasks that are not finished, `jobs` at a time.

    Parameters
    ----------
    jobs : int or "auto", default 1
        Processes; "auto" is one for each processor core, one in all on a GPU. With 1 everything runs in this process.
    line_of : callable, optional
        Gives the line that is shown when a task is finished, now or earlier.

    Raises
    ------
    InputError
        If a folder holds another run, or a run cannot be made; nothing is executed if a folder is wrong.
    KeyboardInterrupt
        On Ctrl-C or SIGTERM; all checkpoints are on disk.
    """
    for task in tasks:
        if (task.folder / task.note.FILE).is_file():
            folders.refuse_other(task.folder, task.note, frozenset({"data.split"}))
    todo = [task for task in tasks if not finished(task.folder)]
    n = min(number_of_jobs(jobs, tasks), len(todo))
    with progress.board() as board:
        for task in tasks:
            if task not in todo:
                remove_checkpoints(task.folder)
                _say(board, line_of, task)
        if n > 1:
            for task in _side_by_side(todo, split, n, board):
                _say(board, line_of, task)
    if n <= 1:
        for task in todo:
            run_one(task, split)
            with progress.board() as board:
                _say(board, line_of, task)


def number_of_jobs(jobs: Jobs, tasks: Sequence[Task]) -> int:
    """How many processes `jobs` means here.

    Raises
    ------
    InputError
        If it is less than 1.
    """
    if jobs == "auto":
        on_gpu = any(resolve_device(task.job.config.device).type != "cpu" for task in tasks)
        return 1 if on_gpu else cores()
    if jobs < 1:
        raise InputError(f"{option('jobs', jobs)} runs nothing; give at least 1, or auto")
    return jobs


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_one(task: Task, split: StrongSplit) -> None:
    """Write the note, execute, remove the checkpoint."""
    write_record(task.folder / task.note.FILE, task.note)
    try:
        execute(task.job, split, task.folder, task.label, task.parts)
    except Diverged as e:
        if not task.keep_divergence:
            raise
        write_record(task.folder / "metrics.json", DivergedTrial(str(e)))
    remove_checkpoints(task.folder)


def _say(board: progress.Board, line_of: Callable[[Task], str] | None, task: Task) -> None:
    if line_of is not None:
        board.say(line_of(task))


def _side_by_side(todo: Sequence[Task], split: StrongSplit, n: int, board: progress.Board) -> Iterator[Task]:
    """Run the tasks in `n` processes at a time; gives each when it is finished."""
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    if context.get_start_method() == "forkserver":
        context.set_forkserver_preload([__name__])
    waiting, running = deque(todo), dict[Connection, tuple[Task, BaseProcess]]()
    with signals.handled_by(signals.interrupt):
        try:
            while waiting or running:
                while waiting and len(running) < n:
                    running |= [_start(context, waiting.popleft(), split)]
                for channel in wait(list(running)):
                    assert isinstance(channel, Connection)
                    task, process = running[channel]
                    if not _receive(channel, task, process, board):
                        del running[channel]
                        yield task
        finally:
            for _, process in running.values():
                process.terminate()  # a training notes SIGTERM and leaves a checkpoint
            for _, process in running.values():
                process.join()


def _start(context: Any, task: Task, split: StrongSplit) -> tuple[Connection, tuple[Task, BaseProcess]]:
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(task, split, theirs), daemon=True)
    with _one_thread():
        process.start()
    theirs.close()
    return ours, (task, process)


def _receive(channel: Connection, task: Task, process: BaseProcess, board: progress.Board) -> bool:
    """Take one message of a process; False when it has finished its task.

    Raises
    ------
    InputError
        If the task could not be run, or its process ended without a word.
    """
    try:
        message = channel.recv()
    except EOFError:
        process.join()
        if process.exitcode == 0 and finished(task.folder):
            return False
        code = process.exitcode
        why = f"signal {-code}" if code is not None and code < 0 else f"status {code}"
        raise InputError(
            f"the process of {task.label} ended with {why}; if memory was short, take fewer --jobs"
        ) from None
    if isinstance(message, progress.Event):
        board(message)
    elif isinstance(message, BaseException):
        raise message
    return True


def _child(task: Task, split: StrongSplit, channel: Connection) -> None:
    """What a process does: one task, with one thread, its progress sent to the process that started it."""
    torch.set_num_threads(1)
    progress.send_to(channel.send)
    try:
        run_one(task, split)
    except (UserError, KeyboardInterrupt) as e:
        channel.send(e)
    finally:
        channel.close()


@contextmanager
def _one_thread() -> Iterator[None]:
    """The environment of a process that shall use one thread."""
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
