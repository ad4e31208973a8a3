"""The Maier-Saupe model of nematic order: directors that feel each other through ΣQ only."""

from typing import Any

import numpy as np

from mfvae._validation import check_choice, check_count, check_directors, check_temperature
from mfvae.systems import _maier_saupe_exact as exact
from mfvae.systems._bingham_quadrature import integrate_bingham
from mfvae.systems.base import Estimate, Seed, System, each_temperature, over_temperatures
from mfvae.systems.bingham import draw_rows
from mfvae.systems.kernels.maier_saupe import random_frames, run_ladder
from mfvae.systems.kernels.random import lane_states, scalar_states

__all__ = ["MaierSaupe"]

_LARGEST = 1e8  # of N/T: beyond, the quadrature would need too many nodes
_BLOCK = 200_000  # directors treated at a time
_HOT = 0.24  # above every metastable state


class MaierSaupe(System):
    """N directors on the sphere, every pair coupled: ``E = -(1/2N) Σ_ij P₂(n_i·n_j)``.

    With ``q = Σ_i (n_i n_iᵀ - 1/3)/N`` the energy is ``-(3/4) N ‖q‖²``, the terms i = j included.
    The Hubbard-Stratonovich field is a symmetric traceless tensor A, given which the sites are
    independent Bingham draws with matrix ``3A/(2T)``. Everything but the law of S is exact at
    finite N. As N → ∞ there is a first-order transition at T = 0.2201935. Maier & Saupe, Z.
    Naturforsch. A 14, 882 (1959).

    Densities and differential entropies refer to the surface measure of every sphere (total 4π),
    so that the uniform law has entropy N ln 4π. N/T must stay below 1e8 (ValueError).

    Options of sample and sample_chains:
        algorithm: "direct", where every record is an independent draw: the eigenvalues of A from
            their exact law, a uniform rotation, then Bingham sites. "gibbs" alternates A and the
            sites and is there to be compared: a chain is a ladder of replicas at the temperatures
            asked for and as many more as exchanges need; chains start in turn from isotropic and
            from parallel directors. `sample` takes 8 by default.
        burn_in, thinning: Sweeps of "gibbs", by default 400 and 5.

    Temperature number i ("gibbs": chain number i) uses child i of the seed.

    >>> system = MaierSaupe(64)
    >>> n = system.sample(0.18, 200, seed=0)
    >>> n.shape
    (200, 64, 3)
    >>> bool(abs(system.energy(n).mean() / system.internal_energy(0.18) - 1) < 0.05)
    True
    """

    _site_entropy = float(np.log(4.0 * np.pi))

    def __init__(self, n_sites: int) -> None:
        self.n_sites = check_count(n_sites, "n_sites")

    def sample(self, temperature: Any, n_samples: int, *, seed: Seed, **options: Any) -> np.ndarray:
        if options.get("algorithm") == "gibbs":
            options.setdefault("n_chains", 8)
        return super().sample(temperature, n_samples, seed=seed, **options)

    def _draw(self, temperatures, shape, steps, seed, *, algorithm="direct"):
        n_chains, n_records = shape
        if check_choice(algorithm, "algorithm", ("direct", "gibbs")) == "direct":
            n_samples = n_chains * n_records
            x = np.empty((len(temperatures), n_samples, self.n_sites, 3), dtype=np.float32)
            for i, child in enumerate(seed.spawn(len(temperatures))):
                law = self._law(temperatures[i])
                tensor_seed, rotation_seed, site_seed = child.spawn(3)
                generator = np.random.default_rng(tensor_seed)
                eigenvalues = law.sample_eigenvalues(n_samples, generator)
                frames = random_frames(scalar_states(rotation_seed, 1)[0], n_samples)
                draw_rows(law.a * eigenvalues, frames, site_seed, x[i])
            return x.reshape(len(x), *shape, self.n_sites, 3)
        steps = [d if s is None else s for s, d in zip(steps, (400, 5), strict=True)]
        wanted, inverse = np.unique(temperatures, return_inverse=True)
        # Replicas reach above every metastable state; between neighbours Δβ ΔU stays below 1.2, so
        # that about a third of the exchanges or more are accepted.
        ladder, low = sorted({*wanted.tolist(), max(_HOT, wanted[-1])}), 0
        while low < len(ladder) - 1:
            cold, hot = ladder[low : low + 2]
            gain = float(self.internal_energy(hot) - self.internal_energy(cold))
            if (1.0 / cold - 1.0 / hot) * gain > 1.2:
                ladder.insert(low + 1, 2.0 / (1.0 / cold + 1.0 / hot))
            else:
                low += 1
        ladder = np.array(ladder)
        place = np.full(len(ladder), -1)
        place[np.searchsorted(ladder, wanted)] = np.arange(len(wanted))
        x = np.empty((n_chains, len(wanted), n_records, self.n_sites, 3), dtype=np.float32)
        for chain, child in enumerate(seed.spawn(n_chains)):  # starts alternate
            tensor_seed, site_seed = child.spawn(2)
            states = scalar_states(tensor_seed, 1)[0], lane_states(site_seed, 1)[0]
            run_ladder(ladder, place, *steps, chain % 2 == 1, *states, x[chain])
        return np.ascontiguousarray(x.swapaxes(0, 1)[inverse])

    def tensor(self, x: np.ndarray) -> np.ndarray:
        """Return ``q = Σ_i (n_i n_iᵀ - 1/3)/N`` of configurations: float64 (n_samples, 3, 3)."""
        x = check_directors(x, "x", ndim=3)
        if x.shape[1] != self.n_sites:
            raise ValueError(f"x must have shape (n_samples, {self.n_sites}, 3), got {x.shape}")
        return np.matmul(x.swapaxes(1, 2), x) / self.n_sites - np.eye(3) / 3.0

    def energy(self, x: np.ndarray) -> np.ndarray:
        return -0.75 * self.n_sites * np.sum(self.tensor(x) ** 2, axis=(1, 2))

    def order_parameter(self, x: np.ndarray) -> np.ndarray:
        """Return S, the largest eigenvalue of (3/2)q, between 0 and 1: float64 (n_samples,).

        In the isotropic phase, where S is 0 as N → ∞, it is O(N^{-1/2}), about 0.2 at N = 64.
        """
        return 1.5 * np.linalg.eigvalsh(self.tensor(x))[:, -1]

    def _law(self, temperature: float) -> exact.TensorLaw:
        if temperature < (lowest := self.n_sites / _LARGEST):
            raise ValueError(f"every temperature must be at least n_sites/1e8 = {lowest:g}")
        return exact.tensor_law(self.n_sites, float(temperature))

    @each_temperature
    def log_partition(self, temperature: Any) -> Any:
        return self._law(temperature).log_partition

    @each_temperature
    def mean_square_tensor(self, temperature: Any) -> Any:
        """Return the exact ``E‖q‖² = E‖A‖² - 5/(aN)``, a = 3/(2T)."""
        return self._law(temperature).mean_square - 5.0 * temperature / (1.5 * self.n_sites)

    @each_temperature
    def mean_cubed_tensor(self, temperature: Any) -> Any:
        """Return the exact ``E tr q³ = E tr A³``, dimensionless."""
        return self._law(temperature).mean_cube

    @each_temperature
    def internal_energy(self, temperature: Any) -> Any:
        return -0.75 * self.n_sites * self.mean_square_tensor(temperature)

    def dual_total_correlation(
        self, temperature: float, *, n_samples: int = 1000, seed: Seed = 0
    ) -> Estimate:
        """Return ``D = H - Σ_i H(n_i | the others)`` at one temperature, from direct samples.

        Given the others a director is a Bingham draw with matrix ``(3/2TN) Σ_{j≠i} Q_j``, whose
        entropy h_i is known. The average is of ``-ln p(x) - Σ_i h_i(x)``, regressed on the energy
        and on tr q³, whose means are exact, over ``n_samples`` configurations, at least 10.
        """
        temperature = check_temperature(temperature)
        n_samples = check_count(n_samples, "n_samples", minimum=10)
        law, x = self._law(temperature), self.sample(temperature, n_samples, seed=seed)
        values, controls, n_block = [], [], max(1, _BLOCK // self.n_sites)
        for start in range(0, n_samples, n_block):
            block = x[start : start + n_block].astype(np.float64)
            q = self.tensor(block)
            own = np.einsum("nsi,nsj->nsij", block, block) / self.n_sites
            eigenvalues = np.linalg.eigvalsh(law.a * (q[:, None] - own))
            log_z, squares = integrate_bingham(eigenvalues)
            entropy = log_z - np.sum(eigenvalues * squares, axis=-1)
            square, cube = np.sum(q**2, axis=(1, 2)), np.einsum("nij,njk,nki->n", q, q, q)
            log_prob = 0.5 * law.a * self.n_sites * square - law.log_partition
            values.append(-log_prob - entropy.sum(axis=1))
            controls.append(np.stack([square, cube], axis=1))
        value, control = np.concatenate(values), np.concatenate(controls)
        known = np.array([law.mean_square - 5.0 / (law.a * self.n_sites), law.mean_cube])
        design = np.column_stack([np.ones(n_samples), control - known])
        solution, *_ = np.linalg.lstsq(design, value, rcond=None)
        rest = value - design @ solution
        return Estimate(solution[0], float(np.sqrt(rest @ rest / (n_samples - 3) / n_samples)))

    @staticmethod
    def transition() -> dict[str, float]:
        """Return the N → ∞ transition: ``temperature`` (0.2201935) and ``order_parameter`` there
        (0.429029), and the limits of metastability ``superheating_temperature`` (0.222833, with
        ``superheating_order_parameter`` 0.3236) and ``supercooling_temperature`` (0.2)."""
        temperature, order, _ = exact.branch(np.array(exact.transition_fields()))
        return {
            "temperature": float(temperature[0]),
            "order_parameter": float(order[0]),
            "superheating_temperature": float(temperature[1]),
            "superheating_order_parameter": float(order[1]),
            "supercooling_temperature": 0.2,
        }

    @staticmethod
    def mean_field_order_parameter(temperature: Any) -> Any:
        """Return S of the stable state as N → ∞, ``S = ⟨P₂⟩`` in the field ``3S/(2T)``, or 0."""
        limit = MaierSaupe.transition()["temperature"]
        return over_temperatures(
            lambda t: exact.nematic_order_parameter(t) if t <= limit else 0.0, temperature
        )

    @staticmethod
    def self_consistent_curve(n_points: int = 200) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return T, S and the excess free energy of every uniaxial solution as N → ∞.

        Float64 (n_points,) each, unstable solutions included, at equal ratios of the field between
        1e-3 and 100; the energy is in J per director, relative to the isotropic phase.
        """
        n_points = check_count(n_points, "n_points", minimum=2)
        return exact.branch(np.geomspace(1e-3, 100.0, n_points))
