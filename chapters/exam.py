"""Write an exam of 90 minutes and its key, with numbers of its own for every sheet.

    python chapters/exam.py --seed 7 --out exam       then print exam/exam-7.html; exam/key-7.html is for graders

The questions are `lecturer/exam.md`, the key is `lecturer/key.md`; `§name` in them is a number that is drawn from the
seed or computed by the package from drawn numbers. The same seed gives the same sheet. Needs the extra `docs`.
"""

import argparse
import random
import sys
from html import escape
from pathlib import Path
from string import Template

import numpy as np
import torch
from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin

FOLDER = Path(__file__).resolve().parent
sys.path[:0] = [str(FOLDER.parent), str(FOLDER.parent / "docs" / "_ext")]  # this checkout, installed or not

from mathml import mathml

import minivae as mv
from minivae.metrics import Ranking, ndcg, recall
from minivae.objective import kl_to_standard_normal
from minivae.runtime.storage import write_text
from minivae.theory import anchoring, distances, locality, masking

STYLE = """
body { font: 11.5pt/1.45 Georgia, serif; max-width: 42em; margin: 2em auto; padding: 0 1em; color: #111; background: #fff }
h1 { font-size: 1.5em } h2 { font-size: 1.15em; margin-top: 1.6em; break-after: avoid }
p { margin: .6em 0; break-inside: avoid } .block { overflow-x: auto; text-align: center }
@media print { body { margin: 0; max-width: none } }
"""


class Sheet(Template):
    """A text with §names; the dollar belongs to the formulas."""

    delimiter = "§"


def short(value: float) -> str:
    """Three digits, as a calculator is read."""
    return f"{value:.3f}".rstrip("0").rstrip(".") if abs(value) < 10 else f"{value:.4g}"


def row(*values: float) -> torch.Tensor:
    return torch.tensor([values], dtype=torch.float64)


def metrics(draw: random.Random) -> dict[str, object]:
    """Question 1: the list's hits at ranks 1 and `hit`, three held-out items."""
    hit = draw.choice([3, 4])

    def ranked(second: int) -> Ranking:
        shown = np.zeros((1, 5), bool)
        shown[0, [0, second - 1]] = True
        return Ranking(hits=shown, n_heldout=np.array([3]))

    here, other = (float(ndcg(ranked(rank), 5)[0]) for rank in (hit, hit + 1))
    return {
        "hit": hit,
        "next": hit + 1,
        "recall": short(float(recall(ranked(hit), 5)[0])),
        "gain": short(1 + 1 / np.log2(hit + 1)),
        "othergain": short(1 + 1 / np.log2(hit + 2)),
        "ndcg": short(here),
        "otherndcg": short(other),
        "tied": short((here + other) / 2),
    }


def objective(draw: random.Random) -> dict[str, object]:
    """Question 2: a KL term."""
    mu, sd = [draw.choice([0.5, 1.0, 1.5, -0.5, -1.0]) for _ in "12"], draw.sample([0.2, 0.4, 0.5, 0.8], 2)
    kl = float(kl_to_standard_normal(row(*mu), 2 * row(*sd).log())[0])
    return {"mu1": mu[0], "mu2": mu[1], "sd1": sd[0], "sd2": sd[1], "kl": short(kl)}


def geometry(draw: random.Random) -> dict[str, object]:
    """Question 3: W2 of two Gaussians."""
    su, sv = draw.sample([0.2, 0.5, 1.0], 2), draw.sample([0.4, 0.8, 1.5], 2)
    mean = [draw.choice([1, 2, 3]), draw.choice([-1, 1, 2])]
    w2 = float(distances.w2_gaussian(row(0, 0), row(*su), row(*mean), row(*sv))[0])
    names = dict(zip(("su1", "su2", "sv1", "sv2", "mv1", "mv2"), (*su, *sv, *mean), strict=True))
    return names | {"w2": short(w2), "lower": short(float(np.hypot(*mean)))}


def sharing(draw: random.Random) -> dict[str, object]:
    """Question 4: one of the two ordered pairs is certified; |‖g_u‖ − ‖g_v‖| ≤ D, as for real gradients."""
    gu, duv, ku, kv = draw.choice([5, 6, 7]), draw.choice([1, 1.5]), draw.choice([2, 2.5]), draw.choice([2, 2.5])
    w1, m = draw.choice([0.8, 1.0]), draw.choice([2, 4])
    gv = gu - 2
    dvu = gv - 1
    penalty = ku * w1 + duv
    given = {"gu": gu, "gv": gv, "duv": duv, "dvu": dvu, "ku": ku, "kv": kv, "w1": w1, "m": m}
    return given | {
        "ruv": short((gu - duv) / ku),
        "rvu": short(max(0, gv - dvu) / kv),
        "penalty": short(penalty),
        "step": short(2 * gu * (gu - penalty) / (m * gv**2)),
    }


def compromise(draw: random.Random) -> dict[str, object]:
    """Question 5: the gap of equal posteriors, and of two users without a common item."""
    n, common = draw.choice([12, 15, 20]), draw.choice([4, 5, 6, 7, 8])
    nu, nv = draw.choice([(10, 30), (8, 24), (5, 20)])
    crowd = float(locality.compromise_gap(row(1, 0), row(0, 1), row(nu)[0], row(nv)[0])[0])
    differ = 2 * (n - common)
    given = {"n": n, "common": common, "nu": nu, "nv": nv, "differ": differ}
    return given | {"gap": short(differ * np.log(2)), "merge": short(differ / 2), "crowd": short(crowd)}


