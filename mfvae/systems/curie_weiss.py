"""The Curie–Weiss model: every spin coupled equally to every other, exact at any size."""

from typing import Any

import numpy as np
from scipy.special import logsumexp

from mfvae._validation import (
    check_choice,
    check_count,
    check_finite_array,
    check_spins,
    check_temperature,
)
from mfvae.systems._special import binary_negentropy, log_binomial, log_cosh
from mfvae.systems.base import Seed, System, each_temperature

__all__ = ["CurieWeiss"]

_NEGLIGIBLE = -80.0  # log weight, relative to the largest, of nodes that are left out
#: Quadrature step in standard deviations of e^{-N β m²/2}: the trapezoidal rule is then exact up
#: to 2 exp(-2π²/step²) = 1e-34 (the integrand is entire and Gaussian-smoothed).
_STEP = 0.5
_FROZEN = 100.0  # β above which every spin is aligned up to exp(-2β) = 1e-87


class CurieWeiss(System):
    """Spins that feel each other only through their sum: E(s) = -M²/2N, M = Σ s_i.

    The Hubbard–Stratonovich identity turns the law of the spins into a latent-variable model,
    ``p(s) = ∫ dm p(m) Π_i exp(β m s_i)/(2 cosh β m)``, with a scalar field m and conditionally
    independent sites. All results are exact at finite N, and all samples independent: burn-in and
    thinning are of no effect, temperature number i uses child i of the seed. The critical
    temperature is 1, the order parameter M/N. Kac, M. (1968), in *Statistical Physics: Phase
    Transitions and Superfluidity*, vol. 1; Hubbard, J. (1959), Phys. Rev. Lett. 3, 77.
    ``n_sites`` is the number N of spins, at least 2 (tried up to 100,000).

    >>> system = CurieWeiss(256)
    >>> round(float(system.entropy(1.0)) / 256, 6)
    0.66371
    >>> system.sample(0.6, 5, seed=0).shape
    (5, 256)
    """

    def __init__(self, n_sites: int) -> None:
        self.n_sites = check_count(n_sites, "n_sites", minimum=2)
        # The values of M, and their log probabilities for free spins.
        self._values = 2 * np.arange(self.n_sites + 1) - self.n_sites
        self._log_free = log_binomial(self.n_sites)

    def _draw(self, temperatures, shape, steps, seed):
        # M from its exact law, then a uniform set of up-spins.
        n_samples = shape[0] * shape[1]
        x = np.empty((len(temperatures), n_samples, self.n_sites), dtype=np.int8)
        for i, child in enumerate(seed.spawn(len(temperatures))):
            rng = np.random.default_rng(child)
            cumulative = np.cumsum(np.exp(self._law(1 / temperatures[i])[0]))
            # Scaled by the last entry, so that rounding cannot put a draw beyond the law.
            n_up = np.searchsorted(cumulative, rng.random(n_samples) * cumulative[-1], "right")
            n_up = np.minimum(n_up, self.n_sites)
            x[i] = np.where(np.arange(self.n_sites) < n_up[:, None], 1, -1)
            rng.permuted(x[i], axis=1, out=x[i])
        return x.reshape(len(temperatures), *shape, self.n_sites)

    def energy(self, x: np.ndarray) -> np.ndarray:
        total = check_spins(x, self.n_sites).sum(axis=1, dtype=np.float64)
        return -(total**2) / (2 * self.n_sites)

    def order_parameter(self, x: np.ndarray) -> np.ndarray:
        return check_spins(x, self.n_sites).mean(axis=1, dtype=np.float64)

    def _law(self, beta: float) -> tuple[np.ndarray, float]:
        """The log probabilities of M, and ln(Z/2^N)."""
        values, log_free = self._values, self._log_free
        gain = beta / (2 * self.n_sites)
        # Energies are taken relative to that of the likeliest M, in integers: where the law lives,
        # the logarithms then stay small enough to be exact in every decimal that matters.
        mode = int(values[np.argmax(log_free + gain * values**2)])
        log_weights = log_free + gain * (values**2 - mode**2)
        log_sum = float(logsumexp(log_weights))
        log_law = log_weights - log_sum
        return log_law - logsumexp(log_law), log_sum + gain * mode**2

    def magnetization_law(self, temperature: float) -> tuple[np.ndarray, np.ndarray]:
        """Return the values -N, -N+2, …, N of M = Σ s_i, and their log probabilities at T.

        ``P(M) = C(N, (N+M)/2) exp(βM²/2N) / Z``; int64 and float64, both ``(n_sites + 1,)``.
        """
        return self._values, self._law(1 / check_temperature(temperature))[0]

    def magnetization_moments(self, temperature: float, order: int = 4) -> np.ndarray:
        """Return the exact ⟨|m|^k⟩, m = M/N, for k = 0, …, ``order``: float64 (order + 1,)."""
        values, log_law = self.magnetization_law(temperature)
        p, m = np.exp(log_law), np.abs(values / self.n_sites)
        return np.array([p @ m**k for k in range(check_count(order, "order", minimum=0) + 1)])

    @each_temperature
    def magnetization(self, temperature: Any) -> Any:
        """Return the exact ⟨|m|⟩, m = M/N, between 0 and 1."""
        return self.magnetization_moments(temperature, 1)[1]

    @each_temperature
    def susceptibility(self, temperature: Any) -> Any:
        """Return the exact χ = N (⟨m²⟩ - ⟨|m|⟩²)/T, units of 1/J."""
        _, first, second = self.magnetization_moments(temperature, 2)
        return self.n_sites / temperature * (second - first**2)

    @each_temperature
    def binder_cumulant(self, temperature: Any) -> Any:
        """Return the exact U = 1 - ⟨m⁴⟩/(3⟨m²⟩²) (Binder 1981)."""
        _, _, second, _, fourth = self.magnetization_moments(temperature)
        return 1 - fourth / (3 * second**2)

    @each_temperature
    def log_partition(self, temperature: Any) -> Any:
        return self.n_sites * np.log(2) + self._law(1 / temperature)[1]

    @each_temperature
    def internal_energy(self, temperature: Any) -> Any:
        return -self.n_sites * self.magnetization_moments(temperature, 2)[2] / 2

    @each_temperature
    def entropy(self, temperature: Any) -> Any:
        return self.n_sites * np.log(2) - self.total_correlation(temperature)

    @each_temperature
    def total_correlation(self, temperature: Any) -> Any:
        # As the divergence from free spins: no large terms to cancel.
        log_law = self._law(1 / temperature)[0]
        return max(float(np.exp(log_law) @ (log_law - self._log_free)), 0.0)

    @each_temperature
    def dual_total_correlation(self, temperature: Any, *, seed: Seed = 0) -> Any:
        # A spin whose fellows sum to M' is up with probability 1/(1 + exp(-2βM'/N)).
        values, log_law = self.magnetization_law(temperature)
        conditional = 0.0  # E[ln 2 - H(s_i | others)], over the sign of s_i
        for sign in (1, -1):
            weight = np.exp(log_law) * (1 + sign * values / self.n_sites) / 2
            mean = np.tanh((values - sign) / (temperature * self.n_sites))
            conditional += weight @ binary_negentropy(mean)
        return max(self.n_sites * conditional - self.total_correlation(temperature), 0.0)

    @each_temperature
    def mutual_information(self, temperature: Any, cut: str = "half") -> Any:
        check_choice(cut, "cut", ("half",))
        half, total = self.n_sites // 2, self.total_correlation(temperature)
        parts = (self._part_negentropy(n, temperature) for n in (half, self.n_sites - half))
        return max(float(total - sum(parts)), 0.0)

    @each_temperature
    def subset_entropy(self, temperature: Any, sites: np.ndarray) -> Any:
        size = len(self._check_sites(sites))
        return size * np.log(2) - self._part_negentropy(size, temperature)

    def _part_negentropy(self, size: int, temperature: float) -> float:
        """n ln 2 - H of any ``size`` = n spins, nats.

        Relative to free spins their law is ``∫ dm p(m) exp(β m M_A)/cosh(βm)^n``, by a trapezoidal
        rule that is exact to rounding.
        """
        beta = min(1 / temperature, _FROZEN)
        m, log_field, _ = self._field_nodes(beta)
        log_field -= logsumexp(log_field)
        values = 2 * np.arange(size + 1) - size
        free = log_field - size * log_cosh(beta * m)
        n_blocks = 1 + values.size * m.size // 2_000_000  # bounds the memory
        blocks = np.array_split(beta * values[:, None], n_blocks)
        log_ratio = np.concatenate([logsumexp(block * m + free, axis=1) for block in blocks])
        law = np.exp(log_binomial(size) + log_ratio)
        return float(law @ log_ratio / law.sum())

    def field_density(self, m: Any, temperature: float) -> np.ndarray:
        """Return the exact density of the Hubbard–Stratonovich field at finite N, one temperature.

        ``p(m) = √(Nβ/2π) exp(-N [βm²/2 - ln 2cosh βm]) / Z``; equivalently, m is M/N plus a
        Gaussian of variance 1/(βN). ``m`` holds values of any shape, in the unit of M/N.
        """
        beta = 1 / check_temperature(temperature)
        return np.exp(self._log_field_density(check_finite_array(m, "m"), beta))

    @each_temperature
    def field_information(self, temperature: Any) -> Any:
        beta = min(1 / temperature, _FROZEN)
        _, log_density, step = self._field_nodes(beta)
        entropy = -step * np.sum(np.exp(log_density) * log_density)
        return entropy - 0.5 * np.log(2 * np.pi * np.e / (beta * self.n_sites))

    def _log_field_density(self, m: np.ndarray, beta: float) -> np.ndarray:
        log_gauss = 0.5 * np.log(self.n_sites * beta / (2 * np.pi)) - self.n_sites * beta * m**2 / 2
        return log_gauss + self.n_sites * log_cosh(beta * m) - self._law(beta)[1]

    def _field_nodes(self, beta: float) -> tuple[np.ndarray, np.ndarray, float]:
        """Equidistant nodes that carry all of the field, the log density there, their distance."""
        deviation = 1 / np.sqrt(self.n_sites * beta)
        step = min(_STEP * deviation, _STEP / (2 * beta))
        half = int(np.ceil((1 + 14 * deviation) / step))
        m = step * np.arange(-half, half + 1)
        log_density = self._log_field_density(m, beta)
        kept = log_density > log_density.max() + _NEGLIGIBLE
        return m[kept], log_density[kept], step
