"""What a GPU gives, in at most eight minutes: correctness against the CPU, a step and its floor, training, ranking.

    python tests/speed/gpu.py [--minutes 8] [--json FILE] [--only steps,graphs] [--split FILE]
    python tests/speed/gpu.py --device cpu --small         # the same on a toy, to try the script itself: a minute

Parts run one after the other, each in a process of its own, so that an error of CUDA ends one part. A part gets the
time that is left, less what the parts after it need; where too little is left it is skipped, with a line. What a part
had measured when its time was up stays in the table. `epochs` comes last and takes what is left: 200 epochs at the
shape of MovieLens-20M are measured if they fit, else extrapolated, and the table says which. Every batch size is
measured in float32 and bf16, with and without CUDA graphs and `torch.compile`. The status is 1 if a check does not hold
or a part fails. Printed is Markdown for docs/guides/speed.md.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", help="cuda, or cpu to try the script")
    parser.add_argument("--small", action="store_true", help="a toy instead of the shape of MovieLens-20M")
    parser.add_argument("--minutes", type=float, default=8.0, help="for everything together")
    parser.add_argument("--only", help="parts, with commas between; `data` is added where it is needed")
    parser.add_argument("--split", type=Path, help="where the planted split is kept, and taken from if it is there")
    parser.add_argument("--json", type=Path, help="where the numbers go as well")
    parser.add_argument("--part", nargs=2, metavar=("NAME", "SECONDS"), help=argparse.SUPPRESS)
    return parser


def main() -> None:
    parser = arguments()
    options = parser.parse_args()
    if options.part:
        measure(*options.part, options)
        return
    started = time.monotonic()
    names = plan(options, parser)
    with tempfile.TemporaryDirectory() as folder:
        options.split = options.split or Path(folder) / "split.safetensors"
        found = run_all(names, options, started + 60 * options.minutes, Path(folder))
    value = {"command": " ".join(["python", "tests/speed/gpu.py", *sys.argv[1:]]), "device": options.device}
    value |= {"seconds": time.monotonic() - started, "parts": found}
    print(markdown(value))
    if options.json:
        options.json.write_text(json.dumps(value, indent=1, ensure_ascii=False), encoding="utf-8")
    failed = [name for name, of in found.items() if of.get("failed") or not all(r.get("holds", 1) for r in of["rows"])]
    if failed:
        sys.exit(f"not as it should be: {', '.join(failed)}")


def plan(options: argparse.Namespace, parser: argparse.ArgumentParser) -> list[str]:
    """The parts to run, in order; ends with a sentence where the device is missing or a part unknown."""
    import torch
    from gpu_parts import PARTS

    device = torch.device(options.device)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        parser.error("there is no GPU here; --device cpu --small tries the script without one")
    wanted = options.only.split(",") if options.only else list(PARTS)
    if unknown := [name for name in wanted if name not in PARTS]:
        parser.error(f"there is no part {unknown[0]!r}; there are {', '.join(PARTS)}")
    if any(PARTS[name].needs_data for name in wanted):
        wanted.append("data")
    kept = options.split is not None and options.split.is_file()
    return [name for name in PARTS if name in wanted and not (name == "data" and kept)]


def run_all(names: list[str], options: argparse.Namespace, end: float, folder: Path) -> dict[str, dict]:
    """Part name -> its rows, its seconds, and why it was skipped, cut off or failed."""
    from gpu_parts import PARTS

    found: dict[str, dict] = {}
    for k, name in enumerate(names):
        part, later = PARTS[name], names[k + 1 :]
        left = end - time.monotonic()
        if left < (1 if options.small else part.least):
            found[name] = {"rows": [], "skipped": f"{max(0, left):.0f} s were left, it needs {part.least:.0f}"}
        elif part.needs_data and not options.split.is_file():
            found[name] = {"rows": [], "skipped": "there is no data"}
        else:
            mine = left if options.small else max(part.least, left - sum(PARTS[n].least for n in later))
            found[name] = run(name, mine, options, folder / f"{name}.jsonl")
        of = found[name]
        print(f"{name}: " + (of.get("skipped") or of.get("failed") or f"{of['seconds']:.0f} s"), file=sys.stderr)
    return found


def run(name: str, seconds: float, options: argparse.Namespace, rows: Path) -> dict:
    """One part in a process of its own, ended when its time is up; every row is one line of a file."""
    command = [sys.executable, __file__, "--part", name, str(seconds), "--device", options.device]
    command += ["--split", str(options.split), *(["--small"] if options.small else [])]
    started, found = time.monotonic(), {}
    with rows.open("w", encoding="utf-8") as out:
        try:
            done = subprocess.run(command, stdout=out, stderr=subprocess.PIPE, text=True, timeout=seconds + 5)
            if done.returncode:
                last = (done.stderr.strip().splitlines() or ["no message"])[-1]
                found["failed"] = f"status {done.returncode}: {last}"
        except subprocess.TimeoutExpired:
            found["cut off"] = f"after {seconds:.0f} s"
    lines = rows.read_text(encoding="utf-8").splitlines()
    return {"rows": [json.loads(line) for line in lines], "seconds": time.monotonic() - started, **found}


def measure(name: str, seconds: str, options: argparse.Namespace) -> None:
    """One part in this process: rows as lines of JSON."""
    import torch
    from gpu_parts import FULL, PARTS, SMALL, Setting

    sizes = SMALL if options.small else FULL
    setting = Setting(torch.device(options.device), sizes, options.split, time.monotonic() + float(seconds))
    for row in PARTS[name].measure(setting):
        print(json.dumps(row, ensure_ascii=False), flush=True)


def markdown(value: dict) -> str:
    """The report: one table a part, and a line for each that has none."""
    from gpu_parts import PARTS

    lines = [f"`{value['command']}`, {value['seconds']:.0f} s", ""]
    for name, of in value["parts"].items():
        lines += [f"**{PARTS[name].title}**", ""]
        lines += [f"{word}: {of[word]}." for word in ("skipped", "failed", "cut off") if word in of]
        rows = of["rows"]
        columns = list(dict.fromkeys(column for row in rows for column in row))
        if rows:
            right = [any(isinstance(row.get(c), float | int) for row in rows) for c in columns]
            rule = ["---:" if r else "---" for r in right]
            lines += ["| " + " | ".join(cells) + " |" for cells in (columns, rule)]
            lines += ["| " + " | ".join(shown(row.get(c, "")) for c in columns) + " |" for row in rows]
        lines.append("")
    return "\n".join(lines)


def shown(value: object) -> str:
    """Numbers with three digits.

    >>> shown(0.012345), shown(1234.5), shown(20108), shown(True), shown("fp32")
    ('0.0123', '1,234', '20,108', 'yes', 'fp32')
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return str(value)


if __name__ == "__main__":
    main()
