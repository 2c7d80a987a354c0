"""What learns when, within an epoch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Phase:
    """A stretch of an epoch. Most models have one: everything learns from masked input in one pass over the users.

    Attributes
    ----------
    passes : int
        Over the training users.
    encoder : bool
        Whether the encoder learns, and prior and anchors with it. If not, the loss is the likelihood alone: the other
        terms do not depend on the decoder.
    decoder : bool
        Whether the decoder learns.
    masked : bool
        Whether the encoder sees masked input.
    """

    passes: int = 1
    encoder: bool = True
    decoder: bool = True
    masked: bool = True
