"""The Bingham law against adaptive integration, and its draws against exact marginals."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import dblquad, quad
from scipy.special import i0e, kolmogorov, roots_legendre

from mfvae.systems import Bingham

KS_FALSE_ALARM = 1e-7  # per test; below 1e-6 for all of this file together

SHAPES = [
    [0.0, 0.0, 0.0],
    [0.0, 0.0, 5.0],
    [0.0, 5.0, 5.0],
    [-3.0, 1.0, 2.0],
    [0.0, 300.0, 300.0],
    [0.0, 2.0, 400.0],
]


def log_normalizer(eigenvalues):
    return Bingham(np.diag(eigenvalues)).log_normalizer()


def adaptive_log_normalizer(eigenvalues):
    """ln Z by adaptive quadrature over the height along the *smallest* eigenvalue's axis."""
    low, middle, top = np.sort(np.asarray(eigenvalues, dtype=np.float64))

    def integrand(t):
        return np.exp((low - top) * t * t) * i0e((1 - t) * (1 + t) * (top - middle) / 2)

    width = 1 / np.sqrt(1 + top - low)
    points = [p for p in (0.3 * width, width, 3 * width, 6 * width, 1 - width) if 0 < p < 1]
    # exp(low t² + s (mid + top)/2) I0(s (top - mid)/2) = exp(top) exp(-(top - low) t²) i0e(...)
    value, _ = quad(integrand, 0, 1, points=sorted(points), epsabs=0, epsrel=1e-13, limit=500)
    return np.log(4 * np.pi * value) + top


def marginal_cdf(eigenvalues, k):
    """Exact CDF of n_k in the eigenbasis, on a fine grid: panels of 8 Gauss-Legendre nodes."""
    i, j = (m for m in range(3) if m != k)
    lam = np.asarray(eigenvalues) - np.max(eigenvalues)
    grid = np.cos(np.linspace(np.pi, 0, 4001))
    x, w = roots_legendre(8)
    half = 0.5 * np.diff(grid)
    t = 0.5 * (grid[1:] + grid[:-1])[:, None] + half[:, None] * x
    s = 1 - t * t
    density = np.exp(lam[k] * t * t + s * max(lam[i], lam[j])) * i0e(s * (lam[i] - lam[j]) / 2)
    mass = np.concatenate([[0.0], np.cumsum(half * (density @ w))])
    return lambda value: np.interp(value, grid, mass / mass[-1])


def ks_p_value(sample, cdf):
    u = np.sort(cdf(sample))
    n = len(u)
    distance = max(np.max(np.arange(1, n + 1) / n - u), np.max(u - np.arange(n) / n))
    return kolmogorov(np.sqrt(n) * distance)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 7.0, 60.0, 300.0, 1000.0])
@pytest.mark.parametrize("middle", [0.0, 0.01, 0.3, 0.95, 1.0])
@pytest.mark.parametrize("shift", [0.0, -0.5])
def test_log_normalizer_against_adaptive_integration(scale, middle, shift):
    eigenvalues = scale * (np.array([middle, 1.0, 0.0]) + shift)
    assert abs(log_normalizer(eigenvalues) - adaptive_log_normalizer(eigenvalues)) < 1e-10


def test_log_normalizer_against_integration_over_the_sphere():
    A = np.array([[1.0, 0.5, -0.3], [0.5, -2.0, 0.8], [-0.3, 0.8, 0.4]])

    def integrand(phi, theta):
        n = np.array([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)])
        return np.exp(n @ A @ n) * np.sin(theta)

    total, _ = dblquad(integrand, 0, np.pi, 0, 2 * np.pi, epsabs=1e-9, epsrel=1e-9)
    assert abs(np.log(total) - Bingham(A).log_normalizer()) < 1e-9


def test_gradient_is_the_moment():
    rng = np.random.default_rng(1)
    A = rng.normal(size=(3, 3))
    A = 4 * (A + A.T)
    step, numeric = 1e-5, np.zeros((3, 3))
    for i in range(3):
        for j in range(3):
            D = np.zeros((3, 3))
            D[i, j] += step / 2
            D[j, i] += step / 2
            difference = Bingham(A + D).log_normalizer() - Bingham(A - D).log_normalizer()
            numeric[i, j] = difference / (2 * step)
    law = Bingham(A)
    np.testing.assert_allclose(law.moment(), numeric, atol=1e-8)
    assert abs(np.trace(law.moment()) - 1) < 1e-12
    values = np.linalg.eigvalsh(A)[[2, 0, 1]]
    np.testing.assert_allclose(
        np.diagonal(Bingham(np.diag(values)).moment()), np.linalg.eigvalsh(law.moment())[[2, 0, 1]]
    )
    entropy = law.log_normalizer() - np.trace(A @ law.moment())
    assert abs(entropy + np.mean(law.log_prob(law.sample(200_000, seed=3)))) < 0.02


