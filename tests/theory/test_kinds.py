"""A tensor gives a tensor and an array an array: pyright checks it by `assert_type`, and the tests when they run."""

import importlib
import inspect
import pkgutil
from typing import Any, assert_type, get_args, get_overloads

import numpy as np
import torch
from torch import Tensor

from minivae import theory
from minivae.theory import (
    anchoring,
    bottleneck,
    conventions,
    distances,
    exponential_families,
    locality,
    masking,
    mean_square,
    merging,
    shrinkage,
    smoothing,
)
from minivae.theory.numerics.arrays import Array
from minivae.theory.transfer import gram


def test_tensors_give_tensors():
    mu, sd, x = torch.zeros(2, 1), torch.ones(2, 1), torch.ones(2, 3)
    p, t = torch.tensor([0.5, 0.5]), torch.ones(2, 4, 1)
    one, two = torch.tensor(1.0), torch.tensor(2.0)
    found = [
        assert_type(distances.w2_gaussian(mu, sd, mu, sd), Tensor),
        assert_type(distances.w2_gaussian(mu, 1.0, mu, 2.0), Tensor),
        assert_type(distances.w2_gaussian_full(mu[0], sd[:1], mu[0], sd[:1]), Tensor),
        assert_type(distances.w2_matrix(mu, sd), Tensor),
        assert_type(distances.distance_matrix(mu), Tensor),
        *assert_type(distances.w1_bounds(mu, sd, mu, sd), tuple[Tensor, Tensor]),
        assert_type(distances.w1_gaussian_1d(mu, sd, 0.0, 1.0), Tensor),
        assert_type(distances.w1_samples_1d(mu, mu), Tensor),
        assert_type(distances.w1_empirical(t, t), Tensor),
        assert_type(distances.sliced_w1(t, t, torch.ones(1, 1)), Tensor),
        assert_type(distances.sliced_w1_gaussian(mu, sd, mu, sd, torch.ones(1, 1)), Tensor),
        assert_type(distances.gaussian_kl(mu, sd), Tensor),
        assert_type(distances.t1_bound(mu, sd), Tensor),
        assert_type(locality.compromise_gap(p, p, 1.0, one), Tensor),
        *assert_type(locality.shared_profile(one, one, one), tuple[Tensor, Tensor]),
        assert_type(locality.compromise_integral(mu[0], sd[0], mu[0], sd[0], p, p, 1.0, 1.0), Tensor),
        assert_type(locality.gap_against_distance(p, p, 1.0, 1.0, 0.5), Tensor),
        assert_type(exponential_families.exponential_family_gap(p, p, 1.0, 1.0, locality.gaussian_conjugate), Tensor),
        assert_type(bottleneck.active_units(mu), Tensor),
        assert_type(bottleneck.kl_per_dimension(mu, sd), Tensor),
        assert_type(masking.contraction_threshold(one), Tensor),
        assert_type(merging.merging_threshold(x, x), Tensor),
        assert_type(shrinkage.shrinkage(one, 1.0), Tensor),
        assert_type(smoothing.best_anchors(mu, x), Tensor),
        assert_type(smoothing.smoothing_energy(mu, x), Tensor),
        assert_type(gram(theory.toy.ToyVAE(3, features=2), x), Tensor),
        assert_type(bottleneck.kl_decomposition(mu, sd, 2).residual, Tensor),
        assert_type(bottleneck.kl_decomposition_quadrature(mu, sd).mutual_information, Tensor),
        assert_type(bottleneck.batch_information(mu, sd, [2], 2).lower, Tensor),
        assert_type(bottleneck.contraction(mu, sd).w2, Tensor),
        assert_type(mean_square.mean_square_contraction(mu, sd).bound, Tensor),
        assert_type(distances.empirical_bias(mu[0], sd[0], mu[0], sd[0], [3], 2).floor, Tensor),
        assert_type(locality.compromise_monte_carlo(mu[0], sd[0], mu[0], sd[0], p, p, one, one, 2).se, Tensor),
        assert_type(masking.masked_distance(one, one, 0.5).mean, Tensor),
        assert_type(masking.masked_distance_by_item(p, p).pmf(), Tensor),
        assert_type(conventions.input_distance(two, one, one, 0.5).ratio, Tensor),
        assert_type(anchoring.alignment(mu, sd, torch.ones(3, 1), x).total, Tensor),
        assert_type(anchoring.anchor_norms(torch.ones(3, 1), x).norms, Tensor),
        assert_type(shrinkage.QuadraticModel(torch.eye(1), 1.0, mu[0]).shrink(mu).tau, Tensor),
    ]
    assert all(isinstance(value, Tensor) for value in found)


