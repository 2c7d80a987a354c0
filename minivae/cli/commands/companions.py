"""Trainings beside a saved one: as it was made, and its companions for the report card."""

from dataclasses import replace
from pathlib import Path

from minivae import explain
from minivae.config import TrainConfig
from minivae.data.splits import StrongSplit
from minivae.errors import InputError
from minivae.models import VAE
from minivae.models.registry import model_class
from minivae.study.run.model_spec import ModelSpec
from minivae.study.run.notes import RunNote
from minivae.study.run.runs import trained_with
from minivae.theory import Companions
from minivae.training import fit

LOOSER = 5.0
"""The companion for water-filling has this part of β."""


def trained_as(note: RunNote, folder: Path, n_items: int) -> tuple[ModelSpec, TrainConfig]:
    """How the model of a config.json was made; `InputError` if it does not say."""
    try:
        model_class(note.kind, imports=False)  # a file must not choose what code runs
        spec = ModelSpec(note.model, note.kind, note.arguments, note.training)
        spec.build_vae(n_items)
        return spec, trained_with(note, folder)
    except TypeError as e:
        raise InputError(
            f"{folder}/config.json does not say how the model was trained ({e}); without it the parameters alone count"
        ) from e


def companions_of(spec: ModelSpec, config: TrainConfig, split: StrongSplit) -> Companions:
    """Train them: the network for its snapshots, the same without anchors if it has some, with less β if it has any."""

    def again(**changes: float) -> VAE:
        return fit(spec.build_vae(split.n_items), split, replace(config, **changes), label=spec.name).model.cpu()

    snapshots, model, run = explain.record(lambda: spec.build_vae(split.n_items), split, config)
    return Companions(
        beta=config.beta,
        anchor=config.anchor,
        without=again(anchor=0.0, anchor_start=0.0) if config.anchor > 0 else None,
        looser=again(beta=config.beta / LOOSER) if config.beta > 0 else None,
        looser_beta=config.beta / LOOSER,
        along=[*((s.epoch, s.model) for s in snapshots), (run.best_epoch, model)],
    )