@pytest.mark.parametrize("eigenvalues", SHAPES)
def test_draws_pass_kolmogorov_smirnov_on_all_axes(eigenvalues):
    rotation, _ = np.linalg.qr(np.random.default_rng(5).normal(size=(3, 3)))
    n = Bingham(rotation @ np.diag(eigenvalues) @ rotation.T).sample(1_000_000, seed=11)
    np.testing.assert_allclose(np.linalg.norm(n, axis=1), 1, atol=1e-6)
    along = n @ rotation
    for k in range(3):
        assert ks_p_value(along[:, k], marginal_cdf(eigenvalues, k)) > KS_FALSE_ALARM / 18


@pytest.mark.parametrize("eigenvalues", SHAPES[1:])
def test_kolmogorov_smirnov_catches_a_law_five_percent_off(eigenvalues):
    wrong = np.asarray(eigenvalues) * 1.05
    n = Bingham(np.diag(wrong)).sample(1_000_000, seed=12)
    p_values = [ks_p_value(n[:, k], marginal_cdf(eigenvalues, k)) for k in range(3)]
    assert min(p_values) < KS_FALSE_ALARM / 18


def test_cross_moments_of_draws():
    rng = np.random.default_rng(7)
    A = rng.normal(size=(3, 3)) * 3
    A = A + A.T
    n = Bingham(A).sample(300_000, seed=2)
    products = np.einsum("ni,nj->nij", n, n, dtype=np.float64)
    error = products.std(axis=0) / np.sqrt(len(n))
    z = (products.mean(axis=0) - Bingham(A).moment()) / error
    assert np.max(np.abs(z)) < 5.9


def test_batches_and_seeds():
    A = np.stack([np.diag([0.0, 1.0, 3.0]), np.diag([2.0, -1.0, 0.0])])
    batch = Bingham(A)
    n = batch.sample(5, seed=4)
    assert n.shape == (2, 5, 3)
    assert n.dtype == np.float32
    assert np.array_equal(n, batch.sample(5, seed=4))
    assert not np.array_equal(n, batch.sample(5, seed=5))
    expected = np.stack([Bingham(a).log_prob(x) for a, x in zip(A, n, strict=True)])
    np.testing.assert_allclose(batch.log_prob(n), expected, rtol=1e-12)
    assert batch.moment().shape == (2, 3, 3)
    assert Bingham(A[0]).log_prob(n[0, 0]).shape == ()
    with pytest.raises(ValueError, match="must have shape"):
        batch.log_prob(n[0])


def test_bits_do_not_depend_on_the_number_of_threads():
    law = Bingham(np.diag([0.0, 1.0, 2.0]))
    long = law.sample(200_000, seed=1)
    assert len(np.unique(long, axis=0)) == 200_000
    threads = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        assert np.array_equal(law.sample(200_000, seed=1), long)
    finally:
        numba.set_num_threads(threads)


@pytest.mark.parametrize(
    ("A", "error", "message"),
    [
        (np.zeros(3), ValueError, "shape"),
        (np.zeros((2, 2)), ValueError, "shape"),
        (np.full((3, 3), np.nan), ValueError, "finite"),
        ([[0, 1, 0], [0, 0, 0], [0, 0, 0]], ValueError, "symmetric"),
        ("isotropic", TypeError, "array of numbers"),
        (np.zeros((0, 3, 3)), ValueError, "empty"),
    ],
)
def test_bad_matrices(A, error, message):
    with pytest.raises(error, match=message):
        Bingham(A)


def test_bad_directors_and_counts():
    law = Bingham(np.eye(3))
    with pytest.raises(ValueError, match="unit vectors"):
        law.log_prob([[1.0, 1.0, 0.0]])
    with pytest.raises(ValueError, match="last axis"):
        law.log_prob([[1.0, 0.0]])
    with pytest.raises(ValueError, match="at least 1"):
        law.sample(0, seed=0)
    with pytest.raises(TypeError, match="integer"):
        law.sample(2.5, seed=0)


@settings(deadline=None, max_examples=40, derandomize=True)
@given(st.lists(st.floats(-1000, 1000), min_size=3, max_size=3), st.floats(-50, 50))
def test_symmetries_of_the_normaliser(eigenvalues, shift):
    value = log_normalizer(eigenvalues)
    tolerance = 1e-11 * (1 + np.max(np.abs(eigenvalues)))
    assert abs(log_normalizer(eigenvalues[::-1]) - value) <= tolerance
    assert abs(log_normalizer(np.add(eigenvalues, shift)) - value - shift) <= tolerance
    squares = np.diagonal(Bingham(np.diag(eigenvalues)).moment())
    assert np.all(squares > 0)
    assert abs(squares.sum() - 1) < 1e-12
