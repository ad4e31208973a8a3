"""Supply, ELBO surgery, the theorem gap >= I(A;B) - R, and the report, against exact answers."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import xlogy
from sklearn.datasets import make_spd_matrix

from mfvae import MeanFieldVAE
from mfvae.measure import (
    all_configurations,
    capacity,
    capacity_supply,
    capacity_verdict,
    elbo_surgery,
)
from mfvae.systems import CurieWeiss, Estimate, Ising2D
from mfvae.systems._special import log_binomial, log_cosh

SIGMAS = 5.5
few = settings(max_examples=60, deadline=None, derandomize=True)
seeds = st.integers(0, 2**32 - 1)


def entropy(p: np.ndarray) -> float:
    return float(-xlogy(p, p).sum())


# ------------------------------------------------------------------------------- the theorem


class RandomModel:
    """Random p(x) q(z|x) and p(z) Π p(x_i|z) of four letters and a few states, all written out."""

    def __init__(self, seed: int, n_states: int, sharpness: float) -> None:
        rng = np.random.default_rng(seed)

        def law(*shape: int) -> np.ndarray:
            p = rng.gamma(1 / sharpness, size=shape) + 1e-12
            return p / p.sum(axis=-1, keepdims=True)

        self.n = 4
        bits = (all_configurations(self.n) + 1) // 2
        self.p, self.q = law(16), law(16, n_states)
        self.prior, up = law(n_states), rng.uniform(0.01, 0.99, (n_states, self.n))
        # A decoder that is good for half of the models: the best product for each state.
        self.joint = self.p[:, None] * self.q
        if rng.random() < 0.5:
            up = np.clip((self.joint.T @ bits) / self.joint.sum(axis=0)[:, None], 1e-9, 1 - 1e-9)
            self.prior = self.joint.sum(axis=0)
        self.decoder = np.prod(np.where(bits[:, None], up, 1 - up), axis=2)
        self.law = self.p.reshape((2,) * self.n)

    @property
    def rate(self) -> float:
        return float(np.sum(self.joint * np.log(self.q / self.prior)))

    @property
    def gap(self) -> float:
        model = self.prior * self.decoder
        return float(np.sum(self.joint * np.log(self.joint / model)))

    @property
    def information(self) -> float:
        return entropy(self.p) + entropy(self.joint.sum(axis=0)) - entropy(self.joint)

    @property
    def cuts(self) -> list[float]:
        sides = [(0,), (1,), (2,), (3,), (0, 1), (0, 2), (0, 3)]
        rests = [tuple(set(range(self.n)) - set(side)) for side in sides]
        marginals = [
            (self.law.sum(axis=one), self.law.sum(axis=two))
            for one, two in zip(sides, rests, strict=True)
        ]
        return [entropy(a) + entropy(b) - entropy(self.law) for a, b in marginals]

    @property
    def dual_total_correlation(self) -> float:
        return sum(entropy(self.law.sum(axis=i)) for i in range(4)) - 3 * entropy(self.law)


@few
@given(seed=seeds, n_states=st.integers(1, 6), sharpness=st.floats(0.2, 20.0))
def test_rate_plus_gap_is_at_least_every_cut(seed, n_states, sharpness) -> None:
    model = RandomModel(seed, n_states, sharpness)
    assert model.rate >= model.information - 1e-9
    assert model.gap >= max(model.cuts) - model.rate - 1e-9
    assert model.information + model.gap >= max(model.cuts) - 1e-9
    assert model.dual_total_correlation >= max(model.cuts) - 1e-9


def test_what_holds_for_exact_models_fails_for_trained_ones() -> None:
    """Negative control: without the gap, or with D in place of a cut of I_q, it is wrong."""
    models = [RandomModel(seed, 2, 10.0) for seed in range(200)]
    assert sum(m.rate < max(m.cuts) for m in models) > 20
    assert sum(m.information < m.dual_total_correlation for m in models) > 20


# ------------------------------------------------------------------------------- supply


@pytest.mark.parametrize("n_latents", [1, 3])
def test_supply_of_a_linear_gaussian_model(n_latents: int) -> None:
    """x = W z + noise: I = ½ ln det(1 + WᵀW), and F = WᵀW/N is constant."""
    shape = make_spd_matrix(n_latents, random_state=0)
    log_fisher = np.linalg.slogdet(shape)[1] / 2
    missed = []
    for n_sites in (100, 10_000):
        exact = 0.5 * np.linalg.slogdet(np.eye(n_latents) + n_sites * shape)[1]
        plain = capacity_supply(n_sites, n_latents)
        missed.append(exact - plain - log_fisher)
        assert plain == pytest.approx(n_latents / 2 * np.log(n_sites))
    assert 0 < missed[1] < missed[0] / 50
    assert missed[1] < 0.02


def test_supply_of_spins_in_one_common_field() -> None:
    """Field z ~ Normal(0, 1): exact I(s; z) by quadrature against E ½ ln F = -E ln cosh z."""
    nodes = np.linspace(-7, 7, 1401)
    weights = np.exp(-(nodes**2) / 2)
    weights = weights / weights.sum()
    log_fisher = -weights @ log_cosh(nodes)
    assert log_fisher == pytest.approx(-0.375, abs=1e-3)
    for n_sites, tolerance in ((256, 0.02), (1024, 0.006)):
        values = 2 * np.arange(n_sites + 1) - n_sites
        log_law = log_binomial(n_sites) + values * nodes[:, None]
        law = np.exp(log_law - n_sites * log_cosh(nodes[:, None]))
        law /= law.sum(axis=1, keepdims=True)
        information = entropy(weights @ law) - weights @ [entropy(row) for row in law]
        generous = capacity_supply(n_sites, 1)
        supply = generous + log_fisher
        assert information == pytest.approx(supply, abs=tolerance)
        assert generous - 0.5 * np.log(2 * np.e / np.pi) > information  # beyond any prior
        assert abs(information - 1.05 * supply) > tolerance  # negative control


def test_verdict_before_training() -> None:
    demand = Ising2D(16).dual_total_correlation(2.269185)
    verdicts = [capacity_verdict(demand, capacity_supply(256, d)) for d in (1, 2, 4, 8)]
    assert verdicts == ["cannot fit"] * 3 + ["may fit"]
    assert capacity_verdict(CurieWeiss(256).dual_total_correlation(1.0), 2.77) == "may fit"
    assert capacity_verdict(Estimate(3.0, stderr=0.1), 2.8) == "may fit"  # within its error


# ------------------------------------------------------------------------------- surgery


class GaussianChannel(MeanFieldVAE):
    """An encoder whose mean is the data and whose deviation is σ; prior Normal(0, 1)."""

    def __init__(self, deviation: float = 0.5) -> None:
        super().__init__(1)
        self.deviation, self.module_ = deviation, object()

    def encode(self, X, conditions=None):
        return X, np.full(X.shape, self.deviation)

    def log_prior(self, z, condition=None):
        return -0.5 * (z**2 + np.log(2 * np.pi)).sum(axis=1)

    def sample_prior(self, n_samples, condition=None, *, seed):
        return np.random.default_rng(seed).standard_normal((n_samples, 2))


def channel(scale: np.ndarray, deviation: float) -> tuple[float, float, float]:
    """Exact rate, information and mismatch of means Normal(0, scale²)."""
    rate = 0.5 * np.sum(scale**2 + deviation**2 - 1 - 2 * np.log(deviation))
    information = 0.5 * np.sum(np.log1p(scale**2 / deviation**2))
    return rate, information, rate - information


@pytest.mark.parametrize("deviation", [0.8, 0.2])
def test_surgery_of_a_gaussian_channel(deviation: float) -> None:
    scale = np.array([0.9, 0.5])
    x = scale * np.random.default_rng(1).standard_normal((4096, 2))
    found = elbo_surgery(GaussianChannel(deviation), x, seed=2)
    rate, information, mismatch = channel(scale, deviation)
    low, high = found.mutual_information_bounds
    assert low - SIGMAS * low.stderr < information < high + SIGMAS * high.stderr
    pairs = (
        (found.rate, rate),
        (found.mutual_information, information),
        (found.prior_mismatch, mismatch),
        (found.sphere_packing, -2 * np.log(deviation)),
    )
    for estimate, exact in pairs:
        noise = SIGMAS * max(estimate.stderr, 0.002)
        assert abs(estimate - exact) < noise
        assert noise < max(0.2 * exact, 0.1)  # the test can fail
    assert found.rate == pytest.approx(found.mutual_information + found.prior_mismatch, abs=1e-9)


def test_the_error_of_the_surgery_is_that_of_repetitions() -> None:
    found = []
    for seed in range(30):
        x = 0.9 * np.random.default_rng(100 + seed).standard_normal((512, 2))
        found.append(elbo_surgery(GaussianChannel(0.3), x, seed=seed).mutual_information_bounds[0])
    spread, stated = np.std(found, ddof=1), np.mean([e.stderr for e in found])
    assert 0.6 < spread / stated < 1.6


def test_conditions_are_taken_apart() -> None:
    """Pooled, two groups of means far apart would add the information which group it is."""
    x = 0.5 * np.random.default_rng(1).standard_normal((2000, 2))
    conditions = np.repeat([1.0, 2.0], 1000)
    x[conditions == 2.0] += 3
    apart, pooled = (elbo_surgery(GaussianChannel(), x, c) for c in (conditions, None))
    exact = channel(np.full(2, 0.5), 0.5)[1]
    assert abs(apart.mutual_information - exact) < SIGMAS * apart.mutual_information.stderr
    assert pooled.mutual_information - exact > 0.4
    assert pooled.rate == pytest.approx(apart.rate, abs=0.1)


def test_a_saturated_estimate_says_so() -> None:
    """More information than ln n: the interval reaches from ln n to the rate."""
    x = np.random.default_rng(1).standard_normal((256, 2))
    found = elbo_surgery(GaussianChannel(1e-3), x)
    low, high = found.mutual_information_bounds
    assert low == pytest.approx(np.log(256), abs=1e-3)
    assert high == found.rate
    assert found.mutual_information.stderr > 0.4 * (found.rate - np.log(256))


# ------------------------------------------------------------------------------- the report


class ExactCurieWeiss(MeanFieldVAE):
    """The Hubbard-Stratonovich model itself, in the shape of a trained VAE: its gap is zero."""

    def __init__(self, system: CurieWeiss | None = None, temperature: float = 1.0) -> None:
        super().__init__(1)
        self.system, self.temperature, self.module_ = system, temperature, object()
        self.configuration_ = {"condition_location": [], "n_latents": 1}

    def encode(self, X, conditions=None):
        m = X.mean(axis=1, keepdims=True)
        return m, np.full(m.shape, np.sqrt(self.temperature / self.system.n_sites))

    def log_prior(self, z, condition=None):
        return np.log(self.system.field_density(z[:, 0], self.temperature))

    def sample_prior(self, n_samples, condition=None, *, seed):
        mean, deviation = self.encode(self.system.sample(self.temperature, n_samples, seed=seed))
        return mean + deviation * np.random.default_rng(seed).standard_normal(mean.shape)

    def score_samples(self, X, conditions=None, **options):
        return self.system.log_prob(X, self.temperature)


@pytest.mark.parametrize("temperature", [0.6, 1.0, 1.5])
def test_report_of_an_exact_model(temperature: float) -> None:
    system = CurieWeiss(64)
    vae = ExactCurieWeiss(system, temperature)
    report = capacity(vae, system.sample(temperature, 4096, seed=3), temperature, system)
    exact = float(system.field_information(temperature))
    for estimate in (report.rate, report.mutual_information, report.sphere_packing):
        noise = SIGMAS * max(estimate.stderr, 0.003)
        assert abs(estimate - exact) < noise < 0.3 * exact
    assert abs(report.prior_mismatch) < SIGMAS * report.prior_mismatch.stderr
    assert report.verdict == "fits"
    assert report.gap == pytest.approx(0, abs=1e-9)
    assert report.margin == pytest.approx(report.rate - report.half_cut)
    assert report.rate is report.supply.rate
    assert report.half_cut is report.demand.half_cut
    with pytest.raises(AttributeError, match="no 'demands'"):
        _ = report.demands
    assert str(pickle.loads(pickle.dumps(report))) == str(report)
    assert report.margin > 0 > report.gap_bound
    assert report.regular_supply == pytest.approx(0.5 * np.log(64))


@pytest.fixture(scope="module")
def torus() -> tuple[Ising2D, MeanFieldVAE]:
    system = Ising2D(8)
    x = np.concatenate(system.sample([2.3, 2.6], 1000, seed=0))
    options = {"encoder": "mlp", "decoder": "linear", "n_epochs": 2, "progress": False}
    return system, MeanFieldVAE(1, **options).fit(x, conditions=np.repeat([2.3, 2.6], 1000))


def test_report_of_a_model_that_cannot_fit(torus) -> None:
    system, vae = torus
    conditions = np.repeat([2.3, 2.6], 300)
    x = np.concatenate(system.sample([2.3, 2.6], 300, seed=1))
    report = capacity(vae, x, conditions, system)
    mean = np.mean([float(system.dual_total_correlation(t)) for t in (2.3, 2.6)])
    assert abs(report.dual_total_correlation - mean) < 0.05
    assert report.best_cut == report.dual_total_correlation
    assert report.half_cut is None
    assert report.verdict == "cannot fit"
    assert report.margin < -1
    assert report.gap > report.gap_bound > 1
    text = str(report)
    assert "cannot fit" in text
    assert f"{report.gap_bound:8.3f}" in text
    assert "unknown" in text  # the half cut


def test_report_from_data_alone_never_says_that_a_model_fits() -> None:
    system = CurieWeiss(12)
    x = system.sample(0.8, 4096, seed=3)
    report = capacity(ExactCurieWeiss(system, 0.8), x)
    assert report.gap is None
    assert report.verdict == "may fit"
    assert report.half_cut < 1.1 * float(system.mutual_information(0.8))
    assert report.dual_total_correlation > 0.5 * float(system.dual_total_correlation(0.8))


def test_bad_input(torus) -> None:
    system, vae = torus
    x = system.sample(2.3, 100, seed=1)
    with pytest.raises(TypeError, match="vae must be"):
        capacity("vae", x)
    with pytest.raises(TypeError, match="vae must be"):
        elbo_surgery("vae", x)
    with pytest.raises(TypeError, match="system must be"):
        capacity(vae, x, 2.3, "ising")
    with pytest.raises(ValueError, match="not fitted"):
        capacity(MeanFieldVAE(), x)
    with pytest.raises(ValueError, match="give the temperature"):
        capacity(vae, x, None, system)
    with pytest.raises(ValueError, match="2D array"):
        capacity(vae, x[0], 2.3, system)
    with pytest.raises(ValueError, match="need 64 rows"):
        capacity(vae, x[:50], 2.3, system)
    with pytest.raises(ValueError, match="n_latents must be at least 1"):
        capacity_supply(16, 0)
    with pytest.raises(ValueError, match="must be finite"):
        capacity_verdict(np.nan, 1.0)
