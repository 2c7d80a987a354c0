"""Self-checks for the exercises of the course: each takes the learner's function, tests shape first, then values.

The inputs are drawn afresh at every call, so that no number can be copied; the message of a failure names the seed, and
the same seed draws the same inputs again. The same functions serve the notebook, pytest and nbgrader. One file a
chapter, and one for the recommender that learners build.
"""

from minivae.checks.anchors import check_anchor_lambda, check_nearest_centroid, check_weighted_anchor_terms
from minivae.checks.benchmarks import check_expected_test, check_holm, check_needed_correlation
from minivae.checks.bottleneck import check_batch_bracket, check_pair_bound, check_water_filling
from minivae.checks.geometry import check_all_distances, check_lower_bound, check_middle
from minivae.checks.helping import check_lds_score, check_personal_part, check_predicted_change
from minivae.checks.locality import check_crowd_gap, check_gaussian_gap, check_sampled_gap
from minivae.checks.masking import check_break_even, check_ideal_answer, check_item_law
from minivae.checks.mine import (
    check_mine_anchor,
    check_mine_certificate,
    check_mine_input,
    check_mine_kl,
    check_mine_loss,
    check_mine_ndcg,
    check_mine_nll,
    check_mine_objective,
)
from minivae.checks.multinomial import check_importance_bound, check_kl_to_prior, check_nll_of_lists
from minivae.checks.online import check_click_probability, check_cuped, check_first_success
from minivae.checks.protocol import check_fair_ndcg, check_mean_recall, check_users_needed
from minivae.checks.scaling import check_epoch_operations, check_global_gradient, check_heard_noise
from minivae.checks.sharing import check_batch_transfer, check_content_mismatch, check_gradient_distance
from minivae.checks.smoothing import check_anchors_in_closed_form, check_direction_loss, check_smoothing_matrix
from minivae.checks.smoothness import check_deep_constant, check_items_allowed, check_steepest

__all__ = [
    "check_all_distances",
    "check_anchor_lambda",
    "check_anchors_in_closed_form",
    "check_batch_bracket",
    "check_batch_transfer",
    "check_break_even",
    "check_click_probability",
    "check_content_mismatch",
    "check_crowd_gap",
    "check_cuped",
    "check_deep_constant",
    "check_direction_loss",
    "check_epoch_operations",
    "check_expected_test",
    "check_fair_ndcg",
    "check_first_success",
    "check_gaussian_gap",
    "check_global_gradient",
    "check_gradient_distance",
    "check_heard_noise",
    "check_holm",
    "check_ideal_answer",
    "check_importance_bound",
    "check_item_law",
    "check_items_allowed",
    "check_kl_to_prior",
    "check_lds_score",
    "check_lower_bound",
    "check_mean_recall",
    "check_middle",
    "check_mine_anchor",
    "check_mine_certificate",
    "check_mine_input",
    "check_mine_kl",
    "check_mine_loss",
    "check_mine_ndcg",
    "check_mine_nll",
    "check_mine_objective",
    "check_nearest_centroid",
    "check_needed_correlation",
    "check_nll_of_lists",
    "check_pair_bound",
    "check_personal_part",
    "check_predicted_change",
    "check_sampled_gap",
    "check_smoothing_matrix",
    "check_steepest",
    "check_users_needed",
    "check_water_filling",
    "check_weighted_anchor_terms",
]
