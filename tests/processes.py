"""What each process of tests/test_distributed.py does: `torchrun --nproc-per-node N tests/processes.py WHAT …`."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from minivae import MultVAE, RecVAE, StrongSplit, TrainConfig, fit, masks, training, update
from minivae.cli.main import program
from minivae.models import save_model
from minivae.runtime import distributed
from minivae.runtime.distributed import Team
from minivae.runtime.storage import write_json
from minivae.training import Run

CONFIG = TrainConfig(batch_size=133, epochs=2, anneal_steps=10, anchor=0.5, precision="fp32", device="cpu", seed=5)
RUNS = {  # the last of 400 users is a batch of its own: fewer rows than processes
    "multvae": (MultVAE, CONFIG),
    "recvae": (RecVAE, replace(CONFIG, mask="mask-then-normalize", anchor=0.0, beta=0.0, gamma=0.005)),
}


def make(name: str, split: StrongSplit) -> Run:
    kind, config = RUNS[name]
    return fit(kind(120, 16, 6), split, config)


@contextmanager
def replaced(place: object, name: str, value: object) -> Iterator[None]:
    before = getattr(place, name)
    setattr(place, name, value)
    try:
        yield
    finally:
        setattr(place, name, before)


def local_masks(batch, *args):
    """Broken twin: a mask addressed by the place in this process's share, not by the place in the data."""
    return masks.masked(replace(batch, positions=torch.arange(len(batch.positions))), *args)


def equal_shares(team, users, rows=Team.rows):
    """Broken twin, the mean of means: every process counts the same, however few its rows."""
    return rows(team, users)[0], 1 / team.size


def own_metric(scorer, fold_in, metric, team, shared=training.mean_metric):
    """Broken twin: each process ranks its share of the validation users and believes the result."""
    own = type(fold_in)(fold_in.history[team.rank :: team.size], fold_in.heldout[team.rank :: team.size])
    return shared(scorer, own, metric, Team())


TWINS = {
    "local masks": (update, "masked", local_masks),
    "mean of means": (Team, "rows", equal_shares),
    "own validation": (training, "mean_metric", own_metric),
}


def train(data: str, out: str, twins: str = "") -> None:
    """Each of RUNS, then `phases`, then the twins; every process writes what it has at the end, and its threads."""
    split = StrongSplit.load(data)
    with distributed.joined() as team:
        train_all(team, split, Path(out))
        phases(team, Path(out))
        for name, twin in TWINS.items() if twins else ():
            with replaced(*twin):
                train_all(team, split, Path(out) / name)
        during = threads()
    write_json(Path(out) / "threads" / f"{team.rank}.json", {"during": during, "after": threads()})


def threads() -> list[str]:
    """Names of this process's threads; none where the system does not list them."""
    return [task.read_text().strip() for task in Path("/proc/self/task").glob("*/comm")]


def train_all(team: Team, split: StrongSplit, out: Path) -> None:
    for name in RUNS:
        run = make(name, split)
        save_model(run.model, out / name / f"{team.rank}.safetensors")
        write_json(out / name / f"{team.rank}.json", {"log": run.log})


def phases(team: Team, out: Path) -> None:
    """Gradients of a model of which only one half is in the loss: each half in turn, one process with no rows."""
    a, b = (torch.nn.Linear(3, 1, bias=False) for _ in range(2))
    found = {}
    for name, half in {"a": a, "b": b}.items():
        a.weight.grad = b.weight.grad = None
        mine, share = team.rows(torch.arange(team.size - 1))
        loss = share * half(torch.ones(len(mine), 3) * (1 + mine[:, None])).mean()
        loss.backward()
        terms = team.sum_gradients([a.weight, b.weight], {"rows": torch.tensor(float(len(mine)) * (share > 0))})
        grads = [None if p.grad is None else p.grad.tolist() for p in (a.weight, b.weight)]
        found[name] = {"gradients": grads, "rows": float(terms["rows"])}
    write_json(out / "phases" / f"{team.rank}.json", found)


def killed(rank: str, at: str, *argv: str, asked: bool = False) -> None:
    """The command line, but process `rank` is killed in its forward pass number `at` of training.

    With `asked` the others have got SIGTERM by then, as clusters send it, before they can see the loss, and get it
    again, as torchrun sends it, where they have left training and look up how to say it.
    """
    posterior, command, forwards = MultVAE.posterior, distributed.command, [0]

    def deadly(self, batch):
        forwards[0] += self.training
        if self.training and forwards[0] == int(at):
            if os.environ["RANK"] == rank:
                os.kill(os.getpid(), signal.SIGKILL)
            elif asked:
                os.kill(os.getpid(), signal.SIGTERM)
        return posterior(self, batch)

    def command_asked_again():
        os.kill(os.getpid(), signal.SIGTERM)
        return command()

    MultVAE.posterior = deadly
    if asked:
        distributed.command = command_asked_again
    sys.argv[1:] = argv
    sys.exit(program())


if __name__ == "__main__":
    {"train": train, "killed": killed, "asked": partial(killed, asked=True)}[sys.argv[1]](*sys.argv[2:])
