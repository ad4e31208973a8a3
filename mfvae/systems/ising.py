"""The Ising model on a square lattice: no mean-field description, yet exact in all it is asked."""

from functools import lru_cache
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
from mfvae.systems import _ising_exact as exact
from mfvae.systems.base import Estimate, Seed, System, each_temperature, over_temperatures

__all__ = ["Ising2D"]


class Ising2D(System):
    """Spins on an L × L torus that feel their four neighbours: E(s) = -J Σ_⟨ij⟩ s_i s_j.

    On even length the antiferromagnet (J < 0) is the ferromagnet at |J| with one sublattice
    flipped. On odd length it is frustrated: it is sampled by single flips, and exact results exist
    by enumeration for L = 3 only. At J = 1 the critical temperature is 2/ln(1 + √2) = 2.269185. The
    order parameter is the magnetisation. ln Z is that of Kaufman, B. (1949), Phys. Rev. 76, 1232,
    eq. 79; Onsager, L. (1944), Phys. Rev. 65, 117.

    Args:
        length: L, at least 3; site number i is in row i // L and column i % L.
        coupling: J, not zero; energies and temperatures are in the same unit.

    Options of sample and sample_chains:
        algorithm: "wolff", clusters; "metropolis", single random spins; "auto" takes clusters
            unless the torus is frustrated, where they would be wrong (ValueError).
        burn_in, thinning: Clusters or sweeps, by default those of `schedule`.

    Chains start ordered (up or down at random) and run in as many threads as Numba is set to use.
    Chain number k at temperature number i uses child k of child i of the seed.

    >>> system = Ising2D(16)
    >>> round(float(system.entropy(2.269185)), 3)
    74.714
    >>> system.sample(2.269185, 5, seed=0).shape
    (5, 256)
    """

    #: The critical temperature of the infinite lattice, units of |J|/k_B.
    CRITICAL_TEMPERATURE = 2 / np.log(1 + np.sqrt(2))
    _n_chains = 32

    def __init__(self, length: int, coupling: float = 1) -> None:
        self.length = check_count(length, "length", minimum=3)
        self.coupling = check_number(coupling, "coupling")
        if self.coupling == 0:
            raise ValueError("coupling must not be zero: spins without coupling are independent")
        self.n_sites = self.length**2
        #: Whether the ground state satisfies every bond.
        self.unfrustrated = self.coupling > 0 or self.length % 2 == 0

    def energy(self, x: np.ndarray) -> np.ndarray:
        lattice = check_spins(x, self.n_sites).reshape(-1, self.length, self.length)
        bonds = lattice * np.roll(lattice, 1, axis=1) + lattice * np.roll(lattice, 1, axis=2)
        return -self.coupling * bonds.sum(axis=(1, 2), dtype=np.int64)

    def order_parameter(self, x: np.ndarray) -> np.ndarray:
        return check_spins(x, self.n_sites).mean(axis=1, dtype=np.float64)

    def staggered_order_parameter(self, x: np.ndarray) -> np.ndarray:
        """Return Σ ± s_i/N, signs as on a chessboard (+ at site 0): (n_samples,) float64."""
        return check_spins(x, self.n_sites) @ self._chessboard.astype(np.float64) / self.n_sites

    @property
    def _chessboard(self) -> np.ndarray:
        row, column = np.divmod(np.arange(self.n_sites), self.length)
        return (1 - 2 * ((row + column) % 2)).astype(np.int8)

    def _draw(self, temperatures, shape, steps, seed, *, algorithm="auto"):
        from mfvae.systems.kernels import random, running, wolff

        clusters = self._algorithm(algorithm) == "wolff"
        records = np.empty((len(temperatures), *shape, self.n_sites), dtype=np.int8)
        chains = []
        for i, child in enumerate(seed.spawn(len(temperatures))):
            kappa = self.coupling / float(temperatures[i])
            defaults = self.schedule(temperatures[i], algorithm) if None in steps else steps
            chosen = [d if s is None else s for s, d in zip(steps, defaults, strict=True)]
            bond = np.array([wolff.bond_threshold(abs(kappa))])
            thresholds = bond if clusters else wolff.flip_thresholds(kappa)
            for grandchild, out in zip(child.spawn(shape[0]), records[i], strict=True):
                chains.append((grandchild, (thresholds, clusters, *chosen, out)))
        table = wolff.neighbour_table(self.length)

        def run(chain: tuple) -> None:
            wolff.run_chain(random.scalar_states(chain[0], 1)[0], table, *chain[1])

        running.in_threads(run, chains)
        if clusters and self.coupling < 0:
            records *= self._chessboard
        return records

    def schedule(self, temperature: float, algorithm: str = "auto") -> tuple[int, int]:
        """Return the default burn-in and thinning at one temperature, in steps.

        For Wolff, the numbers of clusters that flip 40 and 2 spins a site on average, from a pilot
        run that depends on the system and the temperature alone. For Metropolis 2000 and 10
        sweeps: a plain baseline, whose relaxation time grows like L^2.17 at T_c.
        """
        kappa = abs(self.coupling) / check_temperature(temperature)
        if self._algorithm(algorithm) == "metropolis":
            return 2000, 10
        clusters, flipped = _pilot(self.length, kappa)
        return tuple(max(1, round(n * self.n_sites * clusters / flipped)) for n in (40.0, 2.0))

    def _algorithm(self, algorithm: str) -> str:
        check_choice(algorithm, "algorithm", ("auto", "wolff", "metropolis"))
        if algorithm == "auto":
            return "wolff" if self.unfrustrated else "metropolis"
        if algorithm == "wolff" and not self.unfrustrated:
            raise ValueError(f"algorithm must be 'metropolis' on a frustrated torus: {self!r}")
        return algorithm

    def _enumeration(self, temperature: float, what: str) -> exact.Enumeration:
        if self.length > exact.ENUMERABLE:
            limit = f"by enumeration to L = {exact.ENUMERABLE} only, L is {self.length}"
            raise NotImplementedError(f"{what} is exact {limit}")
        return exact.Enumeration(self.length, self.coupling / temperature)

    def _thermodynamics(self, temperature: float) -> tuple[float, float, float]:
        """ln Z and its first two derivatives by κ = J/T."""
        kappa = self.coupling / temperature
        if self.unfrustrated:
            log_z, first, second = exact.log_partition_derivatives(self.length, abs(kappa))
            return log_z, np.sign(kappa) * first, second
        small = self._enumeration(temperature, "the frustrated antiferromagnet of odd length")
        mean = small.average(small.bonds)
        return small.log_partition, mean, small.average((small.bonds - mean) ** 2)

    @each_temperature
    def log_partition(self, temperature: Any) -> Any:
        return self._thermodynamics(temperature)[0]

    @each_temperature
    def internal_energy(self, temperature: Any) -> Any:
        return -self.coupling * self._thermodynamics(temperature)[1]

    @each_temperature
    def specific_heat(self, temperature: Any) -> Any:
        """Return the exact C = (⟨E²⟩ - ⟨E⟩²)/T² of the whole system, units of k_B."""
        return (self.coupling / temperature) ** 2 * self._thermodynamics(temperature)[2]

    @each_temperature
    def entropy(self, temperature: Any) -> Any:
        log_z, first, _ = self._thermodynamics(temperature)
        return log_z - self.coupling / temperature * first

    def dual_total_correlation(
        self, temperature: Any, *, n_chains: int = 64, n_records: int | None = None, seed: Seed = 0
    ) -> Estimate | list[Estimate]:
        """Return D = H(s) - Σ_i H(s_i | its neighbours), nats: exact for L <= 4, else estimated.

        H(s) is exact; the conditional entropies, ``ln 2cosh(κh) - κh tanh(κh)`` of the sum h of
        four neighbours, are averaged over samples, with the known energy as control variate. The
        standard error, of a regression over the means of independent chains, holds whatever the
        autocorrelation within them.

        Args:
            temperature: One temperature, or ``(n_temperatures,)`` for a list of `Estimate`.
            n_chains, n_records: Size of the sample, at least 8 chains; by default 1000 records of
                each, fewer above L = 32, so that their spins take 64 MB.
            seed: Temperature number i uses child i.
        """
        temperatures, single = check_temperatures(temperature)
        n_chains = check_count(n_chains, "n_chains", minimum=8)
        if n_records is None:
            n_records = min(max(1_000_000 // self.n_sites, 20), 1000)
        n_records = check_count(n_records, "n_records")
        children, results = check_seed(seed).spawn(len(temperatures)), []
        for t, child in zip(temperatures.tolist(), children, strict=True):
            if self.length <= exact.ENUMERABLE:
                results.append(Estimate(self._enumeration(t, "").dual_total_correlation()))
                continue
            known = self.internal_energy(t)
            chains = self.sample_chains(t, n_chains, n_records, seed=child)[0]
            energies = np.array([self.energy(chain) for chain in chains])
            conditional = exact.mean_conditional_entropy(chains, self.coupling / t, energies, known)
            value = self.entropy(t) - conditional
            results.append(Estimate(value, stderr=conditional.stderr, exact=False))
        return results[0] if single else results

    def mutual_information(self, temperature: Any, cut: str = "half", **options: Any) -> Any:
        """Return the mutual information between two sets of sites, nats.

        With ``cut="half"`` of the first L // 2 rows and the rest (two boundaries), by enumeration
        for L <= 4. With "checkerboard" of the two colours: for even L spins of one colour are
        independent given the other, so that it equals, and is obtained (with its ``options``) as,
        `dual_total_correlation`; for odd L by enumeration, L = 3.
        """
        cut = check_choice(cut, "cut", ("half", "checkerboard"))
        even = self.length % 2 == 0
        if cut == "checkerboard" and even and self.length > exact.ENUMERABLE:
            return self.dual_total_correlation(temperature, **options)
        what = "a cut of a torus (for one of a cylinder: Ising2D.cylinder_mutual_information)"
        return over_temperatures(
            lambda t: self._enumeration(t, what).mutual_information(cut), temperature
        )

    @each_temperature
    def subset_entropy(self, temperature: Any, sites: np.ndarray) -> Any:
        small = self._enumeration(temperature, "the entropy of a subset")
        return small.subset_entropy(self._check_sites(sites))

    @staticmethod
    def cylinder_mutual_information(circumference: int, temperature: Any) -> Any:
        """Return the exact mutual information across one cut of an infinite cylinder, nats.

        By the row-to-row transfer matrix (Kramers & Wannier 1941, Phys. Rev. 60, 252), at J = 1,
        with ``circumference`` from 3 to 20 (a second or two). A torus has two such cuts.

        >>> round(float(Ising2D.cylinder_mutual_information(8, 2.269185314213022)), 6)
        0.780493
        """
        n = check_count(circumference, "circumference", minimum=3, maximum=20)
        return over_temperatures(lambda t: exact.cylinder_information(n, 1 / t), temperature)


@lru_cache(maxsize=4096)
def _pilot(length: int, kappa: float) -> tuple[int, int]:
    """Return how many spins some Wolff clusters flip: their number, and that of the flips.

    With a seed of its own: the schedule depends on κ, never on the run it is used for.
    """
    from mfvae.systems.kernels import random, wolff

    n_sites, batch = length * length, max(1, length * length // 64)
    spins, queue = np.ones(n_sites, np.uint8), np.empty(n_sites + 1, np.uint32)
    state = random.scalar_states(np.random.SeedSequence(0), 1)[0]
    fixed = spins, queue, state, wolff.neighbour_table(length), wolff.bond_threshold(kappa), batch
    for n_flips in (20 * n_sites, 50 * n_sites):  # the first to forget the start
        clusters, flipped = 0, 0
        while flipped < n_flips:
            flipped += int(wolff.wolff_clusters(*fixed))
            clusters += batch
    return clusters, flipped
