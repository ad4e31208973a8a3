"""Convergence diagnostics against processes whose autocorrelation time is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter

from mfvae.data.diagnostics import (
    ChainDiagnostics,
    autocorrelation_time,
    diagnose,
    drift,
    split_r_hat,
)


def effective_sample_size(series):
    return series.size / (2 * autocorrelation_time(series))


def autoregressive(phi, n_chains, n_records, seed, start=None):
    """x_t = phi x_{t-1} + noise, unit variance: τ = (1 + phi) / 2(1 - phi)."""
    noise = np.random.default_rng(seed).standard_normal((n_chains, n_records))
    noise *= np.sqrt(1 - phi**2)
    first = np.random.default_rng([seed, 1]).standard_normal(n_chains) if start is None else start
    state = phi * np.broadcast_to(first, n_chains)[:, None]
    return lfilter([1.0], [1.0, -phi], noise, axis=1, zi=state)[0]


def exact_time(phi):
    return (1 + phi) / (2 * (1 - phi))


@pytest.mark.parametrize("phi", [0.0, 0.5, 0.8, 0.95])
@pytest.mark.parametrize(("n_chains", "n_records"), [(8, 10_000), (1, 80_000)])
def test_autocorrelation_time_of_autoregressive_chains(phi, n_chains, n_records):
    runs = [
        autocorrelation_time(autoregressive(phi, n_chains, n_records, seed)) for seed in range(20)
    ]
    mean, error = np.mean(runs), np.std(runs, ddof=1) / np.sqrt(20)
    # 20 runs: Student's t at a false alarm of 1e-7; half a percent for the truncated sum
    allowed = 8.0 * error + 0.005 * exact_time(phi)
    assert abs(mean - exact_time(phi)) < allowed
    # negative control: chains whose memory is a fifth longer are told apart
    longer = (2 * exact_time(phi) * 1.2 - 1) / (2 * exact_time(phi) * 1.2 + 1)
    assert exact_time(longer) == pytest.approx(1.2 * exact_time(phi))
    control = np.mean(
        [autocorrelation_time(autoregressive(longer, n_chains, n_records, s)) for s in range(20)]
    )
    assert abs(control - exact_time(phi)) > allowed


def test_autocorrelation_time_of_many_short_chains():
    """Chains of ten times τ: autocovariances divided by n instead of n - t give 1.4 times τ."""
    found = autocorrelation_time(autoregressive(0.9, 1000, 100, 5))
    assert 0.85 * 9.5 < found < 1.1 * 9.5


def test_effective_sample_size_predicts_the_error_of_a_mean():
    phi, n = 0.8, 2000
    series = autoregressive(phi, 400, n, 5)
    spread = series.mean(axis=1).var(ddof=1) * n  # σ² n / n_eff
    assert spread == pytest.approx(2 * exact_time(phi), rel=5.5 * np.sqrt(2 / 399))
    assert effective_sample_size(series) == pytest.approx(400 * n / 9, rel=0.03)


def test_equilibrium_passes_and_faults_fail():
    def judge(series):
        table = np.array([[diagnose(series), diagnose(series)]])
        return ChainDiagnostics(np.array([1.0]), table, *series.shape)

    good = autoregressive(0.8, 80, 100, 0)
    assert judge(good).equilibrated.all()
    assert judge(good).warning() is None
    # burn-in too short: every chain starts four standard deviations away
    late = judge(autoregressive(0.9, 80, 100, 1, start=4.0))
    assert not late.equilibrated.any()
    assert "NOT EQUILIBRATED" in str(late)
    assert "temperature 1" in late.warning()
    # a slow drift of 0.3 standard deviations, far too small for R-hat
    slow = autoregressive(0.5, 80, 100, 2) + np.linspace(0, 0.6, 100)
    assert split_r_hat(slow) < 1.1
    assert not judge(slow).equilibrated.any()
    # chains stuck in two wells, without any drift
    stuck = good + np.where(np.arange(80) % 2, 2.0, -2.0)[:, None]
    assert abs(drift(stuck)[1]) < 5.5
    assert split_r_hat(stuck) > 1.5
    assert autocorrelation_time(stuck) > 5 * exact_time(0.8)
    assert not judge(stuck).equilibrated.any()


def test_false_alarms_are_rare():
    for seed in range(200):
        rng = np.random.default_rng(seed)
        series = rng.standard_normal((int(rng.integers(2, 20)), int(rng.integers(4, 60))))
        table = np.array([[diagnose(series), diagnose(series)]])
        assert ChainDiagnostics(np.array([1.0]), table, *series.shape).equilibrated.all()


def test_worst_component_counts():
    rng = np.random.default_rng(3)
    series = rng.standard_normal((20, 50, 3))
    series[..., 1] = autoregressive(0.9, 20, 50, 4)
    series[..., 2] += np.linspace(0, 1, 50)
    time, size, r_hat, shift, t = diagnose(series)
    assert time == max(autocorrelation_time(series[..., k]) for k in range(3))
    assert size == min(effective_sample_size(series[..., k]) for k in range(3))
    assert r_hat == max(split_r_hat(series[..., k]) for k in range(3))
    assert (shift, t) == drift(series[..., 2])


def test_constant_series():
    frozen = np.full((4, 20), -2.0)
    assert (autocorrelation_time(frozen), split_r_hat(frozen), drift(frozen)) == (0.5, 1.0, (0, 0))
    frozen[0] = 2.0  # one chain frozen elsewhere
    assert split_r_hat(frozen) == np.inf
    assert autocorrelation_time(frozen) > 5


def test_short_chains_cannot_be_judged():
    series = np.random.default_rng(0).standard_normal((5, 3))
    assert np.isnan(autocorrelation_time(series))
    assert np.isnan(split_r_hat(series))
    table = np.array([[diagnose(series), diagnose(series)]])
    assert ChainDiagnostics(np.array([1.0]), table, 5, 3).equilibrated.all()


@settings(deadline=None, derandomize=True, max_examples=40)
@given(
    n_chains=st.integers(1, 6),
    n_records=st.integers(4, 40),
    scale=st.floats(1e-3, 1e3),
    shift=st.floats(-1e3, 1e3),
    seed=st.integers(0, 1000),
)
def test_units_do_not_matter(n_chains, n_records, scale, shift, seed):
    series = np.random.default_rng(seed).standard_normal((n_chains, n_records))
    other = scale * series + shift
    for function in (autocorrelation_time, split_r_hat, effective_sample_size):
        assert function(series) == pytest.approx(function(other), rel=1e-6)
        assert np.isfinite(function(series))


@pytest.mark.parametrize(
    ("series", "error"),
    [(np.zeros(5), ValueError), ([[np.nan] * 5], ValueError), ("x", TypeError), ([[]], ValueError)],
)
def test_bad_input(series, error):
    for function in (autocorrelation_time, split_r_hat, drift):
        with pytest.raises(error):
            function(series)
