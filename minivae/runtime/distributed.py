"""Several processes, one run: `torchrun --nproc-per-node N -m minivae train …`.

The run stays a function of (data, config). The batch of an update is the same whatever the number of processes: order,
masks and noise are looked up from (seed, step, position), and each process takes its rows of the batch. Its loss, a
mean over B_r of the B users, is weighted with B_r / B, so the sum of all gradients is the gradient of the mean over
the whole batch even if the shares are unequal. Only the order of that sum differs from one process, by rounding.

One machine, two processes (gloo on a CPU, nccl on CUDA, one GPU a process)::

    torchrun --nproc-per-node 2 -m minivae train --data ml-20m --out runs/mine --resume

Two machines that share the folder of --out; the same command on both, HOST the name of the first::

    torchrun --nnodes 2 --nproc-per-node 4 --rdzv-backend c10d --rdzv-endpoint HOST:29500 \\
        -m minivae train --data ml-20m --out /shared/runs/mine --resume

A process that dies ends the run; the first process leaves a checkpoint, and the same command with --resume continues,
with any number of processes. With --max-restarts 3 and --resume torchrun does that on its own. On a CPU give each
process its cores: OMP_NUM_THREADS = cores / processes.
"""

import importlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import cast

import torch
import torch.distributed as dist
from torch import Tensor, nn

from minivae.errors import InputError, ProcessLost
from minivae.runtime.surroundings import NUMBER, is_first, processes

STALLED = 20
"""Seconds without an answer in the middle of training after which a process counts as lost: less than the 30 that
torchrun leaves the others before it kills them, so that the first can still save."""
_prompt: dist.ProcessGroup | None = None
"""The same processes as by default, but impatient; None before they have met."""
LAUNCHER = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True)
class Team:
    """The processes of a run, seen from one of them. Every method but `rows` is called by all of them alike.

    Attributes
    ----------
    rank : int
        0 .. size − 1 of this process.
    size : int
        Number of processes; 1 without torchrun, and then nothing is sent.
    """

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes files."""
        return self.rank == 0

    def rows(self, users: Tensor) -> tuple[Tensor, float]:
        """This process's users of a batch, and their share B_r / B of it.

        Where there are fewer users than processes, the idle ones take the first user with a share of 0: they have
        gradients for the same parameters as the others.
        """
        mine = users.tensor_split(self.size)[self.rank]
        return (mine, len(mine) / len(users)) if len(mine) else (users[:1], 0.0)

    def sum_gradients(self, parameters: Iterable[nn.Parameter], terms: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Add up gradients (in place) and `terms` over all processes; parameters without gradient are left alone."""
        total = {name: value.detach() for name, value in terms.items()}
        if self.size > 1:
            packed = torch.stack(list(total.values()))
            with _together():
                tensors = (packed, *(p.grad for p in parameters if p.grad is not None))
                for work in [dist.all_reduce(t, group=_prompt, async_op=True) for t in tensors]:
                    cast("dist.Work", work).wait()  # None only for a process outside the group
            total = dict(zip(total, packed, strict=True))
        return total

    def wait_for_all(self) -> None:
        """Meet, however long the others need, as for reading the data."""
        if self.size > 1:
            with _together():
                dist.barrier()

    def after_first(self, work: Callable[[], None]) -> None:
        """Let the first process do some work, however long it takes; the others wait."""
        if self.first:
            work()
        self.wait_for_all()

    def any(self, flag: bool) -> bool:
        """Whether `flag` is set in some process."""
        if self.size == 1:
            return flag
        answer = torch.tensor(int(flag))
        with _together():
            dist.all_reduce(answer, dist.ReduceOp.MAX, group=_prompt)
        return bool(answer)

    def require_same(self, values: Sequence[int], message: str) -> None:
        """Raise `InputError` with `message` in every process if `values` are not the same in all."""
        if self.size > 1:
            mine = torch.tensor(list(values), dtype=torch.int64)
            low, high = mine.clone(), mine.clone()
            with _together():
                dist.all_reduce(low, dist.ReduceOp.MIN, group=_prompt)
                dist.all_reduce(high, dist.ReduceOp.MAX, group=_prompt)
            if not torch.equal(low, high):
                raise InputError(message)

    def require_devices(self, device: torch.device) -> None:
        """Raise `InputError` unless each process of this machine has a GPU of its own, where GPUs are used."""
        if self.size == 1 or device.type != "cuda":
            return
        here, gpus = int(os.environ["LOCAL_WORLD_SIZE"]), torch.cuda.device_count()
        if here > gpus:
            raise InputError(f"{here} processes cannot share {gpus} GPUs; start one for each, or train with device cpu")
        if device.index not in (None, torch.cuda.current_device()):
            raise InputError(f"device={str(device)!r} would be one GPU for all processes; say cuda")

    @contextmanager
    def in_turn(self) -> Iterator[None]:
        """The first process does what follows before the others start with it."""
        if not self.first:
            self.wait_for_all()
        yield
        if self.first:
            self.wait_for_all()

    def sum(self, values: Tensor) -> Tensor:
        """Add up a tensor over all processes, in place; without others it is left as it is."""
        if self.size > 1:
            with _together():
                dist.all_reduce(values, group=_prompt)
        return values


