"""The command line: `minivae study · combine · per-user · tune · train · evaluate · recommend · theory · explain
· course · data`."""

import atexit
import gc
import os
import shlex
import sys
import textwrap
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout

import tyro

from minivae.cli import command_lines, commands, flags
from minivae.cli.output import patient_streams
from minivae.errors import InputError, UserError, at_shell
from minivae.runtime import progress, signals
from minivae.runtime.limits import limit_memory
from minivae.runtime.memory import lack_of_memory
from minivae.runtime.outside_code import place_among_others, words_of
from minivae.runtime.registry import load_plugins
from minivae.runtime.surroundings import check_surroundings, is_first, processes, unfit_for_torch
from minivae.runtime.text import visible
from minivae.version import __version__

EXAMPLES = {
    "study": """
      minivae study                                         the embedded data, two minutes
      minivae study --data ml-1m --seeds 5 --out runs/ml-1m  MovieLens-1M, after minivae data prepare ml-1m
      minivae study --data ratings.csv --user userId --item movieId --rating rating --min-rating 4
      minivae study --models ease,multvae --dry-run
      minivae study --preset ablation --seeds 5 --out runs/ablation
      minivae study --split-seeds 98765,1,2 --seeds 5 --out runs/draws
      minivae study --data ml-1m --settings runs/tuned/best.toml --seeds 5
    """,
    "combine": """
      minivae combine runs/ml-1m runs/ml-1m-draw-1 runs/ml-1m-draw-2 --out runs/ml-1m-draws
    """,
    "per-user": """
      minivae per-user runs/ml-1m --out per_user.parquet
      minivae per-user runs/folds --out per_user.csv
    """,
    "tune": """
      minivae tune --data ml-1m --trials 20 --out runs/tuned
      minivae tune --models ease,multvae+anchor --space ease.l2=50:2000:log lr=3e-4:3e-3:log --trials 30
      minivae tune --models ease --method grid --space ease.l2=100,200,400,800,1600
      minivae tune --data ml-1m --trials 40 --out runs/tuned --resume
    """,
    "train": """
      minivae train --model multvae+anchor --out runs/anchored
      minivae train --data ml-1m --keep 0.7 --anchor 2 --epochs 50 --out runs/mine
      minivae train --data ml-1m --keep 0.7 --anchor 2 --epochs 80 --out runs/mine --resume
    """,
    "evaluate": """
      minivae evaluate --model runs/mine
      minivae evaluate --model runs/mine --part validation --json-file numbers.json
      minivae evaluate --model runs/mine --metrics ndcg@10,map@10,mrr@10
      minivae evaluate --model runs/mine --data other_users.csv --user customer --item product
    """,
    "recommend": """
      minivae recommend --model runs/mine --user 42
      minivae recommend --model runs/mine --items "Toy Story (1995)" "Aladdin" -k 5
      minivae recommend --model runs/mine --users all --out recommended.parquet
      minivae recommend --model runs/mine --similar "Toy Story (1995)"
    """,
    "theory": """
      minivae theory
      minivae theory --model runs/mine --out runs/card
      minivae theory --data ml-1m --study runs/ml-1m --model runs/ml-1m/runs/multvae+anchor-seed0 --out runs/theory
      minivae theory --seeds 5 --out runs/observations
    """,
    "explain": """
      minivae explain --model runs/mine --out runs/whom
      minivae explain lds --data ml-1m --subsets 50 --out runs/lds
    """,
    "course": """
      minivae course --out my_work
      minivae course --out solved --solutions
    """,
    "data": """
      minivae data list
      minivae data prepare ml-1m
      minivae data info ml-1m
      minivae data info purchases.csv --user customer --item article
      minivae data info runs/mine/split.safetensors
    """,
}
LABEL_FLAGS = ("--user", "--items", "--similar", "--rank")
LIST_FLAGS = ("--models", "--metrics", "--split-seeds")
LONGEST_WORDS = 140  # of an error of torch, which may list all that it knows
NO_EASE = "leave ease out (it needs items × items numbers; see --models)"
LESS_MEMORY = {  # what takes less, by command; each names flags that the command has
    "study": f"{NO_EASE}, lower batch_size in a file of --settings, or take a larger machine",
    "tune": f"{NO_EASE}, lower batch_size in a file of --settings, or take a larger machine",
    "train": "lower --batch-size, or take a larger machine",
    "theory": "look at fewer --users, or take a larger machine",
    "explain": "look at fewer --users or --receivers, or take a larger machine",
}


def examples(command: str) -> list[str]:
    """What the help of a command ends with; the program's shows the first of each."""
    lines = {name: [line.strip() for line in text.strip().splitlines()] for name, text in EXAMPLES.items()}
    return lines.get(command) or [*(of[0] for of in lines.values()), "minivae --version"]


