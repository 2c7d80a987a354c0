"""Measure the worked-out open tasks (★★★) again: `python chapters/investigate.py [NN …]`.

Each uses the solution of its chapter on the data of its chapter, and adds what it found to `results/investigations.json`.
The chapters' solutions say what came out.
"""

import argparse
import json
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parent))  # this checkout, installed or not

from investigations import OPEN

import minivae as mv
from minivae.runtime.storage import write_text
from minivae.study.run.sources import fingerprint

RESULTS = FOLDER / "results" / "investigations.json"


def events() -> str:
    """Hash of the embedded population: what was measured on other events is not what the command gives now."""
    return fingerprint(mv.strong_split(mv.planted(), n_heldout=2000))


def main() -> None:
    """Run some of the tasks, or all, and add what they find to the stored results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("chapters", nargs="*", metavar="NN", help=f"of {', '.join(OPEN)}; all if none is given")
    chosen = parser.parse_args().chapters or list(OPEN)
    if unknown := [number for number in chosen if number not in OPEN]:
        parser.error(f"no open task is worked out for {', '.join(unknown)}; there are {', '.join(OPEN)}")
    of = events()
    for number in chosen:
        found = OPEN[number]()
        kept = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
        kept = dict(sorted((kept | {number: found, "events": kept.get("events", {}) | {number: of}}).items()))
        write_text(RESULTS, json.dumps(kept, indent=1, ensure_ascii=False) + "\n")
        print(number, json.dumps(found, ensure_ascii=False))


if __name__ == "__main__":
    main()
