"""Who helps whom in a trained model: transfer along training, and whether retraining agrees with it."""

from minivae.explain.datamodel import Lds, ceiling, halves, lds
from minivae.explain.flows import Flow, best_helpers, distant_helpers, flow
from minivae.explain.kernel import Transfer, transfer
from minivae.explain.leave_out import Removal, removal
from minivae.explain.rivals import rival_scores
from minivae.explain.segments import activity, communities, popularity_of_taste
from minivae.explain.snapshots import Recorder, Snapshot, record

__all__ = [
    "Flow",
    "Lds",
    "Recorder",
    "Removal",
    "Snapshot",
    "Transfer",
    "activity",
    "best_helpers",
    "ceiling",
    "communities",
    "distant_helpers",
    "flow",
    "halves",
    "lds",
    "popularity_of_taste",
    "record",
    "removal",
    "rival_scores",
    "transfer",
]
