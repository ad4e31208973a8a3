"""Have the chains reached equilibrium, and how many independent records do they hold?"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.stats

from mfvae._validation import check_finite_array

__all__ = ["ChainDiagnostics", "NotEquilibratedWarning", "autocorrelation_time"]
__all__ += ["drift", "split_r_hat"]

#: Columns of the table, for each observable.
COLUMNS = ("autocorrelation_time", "effective_sample_size", "r_hat", "drift", "drift_t")
OBSERVABLES = ("energy", "order_parameter")
_R_HAT_LIMIT = 1.1
_DRIFT_LIMIT = 0.05  # in standard deviations; smaller drifts are not worth a warning
_FALSE_ALARM = 1e-6


class NotEquilibratedWarning(UserWarning):
    """Chains still drift, disagree with each other, or are short against their memory."""


def autocorrelation_time(series: np.ndarray) -> float:
    """Return the integrated autocorrelation time ``τ = 1/2 + Σ_{t≥1} ρ(t)``, in records.

    Independent records have τ = 1/2; the variance of a mean over n records is ``2τ σ²/n``. The
    autocorrelations of all chains are combined with the variance between them, so that stuck
    chains show, and summed over Geyer's initial monotone sequence (Vehtari et al. 2021, Bayesian
    Analysis 16, 667, eqs. 10-11). ``series`` is one observable along each chain, ``(n_chains,
    n_records)``; the result is NaN for fewer than 4 records.

    >>> rng = np.random.default_rng(0)
    >>> 0.4 < autocorrelation_time(rng.standard_normal((8, 1000))) < 0.6
    True
    """
    series = check_finite_array(series, "series", ndim=2)
    n_chains, n = series.shape
    if n < 4:
        return float("nan")
    within = series.var(axis=1, ddof=1).mean()
    between = series.mean(axis=1).var(ddof=1) if n_chains > 1 else 0.0
    total = within * (n - 1) / n + between
    if total == 0.0:
        return 0.5  # constant in every chain: nothing to correlate
    centred = series - series.mean(axis=1, keepdims=True)
    spectrum = np.abs(np.fft.rfft(centred, 2 * n, axis=1)) ** 2
    # Divided by the number of pairs, not by n, or the tails of many short chains add up to τ.
    covariance = np.fft.irfft(spectrum.mean(axis=0), 2 * n)[:n] / (n - np.arange(n))
    rho = 1.0 - (within - covariance) / total
    rho[0] = 1.0
    pairs = rho[: n // 2 * 2].reshape(-1, 2).sum(axis=1)
    negative = np.flatnonzero(pairs <= 0)
    pairs = np.minimum.accumulate(pairs[: negative[0] if len(negative) else None])
    smallest = 0.5 / max(1.0, np.log10(n_chains * n))
    return float(max(pairs.sum() - 0.5, smallest))


def split_r_hat(series: np.ndarray) -> float:
    """Return the split R-hat of ``(n_chains, n_records)``: 1 when halves agree, NaN of under 4.

    ``R² = (n − 1)/n + B/W`` with n the length of a half chain, B the variance of the means of
    the halves and W the mean variance inside them (Gelman et al., Bayesian Data Analysis,
    3rd ed., section 11.4). Chains in equilibrium have about ``1 + (2τ − 1)/2n``.
    """
    series = check_finite_array(series, "series", ndim=2)
    n = series.shape[1] // 2
    if n < 2:
        return float("nan")
    halves = np.concatenate([series[:, :n], series[:, -n:]])
    within = halves.var(axis=1, ddof=1).mean()
    between = halves.mean(axis=1).var(ddof=1)
    if within == 0.0:
        return 1.0 if between == 0.0 else float("inf")
    return float(np.sqrt((n - 1) / n + between / within))


def drift(series: np.ndarray) -> tuple[float, float]:
    """Return the drift of ``(n_chains, n_records)`` between halves, and its t; NaN of too few.

    A burn-in that was too short moves all chains in the same direction: the mean difference of
    the halves, in standard deviations of the observable, and Student's t of it over the chains.
    """
    series = check_finite_array(series, "series", ndim=2)
    n = series.shape[1] // 2
    if n < 2 or len(series) < 2:
        return float("nan"), float("nan")
    change = series[:, -n:].mean(axis=1) - series[:, :n].mean(axis=1)
    scale, error = series.std(), change.std(ddof=1) / np.sqrt(len(change))
    if scale == 0.0:
        return 0.0, 0.0
    t = change.mean() / error if error > 0 else np.copysign(np.inf, change.mean())
    return float(change.mean() / scale), float(t if change.mean() else 0.0)


def diagnose(series: np.ndarray) -> np.ndarray:
    """Return the five ``COLUMNS``, worst over components, of ``(n_chains, n_records, …)``."""
    rows = []
    for c in np.moveaxis(series.reshape(*series.shape[:2], -1), 2, 0):
        time = autocorrelation_time(c)
        rows.append((time, c.size / (2 * time), split_r_hat(c), *drift(c)))
    times, sizes, r_hats, _, t = columns = np.array(rows).T
    return np.array([times.max(), sizes.min(), r_hats.max(), *columns[3:, np.argmax(np.abs(t))]])


@dataclass(frozen=True, eq=False)
class ChainDiagnostics:
    """Convergence of energy and order parameter at every temperature (units of J/k_B).

    ``table``, float64 ``(n_temperatures, 2, 5)``, has the ``COLUMNS`` of both observables:
    autocorrelation time in records (1/2 means independent), effective sample size, split R-hat,
    drift in standard deviations, and its t statistic. ``schedule`` is burn-in and thinning at
    each temperature, in steps of the sampler, if known.
    """

    temperatures: np.ndarray
    table: np.ndarray
    n_chains: int
    n_records: int
    n_components: int = 1
    schedule: Sequence[Sequence[int]] | None = None

    @property
    def equilibrated(self) -> np.ndarray:
        """Whether each temperature passes, bool ``(n_temperatures,)``.

        Fails if split R-hat exceeds 1.1, or if a drift of more than 0.05 standard deviations is
        significant; both at a family-wise false-alarm rate of 1e-6 for independent records.
        """
        level = 1 - _FALSE_ALARM / (len(self.temperatures) * (1 + self.n_components))
        half, m = self.n_records // 2, 2 * self.n_chains
        if half < 2:  # too short to be judged
            return np.ones(len(self.temperatures), dtype=bool)
        ratio = scipy.stats.f.ppf(level, m - 1, m * (half - 1)) / half
        failed = self.table[:, :, 2] > max(_R_HAT_LIMIT, np.sqrt((half - 1) / half + ratio))
        if self.n_chains > 1:
            t_limit = scipy.stats.t.ppf(0.5 + level / 2, self.n_chains - 1)
            moved = np.abs(self.table[:, :, 3]) > _DRIFT_LIMIT
            failed |= moved & (np.abs(self.table[:, :, 4]) > t_limit)
        return ~failed.any(axis=1)

    def warning(self) -> str | None:
        """Return what to say if some temperature is not equilibrated, else None."""
        if (good := self.equilibrated).all():
            return None
        which = ", ".join(f"{t:g}" for t in self.temperatures[~good])
        what = "chains drift, disagree or are short against their autocorrelation time"
        advice = "Draw with a longer burn_in, more thinning or fewer and longer chains."
        return f"not equilibrated at temperature {which}: {what}. {advice}\n{self}"

    def __repr__(self) -> str:
        lines = [
            f"{self.n_chains} chains of {self.n_records} records at each temperature",
            f"{'energy':>36}{'order parameter':>41}",
            f"{'T':>8}  burn-in thinning{2 * '   τ_int     ESS   R-hat  drift '}".rstrip(),
        ]
        schedule = self.schedule or [("-", "-")] * len(self.temperatures)
        rows = zip(self.temperatures, schedule, self.table, self.equilibrated, strict=True)
        for t, (burn_in, thinning), columns, good in rows:
            cells = [f"{c[0]:8.2f}{c[1]:8.0f}{c[2]:8.3f}{c[3]:+7.3f}" for c in columns]
            verdict = "" if good else "  NOT EQUILIBRATED"
            lines.append(f"{t:8.4g} {burn_in:>8} {thinning:>8}{cells[0]} {cells[1]}{verdict}")
        steps = "burn-in and thinning in steps of the sampler (-: none or its own)"
        units = "τ_int in records (1/2: independent), drift in standard deviations"
        return "\n".join([*lines, f"{steps}, {units}"])
