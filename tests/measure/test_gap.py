"""The exact gap against enumeration of all configurations."""

from __future__ import annotations

import numpy as np
import pytest

from mfvae import MeanFieldVAE
from mfvae.measure import exact_gap
from mfvae.systems import CurieWeiss, Estimate, Ising2D

SIGMAS = 5.5
N_SITES = 8


@pytest.fixture(scope="module")
def vae() -> MeanFieldVAE:
    """A model that has barely been trained, so that the gap is large and known."""
    temperatures = np.repeat([0.8, 2.0], 100)
    x = np.concatenate([CurieWeiss(N_SITES).sample(t, 100, seed=0) for t in (0.8, 2.0)])
    options = {"encoder": "mlp", "n_epochs": 1, "learning_rate": 1e-5, "progress": False}
    return MeanFieldVAE(1, **options).fit(x, conditions=temperatures)


def all_spins(n_sites: int) -> np.ndarray:
    return 2 * (np.arange(2**n_sites)[:, None] >> np.arange(n_sites) & 1).astype(np.int8) - 1


@pytest.mark.parametrize("temperature", [0.8, 2.0])
def test_gap_is_the_divergence_by_enumeration(vae: MeanFieldVAE, temperature: float) -> None:
    system, x = CurieWeiss(N_SITES), all_spins(N_SITES)
    log_p = system.log_prob(x, temperature)
    log_q = vae.score_samples(x, np.full(len(x), temperature), method="quadrature")
    assert np.exp(log_q).sum() == pytest.approx(1, abs=1e-4)
    divergence = np.sum(np.exp(log_p) * (log_p - log_q))
    (gap,) = exact_gap(vae, system, temperature, 4096, seed=3, method="quadrature")
    assert isinstance(gap, Estimate)
    assert abs(gap - divergence) < SIGMAS * gap.stderr
    wrong = np.sum(np.exp(log_p) * (1.05 * log_p - log_q))  # negative control
    assert abs(gap - wrong) > SIGMAS * gap.stderr


def test_pairing_removes_the_fluctuation_of_the_entropy(vae: MeanFieldVAE) -> None:
    system, temperature = CurieWeiss(N_SITES), 0.8
    (gap,) = exact_gap(vae, system, temperature, 2048, seed=3)
    unpaired = system.log_prob(system.sample(temperature, 2048, seed=3), temperature)
    assert gap.stderr < unpaired.std() / 2048**0.5


def test_elbo_lies_below_iwae_below_the_likelihood(vae: MeanFieldVAE) -> None:
    system = CurieWeiss(N_SITES)
    elbo, iwae, exact = (
        exact_gap(vae, system, [0.8, 2.0], 1024, seed=3, method=method)
        for method in ("elbo", "iwae", "quadrature")
    )
    for one, two, three in zip(elbo, iwae, exact, strict=True):
        assert one > two > three - 1e-3 > 0


def test_the_same_seed_gives_the_same_gap_and_one_temperature_is_a_list(vae) -> None:
    system = CurieWeiss(N_SITES)
    first, again = (exact_gap(vae, system, 2.0, 100, seed=5) for _ in range(2))
    assert first == again
    assert len(first) == 1
    assert exact_gap(vae, system, 2.0, 100, seed=6) != first


def test_few_samples_are_enough_for_an_error_bar(vae: MeanFieldVAE) -> None:
    (gap,) = exact_gap(vae, CurieWeiss(N_SITES), 2.0, 2, seed=5)
    assert gap.stderr > 0


def test_bad_input(vae: MeanFieldVAE) -> None:
    system = CurieWeiss(N_SITES)
    with pytest.raises(TypeError, match="vae must be"):
        exact_gap("vae", system, 1.0, 10, seed=0)
    with pytest.raises(ValueError, match="not fitted"):
        exact_gap(MeanFieldVAE(), system, 1.0, 10, seed=0)
    with pytest.raises(TypeError, match="system must be"):
        exact_gap(vae, "ising", 1.0, 10, seed=0)
    with pytest.raises(ValueError, match="positive"):
        exact_gap(vae, system, 0.0, 10, seed=0)
    with pytest.raises(ValueError, match="n_samples"):
        exact_gap(vae, system, 1.0, 1, seed=0)
    with pytest.raises(ValueError, match="method"):
        exact_gap(vae, system, 1.0, 10, seed=0, method="exact")
    with pytest.raises(ValueError, match=r"9|8"):
        exact_gap(vae, Ising2D(3), 2.0, 10, seed=0)