def bottleneck(draw: random.Random) -> dict[str, object]:
    """Question 6: water-filling of a linear VAE, and the bound for a pair."""
    variances = np.array([6.0, 2.5, 1.2, 0.3])
    noise, beta = draw.choice([(0.25, 2), (0.5, 1), (0.5, 2), (0.5, 4), (0.25, 4)])
    level = beta * noise
    kl = draw.choice([(2, 0.5), (4.5, 2), (0.5, 8)])
    return {
        "noise": noise,
        "beta": beta,
        "variances": ", ".join(short(v) for v in variances),
        "level": short(level),
        "dead": " and ".join(short(v) for v in variances[variances <= level]),
        "rates": ", ".join(short(r) for r in 0.5 * np.log(np.maximum(variances / level, 1))),
        "error": short(np.minimum(variances, level).sum()),
        "klu": kl[0],
        "klv": kl[1],
        "pair": short(sum(np.sqrt(2 * k) for k in kl)),
    }


def masks(draw: random.Random) -> dict[str, object]:
    """Question 7: the law of a masked distance; never exactly at its border."""
    rho = draw.choice([0.4, 0.5, 0.6])
    s, d = draw.choice([(s, d) for s in range(6, 13) for d in range(3, 10) if abs(d - 2 * rho * s) > 0.5])
    law = masking.masked_distance(s, d, rho)
    return {
        "s": s,
        "d": d,
        "rho": rho,
        "p": short(2 * rho * (1 - rho)),
        "mean": short(float(law.mean)),
        "variance": short(float(law.var)),
        "closer": "yes, they come closer" if law.contracts else "no, they move apart",
        "even": short(d / (2 * s)),
    }


def anchors(draw: random.Random) -> dict[str, object]:
    """Question 8: the three terms of the anchor loss, and the weight for a wanted shrinkage."""
    e = [[draw.choice([0, 1, 2]), draw.choice([0, 2])], [draw.choice([4, 6]), draw.choice([-2, 4])]]
    mu, sd = [draw.choice([1, 2]), draw.choice([-1, 3])], draw.sample([0.5, 1.0, 1.5], 2)
    terms = anchoring.alignment(row(*mu), row(*sd), torch.tensor(e, dtype=torch.float64), row(1, 1))
    distance, trace, scatter = (float(t[0]) for t in (terms.mean_term, terms.variance_term, terms.scatter_term))
    lip, share = draw.choice([2, 3, 5]), draw.choice([0.25, 0.16, 0.04])
    centroid = np.mean(e, axis=0)
    given = {"e11": e[0][0], "e12": e[0][1], "e21": e[1][0], "e22": e[1][1], "am1": mu[0], "am2": mu[1]}
    return given | {
        "as1": sd[0],
        "as2": sd[1],
        "lip": lip,
        "share": share,
        "centroid": f"$({short(centroid[0])}, {short(centroid[1])})$",
        "distance": short(distance),
        "trace": short(trace),
        "scatter": short(scatter),
        "anchor": short(distance + trace + scatter),
        "lambda": short(lip / 2 * (1 / np.sqrt(share) - 1)),
    }


def holm(p: list[float]) -> list[float]:
    """The values that stay significant at 5 % together, smallest first."""
    kept = []
    for k, value in enumerate(sorted(p)):
        if value > 0.05 / (len(p) - k):
            break
        kept.append(value)
    return kept


def table(draw: random.Random) -> dict[str, object]:
    """Question 9: a difference that pairing decides, and three p-values."""
    a, gain = draw.choice([0.412, 0.418, 0.421]), draw.choice([0.008, 0.009, 0.010])
    se, other, r = draw.choice([0.0060, 0.0062]), draw.choice([0.0061, 0.0064]), draw.choice([0.9, 0.95])
    p = draw.choice([[0.012, 0.03, 0.04], [0.01, 0.02, 0.2], [0.001, 0.02, 0.06]])
    draw.shuffle(p)
    unpaired, paired = np.hypot(se, other), np.sqrt(se**2 + other**2 - 2 * r * se * other)
    low, high = -gain - 1.96 * paired, -gain + 1.96 * paired
    return {
        "users": draw.choice([1000, 2000]),
        "a": f"{a:.3f}",
        "b": f"{a + gain:.3f}",
        "sea": f"{se:.4f}",
        "seb": f"{other:.4f}",
        "r": r,
        **{f"p{k + 1}": value for k, value in enumerate(p)},
        "unpaired": f"{unpaired:.4f}",
        "paired": f"{paired:.4f}",
        "interval": f"[{low:+.4f}, {high:+.4f}]",
        "alone": "yes" if gain > 1.96 * unpaired else "no",
        "withr": "yes" if high < 0 else "no",
        "holm": ", ".join(short(value) for value in holm(p)),
    }


QUESTIONS = (metrics, objective, geometry, sharing, compromise, bottleneck, masks, anchors, table)


def sheet(seed: int) -> dict[str, object]:
    """All numbers of a sheet, given and computed."""
    values: dict[str, object] = {"seed": seed}
    for question in QUESTIONS:
        values |= question(random.Random(f"{question.__name__} {seed}"))
    return values


def page(text: str, title: str) -> str:
    """Markdown with formulas as one HTML page that needs nothing else."""
    markdown = MarkdownIt("commonmark").use(dollarmath_plugin, renderer=formula)
    body = markdown.render(text)
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}</body></html>\n'


def formula(tex: str, options: dict[str, bool]) -> str:
    return mathml(tex.strip(), "block" if options["display_mode"] else "inline")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="number of the sheet (default 0)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the two pages go")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    for name in ("exam", "key"):
        text = Sheet((FOLDER / "lecturer" / f"{name}.md").read_text(encoding="utf-8")).substitute(sheet(options.seed))
        path = options.out / f"{name}-{options.seed}.html"
        write_text(path, page(text, f"{name} {options.seed}, minivae {mv.__version__}"))
        print(path)


if __name__ == "__main__":
    main()
