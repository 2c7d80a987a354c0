"""Training on sixty users: what is shown of a run, what an interruption leaves, who learns, and how updates count."""

import json
import signal
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import safe_open

from minivae import MultDAE, MultVAE, RecVAE, TrainConfig, fit, planted, strong_split, training
from minivae.models.phase import Phase
from minivae.runtime import progress
from minivae.runtime.checkpoint import NAME
from minivae.runtime.distributed import Team
from minivae.runtime.interruption import Stop
from minivae.update import Trainer, adam, loss_terms

CONFIG = TrainConfig(batch_size=15, epochs=2, anneal_steps=4, precision="fp32", device="cpu", seed=3)


@pytest.fixture(scope="module")
def split():
    """Forty training users, so three updates an epoch: of 15, 15 and 10 users."""
    return strong_split(planted(n_users=60, n_items=40, n_events=900), n_heldout=10)


def model_of(cls=MultVAE):
    return cls(40, hidden=8, latent=4)


# -------------------------------------------------------------------------------------------------------- what is shown


def test_what_is_shown_of_a_run(split, monkeypatch):
    """After every update a third of an epoch; a whole epoch with its score."""
    seen = []
    monkeypatch.setattr(progress._display, "receiver", seen.append)
    run = fit(model_of(), split, CONFIG, label="my run")
    ndcg = [f"nDCG@100 {line['validation']:.4f}" for line in run.log]
    assert {(e.label, e.total, e.unit) for e in seen} == {("my run", 2, "epoch")}
    assert [e.done for e in seen] == pytest.approx([0, 1 / 3, 2 / 3, 1, 4 / 3, 5 / 3, 2, 2])
    assert [(e.note, e.ended) for e in seen] == [
        *[("", False)] * 3,
        (ndcg[0], False),
        *[("", False)] * 2,
        (ndcg[1], False),
        ("", True),
    ]
    fit(model_of(), split, replace(CONFIG, epochs=1))
    assert seen[-1].label == "training"


def test_a_log_of_an_epoch_is_of_its_last_update(split):
    """Updates 3 and 6: β at step 2 and 5 of 4, λ_A at the same; the norm of the anchors as they are then."""
    norms = []
    config = replace(CONFIG, anchor=0.8, anchor_start=0.2, anchor_steps=4)
    run = fit(
        model_of(), split, config, callback=lambda m, _: norms.append(float(m.anchors.detach().norm(dim=1).mean()))
    )
    assert [line["updates"] for line in run.log] == [3, 6]
    assert [line["beta"] for line in run.log] == pytest.approx([0.2 * 2 / 4, 0.2])
    assert [line["anchor_lambda"] for line in run.log] == pytest.approx([0.5, 0.8])
    assert [line["anchor_norm"] for line in run.log] == pytest.approx(norms)
    assert run.seconds == sum(line["seconds"] for line in run.log)
    best = run.log[run.best_epoch - 1]["validation"]
    assert repr(run) == f"Run(MultVAE, epoch {run.best_epoch} of 2, validation nDCG@100 {best:.4f})"


# ---------------------------------------------------------------------------------------------------------- interrupted


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize(("press_at", "epoch", "batches"), [(1, 0, 1), (2, 0, 2), (3, 0, 3), (4, 1, 1), (6, 1, 3)])
def test_an_interruption_ends_with_the_update_that_it_met(
    split, tmp_path, monkeypatch, press_at, epoch, batches, several
):
    """What is left says how many updates are done; the epoch is not closed, and nothing more is learned."""
    if several:  # processes validate together: none may leave on its own then
        monkeypatch.setattr(Stop, "at_once", lambda self: nullcontext())

    class Interrupting(MultVAE):
        forwards = 0

        def posterior(self, batch):
            self.forwards += self.training
            if self.training and self.forwards == press_at:
                signal.raise_signal(signal.SIGINT)
            return super().posterior(batch)

    with pytest.raises(KeyboardInterrupt):
        fit(Interrupting(40, 8, 4), split, CONFIG, folder=tmp_path)
    with safe_open(tmp_path / NAME, "np") as file:
        position = json.loads(file.metadata()["position"])
    assert (position["epoch"], position["batches"]) == (epoch, batches)
    log = (tmp_path / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in log] == list(range(1, epoch + 1))


def test_patience_counts_epochs_after_the_best(split, monkeypatch):
    """Scores 1, 3, 2, 3, 2 …: epoch 2 is the best, also beside its equal, and with a patience of 3 epoch 5 the last."""
    for patience, last in ((1, 3), (2, 4), (3, 5)):
        scores = iter([0.1, 0.3, 0.2, 0.3, 0.2, 0.9, 0.9])
        monkeypatch.setattr(training, "mean_metric", lambda *a, scores=scores: next(scores))
        kept = []
        run = fit(
            model_of(),
            split,
            replace(CONFIG, epochs=7, patience=patience),
            callback=lambda model, _, kept=kept: kept.append([p.detach().clone() for p in model.parameters()]),
        )
        assert (run.best_epoch, len(run.log), run.validation) == (2, last, 0.3)
        assert all(map(torch.equal, run.model.parameters(), kept[1]))  # those of the best epoch, not of the last
        assert not all(map(torch.equal, kept[-1], kept[1]))
        assert not run.model.training


# ------------------------------------------------------------------------------------------------------------ optimizer


