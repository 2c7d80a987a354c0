"""What a prompt shows of a result: one line with its numbers."""

import numpy as np

import minivae as mv
from minivae.ranking import Difference, Evaluation
from minivae.theory.card.card import Card
from minivae.theory.card.check import Check
from minivae.training import Run


def test_results_are_one_line_with_their_numbers():
    scored = Evaluation({"ndcg@100": np.array([0.25, 0.75, np.nan])}, np.array([1, 2, 0]), 0.5, 3.0)
    assert repr(scored) == "Evaluation(2 users: ndcg@100 0.5000 ± 0.1768)"
    assert repr(Difference(-0.01, 0.002, -0.014, -0.006)) == "Difference(-0.0100 ± 0.0020, 95 % [-0.0140, -0.0060])"
    model = mv.MultVAE(9, hidden=4, latent=2)
    run = Run(model, mv.TrainConfig(), 2, [{"validation": 0.1}, {"validation": 0.3}, {"validation": 0.2}])
    assert repr(run) == "Run(MultVAE, epoch 2 of 3, validation nDCG@100 0.3000)"


def test_a_report_card_counts_its_verdicts():
    bound = Check("Theorem 2.5", "gap", "9 pairs", "bound holds", 0.25)
    seen = Check("β-KL", "active units", "9 users", "measured", value="3 of 4")
    assert repr(bound) == "Check(Theorem 2.5, gap, 9 pairs: bound holds, slack +0.250)"
    assert repr(seen) == "Check(β-KL, active units, 9 users: measured, 3 of 4)"
    card = Card("multvae", "9 users × 7 items", 0, (bound, bound, seen))
    assert repr(card) == "Card(multvae; 9 users × 7 items; 3 checks: 2 bound holds, 1 measured)"


def test_a_split_is_one_line_with_its_sizes(toy_split):
    shown = repr(toy_split)
    assert "\n" not in shown
    assert f"{toy_split.train.shape[0]:,}" in shown
    assert f"{toy_split.n_items:,}" in shown
