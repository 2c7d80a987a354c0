"""One update of a run: its objective on a batch, the optimizer, and the passes that make up an epoch."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple, Self, cast

import scipy.sparse as sp
import torch
from torch import Tensor, nn

from minivae.anchors import anchor_loss
from minivae.batches import DeviceCSR, UserBatch
from minivae.config import TrainConfig
from minivae.masks import clean, masked
from minivae.models.initialisation import linear_layers
from minivae.models.phase import Phase
from minivae.models.sparse_linear import products_in
from minivae.models.vae import VAE
from minivae.objective import beta_at, multinomial_nll
from minivae.runtime import streams
from minivae.runtime.checkpoint import Checkpoint, Saving
from minivae.runtime.device import product_dtype
from minivae.runtime.distributed import Team
from minivae.runtime.progress import Show


def loss_terms(
    model: VAE,
    batch: UserBatch,
    config: TrainConfig,
    step: int,
    products: torch.dtype | None = None,
    phase: Phase | None = None,
) -> dict[str, Tensor]:
    """The objective on one batch at one update: loss, nll, kl and anchor, scalars averaged over users.

    ``loss = ℓ(x; z) + (β_step + γ N_x) KL(q(z|x_h) ‖ p) + λ_A L_A`` with one draw of the mask and of z per user, both
    looked up from (seed, step). How z is drawn and what KL and prior are, the model says. Terms that nothing learns
    from are left out.

    Parameters
    ----------
    model : VAE
        With `anchors` where there are any.
    batch : UserBatch
        Clean users.
    config : TrainConfig
        Its schedules and weights; λ ‖W‖² is not part of the loss, see `adam`.
    step : int
        Number of the update, from 0.
    products : dtype, optional
        Dtype of the item-sized products; that of the model if None.
    phase : Phase, optional
        Of the epoch; the model's first if None.
    """
    phase = phase or model.phases[0]
    batch = clean(batch, config.mask)
    seen = masked(batch, config.keep, config.mask, config.seed, step) if phase.masked else batch
    address = batch.users[:, None] * model.latent + torch.arange(model.latent, device=batch.users.device)
    draw = model.drawn(seen, streams.normal(config.seed, "noise", step, address))
    output = cast("nn.Linear", model.decoder[-1])
    nll = multinomial_nll(
        model.decoder[:-1](draw.z), output.weight, output.bias, batch, None, products, config.label_smoothing
    )
    loss, terms = nll, {"nll": nll}
    with products_in(products):  # pseudo-inputs of a VampPrior are dense rows
        kl = model.kl(draw, batch) if phase.encoder else None  # (B,)
    if kl is not None:
        terms["kl"] = kl.mean()
        loss = loss + beta_at(step, config.beta, config.anneal_steps) * terms["kl"]
        if config.gamma > 0:
            loss = loss + config.gamma * (batch.counts * kl).mean()
    if model.anchors is not None and phase.encoder:
        anchor = anchor_loss(
            draw.mu, draw.logvar.exp(), model.anchors, batch, config.anchor_variant, config.anchor_temperature
        )  # (B,)
        terms["anchor"] = anchor.mean()
        loss = loss + config.anchor_at(step) * terms["anchor"]
    return {"loss": loss, **terms}


class Adam(torch.optim.Adam):
    """torch's Adam, less what it prepares for `torch.compile`, which nothing here uses.

    Around these two methods torch puts wrappers that import its compiler when they are first called: a second of
    processor time before the first update.
    """

    add_param_group = inspect.unwrap(torch.optim.Adam.add_param_group)
    step = torch.no_grad()(inspect.unwrap(torch.optim.Adam.step))


def adam(model: VAE, config: TrainConfig) -> Adam:
    """The optimizer of a run: fused Adam, with the gradient 2λW of the penalty ``λ ‖W‖²`` for weight matrices.

    Parameters without a gradient, those that stand still in a phase, are left alone with their moments: alternating
    phases are what two optimizers would do.
    """
    if config.weight_decay == 0:
        return Adam(model.parameters(), lr=config.lr, fused=True)
    matrices = [layer.weight for layer in linear_layers(model)]
    ids = {id(p) for p in matrices}
    groups = [
        {"params": matrices, "weight_decay": 2 * config.weight_decay},
        {"params": [p for p in model.parameters() if id(p) not in ids]},
    ]
    return Adam(groups, lr=config.lr, fused=True)


class Pass(NamedTuple):
    """One pass over the training users, and whether it is the last one of its phase."""

    phase: Phase
    ends_phase: bool


@dataclass
class Trainer:
    """Everything that an update needs, as one process of the run holds it.

    Attributes
    ----------
    model : VAE
        On the device of `matrix`.
    optimizer : torch.optim.Adam
        Of the model's parameters.
    matrix : DeviceCSR
        The training users.
    config : TrainConfig
        The settings of the run.
    products : torch.dtype
        Dtype of the item-sized products.
    team : Team
        The processes of the run.
    """

    model: VAE
    optimizer: torch.optim.Adam
    matrix: DeviceCSR
    config: TrainConfig
    products: torch.dtype
    team: Team = field(default_factory=Team)

    @classmethod
    def make(cls, model: VAE, users: sp.csr_matrix, config: TrainConfig, team: Team | None = None) -> Self:
        """Matrix and optimizer for `model`, which is on its device already; `users` is binary CSR (U, I)."""
        model.requires_grad_(True)
        device = next(model.parameters()).device
        matrix = DeviceCSR(users, device, config.anchor_weights, config.keep, config.keep_exponent)
        return cls(model, adam(model, config), matrix, config, product_dtype(config.precision, device), team or Team())

    @property
    def passes(self) -> list[Pass]:
        """The passes of an epoch, phase after phase."""
        return [Pass(phase, k == phase.passes) for phase in self.model.phases for k in range(1, phase.passes + 1)]

    @property
    def updates_per_pass(self) -> int:
        """Batches of all training users."""
        return -(-self.matrix.n_users // self.config.batch_size)

    @property
    def updates_per_epoch(self) -> int:
        """Batches of all passes."""
        return len(self.passes) * self.updates_per_pass

    def update(self, users: Tensor, step: int, phase: Phase | None = None) -> dict[str, Tensor]:
        """One update from a batch of users, shared among the processes; returns its terms, as `loss_terms`.

        Parameters
        ----------
        users : Tensor
            (B,) int64 on the host, rows of the training matrix.
        step : int
            Number of the update, from 0.
        phase : Phase, optional
            Of the epoch; the model's first if None.
        """
        phase = phase or self.model.phases[0]
        mine, share = self.team.rows(users)
        for group in self.optimizer.param_groups:
            for p in group["params"]:
                p.grad = None  # as `zero_grad` does, which takes four times as long
        with _learning(self.model, phase):
            terms = loss_terms(self.model, self.matrix.batch(mine), self.config, step, self.products, phase)
            if self.team.size > 1:
                terms = {name: share * value for name, value in terms.items()}
            terms["loss"].backward()
        terms = self.team.sum_gradients(self.model.parameters(), terms)
        self.optimizer.step()
        return terms

    def epoch(self, state: Checkpoint, show: Show, saving: Saving, stop: Callable[[], bool]) -> int:
        """The updates that are left of the current epoch, up to an interruption; returns the updates since the start.

        Nothing here reads from the device, so that a GPU never waits for the host.
        """
        self.model.train()
        passes, per_pass = self.passes, self.updates_per_pass
        n_updates = self.updates_per_epoch
        first = state.epoch * n_updates
        while state.batches < n_updates:
            k, done = divmod(state.batches, per_pass)
            number = state.epoch * len(passes) + k  # of the pass, since the start
            order = streams.permutation(self.config.seed, number, self.matrix.n_users).split(self.config.batch_size)
            for users in order[done:]:
                terms = self.update(users, first + state.batches, passes[k].phase)
                state.add(terms, len(users))
                if state.batches == (k + 1) * per_pass and passes[k].ends_phase:
                    self.model.finish(passes[k].phase)
                if state.batches < n_updates:
                    show(state.epoch + state.batches / n_updates)
                if stop():
                    return first + state.batches
                saving.if_due()
        return first + state.batches


@contextmanager
def _learning(model: VAE, phase: Phase) -> Iterator[None]:
    """Only what learns in this phase asks for gradients; afterwards everything does again, as before."""
    if phase.encoder and phase.decoder:  # walking over the modules takes as long as a small product
        yield
        return
    try:
        model.requires_grad_(phase.encoder)
        model.decoder.requires_grad_(phase.decoder)
        yield
    finally:
        model.requires_grad_(True)
