"""What the experiments that retrain found, in sentences that their intervals allow, and their tables."""

from collections.abc import Mapping, Sequence

from minivae.explain.records import CosineDifference, FarResults, LdsResults, RemovalResults, Score, Variants
from minivae.runtime.table import Table, numbers, words
from minivae.runtime.text import code, markdown

REFERENCES = ("ceiling", "transfer of another user")
"""Lines of an LDS table that are no score of the pair of users."""
PERSONAL = ", personal"
MOMENTS = ("along training", "end")


def lds_conclusion(value: LdsResults) -> str:
    """One item for each outcome: how well transfer orders the losses, the best score, and a second seed."""
    lines = []
    for outcome, scores in value.scores.items():
        t = scores["transfer"]
        against = _against(t.low, t.high, "chance")
        said = f"**{markdown(outcome)}**: transfer has LDS {t.lds:.3f} ({_of_users(t)}), {against}"
        name, best = max(((n, s) for n, s in scores.items() if n not in REFERENCES), key=lambda row: row[1].lds)
        said += "; no score is higher" if name == "transfer" else f"; the highest is {name}, {best.lds:.3f}"
        if "ceiling" in scores:
            of = scores["ceiling"]
            said += f"; a second training of the same halves predicts the first with {of.lds:.3f} ({_of_users(of)})"
        lines.append(f"* {said}.")
    head = (
        f"Does a score of pairs of users say which of {value.subsets:,} random halves of the training users of "
        f"{code(value.data)} is better for a test user? LDS is the Spearman correlation of the summed score and the "
        f"outcome after retraining, mean over {value.receivers:,} test users; 0 is chance."
    )
    if any(outcome.endswith(PERSONAL) for outcome in value.scores):
        head += " In a personal table what all users have in common is taken off first."
    if any("ceiling" in scores for scores in value.scores.values()):
        head += " A score that knows all but the seed can reach the square root of what a second training reaches."
    return "\n".join([head, "", *lines])


def lds_table(scores: Mapping[str, Score]) -> Table:
    """The scores of one outcome."""
    columns = [words("score"), numbers("LDS", "{:.3f}".format), numbers("95 % interval")]
    columns += [numbers("users above 0", "{:.0%}".format)]
    return Table.make(columns, ([n, s.lds, _of_users(s), s.above] for n, s in scores.items()))


def far_conclusion(value: FarResults) -> str:
    """One item for each way of training: do gradients of related users agree more than those of their controls?"""
    lines = []
    for name, of in value.variants.items():
        for moment in MOMENTS:
            d = of[moment]
            if d.low is None or d.high is None:
                said = "one seed, so no interval"
            else:
                said = f"{_interval(d.low, d.high, '{:.4f}')} over seeds, {_against(d.low, d.high, '0')}"
            lines.append(f"* **{markdown(name)}**, {moment}: difference {d.difference:+.4f} ({said}).")
    head = (
        f"{value.pairs:,} pairs of users of {code(value.data)} with related tastes and next to no common items, "
        "each beside a pair that is unrelated and otherwise alike. The difference of the mean cosines of their "
        "gradients, related minus unrelated: above 0, training reaches users who are far but related."
    )
    return "\n".join([head, "", *lines])


def far_table(variants: Variants, moment: str) -> Table:
    """Every way of training at one moment."""
    kinds = ("related", "unrelated", "difference")
    columns = [words("training"), *(numbers(k, "{:.4f}".format) for k in kinds), numbers("95 % interval", _of_seeds)]
    lines = {name: of[moment] for name, of in variants.items()}
    return Table.make(columns, ([name, d.related, d.unrelated, d.difference, d] for name, d in lines.items()))


def removal_conclusion(value: RemovalResults) -> str:
    """Are a test user's best helpers missed more than others?"""
    of = value.difference
    less = "the helpers are missed less" if of.high < 0 else "the two cannot be told apart"
    verdict = "the helpers are missed more" if of.low > 0 else less
    return (
        f"Trained without the {value.left_out} users with the highest transfer to a test user of "
        f"{code(value.data)}, the model has a loss for that user that is {of.mean:+.4f} nats higher than without "
        f"as many others of like activity (95 % interval over {value.receivers} test users "
        f"{_interval(of.low, of.high, '{:+.4f}')}): {verdict}. "
        f"{value.missed:.0%} of these users miss the helpers more."
    )


def removal_table(value: RemovalResults) -> Table:
    """The difference and how many of the receivers have it."""
    of = value.difference
    rows: Sequence[Sequence[str]] = [
        ["receivers", f"{value.receivers}"],
        [f"loss without the {value.left_out} best helpers − without others, nats", f"{of.mean:+.4f}"],
        ["95 % interval over receivers", _interval(of.low, of.high, "{:+.4f}")],
        ["receivers who miss the helpers more", f"{value.missed:.0%}"],
    ]
    return Table.make([words(""), numbers("value")], rows)


def _interval(low: float, high: float, form: str) -> str:
    return f"{form.format(low)} … {form.format(high)}"


def _of_users(of: Score) -> str:
    return _interval(of.low, of.high, "{:.3f}")


def _of_seeds(of: CosineDifference) -> str:
    return "one seed" if of.low is None or of.high is None else _interval(of.low, of.high, "{:.4f}")


def _against(low: float, high: float, what: str) -> str:
    """Where an interval lies."""
    return f"above {what}" if low > 0 else f"below {what}" if high < 0 else f"not told apart from {what}"
