"""Full-size dry run: every preset at the shape of its data, on planted users, within 20 GB.

    python tests/speed/fullsize.py [--resume] [--steps 10] [--users 1000] [--presets ml-20m,netflix,msd] [--models A,B]
    python tests/speed/fullsize.py --shape 400,150,8000 --out /tmp/tiny       # the same on a tiny population
    python tests/speed/fullsize.py --presets ml-20m --models multvae --out /tmp/h100                  # on a GPU

For each preset a split is drawn once. Each model then has a process of its own, whose private memory is limited on a
CPU: a VAE makes some updates of every phase of its epoch and ranks some users, a baseline is fitted to everything and
ranks them. The time of an epoch follows from them, and the memory is measured. With a GPU the VAEs run there, and the
step of Mult-VAE at the shape of ML-20M is set beside its floor (three item-sized products and a pass of Adam). What is
done is kept: a stopped run is resumed. No accuracy is measured: the users are made up.

The third command measures an aim: on an H100, 200 epochs of Mult-VAE at the shape of ML-20M in less than a minute. It
was never run: no GPU was at hand.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

PRESETS = ("ml-20m", "netflix", "msd")
HELDOUT = {"ml-20m": 10_000, "netflix": 40_000, "msd": 50_000}
GB = 1e9
GPU_WARM_UP, GPU_TIMED = 50, 300  # a step takes about a millisecond, and the first ones choose and load kernels


def limit(gigabytes: float) -> None:
    """No more private memory than that for this process: an allocation beyond it fails."""
    resource.setrlimit(resource.RLIMIT_DATA, (int(gigabytes * GB), int(gigabytes * GB)))


def make(preset: str, shape: str | None, path: str) -> dict[str, float]:
    """Draw the population and split it."""
    import minivae as mv

    sizes = dict(zip(("n_users", "n_items", "n_events"), map(int, shape.split(",")), strict=True)) if shape else {}
    data = mv.planted(**sizes) if sizes else mv.planted(shape=preset)
    heldout = max(2, sizes["n_users"] // 10) if sizes else HELDOUT[preset]
    split = mv.strong_split(data, n_heldout=heldout)
    split.save(path)
    return {"users": split.train.shape[0], "items": split.n_items, "events": split.train.nnz, "held-out users": heldout}


def part(preset: str, name: str, path: str, steps: int, users: int, gigabytes: float) -> dict[str, object]:
    """One model in this process, limited to `gigabytes` on the CPU: what CUDA reserves for itself would count too."""
    import torch

    import minivae as mv
    from minivae.runtime.memory import peak
    from minivae.study.run import presets

    split = mv.StrongSplit.load(path)
    spec = presets.load(preset).model(name)
    device = torch.device("cuda" if torch.cuda.is_available() and spec.trained else "cpu")
    if device.type == "cpu":
        limit(gigabytes)
    some = mv.FoldIn(split.validation.history[:users], split.validation.heldout[:users])
    with peak(device) as memory:
        found = train(spec, split, device, steps) if spec.trained else solve(spec, split)
        model = found.pop("model")
        if device.type == "cuda":
            mv.evaluate(model, some)  # loads the kernels of ranking
        started = time.perf_counter()
        mv.evaluate(model, some)
        found["rank seconds"] = (time.perf_counter() - started) / some.n_users * split.validation.n_users
    found |= {"device": str(device), "peak": memory.process, "peak of the GPU": memory.device}
    if spec.trained:
        found["epoch seconds"] = found["training seconds"] + found["rank seconds"]
        found["all epochs"] = spec.config().epochs * found["epoch seconds"]
    return found


def train(spec: object, split: object, device: object, steps: int) -> dict[str, object]:
    """Updates of every phase, timed after some to warm up; the seconds of an epoch without its validation."""
    import torch

    from minivae.runtime.memory import keep_freed_memory
    from minivae.update import Trainer

    keep_freed_memory()
    config = spec.config()
    model = spec.build(split.n_items)
    if config.anchor > 0:
        model.add_anchors()
    model.to(device).train()
    trainer = Trainer.make(model, split.train, config)
    order = torch.randperm(split.train.shape[0]).split(config.batch_size)
    per_pass, total, per_update = len(order), 0.0, []
    warm_up, steps = (GPU_WARM_UP, max(steps, GPU_TIMED)) if device.type == "cuda" else (2, steps)
    for phase in model.phases:
        for k in range(warm_up + steps):
            if k == warm_up:
                synchronize(device)
                started = time.perf_counter()
            terms = trainer.update(order[k % max(1, per_pass - 1)], k, phase)
        synchronize(device)
        per_update.append(1e3 * (time.perf_counter() - started) / steps)
        assert bool(torch.isfinite(terms["loss"])), "the loss is not finite"
        total += phase.passes * per_pass * per_update[-1] / 1e3
    parameters = sum(p.numel() for p in model.parameters())
    spent = {"training seconds": total, "update ms": per_update, "parameters": parameters}
    return spent | {"products": str(trainer.products), "model": model.eval()}


def solve(spec: object, split: object) -> dict[str, object]:
    """A baseline fitted to all training users."""
    model = spec.build(split.n_items)
    started = time.perf_counter()
    model.fit(split.train)
    return {
        "training seconds": time.perf_counter() - started,
        "parameters": model.size(*split.train.shape),
        "model": model,
    }


def floor(path: str) -> dict[str, object]:
    """On a GPU: what no Mult-VAE step at this shape can avoid, three bf16 products and one pass of fused Adam."""
    import torch

    import minivae as mv

    if not torch.cuda.is_available():
        return {"not run": "no GPU here"}
    device, n_items = torch.device("cuda"), mv.StrongSplit.load(path).n_items
    h, w = (torch.randn(n, 600, device=device, dtype=torch.bfloat16) for n in (500, n_items))
    p = torch.rand(500, n_items, device=device, dtype=torch.bfloat16)
    model = mv.MultVAE(n_items).to(device)
    for q in model.parameters():
        q.grad = torch.full_like(q, 1e-3)
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    for k in range(GPU_WARM_UP + GPU_TIMED):
        if k == GPU_WARM_UP:
            synchronize(device)
            started = time.perf_counter()
        _ = h @ w.T, p @ w, p.T @ h
        optimizer.step()
    synchronize(device)
    return {"floor ms": 1e3 * (time.perf_counter() - started) / GPU_TIMED, "device": torch.cuda.get_device_name(device)}


def synchronize(device: object) -> None:
    """Wait for the GPU."""
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)


def three_digits(ms: float) -> str:
    """Milliseconds for a table.

    >>> three_digits(1.2345), three_digits(99.96), three_digits(12345.6)
    ('1.23', '100', '12346')
    """
    return f"{ms:.3g}" if ms < 100 else f"{ms:.0f}"


def markdown(value: dict[str, object]) -> str:
    """The report."""
    from minivae.study.forecast import duration
    from minivae.study.output.tables import size

    lines = [
        "# Dry run at full size",
        "",
        f"`{value['command']}`, at most {value['limit GB']:g} GB per process on the CPU. Planted users.",
        "",
    ]
    for preset, of in value["presets"].items():
        shape = ", ".join(f"{v:,} {k}" for k, v in of["split"].items() if not isinstance(v, str))
        lines += [f"## {preset}", "", shape or of["split"].get("failed", ""), ""]
        lines += ["| model | device | ms an update | an epoch | all epochs, or the fit | peak memory | of the GPU |"]
        lines += ["|---|---|---:|---:|---:|---:|---:|"]
        for name, r in of["models"].items():
            if "failed" in r:
                lines.append(f"| {name} | failed: {r['failed']} | | | | | |")
                continue
            updates = " / ".join(three_digits(ms) for ms in r.get("update ms", [])) or "–"
            epoch = duration(r["epoch seconds"]) if "epoch seconds" in r else "–"
            whole = duration(r.get("all epochs", r["training seconds"]))
            memory = f"{size(r['peak'])} | {size(r['peak of the GPU'])}"
            lines.append(f"| {name} | {r['device']} | {updates} | {epoch} | {whole} | {memory} |")
        lines.append("")
    gpu = value["GPU"]
    if "floor ms" in gpu:
        step, least, whole = three_digits(gpu["step ms"]), three_digits(gpu["floor ms"]), duration(gpu["200 epochs"])
        lines += [f"GPU, {gpu['device']}: a step of Mult-VAE {step} ms, its floor {least} ms; 200 epochs {whole}.", ""]
    else:
        lines += [f"200 epochs of Mult-VAE at the size of ML-20M on a GPU: not run: {gpu['not run']}.", ""]
    return "\n".join(lines)


def run(arguments: list[str]) -> dict[str, object]:
    """One part in a process of its own; what it prints last, or why it failed."""
    done = subprocess.run([sys.executable, __file__, *arguments], capture_output=True, text=True, env=dict(os.environ))
    if done.returncode:
        said = done.stderr.strip().splitlines()
        return {"failed": said[-1] if said else f"ended with status {done.returncode}"}
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--presets", default=",".join(PRESETS))
    parser.add_argument("--models", help="those that the preset selects")
    parser.add_argument("--steps", type=int, default=10, help="timed updates of each phase")
    parser.add_argument("--users", type=int, default=1000, help="users to rank")
    parser.add_argument("--gigabytes", type=float, default=20.0, help="limit for each process")
    parser.add_argument("--shape", help="USERS,ITEMS,EVENTS in place of the real ones, to try the script")
    parser.add_argument("--work", type=Path, default=Path("runs/fullsize"), help="for the splits and what is done")
    parser.add_argument("--out", type=Path, default=Path("chapters/results"))
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--part", nargs="+", help="run one part in this process")
    options = parser.parse_args()
    if options.part:
        kind, preset, *rest = options.part
        path = str(options.work / f"{preset}.safetensors")
        if kind == "make":
            limit(options.gigabytes)
            found = make(preset, options.shape, path)
        elif kind == "floor":
            found = floor(path)
        else:
            found = part(preset, rest[0], path, options.steps, options.users, options.gigabytes)
        print(json.dumps(found))
        return
    from minivae.runtime.storage import write_json, write_text
    from minivae.study.run import presets

    note = options.work / "fullsize.json"
    common = ["--work", str(options.work), "--steps", str(options.steps), "--users", str(options.users)]
    common += ["--gigabytes", str(options.gigabytes), *(["--shape", options.shape] if options.shape else [])]
    done = json.loads(note.read_text()) if options.resume and note.is_file() else {}
    if done and done["arguments"] != common:
        sys.exit(f"{note} was made with {' '.join(done['arguments'])}; use the same, or start again without --resume")
    done = done or {"arguments": common, "parts": {}}

    def once(*what: str) -> dict[str, object]:
        key = " ".join(what)
        if "failed" in done["parts"].get(key, {"failed": ""}):
            print(f"{key} …", file=sys.stderr)
            done["parts"][key] = run(["--part", *what, *common])
            write_json(note, done)
        return done["parts"][key]

    found = {}
    for name in options.presets.split(","):
        preset = presets.load(name)
        split = once("make", name)
        models = {}
        if "failed" not in split:
            models = {spec.name: once("model", name, spec.name) for spec in preset.pick(options.models)}
        found[name] = {"split": split, "models": models}
    gpu = once("floor", "ml-20m") if "ml-20m" in found else {"not run": "ml-20m is not among the presets"}
    whole = found.get("ml-20m", {"models": {}})["models"].get("multvae", {})
    if "floor ms" in gpu:
        gpu = (
            gpu | {"step ms": whole["update ms"][0], "200 epochs": 200 * whole["epoch seconds"]}
            if "epoch seconds" in whole
            else {"not run": "no multvae"}
        )
    value = {"command": "python tests/speed/fullsize.py " + " ".join(common[2:]), "limit GB": options.gigabytes}
    value |= {"presets": found, "GPU": gpu}
    write_json(options.out / "fullsize.json", value)
    write_text(options.out / "fullsize.md", markdown(value))
    print(markdown(value))
    print(f"results: {options.out}/fullsize.md, {options.out}/fullsize.json")


if __name__ == "__main__":
    main()
