"""The prototype's observations beside what is observed here: reproduced, contradicted, or not comparable.

The prototype is an earlier trial implementation. Its numbers stand in the design notes of this course, and here in
`minivae/study/published/prototype.csv`, each with its source. They are a question to the models trained here, not a
result of this package.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from minivae.runtime import text
from minivae.runtime.records import Record
from minivae.runtime.table import Part, Table, numbers, words
from minivae.study.output import published

Numbers = Mapping[str, list[dict[str, float]]]
RULE = (
    "One model per seed. agrees? of a number: the prototype's lies within 2 sd or 10 % of the mean (asked on "
    "MovieLens-1M only); of a statement: in all seeds, in none, or mixed. The prototype: one seed (accuracies: three) "
    "on MovieLens-1M; its latent numbers come from all ratings, its accuracies here from ratings ≥ 4."
)
CLEAN, MASKED, PIA = "clean β=0.2", "masked β=0.2", "masked+PIA λ=1 β=0.2"
NAMES = {"clean": CLEAN, "masked": MASKED, "masked + PIA": PIA}


@dataclass(frozen=True)
class Row:
    """One observation.

    Attributes
    ----------
    section : str
        Section of the theory.
    what : str
        What was observed.
    observed : str
        Mean ± sd over seeds, or in how many seeds a statement holds.
    prototype : str
        What the prototype gave, or – if it gave nothing.
    agrees : str
        Yes, no, mixed, or – where there is nothing to compare with.
    """

    section: str
    what: str
    observed: str
    prototype: str
    agrees: str


class Observations(Record, frozen=True):
    """observations.json: the table, and the numbers of every model and toy behind it."""

    data: str
    rule: str
    table: Sequence[Row]
    models: Numbers
    toy: Sequence[Mapping[str, float]]


def compare(found: Numbers, toys: Sequence[Mapping[str, float]], comparable: bool) -> list[Row]:
    """The table of observations.

    Parameters
    ----------
    found : Numbers
        Variant -> numbers per seed, from `minivae.study.observations.observations.collect`.
    toys : Sequence[Mapping[str, float]]
        Numbers per seed, from `minivae.study.observations.observations.toy_radius`.
    comparable : bool
        Whether the data are the prototype's, so that numbers can be compared and not only statements.
    """
    expected = published.prototype()
    rows = []
    if toys:
        for pairs, step in (("same", 0), ("other", 0), ("same", 100), ("same", 300)):
            label, key = {"same": "same community", "other": "other pairs"}[pairs], f"local {pairs} {step}"
            value = expected["2 toy", "toy", key]
            rows.append(_number("2 toy", f"{label} certified, step {step}", value, [t[key] for t in toys]))
        rows.append(
            _number("2 toy", "same community, proved constant, step 0", None, [t["proved same 0"] for t in toys])
        )
        closing = [t["local same 0"] > t["local same 100"] > t["local same 300"] for t in toys]
        rows.append(_claim("2 toy", "the radius closes as training goes on", "yes", closing))

    def number(section: str, what: str, variant: str, key: str) -> None:
        values = [r[key] for r in found.get(variant, ()) if key in r]  # not every model has a proved constant
        if values:
            value = expected.get((section, variant, key))
            rows.append(_number(section, what, value, values, comparable))

    def claim(section: str, what: str, holds: Callable[..., bool], *variants: str) -> None:
        if all(v in found for v in variants):
            seeds = set.intersection(*({r["seed"] for r in found[v]} for v in variants))
            by_seed = [[next(r for r in found[v] if r["seed"] == k) for v in variants] for k in sorted(seeds)]
            if by_seed:
                rows.append(_claim(section, what, "yes", [holds(*of) for of in by_seed]))

    number("2", "pairs of users certified (local constant)", MASKED, "certified")
    number("2", "pairs certified with ‖g_u − g_v‖ exact", MASKED, "certified exact")
    number("2", "median |cosine| of two users' gradients", MASKED, "cosine")
    number("2", "pairs that transfer positively", MASKED, "transfer")
    for name, variant in NAMES.items():
        number("2", f"two masked views certified, {name}", variant, "views certified")
    claim("2", "masks in training raise the views certified", _more_views, CLEAN, MASKED)
    claim("2", "PIA raises them further", _more_views, MASKED, PIA)
    for name, variant in NAMES.items():
        number("3", f"largest W2 / ‖x_u − x_v‖₁ seen, {name}", variant, "largest ratio")
        number("3", f"proved constant, {name}", variant, "proved")
    sweep = sorted((of[0]["beta"], v) for v, of in found.items() if re.fullmatch(r"masked β=[^ ]+", v))
    for beta, variant in sweep:
        number("4", f"active units, β = {beta:g}", variant, "active")
        number("4", f"KL per user (nats), β = {beta:g}", variant, "kl")
        number("4", f"test nDCG@100, β = {beta:g}", variant, "ndcg")
    if len(sweep) > 1:
        claim("4", "active units fall from the smallest to the largest β", _fewer, sweep[0][1], sweep[-1][1])
    for k in range(1, 6):
        number("5", f"latent distance masked/clean, fifth {k} (near → far)", MASKED, f"ratio {k}")
    number("5", "P(contract), nearest fifth", MASKED, "closer near")
    number("5", "P(contract), farthest fifth", MASKED, "closer far")
    claim("5", "near pairs drift apart more than far ones", lambda r: r["ratio 1"] > r["ratio 5"], MASKED)
    claim("5", "all fifths drift apart on average", lambda r: min(r[f"ratio {k}"] for k in range(1, 6)) > 1, MASKED)
    for name, variant in NAMES.items():
        keys = ("within", "within/between", "overlap")
        labels = ("within-user variance of μ over masks", "within / between variance", "overlap of 10 neighbours")
        for key, label in zip(keys, labels, strict=True):
            number("6", f"{label}, {name}", variant, key)
    claim("6", "PIA lowers the within-user variance", lambda m, p: p["within"] < m["within"], MASKED, PIA)
    claim("6", "but raises it relative to that between users", _looser, MASKED, PIA)
    claim("6", "and neighbours are no more stable", lambda m, p: p["overlap"] <= m["overlap"], MASKED, PIA)
    for variant in found:
        if variant.endswith("β=0.2"):
            number("6", f"test nDCG@100, {variant.removesuffix(' β=0.2')}", variant, "ndcg")
    for variant in found:
        if "PIA" in variant:
            number("6", f"mean anchor norm, {variant.removesuffix(' β=0.2')}", variant, "anchor norm")
    claim("6", "masks raise accuracy", lambda c, m: m["ndcg"] > c["ndcg"], CLEAN, MASKED)
    claim("6", "PIA raises accuracy further", lambda m, p: p["ndcg"] > m["ndcg"], MASKED, PIA)
    return rows


def _fewer(small: Mapping[str, float], large: Mapping[str, float]) -> bool:
    return large["active"] < small["active"]


def _more_views(before: Mapping[str, float], after: Mapping[str, float]) -> bool:
    return after["views certified"] > before["views certified"]


def _looser(masked: Mapping[str, float], pia: Mapping[str, float]) -> bool:
    return pia["within/between"] > masked["within/between"]


def _number(section: str, what: str, prototype: float | None, values: Sequence[float], comparable: bool = True) -> Row:
    mean, sd = float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
    shown = f"{mean:.4g} ± {sd:.2g}" if len(values) > 1 else f"{mean:.4g} (one seed)"
    if prototype is None:
        return Row(section, what, shown, "–", "–")
    if not comparable:
        return Row(section, what, shown, f"{prototype:g}", "– (other data)")
    near = abs(mean - prototype) <= max(2 * np.nan_to_num(sd), 0.1 * abs(prototype), 0.005 if prototype == 0 else 0)
    return Row(section, what, shown, f"{prototype:g}", "yes" if near else "no")


def _claim(section: str, what: str, prototype: str, holds: Sequence[bool]) -> Row:
    n = sum(map(bool, holds))
    agrees = "yes" if n == len(holds) else "no" if n == 0 else "mixed"
    return Row(section, what, f"holds in {n} of {len(holds)} seeds", prototype, agrees)


def table(rows: Sequence[Row]) -> Table:
    """The table of observations."""
    columns = [words("section"), words("what"), numbers("observed (mean ± sd over seeds)"), numbers("prototype")]
    return Table.make([*columns, words("agrees?")], ([*asdict(r).values()] for r in rows))


def conclusion(rows: Sequence[Row]) -> str:
    """How many of the observations agree, in a sentence."""
    kinds = [r.agrees for r in rows]
    return (
        f"Of {len(kinds)} observations {kinds.count('yes')} agree with the prototype, {kinds.count('no')} do not, "
        f"{kinds.count('mixed')} depend on the seed, and {kinds.count('–')} have nothing to be compared with."
    )


def compose(rows: Sequence[Row], title: str) -> list[Part]:
    """The report, from top to bottom."""
    return [f"# {text.markdown(title)}", table(rows), RULE]