def test_arrays_give_arrays():
    mu, sd, x = np.zeros((2, 1)), np.ones((2, 1)), np.ones((2, 3))
    p, t = np.array([0.5, 0.5]), np.ones((2, 4, 1))
    one, two = np.array(1.0), np.array(2.0)
    m, s = np.zeros(1), np.ones(1)  # one user
    found = [
        assert_type(distances.w2_gaussian(mu, sd, mu, sd), np.ndarray),
        assert_type(distances.w2_gaussian_full(mu[0], sd[:1], mu[0], sd[:1]), np.ndarray),
        assert_type(distances.w2_matrix(mu, sd), np.ndarray),
        assert_type(distances.distance_matrix(mu), np.ndarray),
        *assert_type(distances.w1_bounds(mu, sd, mu, sd), tuple[np.ndarray, np.ndarray]),
        assert_type(distances.w1_gaussian_1d(mu, sd, 0.0, 1.0), np.ndarray),
        assert_type(distances.w1_samples_1d(mu, mu), np.ndarray),
        assert_type(distances.w1_empirical(t, t), np.ndarray),
        assert_type(distances.sliced_w1(t, t, np.ones((1, 1))), np.ndarray),
        assert_type(distances.sliced_w1_gaussian(mu, sd, mu, sd, np.ones((1, 1))), np.ndarray),
        assert_type(distances.gaussian_kl(mu, sd), np.ndarray),
        assert_type(distances.t1_bound(mu, sd), np.ndarray),
        assert_type(locality.compromise_gap(p, p, 1.0, one), np.ndarray),
        *assert_type(locality.shared_profile(one, one, one), tuple[np.ndarray, np.ndarray]),
        assert_type(locality.compromise_integral(m, s, m, s, p, p, 1.0, 1.0), np.ndarray),
        assert_type(locality.gap_against_distance(p, p, 1.0, 1.0, 0.5), np.ndarray),
        assert_type(
            exponential_families.exponential_family_gap(p, p, 1.0, 1.0, locality.gaussian_conjugate), np.ndarray
        ),
        assert_type(bottleneck.active_units(mu), np.ndarray),
        assert_type(bottleneck.kl_per_dimension(mu, sd), np.ndarray),
        assert_type(masking.contraction_threshold(one), np.ndarray),
        assert_type(merging.merging_threshold(x, x), np.ndarray),
        assert_type(shrinkage.shrinkage(one, 1.0), np.ndarray),
        assert_type(smoothing.best_anchors(mu, x), np.ndarray),
        assert_type(smoothing.smoothing_energy(mu, x), np.ndarray),
        assert_type(gram(theory.toy.ToyVAE(3, features=2), x), np.ndarray),
        assert_type(bottleneck.kl_decomposition(mu, sd, 2).residual, np.ndarray),
        assert_type(bottleneck.kl_decomposition_quadrature(mu, sd).mutual_information, np.ndarray),
        assert_type(bottleneck.batch_information(mu, sd, [2], 2).lower, np.ndarray),
        assert_type(bottleneck.contraction(mu, sd).w2, np.ndarray),
        assert_type(mean_square.mean_square_contraction(mu, sd).bound, np.ndarray),
        assert_type(distances.empirical_bias(m, s, m, s, [3], 2).floor, np.ndarray),
        assert_type(locality.compromise_monte_carlo(m, s, m, s, p, p, one, one, 2).se, np.ndarray),
        assert_type(masking.masked_distance(one, one, 0.5).mean, np.ndarray),
        assert_type(masking.masked_distance_by_item(p, p).pmf(), np.ndarray),
        assert_type(conventions.input_distance(two, one, one, 0.5).ratio, np.ndarray),
        assert_type(anchoring.alignment(mu, sd, np.ones((3, 1)), x).total, np.ndarray),
        assert_type(anchoring.anchor_norms(np.ones((3, 1)), x).norms, np.ndarray),
        assert_type(shrinkage.QuadraticModel(np.eye(1), 1.0, m).shrink(mu).tau, np.ndarray),
    ]
    assert all(isinstance(value, np.ndarray | np.generic) for value in found)  # a scalar of numpy where no axis is left


def test_every_function_that_gives_what_it_was_given_says_so():
    modules = [importlib.import_module(m.name) for m in pkgutil.walk_packages(theory.__path__, "minivae.theory.")]
    functions = {f for m in modules for name, f in vars(m).items() if inspect.isfunction(f) and name[0] != "_"}
    same = [f for f in functions if gives_its_kind(f)]
    assert len(same) >= 33
    assert sorted(f.__qualname__ for f in same if len(get_overloads(f)) < 2) == []


def gives_its_kind(f: Any) -> bool:
    """Whether it takes arrays of either kind and gives the same kind back."""
    of = inspect.signature(f)
    arrays = any(p.annotation == Array for p in of.parameters.values())
    return arrays and (of.return_annotation in (Any, tuple[Any, Any]) or get_args(of.return_annotation) == (Any,))
