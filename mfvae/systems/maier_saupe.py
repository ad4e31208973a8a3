"""The Maier-Saupe model of nematic order: directors that feel each other through ΣQ only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mfvae._validation import (
    check_choice,
    check_count,
    check_directors,
    check_seed,
    check_temperature,
    check_temperatures,
)
from mfvae.systems._maier_saupe_information import dual_total_correlation
from mfvae.systems._maier_saupe_mean_field import branch, nematic_order_parameter, transition
from mfvae.systems._maier_saupe_tensor import TensorLaw, tensor_law
from mfvae.systems.base import Estimate
from mfvae.systems.kernels.bingham import draw_rows
from mfvae.systems.kernels.maier_saupe import random_frames, run_ladder
from mfvae.systems.kernels.random import lane_states, scalar_states

__all__ = ["MaierSaupe"]

_LOG_SPHERE = float(np.log(4.0 * np.pi))
_LARGEST = 1e8  # of N/T: beyond, the quadrature would need too many nodes
_HOT = 0.24  # the ladder of replicas reaches up to here, above every metastable state


class MaierSaupe:
    """N directors on the sphere, every pair coupled: ``E = -(1/2N) Σ_ij P₂(n_i·n_j)``.

    With ``q = Σ_i (n_i n_iᵀ - 1/3)/N`` the energy is ``-(3/4) N ‖q‖²``, the terms i = j included.
    The Hubbard-Stratonovich field is a symmetric traceless tensor A, given which the sites are
    independent Bingham draws with matrix ``3A/(2T)``. Everything but the law of S is exact at
    finite N. As N → ∞ there is a first-order transition at T = 0.2201935.

    Args:
        n_sites (int): Number N of directors, at least 1.

    Raises:
        TypeError, ValueError: If ``n_sites`` is not an integer, or is smaller than 1.

    Temperatures are in units of J/k_B, energies in units of J, information in nats, all for the
    whole system. Densities and differential entropies refer to the surface measure of every
    sphere (total 4π), so that the uniform law has entropy N ln 4π. Methods of the temperature
    alone take one temperature and return an exact `Estimate`, or take a vector and return a
    float64 vector. N/T must stay below 1e8. Maier & Saupe, Z. Naturforsch. A 14, 882 (1959).

    >>> system = MaierSaupe(64)
    >>> n = system.sample(0.18, 200, seed=0)
    >>> n.shape, n.dtype
    ((200, 64, 3), dtype('float32'))
    >>> bool(abs(system.energy(n).mean() / system.mean_energy(0.18) - 1) < 0.05)
    True
    """

    def __init__(self, n_sites: int) -> None:
        self.n_sites = check_count(n_sites, "n_sites")

    def __repr__(self) -> str:
        return f"MaierSaupe(n_sites={self.n_sites})"

    def configuration(self) -> dict[str, Any]:
        """Return the constructor's arguments with the class name, ready for JSON."""
        return {"class": "MaierSaupe", "n_sites": self.n_sites}

    # ---------------------------------------------------------------- sampling

    def sample(
        self,
        temperature: Any,
        n_samples: int,
        *,
        algorithm: str = "direct",
        n_chains: int = 8,
        burn_in: int | None = None,
        thinning: int | None = None,
        seed: int | np.random.SeedSequence,
    ) -> np.ndarray:
        """Draw configurations, by default independent ones.

        ``"direct"`` draws the eigenvalues of A from their exact two-dimensional law, a uniform
        rotation, then Bingham sites. ``"gibbs"`` alternates A and the sites, with replica
        exchange over the temperatures, and is there to be compared: its samples are
        correlated.

        Args:
            temperature (float or array_like, shape (n_temperatures,)): Temperature, units of J/k_B.
            n_samples (int): Number of configurations for each temperature.
            algorithm ({"direct", "gibbs"}): See above.
            n_chains, burn_in, thinning (int, optional): For ``"gibbs"``, see `sample_chains`;
                ``n_samples`` is filled chain after chain.
            seed (int or numpy.random.SeedSequence): Source of randomness; temperature number i uses
                its i-th spawned child (``"gibbs"``: chain number i does).

        Returns:
            ndarray of float32, shape (n_samples, n_sites, 3) or (n_temperatures, n_samples,
                n_sites, 3): Directors; the leading axis is there if ``temperature`` is an array.

        Raises:
            TypeError, ValueError: For a temperature that is not positive and finite, a bad count or
                a bad seed.
        """
        temperatures, single = self._check_temperatures(temperature)
        n_samples = check_count(n_samples, "n_samples")
        check_choice(algorithm, "algorithm", ("direct", "gibbs"))
        if algorithm == "gibbs":
            n_chains = min(check_count(n_chains, "n_chains"), n_samples)
            chains = self.sample_chains(
                temperatures,
                n_chains,
                -(-n_samples // n_chains),
                burn_in=burn_in,
                thinning=thinning,
                algorithm="gibbs",
                seed=seed,
            )
            x = chains.reshape(len(temperatures), -1, self.n_sites, 3)[:, :n_samples]
            return x[0] if single else x
        x = np.empty((len(temperatures), n_samples, self.n_sites, 3), dtype=np.float32)
        for i, child in enumerate(check_seed(seed).spawn(len(temperatures))):
            law = tensor_law(self.n_sites, float(temperatures[i]))
            tensor_seed, rotation_seed, site_seed = child.spawn(3)
            eigenvalues = law.sample_eigenvalues(n_samples, np.random.default_rng(tensor_seed))
            frames = random_frames(scalar_states(rotation_seed, 1)[0], n_samples)
            draw_rows(law.a * eigenvalues, frames, site_seed, x[i])
        return x[0] if single else x

    def sample_chains(
        self,
        temperatures: Any,
        n_chains: int,
        n_records: int,
        *,
        burn_in: int | None = None,
        thinning: int | None = None,
        algorithm: str = "direct",
        seed: int | np.random.SeedSequence,
    ) -> np.ndarray:
        """Draw records arranged as chains, in the form shared by all systems.

        Args:
            temperatures (float or array_like, shape (n_temperatures,)): Temperatures, units of
                J/k_B.
            n_chains, n_records (int): Number of chains for each temperature, and of records in each
                chain.
            burn_in, thinning (int, optional): Sweeps before the first record (default 400) and from
                record to record (default 5); of no effect for ``"direct"``, where every record is
                an independent draw.
            algorithm ({"direct", "gibbs"}): See `sample`. For ``"gibbs"`` a chain is a ladder of
                replicas at the temperatures asked for and at as many more as exchanges need; chains
                start in turn from isotropic and from parallel directors.
            seed (int or numpy.random.SeedSequence): Source of randomness, used as in `sample`.

        Returns:
            ndarray of float32, shape (n_temperatures, n_chains, n_records, n_sites, 3): Directors.

        Raises:
            TypeError, ValueError: For temperatures that are not positive and finite, bad counts or
                a bad seed.
        """
        temperatures, _ = self._check_temperatures(temperatures, "temperatures")
        n_chains = check_count(n_chains, "n_chains")
        n_records = check_count(n_records, "n_records")
        burn_in = 400 if burn_in is None else check_count(burn_in, "burn_in", minimum=0)
        thinning = 5 if thinning is None else check_count(thinning, "thinning")
        shape = (len(temperatures), n_chains, n_records, self.n_sites, 3)
        if check_choice(algorithm, "algorithm", ("direct", "gibbs")) == "direct":
            return self.sample(temperatures, n_chains * n_records, seed=seed).reshape(shape)
        wanted, inverse = np.unique(temperatures, return_inverse=True)
        ladder = self.replica_temperatures(wanted)
        place = np.full(len(ladder), -1)
        place[np.searchsorted(ladder, wanted)] = np.arange(len(wanted))
        x = np.empty((n_chains, len(wanted), *shape[2:]), dtype=np.float32)
        for chain, child in enumerate(check_seed(seed).spawn(n_chains)):
            tensor_seed, site_seed = child.spawn(2)
            states = scalar_states(tensor_seed, 1)[0], lane_states(site_seed, 1)[0]
            counts = (self.n_sites, burn_in, thinning, chain % 2 == 1)
            run_ladder(ladder, place, *counts, *states, x[chain], np.empty(len(ladder) - 1))
        return np.ascontiguousarray(x.swapaxes(0, 1)[inverse])

    def replica_temperatures(self, temperatures: Any) -> np.ndarray:
        """Return the temperatures of the replicas used to sample at the ones given.

        The list reaches up to the isotropic phase, above every metastable state; between
        neighbours ``Δβ ΔU`` stays below 1.2 (U the exact mean energy), so that about a third
        of the exchanges or more are accepted.

        Args:
            temperatures (float or array_like, shape (n_temperatures,)): Temperatures wanted, units
                of J/k_B.

        Returns:
            ndarray of float64, shape (n_replicas,): Sorted; contains the temperatures given.

        Raises:
            TypeError, ValueError: For temperatures that are not positive and finite.
        """
        wanted, _ = self._check_temperatures(temperatures, "temperatures")
        ladder = sorted({*wanted.tolist(), max(_HOT, wanted.max())})
        low = 0
        while low < len(ladder) - 1:
            cold, hot = ladder[low], ladder[low + 1]
            gain = float(self.mean_energy(hot) - self.mean_energy(cold))
            if (1.0 / cold - 1.0 / hot) * gain > 1.2:
                ladder.insert(low + 1, 2.0 / (1.0 / cold + 1.0 / hot))
            else:
                low += 1
        return np.array(ladder)

    # ---------------------------------------------------------------- configurations

    def tensor(self, x: np.ndarray) -> np.ndarray:
        """Return ``q = Σ_i (n_i n_iᵀ - 1/3)/N`` of directors ``x`` (n_samples, n_sites, 3): float64
        (n_samples, 3, 3).

        Raises ValueError or TypeError if ``x`` does not hold unit vectors of this size.
        """
        x = check_directors(x, "x", ndim=3)
        if x.shape[1] != self.n_sites:
            raise ValueError(f"x must have shape (n_samples, {self.n_sites}, 3), got {x.shape}")
        return np.matmul(x.swapaxes(1, 2), x) / self.n_sites - np.eye(3) / 3.0

    def energy(self, x: np.ndarray) -> np.ndarray:
        """Return ``-(3/4) N ‖q‖²`` of directors ``x`` (n_samples, n_sites, 3): float64
        (n_samples,), units of J.

        Raises ValueError or TypeError if ``x`` does not hold unit vectors of this size.
        """
        return -0.75 * self.n_sites * np.sum(self.tensor(x) ** 2, axis=(1, 2))

    def order_parameter(self, x: np.ndarray) -> np.ndarray:
        """Return S, the largest eigenvalue of (3/2)q, of ``x`` (n_samples, n_sites, 3).

        Being a largest eigenvalue it is biased upward, by O(N^{-1/2}) in the isotropic phase
        (about 0.2 at N = 64), where S is 0 as N → ∞.

        Args:
            x (ndarray, shape (n_samples, n_sites, 3)): Directors.

        Returns:
            ndarray of float64, shape (n_samples,): Between 0 and 1.

        Raises:
            TypeError, ValueError: If ``x`` does not hold unit vectors of this size.
        """
        return 1.5 * np.linalg.eigvalsh(self.tensor(x))[:, -1]

    def log_prob(self, x: np.ndarray, temperature: float) -> np.ndarray:
        """Return ``-E/T - ln Z`` of ``x`` (n_samples, n_sites, 3): (n_samples,) nats.

        The density refers to the product of the surface measures. ``temperature`` is one
        number, units of J/k_B. Raises ValueError or TypeError for a bad temperature, or if ``x``
        does not hold unit vectors of this size.
        """
        temperature = self._check_temperatures(check_temperature(temperature))[0][0]
        return -self.energy(x) / temperature - self._law(temperature).log_partition

    # ---------------------------------------------------------------- exact at finite N

    def log_partition(self, temperature: Any) -> Any:
        """Return the exact ln Z, N ln 4π at infinite temperature (see Notes of the class)."""
        return self._each(temperature, lambda t: self._law(t).log_partition)

    def free_energy(self, temperature: Any) -> Any:
        """Return the exact F = -T ln Z, units of J (see Notes of the class)."""
        return self._each(temperature, lambda t: -t * self._law(t).log_partition)

    def mean_square_tensor(self, temperature: Any) -> Any:
        """Return the exact ``E‖q‖² = E‖A‖² - 5/(aN)``, a = 3/(2T) (see Notes of the class)."""
        return self._each(temperature, self._mean_square)

    def mean_cubed_tensor(self, temperature: Any) -> Any:
        """Return the exact ``E tr q³ = E tr A³``, dimensionless (see Notes of the class)."""
        return self._each(temperature, lambda t: self._law(t).mean_cube)

    def mean_energy(self, temperature: Any) -> Any:
        """Return the exact ⟨E⟩ = -(3/4) N E‖q‖², units of J (see Notes of the class)."""
        return self._each(temperature, lambda t: -0.75 * self.n_sites * self._mean_square(t))

    def entropy(self, temperature: Any) -> Any:
        """Return the exact differential entropy H = ln Z + ⟨E⟩/T, nats (see Notes of the class)."""
        return self._each(temperature, self._entropy)

    def total_correlation(self, temperature: Any) -> Any:
        """Return the exact ``N ln 4π - H``, nats: by symmetry each director is uniform (see Notes
        of the class)."""
        return self._each(
            temperature, lambda t: max(self.n_sites * _LOG_SPHERE - self._entropy(t), 0.0)
        )

    def dual_total_correlation(
        self,
        temperature: float,
        *,
        n_samples: int = 1000,
        seed: int | np.random.SeedSequence = 0,
    ) -> Estimate:
        """Return ``D = H - Σ_i H(n_i | the others)``, an average over direct samples.

        Given the others a director is a Bingham draw with matrix ``(3/2TN) Σ_{j≠i} Q_j``, whose
        entropy is known. The average is of ``-ln p(x) - Σ_i h_i(x)``, in which the fluctuations
        of the energy nearly cancel; what is left is regressed on the energy and on tr q³,
        whose means are exact.

        Args:
            temperature (float): Units of J/k_B.
            n_samples (int): Number of configurations, at least 10.
            seed (int or numpy.random.SeedSequence): Same seed, same bits.

        Returns:
            Estimate: Nats, with its standard error.

        Raises:
            TypeError, ValueError: For a bad temperature, count or seed.
        """
        temperature = float(self._check_temperatures(check_temperature(temperature))[0][0])
        n_samples = check_count(n_samples, "n_samples", minimum=10)
        x = self.sample(temperature, n_samples, seed=seed)
        return dual_total_correlation(x, self._law(temperature))

    # ---------------------------------------------------------------- infinitely many directors

    @staticmethod
    def transition() -> dict[str, float]:
        """Return the N → ∞ transition: ``temperature`` (0.2201935) and ``order_parameter`` there
        (0.429029), and the limits of metastability ``superheating_temperature`` (0.222833, with
        ``superheating_order_parameter`` 0.3236) and ``supercooling_temperature`` (0.2)."""
        return {name: value for name, value in transition().items() if "field" not in name}

    @staticmethod
    def mean_field_order_parameter(temperature: Any, *, phase: str = "stable") -> Any:
        """Return S as N → ∞, where ``S = ⟨P₂⟩`` in the field ``3S/(2T)``.

        Args:
            temperature (float or array_like, shape (n_temperatures,)): Units of J/k_B.
            phase ({"stable", "nematic"}): The state of lowest free energy, 0 above 0.2201935; or
                the nematic one, metastable up to 0.222833 and 0 above.

        Returns:
            float, or ndarray of float64, shape (n_temperatures,): Dimensionless.

        Raises:
            TypeError, ValueError: For a bad temperature or phase.
        """
        temperatures, single = check_temperatures(temperature)
        stable = check_choice(phase, "phase", ("stable", "nematic")) == "stable"
        limit = transition()["temperature"] if stable else np.inf
        values = np.array([nematic_order_parameter(t) if t <= limit else 0.0 for t in temperatures])
        return float(values[0]) if single else values

    @staticmethod
    def self_consistent_curve(n_points: int = 200) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return every uniaxial solution as N → ∞, unstable ones included.

        Args:
            n_points (int): Number of points, at equal ratios of the field between 1e-3 and 100.

        Returns:
            temperature, order_parameter, free_energy : ndarray of float64, shape (n_points,): Units
                of J/k_B; dimensionless; J per director, relative to the isotropic phase.
        """
        return branch(np.geomspace(1e-3, 100.0, check_count(n_points, "n_points", minimum=2)))

    # ---------------------------------------------------------------- the workings

    def _check_temperatures(self, value: Any, name: str = "temperature") -> tuple[np.ndarray, bool]:
        temperatures, single = check_temperatures(value, name)
        if self.n_sites / temperatures.min() > _LARGEST:
            lowest = self.n_sites / _LARGEST
            raise ValueError(f"every {name} must be at least n_sites/1e8 = {lowest:g}")
        return temperatures, single

    def _law(self, temperature: float) -> TensorLaw:
        return tensor_law(self.n_sites, float(temperature))

    def _each(self, temperature: Any, exact: Callable[[float], float]) -> Any:
        temperatures, single = self._check_temperatures(temperature)
        results = np.array([exact(float(t)) for t in temperatures])
        return Estimate(results[0]) if single else results

    def _mean_square(self, temperature: float) -> float:
        return self._law(temperature).mean_square - 5.0 * temperature / (1.5 * self.n_sites)

    def _entropy(self, temperature: float) -> float:
        law = self._law(temperature)
        energy = -0.75 * self.n_sites * self._mean_square(temperature)
        return law.log_partition + energy / temperature
