"""The Curie–Weiss model: every spin coupled equally to every other, exact at any size."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
from scipy.special import logsumexp

from mfvae._validation import (
    check_choice,
    check_count,
    check_finite_array,
    check_seed,
    check_spins,
    check_temperature,
    check_temperatures,
)
from mfvae.systems._special import binary_negentropy, log_binomial, log_cosh
from mfvae.systems.base import Estimate

__all__ = ["CurieWeiss"]

#: Log weight, relative to the largest, below which a quadrature node is left out.
_NEGLIGIBLE = -80.0
#: Quadrature step in standard deviations of the Gaussian e^{-N β m²/2}: the trapezoidal rule is
#: then exact up to 2 exp(-2π²/step²) = 1e-34 (the integrand is entire and Gaussian-smoothed).
_STEP = 0.5
#: Above this β every spin is aligned up to exp(-2β) = 1e-87 and informations are at their limit.
_FROZEN = 100.0


class CurieWeiss:
    """Spins that feel each other only through their sum: E(s) = -M²/2N, M = Σ s_i.

    The Hubbard–Stratonovich identity turns the law of the spins into a latent-variable model,
    ``p(s) = ∫ dm p(m) Π_i exp(β m s_i)/(2 cosh β m)``, with a scalar field m and conditionally
    independent sites. All results are exact at finite N; the critical temperature is 1.

    Args:
        n_sites (int): Number N of spins, at least 2 (tried up to 100,000).

    Raises:
        TypeError, ValueError: If ``n_sites`` is not an integer, or is smaller than 2.

    Temperatures are in units of J/k_B, energies in units of J, information in nats, all for the
    whole system. Methods of the temperature alone take one temperature and return an exact
    `Estimate`, or take a vector and return a float64 vector. Kac, M. (1968), in *Statistical
    Physics: Phase Transitions and Superfluidity*, vol. 1; Hubbard, J. (1959), Phys. Rev. Lett. 3,
    77.

    >>> system = CurieWeiss(256)
    >>> round(float(system.entropy(1.0)) / 256, 6)
    0.66371
    >>> x = system.sample(0.6, 5, seed=0)
    >>> x.shape, x.dtype
    ((5, 256), dtype('int8'))
    """

    def __init__(self, n_sites: int) -> None:
        self.n_sites = check_count(n_sites, "n_sites", minimum=2)

    def __repr__(self) -> str:
        return f"CurieWeiss(n_sites={self.n_sites})"

    def configuration(self) -> dict[str, Any]:
        """Return the constructor's arguments with the class name, ready for JSON."""
        return {"class": "CurieWeiss", "n_sites": self.n_sites}

    # ---------------------------------------------------------------- configurations

    def sample(
        self, temperature: Any, n_samples: int, *, seed: int | np.random.SeedSequence
    ) -> np.ndarray:
        """Draw independent configurations: M from its exact law, then a uniform set of up-spins.

        Args:
            temperature (float or array_like, shape (n_temperatures,)): Temperature, units of J/k_B.
            n_samples (int): Number of configurations for each temperature.
            seed (int or numpy.random.SeedSequence): Source of randomness; temperature number i uses
                its i-th spawned child.

        Returns:
            ndarray of int8, shape (n_samples, n_sites) or (n_temperatures, n_samples, n_sites):
                Spins -1 and +1; the leading axis is there if ``temperature`` is an array.

        Raises:
            TypeError, ValueError: For a temperature that is not positive and finite, a bad count or
                a bad seed.
        """
        temperatures, single = check_temperatures(temperature)
        n_samples = check_count(n_samples, "n_samples")
        children = check_seed(seed).spawn(len(temperatures))
        x = np.empty((len(temperatures), n_samples, self.n_sites), dtype=np.int8)
        for i, child in enumerate(children):
            rng = np.random.default_rng(child)
            _, log_law = self.magnetization_law(temperatures[i])
            cumulative = np.cumsum(np.exp(log_law))
            # Scaled by the last entry, so that rounding cannot put a draw beyond the law.
            n_up = np.searchsorted(cumulative, rng.random(n_samples) * cumulative[-1], "right")
            n_up = np.minimum(n_up, self.n_sites)
            x[i] = np.where(np.arange(self.n_sites) < n_up[:, None], 1, -1)
            rng.permuted(x[i], axis=1, out=x[i])
        return x[0] if single else x

    def sample_chains(
        self,
        temperatures: Any,
        n_chains: int,
        n_records: int,
        *,
        burn_in: int | None = None,
        thinning: int | None = None,
        seed: int | np.random.SeedSequence,
    ) -> np.ndarray:
        """Draw records arranged as chains, in the form shared by all systems.

        Args:
            temperatures (float or array_like, shape (n_temperatures,)): Temperatures, units of
                J/k_B.
            n_chains, n_records (int): Number of chains for each temperature, and of records in each
                chain.
            burn_in, thinning (int, optional): Of no effect here, where every record is an
                independent draw.
            seed (int or numpy.random.SeedSequence): Source of randomness; temperature number i uses
                its i-th spawned child.

        Returns:
            ndarray of int8, shape (n_temperatures, n_chains, n_records, n_sites): Spins -1 and +1.

        Raises:
            TypeError, ValueError: For temperatures that are not positive and finite, bad counts or
                a bad seed.
        """
        temperatures, _ = check_temperatures(temperatures, "temperatures")
        n_chains = check_count(n_chains, "n_chains")
        n_records = check_count(n_records, "n_records")
        if burn_in is not None:
            check_count(burn_in, "burn_in", minimum=0)
        if thinning is not None:
            check_count(thinning, "thinning")
        x = self.sample(temperatures, n_chains * n_records, seed=seed)
        return x.reshape(len(temperatures), n_chains, n_records, self.n_sites)

    def energy(self, x: np.ndarray) -> np.ndarray:
        """Return -M²/2N of spins ``x`` (n_samples, n_sites): (n_samples,) float64, units of J.

        Raises ValueError or TypeError if ``x`` does not hold spins of this size.
        """
        return -(self._magnetization_of(x) ** 2) / (2 * self.n_sites)

    def order_parameter(self, x: np.ndarray) -> np.ndarray:
        """Return M/N of spins ``x`` (n_samples, n_sites): (n_samples,) float64 in [-1, 1].

        Raises ValueError or TypeError if ``x`` does not hold spins of this size.
        """
        return self._magnetization_of(x) / self.n_sites

    def log_prob(self, x: np.ndarray, temperature: float) -> np.ndarray:
        """Return βM²/2N - ln Z of spins ``x`` (n_samples, n_sites): (n_samples,) nats.

        ``temperature`` is one number, units of J/k_B. Raises ValueError or TypeError for a bad
        temperature, or if ``x`` does not hold spins of this size.
        """
        beta = 1 / check_temperature(temperature)
        return -beta * self.energy(x) - self._log_partition(beta)

    # ---------------------------------------------------------------- the law of M

    def magnetization_law(self, temperature: float) -> tuple[np.ndarray, np.ndarray]:
        """Return the values of M = Σ s_i and their log probabilities.

        ``P(M) = C(N, (N+M)/2) exp(βM²/2N) / Z``.

        Args:
            temperature (float): Temperature, units of J/k_B.

        Returns:
            - values : ndarray of int64, shape (n_sites + 1,): -N, -N+2, …, N.
            - log_probabilities : ndarray of float64, shape (n_sites + 1,): Their log probabilities,
              nats.

        Raises:
            TypeError, ValueError: For a temperature that is not positive and finite.
        """
        beta = 1 / check_temperature(temperature)
        values, log_law, _ = self._law(beta)
        return values, log_law

    def magnetization(self, temperature: Any) -> Any:
        """Return the exact ⟨|m|⟩, m = M/N, between 0 and 1 (see Notes of the class)."""
        return self._each(temperature, lambda beta: self._moment(beta, 1))

    def magnetization_moments(self, temperature: float, order: int = 4) -> np.ndarray:
        """Return the exact ⟨|m|^k⟩, m = M/N, for k = 0, …, ``order``: float64 (order + 1,)."""
        beta = 1 / check_temperature(temperature)
        order = check_count(order, "order", minimum=0)
        return np.array([self._moment(beta, k) for k in range(order + 1)])

    def susceptibility(self, temperature: Any) -> Any:
        """Return the exact χ = N (⟨m²⟩ - ⟨|m|⟩²)/T, units of 1/J (see Notes of the class)."""

        def exact(beta: float) -> float:
            return self.n_sites * beta * (self._moment(beta, 2) - self._moment(beta, 1) ** 2)

        return self._each(temperature, exact)

    def binder_cumulant(self, temperature: Any) -> Any:
        """Return the exact U = 1 - ⟨m⁴⟩/(3⟨m²⟩²) (Binder 1981; see Notes of the class)."""
        return self._each(
            temperature, lambda beta: 1 - self._moment(beta, 4) / (3 * self._moment(beta, 2) ** 2)
        )

    # ---------------------------------------------------------------- thermodynamics, information

    def free_energy(self, temperature: Any) -> Any:
        """Return the exact F = -T ln Z, units of J (see Notes of the class)."""
        return self._each(temperature, lambda beta: -self._log_partition(beta) / beta)

    def mean_energy(self, temperature: Any) -> Any:
        """Return the exact ⟨E⟩ = -N⟨m²⟩/2, units of J (see Notes of the class)."""
        return self._each(temperature, lambda beta: -self.n_sites * self._moment(beta, 2) / 2)

    def entropy(self, temperature: Any) -> Any:
        """Return the exact H(s) = ln Z - β N⟨m²⟩/2, nats (see Notes of the class)."""
        return self._each(
            temperature, lambda beta: self.n_sites * np.log(2) - self._negentropy(beta)
        )

    def total_correlation(self, temperature: Any) -> Any:
        """Return the exact Σ_i H(s_i) - H(s) = N ln 2 - H(s), nats (see Notes of the class)."""
        return self._each(temperature, self._negentropy)

    def dual_total_correlation(self, temperature: Any) -> Any:
        """Return the exact D = H(s) - Σ_i H(s_i | the others), nats (see Notes of the class).

        A spin whose fellows sum to M' is up with probability 1/(1 + exp(-2βM'/N)). D is at least
        the mutual information across any cut (Han 1978).
        """

        def exact(beta: float) -> float:
            values, log_law = self.magnetization_law(1 / beta)
            conditional = 0.0  # E[ln 2 - H(s_i | others)], over the sign of s_i
            for sign in (1, -1):
                weight = np.exp(log_law) * (1 + sign * values / self.n_sites) / 2
                mean = np.tanh(beta * (values - sign) / self.n_sites)
                conditional += weight @ binary_negentropy(mean)
            return max(self.n_sites * conditional - self._negentropy(beta), 0.0)

        return self._each(temperature, exact)

    def mutual_information(self, temperature: Any, cut: str = "half") -> Any:
        """Return the exact mutual information between two halves of the spins, nats.

        ``I = H(s_A) + H(s_B) - H(s)``. The law of one half, relative to free spins, is the integral
        ``∫ dm p(m) exp(β m M_A)/cosh(βm)^{N/2}`` over the field, taken by a trapezoidal rule that
        is exact to rounding; the joint law of (M_A, M_B) is never formed.

        Args:
            temperature (float or array_like, shape (n_temperatures,)): Temperature, units of J/k_B.
            cut ({"half"}): N // 2 spins on one side; all spins being alike, it does not matter
                which.

        Returns:
            Estimate, or ndarray of float64, shape (n_temperatures,): Mutual information, nats.

        Raises:
            TypeError, ValueError: For a bad temperature, or another cut.
        """
        check_choice(cut, "cut", ("half",))
        return self._each(temperature, self._half_cut)

    # ---------------------------------------------------------------- the field

    def field_density(self, m: Any, temperature: float) -> np.ndarray:
        """Return the exact density of the Hubbard–Stratonovich field at finite N.

        ``p(m) = √(Nβ/2π) exp(-N [βm²/2 - ln 2cosh βm]) / Z``; equivalently, m is M/N plus a
        Gaussian of variance 1/(βN).

        Args:
            m (array_like): Values of the field, in the unit of M/N (the energy of a spin in it is
                Jm); any shape.
            temperature (float): Temperature, units of J/k_B.

        Returns:
            ndarray of float64, same shape as ``m``: Density, normalised to 1 over the real line.

        Raises:
            TypeError, ValueError: For a bad temperature or a field that is not finite.
        """
        beta = 1 / check_temperature(temperature)
        return np.exp(self._log_field_density(check_finite_array(m, "m"), beta))

    def field_information(self, temperature: Any) -> Any:
        """Return the exact I(s; m), what the field tells about the spins, nats.

        ``I = h(m) - h(m | s)`` with ``m | s ~ Normal(M/N, 1/(βN))`` (see Notes of the class). It is
        at least `dual_total_correlation`, and grows like ¼ ln N at T = 1.
        """

        def exact(beta: float) -> float:
            beta = min(beta, _FROZEN)
            m, step = self._field_nodes(beta)
            log_density = self._log_field_density(m, beta)
            entropy = -step * np.sum(np.exp(log_density) * log_density)
            return entropy - 0.5 * np.log(2 * np.pi * np.e / (beta * self.n_sites))

        return self._each(temperature, exact)

    # ---------------------------------------------------------------- the workings

    def _each(self, temperature: Any, exact: Callable[[float], float]) -> Any:
        temperatures, single = check_temperatures(temperature)
        results = np.array([exact(1 / t) for t in temperatures])
        return Estimate(results[0]) if single else results

    def _magnetization_of(self, x: np.ndarray) -> np.ndarray:
        return check_spins(x, self.n_sites).sum(axis=1, dtype=np.int64).astype(float)

    @cached_property
    def _binomial(self) -> tuple[np.ndarray, np.ndarray]:
        """The values of M, and their log probabilities for free spins."""
        return 2 * np.arange(self.n_sites + 1) - self.n_sites, log_binomial(self.n_sites)

    def _law(self, beta: float) -> tuple[np.ndarray, np.ndarray, float]:
        """The values of M, their log probabilities, and ln(Z/2^N)."""
        values, log_free = self._binomial
        gain = beta / (2 * self.n_sites)
        # Energies are taken relative to that of the likeliest M, in integers: where the law lives,
        # the logarithms then stay small enough to be exact in every decimal that matters.
        mode = int(values[np.argmax(log_free + gain * values**2)])
        log_weights = log_free + gain * (values**2 - mode**2)
        log_sum = float(logsumexp(log_weights))
        log_law = log_weights - log_sum
        return values, log_law - logsumexp(log_law), log_sum + gain * mode**2

    def _moment(self, beta: float, order: int) -> float:
        values, log_law, _ = self._law(beta)
        return float(np.exp(log_law) @ np.abs(values / self.n_sites) ** order)

    def _log_partition(self, beta: float) -> float:
        return self.n_sites * np.log(2) + self._law(beta)[2]

    def _negentropy(self, beta: float) -> float:
        """N ln 2 - H(s), as the divergence from free spins: no large terms to cancel."""
        _, log_law, _ = self._law(beta)
        return max(float(np.exp(log_law) @ (log_law - self._binomial[1])), 0.0)

    def _log_field_density(self, m: np.ndarray, beta: float) -> np.ndarray:
        log_gauss = 0.5 * np.log(self.n_sites * beta / (2 * np.pi)) - self.n_sites * beta * m**2 / 2
        return log_gauss + self.n_sites * log_cosh(beta * m) - self._law(beta)[2]

    def _field_nodes(self, beta: float) -> tuple[np.ndarray, float]:
        """Equidistant nodes that carry the whole density of the field, and their distance."""
        deviation = 1 / np.sqrt(self.n_sites * beta)
        step = min(_STEP * deviation, _STEP / (2 * beta))
        half = int(np.ceil((1 + 14 * deviation) / step))
        m = step * np.arange(-half, half + 1)
        log_density = self._log_field_density(m, beta)
        return m[log_density > log_density.max() + _NEGLIGIBLE], step

    def _half_cut(self, beta: float) -> float:
        beta = min(beta, _FROZEN)
        m, _ = self._field_nodes(beta)
        log_field = self._log_field_density(m, beta)
        log_field -= logsumexp(log_field)
        information = self._negentropy(beta)
        for size in (self.n_sites // 2, self.n_sites - self.n_sites // 2):
            values = 2 * np.arange(size + 1) - size
            free = log_field - size * log_cosh(beta * m)
            n_blocks = 1 + values.size * m.size // 2_000_000  # bounds the memory
            log_ratio = np.concatenate(
                [
                    logsumexp(beta * block[:, None] * m + free, axis=1)
                    for block in np.array_split(values, n_blocks)
                ]
            )
            law = np.exp(log_binomial(size) + log_ratio)
            information -= law @ log_ratio / law.sum()
        return max(float(information), 0.0)