@contextmanager
def _together() -> Iterator[None]:
    """What fails in here has failed because another process is gone."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as e:
        raise ProcessLost(
            f"another process of this run has ended, or has not answered for {STALLED} seconds, so it cannot go on"
        ) from e


def team() -> Team:
    """The processes that were joined, or this one alone."""
    return Team(dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else Team()


def launched() -> bool:
    """Whether this is one of several processes that torchrun has started."""
    return processes() > 1


@contextmanager
def joined() -> Iterator[Team]:
    """Meet the other processes that torchrun has started; without torchrun there are none.

    Raises
    ------
    InputError
        If the variables that torchrun sets are not there, or the others do not come.
    """
    if not launched():
        yield team()
        return
    missing = [name for name in LAUNCHER if name not in os.environ]
    if missing:
        raise InputError(f"WORLD_SIZE is set but {', '.join(missing)} is not; start several processes with torchrun")
    for name in (name for name in LAUNCHER if name != "MASTER_ADDR"):
        if not re.fullmatch(NUMBER, os.environ[name], re.ASCII):
            raise InputError(f"{name}={os.environ[name]} is no number; start several processes with torchrun")
    cuda = torch.cuda.is_available() and dist.is_nccl_available()
    if cuda:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
    # Its functions have the group of all processes as a default value, taken when they are imported. Imported later, by
    # torch itself, they would keep the group and its threads alive, and a thread of gloo that lets go of a tensor while
    # the interpreter is taken down aborts the process.
    importlib.import_module("torch.distributed.nn")
    global _prompt
    try:
        dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo")
        _prompt = cast("dist.ProcessGroup", dist.new_group(timeout=timedelta(seconds=STALLED)))  # all are members
    except (RuntimeError, ValueError) as e:
        raise InputError(f"the processes did not meet ({e}); start all of them with torchrun") from e
    yield team()
    dist.destroy_process_group()  # only after success: with a process gone it might wait for it
    _prompt = None


def first_to_report() -> bool:
    """Whether this process reports to the user how the run ended: the first that asks."""
    if not launched():
        return True
    try:
        host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        store = dist.TCPStore(  # pyright: ignore[reportPrivateImportUsage]  (public by PyTorch's documentation)
            host, port, is_master=False, wait_for_workers=False
        )
        attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        return store.add(f"minivae has reported {attempt}", 1) == 1
    except (KeyError, ValueError, RuntimeError):  # the process that kept the store has ended
        return is_first()


def command() -> list[str]:
    """How the program was started, for a hint how to start it again."""
    if not launched():
        return ["minivae"]
    here = os.environ.get("LOCAL_WORLD_SIZE", "1")
    several = [] if here == os.environ["WORLD_SIZE"] else ["--nnodes", "…", "--rdzv-endpoint", "…"]
    return ["torchrun", *several, "--nproc-per-node", here, "-m", "minivae"]