def program() -> int:
    """`main` as a process of its own.

    It ends without Python's last search for cycles, which among torch's objects takes two seconds and finds nothing
    that the end of the process does not free: Ctrl-C should be felt at once.
    """
    atexit.register(gc.freeze)
    progress.use_lines()
    os.environ["MPLBACKEND"] = "agg"  # no command opens a window
    with signals.handled_by(signals.interrupt), patient_streams() as output:
        try:
            status = main()
        except SystemExit as e:  # after --help, or at flags that do not exist
            status = e.code if isinstance(e.code, int) else int(e.code is not None)
        output.flush()
        if output.failure is None or isinstance(output.failure, BrokenPipeError):  # as `head` closes it
            return status
        print_ending(
            f"error: standard output could not be written ({output.failure.strerror}); all other work was done"
        )
        return status or 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status: 0, 2 after bad input, 130 after Ctrl-C.

    `--help` and flags that do not exist end in `SystemExit`, as `argparse` does.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    if argv == ["--version"]:
        print(__version__)
        return 0
    try:
        with at_shell():
            dispatch(parse(argv))
    except UserError as e:
        print_ending(f"error: {e}{how_to_resume(argv, e)}")
        return 2
    except OSError as e:
        where = f"{e.filename}: " if e.filename is not None else ""
        print_ending(f"error: {where}{e.strerror or e}; check the path, its permissions and the free space")
        return 2
    except UnicodeError as e:
        print_ending(
            f"error: a name or a text is not in the encoding of this system ({e}); rename the file or use UTF-8"
        )
        return 2
    except RecursionError:
        print_ending("error: something in the input is nested too deeply; make it flat")
        return 2
    except Exception as e:
        if isinstance(e, MemoryError | RuntimeError) and (lack := lack_of_memory(e)) is not None:
            print_ending(f"error: {lack}; {LESS_MEMORY.get(argv[0], 'take a larger machine')}")
        elif names := unfit_for_torch(e):
            said = textwrap.shorten(words_of(e), LONGEST_WORDS, placeholder=" …")
            if is_first():  # torch aborts if it is loaded once more, to ask who is first
                advice = f"unset {' or '.join(names)}, or correct the value"
                sys.stderr.write(f"error: torch cannot be loaded ({visible(said)}); {advice}\n")
        elif place := place_among_others(e):
            print_ending(f"error: {place}: {words_of(e)}; mend your own part there")
        else:
            raise
        return 2
    except KeyboardInterrupt as e:
        print_ending(f"interrupted{how_to_resume(argv, e) or '; nothing was changed'}")
        return 130
    return 0


def parse(argv: list[str]) -> flags.Command:
    """The command and its flags; of several processes the first alone shows help or what is wrong."""
    if argv[:1] == ["recommend"]:
        argv = ["recommend", *command_lines.labels_apart(argv[1:], flags.Recommend, LABEL_FLAGS)]
    elif argv[:1] in (["study"], ["tune"], ["evaluate"]):
        argv = command_lines.lists_joined(argv, LIST_FLAGS)
    quiet = not is_first()
    with (
        open(os.devnull, "w") as nowhere,
        redirect_stdout(nowhere if quiet else sys.stdout),
        redirect_stderr(nowhere if quiet else sys.stderr),
    ):
        try:
            return tyro.cli(
                flags.Command,
                prog="minivae",
                description="The mechanisms of collaborative learning in VAE recommenders, measured.",
                args=argv,
                config=(tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes),
            )
        except SystemExit as e:
            if not e.code:
                print("examples:", *(f"  {line}" for line in examples(argv[0])), sep="\n")
            raise


def dispatch(command: flags.Command) -> None:
    """Do it, in one process or, for training, in several."""
    check_surroundings()
    limit_memory(getattr(command, "max_memory", None))
    load_plugins()
    if processes() == 1:
        commands.run(command)
        return
    if not isinstance(command, flags.Train):
        raise InputError("only minivae train works with several processes; start the other commands without torchrun")
    from minivae.runtime import distributed

    with (
        distributed.joined() as team,
        open(os.devnull, "w") as nowhere,
        redirect_stdout(sys.stdout if team.first else nowhere),
    ):
        commands.run(command)


def how_to_resume(argv: list[str], e: BaseException) -> str:
    """What was kept of work that can be continued, and the command that does it; nothing for other work."""
    kept = getattr(e, "kept", None)
    if kept is None:
        return ""
    from minivae.runtime import distributed

    more = [] if any(a.startswith("--out") for a in argv) else ["--out", str(kept.folder)]
    more += [] if "--resume" in argv else ["--resume"]
    return f"; {kept.what} in {kept.folder}; continue with: {shlex.join([*distributed.command(), *argv, *more])}"


def print_ending(sentence: str) -> None:
    """Print how a command ended on stderr, on one line and once for all processes."""
    with signals.handled_by(signals.ignore):
        if processes() > 1:
            from minivae.runtime import distributed

            if not distributed.first_to_report():
                return
        sys.stderr.write(f"{visible(sentence)}\n")  # at once: other processes write there, too
