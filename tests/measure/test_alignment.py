"""Axis alignment, discrepancies, isometry, angles and fields: planted cases with known answers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mfvae
from mfvae.measure import (
    axis_alignment,
    class_similarity,
    cosine_similarity,
    isometry,
    linear_discrepancy,
    local_fields,
    order_parameter_axis,
)


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


@settings(deadline=None, max_examples=25, derandomize=True)
@given(st.floats(0, 360), st.integers(0, 1000))
def test_the_angle_of_two_axes_does_not_depend_on_a_rotation(degrees: float, seed: int) -> None:
    generator = np.random.default_rng(seed)
    m = generator.choice([-1.0, 1.0], 40)
    m[:2] = 1, -1
    one = np.outer(m, [1.5, 0.2]) + 0.1 * generator.standard_normal((40, 2))
    other = np.outer(m, [-0.1, 1.0]) + 0.1 * generator.standard_normal((40, 2))

    def cosine(turn: np.ndarray) -> float:
        a, b = (order_parameter_axis(z @ turn.T, m) for z in (one, other))
        return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))

    assert cosine(rotation(degrees)) == pytest.approx(cosine(np.eye(2)), abs=1e-9)
    assert abs(cosine(np.array([[1.0, 0.5], [0.0, 1.0]])) - cosine(np.eye(2))) > 0.1


def test_linear_discrepancy_is_unbiased() -> None:
    generator = np.random.default_rng(2)
    label = np.repeat([0, 1, 2], [20, 30, 50])
    shift = np.array([0.0, 0.0, 0.3])[label, None]
    values = [
        linear_discrepancy(generator.standard_normal((100, 40)) + shift, label) for _ in range(400)
    ]
    mean, stderr = np.mean(values, axis=0), np.std(values, axis=0) / 20
    exact = 40 * np.array([[0, 0, 0.09], [0, 0, 0.09], [0.09, 0.09, 0]])
    off = ~np.eye(3, dtype=bool)
    assert np.all(np.abs(mean - exact)[off] < 5.5 * stderr[off])
    naive_bias = 40 * (1 / 20 + 1 / 30)  # without the correction
    assert naive_bias > 5.5 * stderr[0, 1]
    np.testing.assert_array_equal(np.diag(mean), 0)


def test_isometry_of_a_scaled_orthogonal_map_and_of_a_squeezed_one() -> None:
    generator = np.random.default_rng(3)
    corners = np.array([[3.0, 0, 0, 0], [-3, 0, 0, 0], [0, 3, 0, 0], [0, -3, 0, 0], [0, 0, 0, 0]])
    label = np.arange(500) % 5
    x = corners[label] + 0.1 * generator.standard_normal((500, 4))
    exact = isometry(x, 0.25 * x[:, [1, 0, 3, 2]] * [1, -1, 1, 1], label)
    assert len(exact.pairs) == 10
    np.testing.assert_allclose(exact.ratios, 0.25, rtol=1e-9)
    assert exact.spread < 1e-9
    squeezed = isometry(x, x * [1, 0.8, 1, 1], label)
    ratios = dict(zip(squeezed.pairs, squeezed.ratios, strict=True))
    assert ratios[0, 1] == pytest.approx(1)
    assert ratios[2, 3] == pytest.approx(0.8)
    assert squeezed.spread > 0.05


def test_cosine_similarity_and_its_blocks() -> None:
    z = np.array([[1.0, 0], [3, 0], [0, 2], [0, 1], [0, 4], [-1, 0], [-2, 0]])
    label = np.array([0, 0, 1, 1, 1, 2, 2])
    full = cosine_similarity(z)
    np.testing.assert_allclose(full, full.T)
    np.testing.assert_allclose(np.diag(full), 1)
    expected = np.array([[1.0, 0, -1], [0, 1, 0], [-1, 0, 1]])
    np.testing.assert_allclose(class_similarity(z, label), expected, atol=1e-12)
    noise = np.random.default_rng(0).standard_normal((4000, 3))
    assert abs(class_similarity(noise, np.arange(4000) % 2)).max() < 0.01


def test_local_fields_are_those_of_the_means() -> None:
    x = mfvae.systems.CurieWeiss(16).sample(0.8, 300, seed=0)
    z = np.random.default_rng(0).standard_normal((20, 1))
    for likelihood in ("bernoulli", "tempered"):
        vae = mfvae.MeanFieldVAE(
            1, likelihood=likelihood, encoder="mlp", prior="normal", n_epochs=2, progress=False
        ).fit(x)
        h, inverse_temperature = local_fields(vae, z)
        up = (1 + vae.reconstruct_mean(z)) / 2
        np.testing.assert_allclose(inverse_temperature * h, np.log(up / (1 - up)), atol=1e-4)
        assert (inverse_temperature == 1).all() == (likelihood == "bernoulli")
        # The Hamiltonian -sum h sigma at temperature 1 gives the decoder's probabilities.
        weight = np.exp(inverse_temperature * h)
        np.testing.assert_allclose(weight / (1 + weight), up, atol=1e-5)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: axis_alignment(np.zeros((4, 2)), [1, 2, 3]), ValueError),
        (lambda: axis_alignment(np.zeros((4, 2)), [1, 1, 1, 1]), ValueError),
        (lambda: axis_alignment(np.zeros(4), np.arange(4)), ValueError),
        (lambda: axis_alignment(np.full((4, 1), np.nan), np.arange(4)), ValueError),
        (lambda: axis_alignment(np.zeros((4, 2)), np.arange(4), n_bins=1), ValueError),
        (lambda: axis_alignment(np.zeros((4, 2)), None), TypeError),
        (lambda: order_parameter_axis(np.zeros((2, 2)), [0.1, 0.2]), ValueError),
        (lambda: linear_discrepancy(np.eye(3), [0, 0, 1]), ValueError),
        (lambda: linear_discrepancy(np.eye(4), [0, 0, 1]), ValueError),
        (lambda: isometry(np.eye(4), np.eye(3), [0, 0, 1, 1]), ValueError),
        (lambda: isometry(np.eye(4), np.eye(4), [0, 0, 0, 0]), ValueError),
        (lambda: isometry(np.ones((4, 2)), np.eye(4), [0, 0, 1, 1]), ValueError),
        (lambda: cosine_similarity(np.zeros((2, 2))), ValueError),
        (lambda: class_similarity(np.eye(2), [0, 1]), ValueError),
        (lambda: class_similarity(np.eye(2), [0, 0, 0]), ValueError),
        (lambda: local_fields(mfvae.MeanFieldVAE(1, likelihood="gaussian"), [[0]]), ValueError),
        (lambda: local_fields(None, [[0]]), ValueError),
    ],
)
def test_bad_input_is_refused(call, error: type) -> None:
    with pytest.raises(error):
        call()
