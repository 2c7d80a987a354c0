"""Cost curves: time and memory against users, items, interactions, latent size and batch, and the forecast beside them.

    python tests/speed/costs.py [--out chapters/results] [--only users,items] [--resume]

One size is varied at a time around a base point; each point runs in two processes: a forecast as
`minivae study --dry-run` makes it, then two epochs and a validation for real, or EASE's solution. Time is that of the
processor with one thread, so that a busy machine does not change it. Slopes of log cost over log size are the fitted
exponents; memory is what a run adds to the process. The base point serves all curves. Every point is kept in a cache,
so a stopped run can be resumed.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

BASE = {"users": 8000, "items": 4000, "events": 400_000, "latent": 200, "batch": 250}
GRID = {
    "users": (4000, 8000, 16000),
    "items": (2000, 4000, 8000),
    "events": (200_000, 400_000, 800_000),
    "latent": (50, 200, 800),
    "batch": (125, 250, 1000),
}
EASE_ITEMS = (1500, 3000, 6000)
HELDOUT = 1000
FITTED = {"seconds": "whole run", "forecast epoch": "epoch alone", "peak MB": "memory"}
EXPECTED = {
    "users": "epoch 1: as many more updates",
    "items": "epoch 1: three item-sized products, Adam, softmax",
    "events": "below 1: only the sparse parts grow",
    "latent": "near 0 until the middle layers count",
    "batch": "below 0: fewer passes of Adam and fewer products with small blocks",
    "ease items": "time 3 (Cholesky, inverse), memory 2",
}


def point(sizes: dict[str, int], model: str, ahead: bool) -> dict[str, float]:
    """The forecast of one point, or its run, in this process: each loads its code anew, as two commands would."""
    import torch

    torch.set_num_threads(1)
    from minivae.runtime.memory import status
    from minivae.study import forecast
    from minivae.study.run import presets
    from minivae.study.run.runs import Job, execute

    split = population(sizes)
    spec = presets.load("default").model(model)
    if spec.trained:
        spec = spec.changed({"latent": sizes["latent"]})
    job = Job(spec, spec.config(epochs=2, patience=2, batch_size=sizes["batch"], device="cpu", precision="fp32"))
    per = job.config.epochs if spec.trained else 1
    if ahead:
        cost = forecast.forecast(job, split, time.process_time)
        found = {"forecast seconds": cost.longest / per, "update ms": 1e3 * cost.update}
        return found | {"forecast epoch": cost.epoch, "parameters": cost.parameters}
    held = status("VmRSS")
    with tempfile.TemporaryDirectory() as folder:
        started = time.process_time()
        result = execute(job, split, Path(folder), model)
        seconds = time.process_time() - started
    return {"seconds": seconds / per, "peak MB": (result.metrics.peak_memory.process - held) / 1e6}


def modelled(model: str, sizes: dict[str, int]) -> float:
    """MB of the memory model, which needs no run."""
    import torch

    from minivae.study import memory_forecast
    from minivae.study.run import presets

    if model == "ease":
        return memory_forecast.ease_memory(sizes["items"], sizes["events"]).total / 1e6
    vae = presets.load("default").model(model).changed({"latent": sizes["latent"]}).build(sizes["items"])
    n, output = (sum(p.numel() for p in of.parameters()) for of in (vae, vae.decoder[-1]))
    shape = sizes["users"], sizes["items"]
    return memory_forecast.vae_memory(n, n, output, shape, sizes["events"], sizes["batch"], torch.float32).total / 1e6


def population(sizes: dict[str, int]) -> object:
    """Users with as many items each as the sizes say, items by a power law: quick to make, and costs know no more."""
    import scipy.sparse as sp

    import minivae as mv

    rng = np.random.default_rng(0)
    weights = 1 / (np.arange(sizes["items"]) + 10.0)
    cumulative = np.cumsum(weights / weights.sum())

    def rows(n: int, per_user: int) -> sp.csr_matrix:
        items = np.searchsorted(cumulative, rng.random(n * per_user)).clip(max=sizes["items"] - 1)
        m = sp.csr_matrix(
            (np.ones(len(items), np.float32), (np.repeat(np.arange(n), per_user), items)), (n, sizes["items"])
        )
        m.data[:] = 1
        return m

    per_user = sizes["events"] // sizes["users"]

    def part() -> mv.FoldIn:
        history, heldout = rows(HELDOUT, max(1, 4 * per_user // 5)), rows(HELDOUT, max(1, per_user // 5))
        return mv.FoldIn(history, heldout - heldout.multiply(history))

    parts = [part() for _ in range(2)]
    return mv.StrongSplit(rows(sizes["users"], per_user), *parts, np.arange(sizes["items"]), name="costs")


def exponent(x: list[float], y: list[float]) -> tuple[float, float]:
    """Slope of log y over log x, and its standard error."""
    a, b = np.log(x), np.log(y)
    design = np.stack([np.ones_like(a), a], 1)
    solution, *_ = np.linalg.lstsq(design, b, rcond=None)
    residuals = b - design @ solution
    spread = residuals @ residuals / max(1, len(x) - 2)
    return float(solution[1]), float(np.sqrt(spread * np.linalg.inv(design.T @ design)[1, 1]))


def curves(points: dict[str, dict[str, float]]) -> dict[str, dict[str, object]]:
    """Per size: the points in order, and exponents of time and memory."""
    found: dict[str, dict[str, object]] = {}
    for name in dict.fromkeys(key.split("=")[0] for key in points):
        values = sorted((float(k.split("=")[1]), p) for k, p in points.items() if k.split("=")[0] == name)
        x = [v for v, _ in values]
        fits = {m: exponent(x, [p[m] for _, p in values]) for m in FITTED if values[0][1][m]} if len(x) > 2 else {}
        found[name] = {"points": [{"size": v, **p} for v, p in values], "exponents": fits}
    return found


def markdown(value: dict[str, object]) -> str:
    """The tables."""
    lines = ["# What a run costs", "", f"`{value['command']}` on {value['machine']}, one thread.", ""]
    lines += [
        f"Base: {', '.join(f'{k} {v:,}' for k, v in BASE.items())}; {HELDOUT:,} validation and as many test users. "
        "One size varies at a time. Seconds of the processor: for Mult-VAE per epoch, of two with everything around "
        "them; for EASE of the whole. MB: what the run adds to the process.",
        "",
        "| size | value | seconds | forecast | ratio | peak MB | model MB | ratio |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, of in value["curves"].items():
        for p in of["points"]:
            time_ratio, memory_ratio = p["forecast seconds"] / p["seconds"], p["model MB"] / p["peak MB"]
            lines.append(
                f"| {name} | {p['size']:,.0f} | {p['seconds']:.2f} | {p['forecast seconds']:.2f} | {time_ratio:.2f} | "
                f"{p['peak MB']:.0f} | {p['model MB']:.0f} | {memory_ratio:.2f} |"
            )
    lines += ["", f"| exponent of | {' | '.join(FITTED.values())} | expected |", "|---|---:|---:|---:|---|"]
    for name, of in value["curves"].items():
        fits = of["exponents"]
        cells = [f"{fits[m][0]:.2f} ± {fits[m][1]:.2f}" if m in fits else "–" for m in FITTED]
        lines.append(f"| {name} | {' | '.join(cells)} | {EXPECTED[name]} |")
    every = [p for of in value["curves"].values() for p in of["points"]]
    within = {
        k: sum(1 / 1.5 <= p[a] / p[b] <= 1.5 for p in every)
        for k, a, b in (("time", "forecast seconds", "seconds"), ("memory", "model MB", "peak MB"))
    }
    lines += [
        "",
        f"Within a factor of 1.5: time at {within['time']} of {len(every)} points, memory at {within['memory']}. The "
        "exponents hold between the smallest and the largest size here: a constant part (libraries, validation, what "
        "does not depend on that size) makes them smaller than those of the law.",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("chapters/results"))
    parser.add_argument("--only", help="sizes to vary, with commas between")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "minivae-costs.json")
    parser.add_argument("--resume", action="store_true", help="keep the points of the cache")
    parser.add_argument("--point", nargs=3, metavar=("MODEL", "SIZES", "WHAT"), help="forecast or run one point here")
    options = parser.parse_args()
    if options.point:
        model, sizes, what = options.point
        print(json.dumps(point(json.loads(sizes), model, what == "forecast")))
        return
    wanted = options.only.split(",") if options.only else [*GRID, "ease items"]
    jobs = [(f"{k}={v}", "multvae", BASE | {k: v}) for k, values in GRID.items() if k in wanted for v in values]
    if "ease items" in wanted:
        jobs += [(f"ease items={v}", "ease", BASE | {"items": v}) for v in EASE_ITEMS]
    cache = json.loads(options.cache.read_text()) if options.resume and options.cache.is_file() else {}
    points = {}
    for k, (name, model, sizes) in enumerate(jobs, 1):
        key = f"{model} {json.dumps(sizes)}"
        if key not in cache:
            environment = {**os.environ, "OMP_NUM_THREADS": "1"}
            cache[key] = {}
            for what in ("forecast", "run"):
                command = [sys.executable, __file__, "--point", model, json.dumps(sizes), what]
                done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
                cache[key] |= json.loads(done.stdout.splitlines()[-1])
            options.cache.write_text(json.dumps(cache))
        points[name] = cache[key] | {"model MB": modelled(model, sizes)}
        cost = f"{points[name]['seconds']:.2f} s, {points[name]['peak MB']:.0f} MB"
        print(f"{k} of {len(jobs)}: {name}: {cost}", file=sys.stderr)
    from minivae.runtime.storage import write_json, write_text
    from minivae.study.run.results import environment as machine

    facts = machine("cpu", "fp32")
    value = {
        "command": "python tests/speed/costs.py",
        "machine": f"{facts.processor}, torch {facts.torch}",
        "base": BASE,
        "curves": curves(points),
    }
    write_json(options.out / "costs.json", value)
    write_text(options.out / "costs.md", markdown(value))
    print(f"results: {options.out}/costs.md, {options.out}/costs.json")


if __name__ == "__main__":
    main()
