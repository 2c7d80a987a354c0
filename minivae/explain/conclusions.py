"""What the experiments that retrain found, in sentences that their intervals allow, and their tables."""

from collections.abc import Mapping, Sequence
from typing import Any

from minivae.runtime.table import Table, numbers, words
from minivae.runtime.text import code, markdown

REFERENCES = ("ceiling", "transfer of another user")
"""Lines of an LDS table that are no score of the pair of users."""
PERSONAL = ", personal"
MOMENTS = ("along training", "end")


def lds_conclusion(value: Mapping[str, Any]) -> str:
    """One item for each outcome: how well transfer orders the losses, the best score, and a second seed."""
    lines = []
    for outcome, scores in value["scores"].items():
        t = scores["transfer"]
        said = f"**{markdown(outcome)}**: transfer has LDS {t['lds']:.3f} ({_interval(t)}), {_against(t, 'chance')}"
        name, best = max(((n, s) for n, s in scores.items() if n not in REFERENCES), key=lambda row: row[1]["lds"])
        said += "; no score is higher" if name == "transfer" else f"; the highest is {name}, {best['lds']:.3f}"
        if "ceiling" in scores:
            of = scores["ceiling"]
            said += f"; a second training of the same halves predicts the first with {of['lds']:.3f} ({_interval(of)})"
        lines.append(f"* {said}.")
    head = (
        f"Does a score of pairs of users say which of {value['subsets']:,} random halves of the training users of "
        f"{code(value['data'])} is better for a test user? LDS is the Spearman correlation of the summed score and the "
        f"outcome after retraining, mean over {value['receivers']:,} test users; 0 is chance."
    )
    if any(outcome.endswith(PERSONAL) for outcome in value["scores"]):
        head += " In a personal table what all users have in common is taken off first."
    if any("ceiling" in scores for scores in value["scores"].values()):
        head += " A score that knows all but the seed can reach the square root of what a second training reaches."
    return "\n".join([head, "", *lines])


def lds_table(scores: Mapping[str, Mapping[str, float]]) -> Table:
    """The scores of one outcome."""
    columns = [words("score"), numbers("LDS", "{:.3f}".format), numbers("95 % interval")]
    columns += [numbers("users above 0", "{:.0%}".format)]
    return Table.make(columns, ([n, s["lds"], _interval(s), s["users above 0"]] for n, s in scores.items()))


def far_conclusion(value: Mapping[str, Any]) -> str:
    """One item for each way of training: do gradients of related users agree more than those of their controls?"""
    lines = []
    for name, of in value["variants"].items():
        for moment in MOMENTS:
            d = of[moment]
            if d["low"] is None:
                said = "one seed, so no interval"
            else:
                said = f"{_interval(d, '{:.4f}')} over seeds, {_against(d, '0')}"
            lines.append(f"* **{markdown(name)}**, {moment}: difference {d['difference']:+.4f} ({said}).")
    head = (
        f"{value['pairs']:,} pairs of users of {code(value['data'])} with related tastes and next to no common items, "
        "each beside a pair that is unrelated and otherwise alike. The difference of the mean cosines of their "
        "gradients, related minus unrelated: above 0, training reaches users who are far but related."
    )
    return "\n".join([head, "", *lines])


def far_table(variants: Mapping[str, Mapping[str, Mapping[str, Any]]], moment: str) -> Table:
    """Every way of training at one moment."""
    kinds = ("related", "unrelated", "difference")
    columns = [words("training"), *(numbers(k, "{:.4f}".format) for k in kinds), numbers("95 % interval", _of_seeds)]
    rows = ([name, *(of[moment][k] for k in kinds), of[moment]] for name, of in variants.items())
    return Table.make(columns, rows)


def removal_conclusion(value: Mapping[str, Any]) -> str:
    """Are a test user's best helpers missed more than others?"""
    of = value["difference"]
    less = "the helpers are missed less" if of["high"] < 0 else "the two cannot be told apart"
    verdict = "the helpers are missed more" if of["low"] > 0 else less
    return (
        f"Trained without the {value['left out']} users with the highest transfer to a test user of "
        f"{code(value['data'])}, the model has a loss for that user that is {of['mean']:+.4f} nats higher than without "
        f"as many others of like activity (95 % interval over {value['receivers']} test users "
        f"{_interval(of, '{:+.4f}')}): {verdict}. "
        f"{value['receivers who miss the helpers more']:.0%} of these users miss the helpers more."
    )


def removal_table(value: Mapping[str, Any]) -> Table:
    """The difference and how many of the receivers have it."""
    of = value["difference"]
    rows: Sequence[Sequence[str]] = [
        ["receivers", f"{value['receivers']}"],
        [f"loss without the {value['left out']} best helpers − without others, nats", f"{of['mean']:+.4f}"],
        ["95 % interval over receivers", _interval(of, "{:+.4f}")],
        ["receivers who miss the helpers more", f"{value['receivers who miss the helpers more']:.0%}"],
    ]
    return Table.make([words(""), numbers("value")], rows)


def _interval(of: Mapping[str, float], form: str = "{:.3f}") -> str:
    return f"{form.format(of['low'])} … {form.format(of['high'])}"


def _of_seeds(of: Mapping[str, float]) -> str:
    return "one seed" if of["low"] is None else _interval(of, "{:.4f}")


def _against(of: Mapping[str, float], what: str) -> str:
    """Where an interval lies."""
    return f"above {what}" if of["low"] > 0 else f"below {what}" if of["high"] < 0 else f"not told apart from {what}"
