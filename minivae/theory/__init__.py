"""The statements of the paper as functions: one module for each mechanism.

Where each statement stands: a file of this folder, the chapter that uses it (–: none), what to call, and the file in
``tests/theory/`` (without ``test_``) where the same check rejects a broken twin. ★: not in the paper.

====================  ====================  ===  =============================================  ===============
file                  statement             ch.  functions of mv.theory                         tests
====================  ====================  ===  =============================================  ===============
distances             distances, T1         03   distances: empirical_bias gaussian_kl          distances
                                                 sliced_w1_gaussian t1_bound w1_bounds
                                                 w1_gaussian_1d
numerics/gaussian_w2  distances: W2         03   distances: distance_matrix w2_gaussian         distances
                                                 w2_gaussian_full w2_matrix
numerics/sampled_w1   distances: W1         03   distances: directions sliced_w1 w1_empirical   distances
                                                 w1_samples_1d
transfer              Theorem 2.3           04   transfer: sharing view_sharing                 transfer
numerics/gram         Theorem 2.3           04   transfer: gram                                 transfer
numerics/steps        Theorem 2.3           04   transfer: curvature step_effect                transfer
toy                   Theorem 2.3           04   toy: closing_radius sharing_map toy_users      transfer
                                                 train_toy
toy_model             Theorem 2.3           04   toy: proved_lipschitz proved_smoothness        transfer
optimiser_steps       ★ Theorem 2.3, Adam   –    optimiser_steps: batch_penalty batch_step      optimiser_steps
numerics/smoothness   Lemma 2.4             05   locality: encoder_constants                    locality
                                                 normalisation_constant observed_smoothness
                                                 without_one
locality              Theorem 2.5           05b  locality: compromise_integral                  locality
                                                 compromise_monte_carlo gap_against_distance
                                                 shared_profile
compromise            Theorem 2.5           05b  locality: compromise_gap                       locality
                                                 compromise_gap_numerical
exponential_families  Theorem 2.5           05b  locality: bernoulli_conjugate                  locality
                                                 exponential_family_gap gaussian_conjugate
                                                 multinomial_conjugate poisson_conjugate
merging               ★ Theorem 2.5, β      05b  merging: merging_threshold                     merging
bottleneck            the β-KL term         06   bottleneck: active_units collapse contraction  bottleneck
                                                 kl_per_dimension
information           the β-KL term         06   bottleneck: batch_information                  bottleneck
                                                 kl_decomposition kl_decomposition_quadrature
mean_square           ★ the β-KL term       –    mean_square: mean_square_contraction           mean_square
masking               Theorem 2.6           07   masking: contraction_threshold                 masking
                                                 masked_distance
masking_by_item       Theorem 2.6           –    masking: masked_distance_by_item               masking_by_item
conventions           ★ Theorem 2.6, input  07   conventions: input_distance                    masking
latent_contraction    after Theorem 2.6     07   masking: latent_contraction                    masking
drift                 after Theorem 2.6     07   masking: mask_variance neighbourhood_drift     masking
anchoring             Proposition 3.1       08   anchoring: alignment anchor_norms              anchoring
shrinkage             Proposition 3.2       08   anchoring: loewner_counterexample shrinkage    anchoring
smoothing             ★ Proposition 3.1     13   smoothing: best_anchors smoothing_energy       smoothing
                                                 smoothing_weights
ambiguity             ★ Proposition 3.2     08   ambiguity: bayes_minimizer views_of            ambiguity
gauge                 ★ Proposition 3.2     –    gauge: rescaled                                gauge
card/card             all, on one model     11   report_card                                    report
adapter               all, outside models   11   wrap                                           adapter
====================  ====================  ===  =============================================  ===============
"""

from minivae.theory import (
    ambiguity,
    anchoring,
    bottleneck,
    conventions,
    distances,
    gauge,
    locality,
    masking,
    mean_square,
    merging,
    optimiser_steps,
    smoothing,
    toy,
    transfer,
)
from minivae.theory.adapter import wrap
from minivae.theory.card.card import report_card
from minivae.theory.card.companions import Companions

__all__ = [
    "Companions",
    "ambiguity",
    "anchoring",
    "bottleneck",
    "conventions",
    "distances",
    "gauge",
    "locality",
    "masking",
    "mean_square",
    "merging",
    "optimiser_steps",
    "report_card",
    "smoothing",
    "toy",
    "transfer",
    "wrap",
]