@pytest.mark.parametrize("decay", [0.0, 0.05, 1.0])
def test_twice_lambda_for_weight_matrices_and_nothing_for_the_rest(decay):
    """The gradient of λ‖W‖² is 2λW; anchors and biases have no penalty."""
    model = model_of()
    model.add_anchors(torch.Generator().manual_seed(0))
    optimizer = adam(model, replace(CONFIG, weight_decay=decay, lr=0.25))
    of = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert len(of) == len(list(model.parameters()))
    assert {group["lr"] for group in optimizer.param_groups} == {0.25}
    found = {name: of[id(p)] for name, p in model.named_parameters()}
    assert found == {name: 2 * decay if name.endswith("weight") else 0 for name in found}
    assert sum(name.endswith("weight") for name in found) == 4


# --------------------------------------------------------------------------------------------------- passes and batches


@pytest.mark.parametrize(("batch_size", "updates"), [(1, 40), (13, 4), (20, 2), (39, 2), (40, 1), (41, 1)])
def test_updates_of_a_pass_are_batches_of_all_users(split, batch_size, updates):
    trainer = Trainer.make(model_of(), split.train, replace(CONFIG, batch_size=batch_size))
    assert (trainer.updates_per_pass, trainer.updates_per_epoch) == (updates, updates)
    three = Trainer.make(model_of(RecVAE), split.train, replace(CONFIG, batch_size=batch_size))
    phases = three.model.phases
    assert [(p.phase, p.ends_phase) for p in three.passes] == [
        (phase, k == phase.passes - 1) for phase in phases for k in range(phase.passes)
    ]
    assert three.updates_per_epoch == updates * sum(phase.passes for phase in phases)


@pytest.mark.parametrize(("encoder", "decoder"), [(True, True), (True, False), (False, True)])
def test_an_update_moves_what_learns_in_its_phase_and_nothing_else(split, encoder, decoder):
    model = model_of()
    model.reset_parameters(torch.Generator().manual_seed(0))
    trainer = Trainer.make(model, split.train, replace(CONFIG, weight_decay=0.1))
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    trainer.update(torch.arange(15), 0, Phase(encoder=encoder, decoder=decoder))
    moved = {name: not torch.equal(p, before[name]) for name, p in model.named_parameters()}
    assert moved == {name: decoder if name.startswith("decoder") else encoder for name in moved}
    assert all(p.requires_grad for p in model.parameters())


def test_a_phase_is_finished_after_its_last_pass_and_at_no_other_time(split):
    """Three updates a pass: RecVAE's encoder learns in three passes, then its decoder in one."""
    finished = []

    class Watched(RecVAE):
        def kl(self, draw, batch):
            finished.append("encoder")
            return super().kl(draw, batch)

        def finish(self, phase):
            finished.append(phase)
            super().finish(phase)

    model = Watched(40, hidden=8, latent=4)
    first, second = model.phases
    assert (first.passes, second.passes) == (3, 1)
    fit(model, split, replace(CONFIG, batch_size=15))
    assert finished == 2 * [*["encoder"] * 9, first, second]


def test_shares_of_two_processes_add_up_to_the_update_of_one(split, monkeypatch):
    """Eleven users: six and five, with 6/11 and 5/11 of the loss; gradients and terms are sums."""
    monkeypatch.setattr(
        Team, "sum_gradients", lambda self, parameters, terms: {k: v.detach() for k, v in terms.items()}
    )
    found = []
    for rank, size in ((0, 1), (0, 2), (1, 2)):
        model = model_of()
        model.reset_parameters(torch.Generator().manual_seed(0))
        trainer = Trainer.make(model, split.train, CONFIG, Team(rank, size))
        terms = trainer.update(torch.arange(11), 2)
        found.append((terms, [p.grad.clone() for p in model.parameters()]))
    (whole, gradient), (a, grad_a), (b, grad_b) = found
    assert whole.keys() == a.keys() == b.keys()
    for name in whole:
        torch.testing.assert_close(a[name] + b[name], whole[name])
    for g, x, y in zip(gradient, grad_a, grad_b, strict=True):
        torch.testing.assert_close(x + y, g, atol=1e-6, rtol=1e-4)


def test_the_loss_is_the_sum_of_its_terms_with_their_weights(split):
    """loss = nll + β_t KL + γ mean N_u KL_u + λ_A L_A, from the terms of runs that have one of them."""
    model = model_of().double()
    model.reset_parameters(torch.Generator().manual_seed(0))
    model.add_anchors(torch.Generator().manual_seed(1))
    config = replace(CONFIG, keep=1.0, beta=0.4, gamma=0.03, anchor=0.7)
    batch = Trainer.make(model, split.train, config).matrix.batch(torch.arange(9))
    terms = loss_terms(model, batch, config, 1)
    with torch.no_grad():
        mu, logvar = model.posterior(batch)
        kl = 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(1)
    counts = torch.from_numpy(np.asarray(split.train[:9].sum(1)).ravel())
    torch.testing.assert_close(terms["kl"], kl.mean())
    expected = terms["nll"] + 0.4 / 4 * kl.mean() + 0.03 * (counts * kl).mean() + 0.7 * terms["anchor"]
    torch.testing.assert_close(terms["loss"], expected)


def test_a_model_without_a_kl_term_has_none(split):
    model = MultDAE(40, latent=4)
    model.reset_parameters(torch.Generator().manual_seed(0))
    batch = Trainer.make(model, split.train, CONFIG).matrix.batch(torch.arange(9))
    terms = loss_terms(model, batch, CONFIG, 1)
    assert terms.keys() == {"loss", "nll"}
    assert terms["loss"] == terms["nll"]
