"""Choices and defaults that settings, command-line flags and functions share. Nothing here needs torch."""

from typing import Literal

Precision = Literal["auto", "fp32", "bf16"]
Mask = Literal["normalize-then-mask", "mask-then-normalize", "raw"]
AnchorVariant = Literal["full", "centroid+variance", "centroid", "softmin", "direction"]
AnchorWeights = Literal["uniform", "popularity", "idf"]
AnchorSchedule = Literal["linear", "geometric"]
PriorName = Literal["normal", "composite", "vamp"]

METRICS = ("recall@20", "recall@50", "ndcg@100")
MOST_RUNS = 1 << 16  # seeds, trials or halves of one model: all are listed before the first of them runs
SELECTION = "ndcg@100"  # of the validation users: the epoch with the highest value is kept
