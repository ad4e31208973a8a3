"""Bias, null, honesty of the lower limit and power of the total correlation, at full size."""

from __future__ import annotations

import numpy as np
import pytest

from mfvae import MeanFieldVAE
from mfvae.measure import exact_gap, total_correlation
from mfvae.systems import CurieWeiss, Hopfield

pytestmark = pytest.mark.slow

N_SAMPLES = 40_000


def equicorrelated(n, nats):
    """Return the covariance of Gaussians with one correlation between all pairs."""
    low, high = 0.0, 1.0 - 1e-12
    for _ in range(60):
        rho = (low + high) / 2
        exact = -((n - 1) * np.log1p(-rho) + np.log1p((n - 1) * rho)) / 2
        low, high = (rho, high) if exact < nats else (low, rho)
    return rho + (1 - rho) * np.eye(n)


def chain(n, nats):
    """Return the covariance of a Gaussian chain: each value depends on the one before."""
    rho = np.sqrt(-np.expm1(-2 * nats / (n - 1)))
    return rho ** np.abs(np.subtract.outer(np.arange(n), np.arange(n)))


def draw(covariance, n_samples, seed):
    """Return samples and the average over them of the exact ln(p/q).

    The average has the total correlation as its mean; by what it differs is an accident of the
    draw and not of the estimator, and is printed beside the bias.
    """
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n_samples, len(covariance))) @ np.linalg.cholesky(covariance).T
    form = np.linalg.inv(covariance) - np.eye(len(covariance))
    log_ratio = -np.sum((x @ form) * x, axis=1) / 2 - np.linalg.slogdet(covariance)[1] / 2
    return x, log_ratio.mean()


def allowed(exact):
    return 0.01 if exact == 0 else (0.1 if exact <= 1 else 0.2) * exact


@pytest.mark.parametrize("n", [8, 32])
@pytest.mark.parametrize("exact", [0.0, 0.1, 0.7, 1.7, 2.5])
@pytest.mark.parametrize("law", [equicorrelated, chain])
def test_bias_on_gaussians(law, exact, n, request):
    if law is chain and n == 32 and exact == 0.1:
        short = "20 % low: no direction stands out, and 528 coefficients are learned from noise"
        request.applymarker(pytest.mark.xfail(reason=short, strict=True))
    x, in_these = draw(law(n, exact), N_SAMPLES, seed=1)
    found = total_correlation(None, x, seed=2)
    print(f"{law.__name__} n = {n}: exact {exact}, in these samples {in_these:.4f}, found "
          f"{found.nats!s}, above {found.lower:.3f}")  # fmt: skip
    assert abs(found.nats - exact) <= allowed(exact)
    assert found.lower <= exact + 1e-3
    assert not found.saturated


@pytest.mark.parametrize("temperature", [1.05, 1.2, 1.5, 2.5])
def test_bias_on_curie_weiss(temperature):
    system = CurieWeiss(64)
    exact = float(system.total_correlation(temperature))
    x = system.sample(temperature, N_SAMPLES, seed=1)
    found = total_correlation(None, x, seed=2, null=True)
    in_these = np.mean(system.log_prob(x, temperature)) + 64 * np.log(2)
    print(f"T = {temperature}: exact {exact:.4f}, in these samples {in_these:.4f}, found "
          f"{found.nats!s}, null {found.null!s}")  # fmt: skip
    assert abs(found.nats - exact) <= allowed(exact)
    assert abs(found.null) <= 0.01
    assert found.lower <= exact


def test_lower_limit_is_honest():
    """One-sided 99 %: above the exact value in at most 3 of 50 repetitions."""
    magnet, n_above, lowers = CurieWeiss(16), 0, []
    for seed in range(50):
        if seed % 2:
            exact, x = 0.7, draw(equicorrelated(8, 0.7), 4000, seed)[0]
        else:
            exact, x = float(magnet.total_correlation(1.0)), magnet.sample(1.0, 4000, seed=seed)
        lower = total_correlation(None, x, seed=seed, n_epochs=6).lower
        lowers.append(lower / exact)
        n_above += lower > exact
    print(f"{n_above} of 50 above the exact value; median {np.median(lowers):.3f} of it")
    assert n_above <= 3
    assert np.median(lowers) > 0.6  # honest, and not empty


def test_power_against_one_latent_too_few():
    system, temperatures = Hopfield.random(64, 3, seed=0), np.array([0.8, 1.0, 1.2, 1.5])
    x, fresh = (system.sample(temperatures, 10_000, seed=s).reshape(-1, 64) for s in (1, 2))
    conditions = np.repeat(temperatures, 10_000)
    estimates = {}
    for n_latents in (2, 3):
        vae = MeanFieldVAE(
            n_latents,
            encoder="mlp",
            decoder="linear",
            prior="mixture",
            prior_options={"n_components": 32, "covariance": "full"},
            learning_rate=6e-3,
            batch_size=512,
            n_epochs=12,
            device="cpu",
            progress=False,
        ).fit(x, conditions=conditions)
        found = total_correlation(vae, fresh, conditions, seed=3)
        gaps = exact_gap(vae, system, temperatures, 4000, seed=4)
        print(f"{n_latents} latents\n{found}\n gaps {[str(gap) for gap in gaps]}")
        for temperature, gap in zip(temperatures, gaps, strict=True):
            assert found.by_condition[float(temperature)].lower <= gap + 5.5 * gap.stderr
        estimates[n_latents] = found
    too_few, enough = estimates[2], estimates[3]
    assert too_few.nats > 5 * too_few.nats.stderr
    assert too_few.lower > 0.1
    assert abs(enough.nats) < 0.05
