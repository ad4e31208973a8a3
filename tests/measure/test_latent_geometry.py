"""Axis alignment and isometry: planted cases with known answers."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from mfvae.measure import axis_alignment, isometry


def rotation(degrees: float) -> np.ndarray:
    angle = np.deg2rad(degrees)
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def planted(degrees: float, n_samples: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """A magnet of either sign on one axis, noise of a hundredth on the other, then rotated."""
    generator = np.random.default_rng(0)
    m = generator.choice([-1, 1], n_samples) * generator.uniform(0.8, 1.0, n_samples)
    z = np.stack([2 * m, 0.02 * generator.standard_normal(n_samples)], axis=1)
    return z @ rotation(degrees).T, m


def test_an_aligned_order_parameter_is_found_alone_on_its_latent() -> None:
    found = axis_alignment(*planted(0))
    assert found.correlations[0] == pytest.approx(1, abs=1e-12)
    assert abs(found.correlations[1]) < 5.5 / np.sqrt(4000)
    assert found.r_squared == pytest.approx(1, abs=1e-12)
    assert found.gap > 0.9


def test_the_gap_sees_a_rotation_that_correlations_and_r_squared_do_not() -> None:
    found = axis_alignment(*planted(45))
    assert np.abs(found.correlations).min() > 0.99
    assert found.r_squared == pytest.approx(1, abs=1e-12)
    assert abs(found.gap) < 0.05
    # Whatever a shear does to the axes, a linear function still finds the order parameter.
    z, m = planted(20)
    assert axis_alignment(z @ [[1.0, 3.0], [0.5, -1.0]], m).r_squared == pytest.approx(1, abs=1e-9)


def test_mutual_information_against_the_exact_value() -> None:
    # Correlated Gaussians: -ln(1 - rho^2)/2; bins lose some of it, more bins less.
    generator, rho = np.random.default_rng(1), 0.9
    a, noise = generator.standard_normal((2, 200_000))
    z = (rho * a + np.sqrt(1 - rho**2) * noise)[:, None]
    exact = -np.log(1 - rho**2) / 2
    coarse, fine = (axis_alignment(z, a, n_bins=n).mutual_information[0] for n in (8, 64))
    assert coarse < fine < exact + 64**2 / (2 * 200_000)
    assert fine > 0.95 * exact
    unrelated = axis_alignment(noise[:, None], a, n_bins=16).mutual_information[0]
    assert unrelated == pytest.approx(15**2 / 400_000, rel=0.5)  # its bias
    assert np.isnan(axis_alignment(z, a).gap)


def test_a_latent_that_does_not_vary_carries_nothing() -> None:
    m = np.linspace(-1, 1, 50)
    found = axis_alignment(np.stack([np.full(50, 7.0), -m], axis=1), m, n_bins=5)
    np.testing.assert_allclose(found.correlations, [0, -1], atol=1e-12)
    assert found.gap == pytest.approx(1)


def test_what_finite_samples_add_to_a_distance_is_subtracted() -> None:
    generator = np.random.default_rng(2)
    label = np.repeat([0, 1, 2], [20, 30, 50])
    far = np.eye(3)[label] * 1e3  # distances in data space all √2 · 1000, without noise
    shift = np.array([0.0, 0.0, 0.3])[label, None]
    latents = 5.0 + generator.standard_normal((400, 100, 40)) + shift
    latents[:, label == 2] += 1.0  # so that no distance of class 2 is below its noise
    squared = np.array([(isometry(far, z, label) * 2**0.5 * 1e3) ** 2 for z in latents])
    mean, stderr = squared.mean(axis=0), squared.std(axis=0) / 20
    assert np.all(np.abs(mean - 40 * 1.3**2)[1:] < 5.5 * stderr[1:])
    naive_bias = 40 * (1 / 20 + 1 / 50)  # without the correction
    assert naive_bias > 5.5 * stderr[1]
    # Distances that are all noise count as zero half of the time.
    assert 0.3 < np.mean(squared[:, 0] == 0) < 0.7


def test_isometry_of_a_scaled_orthogonal_map_and_of_a_squeezed_one() -> None:
    generator = np.random.default_rng(3)
    corners = np.array([[3.0, 0, 0, 0], [-3, 0, 0, 0], [0, 3, 0, 0], [0, -3, 0, 0], [0, 0, 0, 0]])
    label = np.arange(500) % 5
    x = corners[label] + 0.1 * generator.standard_normal((500, 4))
    exact = isometry(x, 0.25 * x[:, [1, 0, 3, 2]] * [1, -1, 1, 1], label)
    assert exact.shape == (10,)
    np.testing.assert_allclose(exact, 0.25, rtol=1e-9)
    squeezed = isometry(x, x * [1, 0.8, 1, 1], label)
    ratios = dict(zip(combinations(range(5), 2), squeezed, strict=True))
    assert ratios[0, 1] == pytest.approx(1)
    assert ratios[2, 3] == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: axis_alignment(np.zeros((4, 2)), [1, 2, 3]), ValueError),
        (lambda: axis_alignment(np.zeros((4, 2)), [1, 1, 1, 1]), ValueError),
        (lambda: axis_alignment(np.zeros(4), np.arange(4)), ValueError),
        (lambda: axis_alignment(np.full((4, 1), np.nan), np.arange(4)), ValueError),
        (lambda: axis_alignment(np.zeros((4, 2)), np.arange(4), n_bins=1), ValueError),
        (lambda: axis_alignment(np.zeros((4, 2)), None), TypeError),
        (lambda: isometry(np.eye(3), np.eye(3), [0, 0, 1]), ValueError),
        (lambda: isometry(np.eye(4), np.eye(4), [0, 0, 1]), ValueError),
        (lambda: isometry(np.eye(4), np.eye(3), [0, 0, 1, 1]), ValueError),
        (lambda: isometry(np.eye(4), np.eye(4), [0, 0, 0, 0]), ValueError),
        (lambda: isometry(np.ones((4, 2)), np.eye(4), [0, 0, 1, 1]), ValueError),
    ],
)
def test_bad_input_is_refused(call, error: type) -> None:
    with pytest.raises(error):
        call()
