"""A simulated online experiment (A/B test): people with known preferences, lists from two recommenders, clicks.

An experiment on a streaming service cannot be repeated outside of it. A simulation can be repeated by every reader,
and must say that it is one. The people come from a planted population (`minivae.data.population`). A recommender sees
their history only; what they like best among the new items decides, with the place in the list, what they click.

The order of an honest experiment: plan (`sample_size`), assign (`assign`), run (`simulate`), estimate (`analyse`). And
before all that, rehearse it where the truth is known (`rehearse`).
"""

from minivae.online.clicks import Behaviour, Experiment, Outcome, assign, simulate
from minivae.online.effects import Effect, Metric, analyse, boundary
from minivae.online.people import Audience, Shelf
from minivae.online.plan import achieved_power, sample_size
from minivae.online.rehearsal import Rehearsal, rehearse

__all__ = [
    "Audience",
    "Behaviour",
    "Effect",
    "Experiment",
    "Metric",
    "Outcome",
    "Rehearsal",
    "Shelf",
    "achieved_power",
    "analyse",
    "assign",
    "boundary",
    "rehearse",
    "sample_size",
    "simulate",
]
