"""The Ising model on a square lattice: no mean-field description, yet exact in all it is asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mfvae._validation import (
    check_choice,
    check_count,
    check_number,
    check_seed,
    check_spins,
    check_temperature,
    check_temperatures,
)
from mfvae.systems._cylinder import cylinder_information
from mfvae.systems._ising_enumeration import ENUMERABLE, Enumeration, mean_conditional_entropy
from mfvae.systems._kaufman import log_partition_derivatives
from mfvae.systems.base import Estimate

__all__ = ["Ising2D"]

#: Default distance between records and length of the burn-in, in flips per site (Wolff).
_THINNING_SWEEPS, _BURN_IN_SWEEPS = 2.0, 40.0
#: The same in sweeps for Metropolis, which near T_c is not enough: see `Ising2D.schedule`.
_METROPOLIS_THINNING, _METROPOLIS_BURN_IN = 10, 2000


class Ising2D:
    """Spins on an L × L torus that feel their four neighbours: E(s) = -J Σ_⟨ij⟩ s_i s_j.

    ``coupling`` is J: positive for the ferromagnet, negative for the antiferromagnet, which on a
    torus of even length is the ferromagnet at |J| with one sublattice flipped. On odd length the
    antiferromagnet is frustrated: it is sampled by single flips, and exact results exist by
    enumeration for L = 3 only. At J = 1 the critical temperature is 2/ln(1 + √2) = 2.269185.

    Args:
        length (int): L, at least 3; site number i is in row i // L and column i % L.
        coupling (float): J, not zero; energies and temperatures are in the same unit.

    Raises:
        TypeError, ValueError: If ``length`` is not an integer or below 3, or ``coupling`` is zero
            or not finite.

    Energies are in units of J (those of ``coupling``), information in nats, all for the whole
    system. Methods of the temperature alone take one temperature and return an `Estimate`, or take
    a vector and return a float64 vector of exact values or a list of `Estimate`. Onsager, L.
    (1944), Phys. Rev. 65, 117; Kaufman, B. (1949), Phys. Rev. 76, 1232.

    >>> system = Ising2D(16)
    >>> round(float(system.entropy(2.269185)), 3)
    74.714
    >>> x = system.sample(2.269185, 5, seed=0)
    >>> x.shape, x.dtype
    ((5, 256), dtype('int8'))
    """

    #: The critical temperature of the infinite lattice, units of |J|/k_B.
    CRITICAL_TEMPERATURE = 2 / np.log(1 + np.sqrt(2))

    def __init__(self, length: int, coupling: float = 1) -> None:
        self.length = check_count(length, "length", minimum=3)
        self.coupling = check_number(coupling, "coupling")
        if self.coupling == 0:
            raise ValueError("coupling must not be zero: spins without coupling are independent")
        self.n_sites = self.length**2
        #: Whether the ground state satisfies every bond.
        self.unfrustrated = self.coupling > 0 or self.length % 2 == 0

    def __repr__(self) -> str:
        return f"Ising2D(length={self.length}, coupling={self.coupling:g})"

    def configuration(self) -> dict[str, Any]:
        """Return the constructor's arguments with the class name, ready for JSON."""
        return {"class": "Ising2D", "length": self.length, "coupling": self.coupling}

    # ---------------------------------------------------------------- configurations

    def energy(self, x: np.ndarray) -> np.ndarray:
        """Return -J Σ_⟨ij⟩ s_i s_j of spins ``x`` (n_samples, n_sites): (n_samples,) float64.

        Raises ValueError or TypeError if ``x`` does not hold spins of this size.
        """
        lattice = check_spins(x, self.n_sites).reshape(-1, self.length, self.length)
        bonds = lattice * np.roll(lattice, 1, axis=1) + lattice * np.roll(lattice, 1, axis=2)
        return -self.coupling * bonds.sum(axis=(1, 2), dtype=np.int64)

    def order_parameter(self, x: np.ndarray) -> np.ndarray:
        """Return the magnetisation Σ s_i/N of spins ``x`` (n_samples, n_sites): (n_samples,).

        float64 in [-1, 1]. Raises ValueError or TypeError if ``x`` does not hold such spins.
        """
        return check_spins(x, self.n_sites).mean(axis=1, dtype=np.float64)

    def staggered_order_parameter(self, x: np.ndarray) -> np.ndarray:
        """Return Σ ± s_i/N, signs as on a chessboard (+ at site 0): (n_samples,) float64.

        Raises ValueError or TypeError if ``x`` does not hold spins of this size.
        """
        return check_spins(x, self.n_sites) @ self._chessboard.astype(np.float64) / self.n_sites

    def log_prob(self, x: np.ndarray, temperature: float) -> np.ndarray:
        """Return -E/T - ln Z of spins ``x`` (n_samples, n_sites): (n_samples,) nats, exact.

        Raises ValueError or TypeError for a bad temperature or bad spins, NotImplementedError for
        a frustrated torus with L > 3.
        """
        temperature = check_temperature(temperature)
        return -self.energy(x) / temperature - self._thermodynamics(temperature)[0]

    # ---------------------------------------------------------------- sampling

    def sample(
        self,
        temperature: Any,
        n_samples: int,
        *,
        seed: int | np.random.SeedSequence,
        n_chains: int | None = None,
        burn_in: int | None = None,
        thinning: int | None = None,
        algorithm: str = "auto",
    ) -> np.ndarray:
        """Draw configurations by Markov chains, chain after chain (see `sample_chains`).

        Args:
            temperature (float or array_like, shape (n_temperatures,)): Temperature, units of J/k_B.
            n_samples (int): Number of configurations for each temperature.
            seed (int or numpy.random.SeedSequence): Source of randomness; temperature number i uses
                its i-th spawned child.
            n_chains (int, optional): Number of independent chains; by default ``n_samples`` or 32,
                whichever is less. The last chain is cut short if ``n_samples`` is not a multiple of
                it.
            burn_in, thinning, algorithm: As in `sample_chains`.

        Returns:
            ndarray of int8, shape (n_samples, n_sites) or (n_temperatures, n_samples, n_sites):
                Spins -1 and +1; the leading axis is there if ``temperature`` is an array.

        Raises:
            TypeError, ValueError: For a temperature that is not positive and finite, bad counts or
                a bad seed.
        """
        temperatures, single = check_temperatures(temperature)
        n_samples = check_count(n_samples, "n_samples")
        n_chains = min(32, n_samples) if n_chains is None else check_count(n_chains, "n_chains")
        x = self.sample_chains(
            temperatures,
            n_chains,
            -(-n_samples // n_chains),
            burn_in=burn_in,
            thinning=thinning,
            algorithm=algorithm,
            seed=seed,
        ).reshape(len(temperatures), -1, self.n_sites)[:, :n_samples]
        return x[0] if single else x

    def sample_chains(
        self,
        temperatures: Any,
        n_chains: int,
        n_records: int,
        *,
        burn_in: int | None = None,
        thinning: int | None = None,
        algorithm: str = "auto",
        seed: int | np.random.SeedSequence,
    ) -> np.ndarray:
        """Draw records arranged as chains, in the form shared by all systems.

        Chains start ordered (up or down at random), are independent of one another, and run in as
        many threads as Numba is set to use; the bits do not depend on that number.

        Args:
            temperatures (float or array_like, shape (n_temperatures,)): Temperatures, units of
                J/k_B.
            n_chains, n_records (int): Number of chains for each temperature, and of records in each
                chain.
            burn_in, thinning (int, optional): Steps before the first record, and between records:
                clusters (Wolff) or sweeps (Metropolis); by default those of `schedule`. Both are
                fixed before the run.
            algorithm ({"auto", "wolff", "metropolis"}): Clusters (Wolff 1989) or single random
                spins (Metropolis et al. 1953); "auto" takes clusters unless the torus is
                frustrated.
            seed (int or numpy.random.SeedSequence): Source of randomness: chain number k at
                temperature number i uses child k of child i.

        Returns:
            ndarray of int8, shape (n_temperatures, n_chains, n_records, n_sites): Spins -1 and +1.

        Raises:
            TypeError, ValueError: For temperatures that are not positive and finite, bad counts, a
                bad seed, or clusters on a frustrated torus.
        """
        from mfvae.systems.kernels import wolff

        temperatures, _ = check_temperatures(temperatures, "temperatures")
        n_chains = check_count(n_chains, "n_chains")
        n_records = check_count(n_records, "n_records")
        clusters = self._algorithm(algorithm) == "wolff"
        if burn_in is not None:
            burn_in = check_count(burn_in, "burn_in", minimum=0)
        if thinning is not None:
            thinning = check_count(thinning, "thinning")
        records = np.empty((len(temperatures), n_chains, n_records, self.n_sites), dtype=np.int8)
        chains = []
        for i, child in enumerate(check_seed(seed).spawn(len(temperatures))):
            kappa = self.coupling / float(temperatures[i])
            steps = (burn_in, thinning)
            if None in steps:
                defaults = self.schedule(temperatures[i], algorithm)
                steps = tuple(d if s is None else s for s, d in zip(steps, defaults, strict=True))
            for k, grandchild in enumerate(child.spawn(n_chains)):
                chains.append((grandchild, kappa, *steps, records[i, k]))
        wolff.run_chains(self.length, chains, clusters)
        if clusters and self.coupling < 0:
            records *= self._chessboard
        return records

    def schedule(self, temperature: float, algorithm: str = "auto") -> tuple[int, int]:
        """Return the default burn-in and thinning at one temperature, in steps.

        For Wolff, the numbers of clusters that flip 40 and 2 spins a site on average, from a pilot
        run that depends on the system and the temperature alone. For Metropolis 2000 and 10
        sweeps: a plain baseline, whose relaxation time grows like L^2.17 at T_c.

        Raises ValueError or TypeError for a bad temperature or algorithm.
        """
        from mfvae.systems.kernels.wolff import wolff_schedule

        temperature = check_temperature(temperature)
        if self._algorithm(algorithm) == "metropolis":
            return _METROPOLIS_BURN_IN, _METROPOLIS_THINNING
        kappa = abs(self.coupling) / temperature
        return (
            wolff_schedule(self.length, kappa, _BURN_IN_SWEEPS),
            wolff_schedule(self.length, kappa, _THINNING_SWEEPS),
        )

    # ---------------------------------------------------------------- thermodynamics

    def log_partition(self, temperature: Any) -> Any:
        """Return the exact ln Z, nats (Kaufman 1949, eq. 79; see Notes of the class)."""
        return self._each(temperature, lambda t: self._thermodynamics(t)[0])

    def free_energy(self, temperature: Any) -> Any:
        """Return the exact F = -T ln Z, units of J (see Notes of the class)."""
        return self._each(temperature, lambda t: -t * self._thermodynamics(t)[0])

    def internal_energy(self, temperature: Any) -> Any:
        """Return the exact ⟨E⟩ = -∂ln Z/∂β, units of J (see Notes of the class)."""
        return self._each(temperature, lambda t: -self.coupling * self._thermodynamics(t)[1])

    mean_energy = internal_energy

    def specific_heat(self, temperature: Any) -> Any:
        """Return the exact C = (⟨E²⟩ - ⟨E⟩²)/T² of the whole system, units of k_B (see Notes)."""
        return self._each(
            temperature, lambda t: (self.coupling / t) ** 2 * self._thermodynamics(t)[2]
        )

    def entropy(self, temperature: Any) -> Any:
        """Return the exact H(s) = ln Z + ⟨E⟩/T, nats (see Notes of the class)."""
        return self._each(temperature, self._entropy)

    def exact_moments(self, temperature: float) -> dict[str, float]:
        """Return exact averages of the energy and the magnetisation m, by enumeration, L <= 4.

        Returns:
            dict of str to float: "energy" ⟨E⟩, "energy_squared" ⟨E²⟩, "abs_magnetization" ⟨|m|⟩,
                "magnetization_squared" ⟨m²⟩, "magnetization_fourth" ⟨m⁴⟩, "binder_cumulant" 1 -
                ⟨m⁴⟩/(3⟨m²⟩²).

        Raises:
            TypeError, ValueError: For a temperature that is not positive and finite.
            NotImplementedError: For L > 4.
        """
        small = self._enumeration(check_temperature(temperature), "exact_moments")
        energy, m = -self.coupling * small.bonds, np.abs(small.total) / self.n_sites
        second, fourth = small.average(m**2), small.average(m**4)
        return {
            "energy": small.average(energy),
            "energy_squared": small.average(energy**2),
            "abs_magnetization": small.average(m),
            "magnetization_squared": second,
            "magnetization_fourth": fourth,
            "binder_cumulant": 1 - fourth / (3 * second**2),
        }

    # ---------------------------------------------------------------- information

    def total_correlation(self, temperature: Any) -> Any:
        """Return the exact Σ_i H(s_i) - H(s) = N ln 2 - H(s), nats (see Notes of the class)."""
        return self._each(temperature, lambda t: self.n_sites * np.log(2) - self._entropy(t))

    def dual_total_correlation(
        self,
        temperature: Any,
        *,
        n_chains: int = 64,
        n_records: int | None = None,
        seed: int | np.random.SeedSequence = 0,
    ) -> Any:
        """Return D = H(s) - Σ_i H(s_i | its neighbours), nats: exact for L <= 4, else estimated.

        H(s) is exact; the conditional entropies, ``ln 2cosh(κh) - κh tanh(κh)`` of the sum h of
        four neighbours, are averaged over samples, with the exactly known energy as control
        variate. The standard error is that of the regression over the means of independent
        chains, and so holds whatever the autocorrelation within them. D is at least the mutual
        information across any cut (Han 1978).

        Args:
            temperature (float or array_like, shape (n_temperatures,)): Temperature, units of J/k_B.
            n_chains, n_records (int): Number of chains (at least 8) and of records in each; by
                default 1000 records, fewer above L = 32, so that their spins take 64 MB.
            seed (int or numpy.random.SeedSequence): Source of randomness; temperature number i uses
                its i-th spawned child.

        Returns:
            Estimate, or list of Estimate: Dual total correlation of the whole system, nats.

        Raises:
            TypeError, ValueError: For bad temperatures, counts or seeds.
            NotImplementedError: For a frustrated torus with L > 3.
        """
        temperatures, single = check_temperatures(temperature)
        n_chains = check_count(n_chains, "n_chains", minimum=8)
        if n_records is None:
            n_records = min(max(1_000_000 // self.n_sites, 20), 1000)
        n_records = check_count(n_records, "n_records")
        children = check_seed(seed).spawn(len(temperatures))
        results = [
            self._dual_total_correlation(float(t), n_chains, n_records, child)
            for t, child in zip(temperatures, children, strict=True)
        ]
        return results[0] if single else results

    def mutual_information(self, temperature: Any, cut: str = "half", **options: Any) -> Any:
        """Return the mutual information between two sets of sites, nats.

        Args:
            temperature (float or array_like, shape (n_temperatures,)): Temperature, units of J/k_B.
            cut ({"half", "checkerboard"}): "half": the first L // 2 rows against the rest (two
                boundaries, on a torus), by enumeration, L <= 4. "checkerboard": one colour against
                the other; for even L spins of one colour are independent given the other, so that
                it equals, and is obtained as, `dual_total_correlation`.
            **options: Passed on to `dual_total_correlation`.

        Returns:
            Estimate, or list of Estimate: Mutual information, nats.

        Raises:
            TypeError, ValueError: For a bad temperature or another cut.
            NotImplementedError: For half of a torus with L > 4, or the checkerboard of an odd torus
                with L > 3.
        """
        temperatures, single = check_temperatures(temperature)
        cut = check_choice(cut, "cut", ("half", "checkerboard"))
        if self.length > ENUMERABLE and cut == "checkerboard" and self.length % 2 == 0:
            return self.dual_total_correlation(temperature, **options)
        if self.length > ENUMERABLE and cut == "half":
            raise NotImplementedError(
                f"half of a torus is exact to L = {ENUMERABLE} only, L is {self.length}; across "
                "one cut of an infinite cylinder use Ising2D.cylinder_mutual_information"
            )
        results = [
            Estimate(self._enumeration(float(t), "this cut").mutual_information(cut))
            for t in temperatures
        ]
        return results[0] if single else results

    @staticmethod
    def cylinder_mutual_information(circumference: int, temperature: Any) -> Any:
        """Return the exact mutual information across one cut of an infinite cylinder, nats.

        By the row-to-row transfer matrix (Kramers & Wannier 1941, Phys. Rev. 60, 252), at J = 1;
        a torus cut into halves has two such cuts.

        Args:
            circumference (int): Number of spins around the cylinder, from 3 to 20 (a second or two
                at 20).
            temperature (float or array_like, shape (n_temperatures,)): Temperature, units of J/k_B.

        Returns:
            Estimate, or ndarray of float64, shape (n_temperatures,): Mutual information, nats.

        Raises:
            TypeError, ValueError: For a bad temperature or circumference.

        >>> round(float(Ising2D.cylinder_mutual_information(8, 2.269185314213022)), 6)
        0.780493
        """
        temperatures, single = check_temperatures(temperature)
        circumference = check_count(circumference, "circumference", minimum=3, maximum=20)
        results = [cylinder_information(circumference, 1 / float(t)) for t in temperatures]
        return Estimate(results[0]) if single else np.array(results)

    # ---------------------------------------------------------------- the workings

    @property
    def _chessboard(self) -> np.ndarray:
        row, column = np.divmod(np.arange(self.n_sites), self.length)
        return (1 - 2 * ((row + column) % 2)).astype(np.int8)

    def _algorithm(self, algorithm: str) -> str:
        check_choice(algorithm, "algorithm", ("auto", "wolff", "metropolis"))
        if algorithm == "auto":
            return "wolff" if self.unfrustrated else "metropolis"
        if algorithm == "wolff" and not self.unfrustrated:
            raise ValueError(f"algorithm must be 'metropolis' on a frustrated torus: {self!r}")
        return algorithm

    def _each(self, temperature: Any, exact: Callable[[float], float]) -> Any:
        temperatures, single = check_temperatures(temperature)
        results = np.array([exact(float(t)) for t in temperatures])
        return Estimate(results[0]) if single else results

    def _enumeration(self, temperature: float, what: str) -> Enumeration:
        if self.length > ENUMERABLE:
            raise NotImplementedError(
                f"{what} is exact by enumeration to L = {ENUMERABLE} only, L is {self.length}"
            )
        return Enumeration(self.length, self.coupling / temperature)

    def _thermodynamics(self, temperature: float) -> tuple[float, float, float]:
        """ln Z and its first two derivatives by κ = J/T."""
        kappa = self.coupling / temperature
        if self.unfrustrated:
            log_z, first, second = log_partition_derivatives(self.length, abs(kappa))
            return log_z, np.sign(kappa) * first, second
        small = self._enumeration(temperature, "the frustrated antiferromagnet of odd length")
        mean = small.average(small.bonds)
        return small.log_partition, mean, small.average((small.bonds - mean) ** 2)

    def _entropy(self, temperature: float) -> float:
        log_z, first, _ = self._thermodynamics(temperature)
        return log_z - self.coupling / temperature * first

    def _dual_total_correlation(
        self, temperature: float, n_chains: int, n_records: int, seed: np.random.SeedSequence
    ) -> Estimate:
        if self.length <= ENUMERABLE:
            return Estimate(self._enumeration(temperature, "").dual_total_correlation())
        chains = self.sample_chains(temperature, n_chains, n_records, seed=seed)[0]
        known = -self.coupling * self._thermodynamics(temperature)[1]
        conditional = mean_conditional_entropy(
            chains, self.coupling / temperature, np.array([self.energy(c) for c in chains]), known
        )
        return Estimate(
            self._entropy(temperature) - conditional, stderr=conditional.stderr, exact=False
        )
