"""Grade submitted notebooks with the course's own checks, each submission in a process of its own.

python chapters/grade.py submitted/*/04_sharing_radius.ipynb > grades.csv
python chapters/grade.py --messages submitted/ann/04_sharing_radius.ipynb
"""

import argparse
import csv
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ONE = """
import csv, sys
from pathlib import Path
from minivae.course.grading import grade
rows = csv.writer(sys.stdout)
for g in grade(Path(sys.argv[1])):
    rows.writerow([sys.argv[1], g.task, g.points, g.of, g.message])
"""


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("notebooks", nargs="+", type=Path)
    parser.add_argument("--messages", action="store_true", help="what each check said, in a last column")
    options = parser.parse_args(arguments)
    table = csv.writer(sys.stdout)
    table.writerow(["notebook", "task", "points", "of"] + ["message"] * options.messages)
    for path in options.notebooks:
        command = [sys.executable, "-c", ONE, str(path)]
        env = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])}
        done = subprocess.run(command, capture_output=True, text=True, env=env)
        if done.returncode:
            raise SystemExit(done.stderr.strip().splitlines()[-1])
        for row in csv.reader(done.stdout.splitlines()):
            table.writerow(row if options.messages else row[:4])


if __name__ == "__main__":
    main()
