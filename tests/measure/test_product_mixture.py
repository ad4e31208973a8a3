"""Mixtures of products against laws that they can and cannot represent."""

from __future__ import annotations

import numpy as np
import pytest

from mfvae import measure
from mfvae.systems import CurieWeiss


def test_one_component_leaves_the_total_correlation() -> None:
    system, x = CurieWeiss(8), measure.all_configurations(8)
    law = np.exp(system.log_prob(x, 0.9))
    fit = measure.fit_product_mixture(x, law, 1, n_steps=3)
    assert fit.divergence == pytest.approx(system.total_correlation(0.9), abs=1e-10)
    assert fit.rate == pytest.approx(0, abs=1e-12)
    np.testing.assert_allclose(fit.means, 0, atol=1e-12)


def test_a_planted_mixture_is_found() -> None:
    x = measure.all_configurations(8)
    weights, means = np.array([0.3, 0.7]), np.array([[0.8] * 8, [-0.5] * 4 + [0.2] * 4])
    parts = np.prod((1 + x[:, None] * means) / 2, axis=2)
    fit = measure.fit_product_mixture(x, parts @ weights, 2, n_steps=2000)
    order = np.argsort(fit.weights)
    assert fit.divergence < 1e-10
    np.testing.assert_allclose(fit.weights[order], weights, atol=1e-4)
    np.testing.assert_allclose(fit.means[order], means, atol=1e-4)
    posterior = parts * weights / (parts @ weights)[:, None]
    rate = np.sum(parts * weights * np.log(posterior / weights))
    assert fit.rate == pytest.approx(rate, abs=1e-4)
    # Negative control: one component too few leaves a visible divergence.
    assert measure.fit_product_mixture(x, parts @ weights, 1).divergence > 0.1


def test_divergence_is_that_of_the_reported_mixture_and_falls_with_components() -> None:
    system, x = CurieWeiss(8), measure.all_configurations(8)
    law = np.exp(system.log_prob(x, 0.7))
    previous = np.inf
    for n_components in (1, 2, 3):
        fit = measure.fit_product_mixture(x, law, n_components, n_steps=400, seed=4)
        mixture = np.prod((1 + x[:, None] * fit.means) / 2, axis=2) @ fit.weights
        assert fit.divergence == pytest.approx(law @ np.log(law / mixture), abs=1e-10)
        assert fit.divergence < previous
        # What the hidden state carries plus what is missed covers the information of every cut.
        assert fit.rate + fit.divergence >= system.mutual_information(0.7) - 1e-9
        assert fit.rate <= np.log(n_components) + 1e-9
        previous = fit.divergence


def test_states_that_must_balance_need_one_component_each() -> None:
    """Spins conditioned on M = 0: every component must be a single configuration."""
    x = measure.all_configurations(4)
    law = (x.sum(axis=1) == 0) / 6
    for n_components in (2, 6):
        fit = measure.fit_product_mixture(x, law, n_components, n_steps=500, n_restarts=20)
        assert (fit.divergence < 1e-3) == (n_components == 6)


def test_bad_input_is_refused() -> None:
    x = measure.all_configurations(2)
    for law in ([0.5, 0.5], [0.5, 0.5, 0.5, -0.5], [0.5, 0.5, 0.5, 0.5], None, [np.nan] * 4):
        with pytest.raises((TypeError, ValueError), match="probabilities"):
            measure.fit_product_mixture(x, law, 1)
    with pytest.raises(ValueError, match="n_components"):
        measure.fit_product_mixture(x, np.full(4, 0.25), 0)
    with pytest.raises(ValueError, match="spins"):
        measure.fit_product_mixture(0 * x, np.full(4, 0.25), 1)
    with pytest.raises(ValueError, match="n_sites"):
        measure.all_configurations(21)
