"""The Hopfield model: patterns stored in pair couplings, a vector order parameter."""

from itertools import pairwise
from typing import Any, Self

import numpy as np

from mfvae._validation import check_choice, check_count, check_seed, check_spins, check_temperature
from mfvae.systems._hopfield_exact import MAX_PATTERNS, SolvedHopfield
from mfvae.systems.base import Seed, System, each_temperature
from mfvae.systems.kernels import hopfield as kernel

__all__ = ["Hopfield"]


class Hopfield(System):
    """Spins that remember patterns: E(s) = -Σ_μ (ξ^μ·s)²/2N.

    The Hubbard–Stratonovich identity with a field m in R^P turns the law of the spins into a
    latent-variable model with conditionally independent sites: ``m | s ~ Normal(ξᵀs/N, 1/(βN))``
    and ``P(s_i = +1 | m) = 1/(1 + exp(-2β ξ_i·m))``. Alternating the two is the sampler; replica
    exchange over temperatures carries it between wells. The order parameter is the vector of
    overlaps ξᵀs/N, (n_samples, P). Results for P <= 3 patterns are exact at finite N, for more
    they raise NotImplementedError. Hopfield, J. J. (1982), PNAS 79, 2554; Amit, D. J., Gutfreund,
    H. & Sompolinsky, H. (1985), Phys. Rev. A 32, 1007.

    Args:
        patterns: The patterns ξ, ``(n_sites, n_patterns)`` of -1 and +1, at least two sites.

    Options of sample and sample_chains:
        burn_in, thinning: Sweeps, O(NP) each; by default 1000 and 50, times N/256 for larger
            systems, measured to be enough for P <= 48 and T >= 0.6.
        start: "random" spins in all replicas; "patterns", all replicas of chain i in pattern i
            modulo P. That the two agree after ``burn_in`` is a test of equilibrium.
        n_threads: Threads to share the chains between, sixteen at a time.

    Every chain is a ladder of replicas that stand at the given temperatures and, below the
    disordered phase, at as many more as exchange needs: up to ``1.15 (1 + √(P/N))``, and between
    given ones that lie too far apart. Its records at different temperatures are not independent.
    Chain number i uses child i of the seed, whatever the number of chains.

    >>> system = Hopfield.random(64, 2, seed=0)
    >>> x = system.sample(0.6, 100, seed=1)
    >>> bool(abs(system.order_parameter(x)).max(axis=1).mean() > 0.8)
    True
    """

    _n_chains, _interleaved = 256, True

    def __init__(self, patterns: Any) -> None:
        #: The patterns ξ, int8 (n_sites, n_patterns), read-only.
        self.patterns = np.array(check_spins(patterns, name="patterns"))
        self.patterns.setflags(write=False)
        self.n_sites, self.n_patterns = shape = self.patterns.shape
        if self.n_sites < 2:
            raise ValueError(f"patterns must have at least 2 sites (rows), got {shape}")
        if self.n_sites**2 * self.n_patterns >= 2**33:
            raise ValueError(f"n_sites**2 * n_patterns must stay below 2**33, got shape {shape}")

    @classmethod
    def random(cls, n_sites: int, n_patterns: int, *, seed: Seed) -> Self:
        """Return a model of N >= 2 spins with independent unbiased random patterns."""
        n_sites = check_count(n_sites, "n_sites", minimum=2)
        shape = (n_sites, check_count(n_patterns, "n_patterns"))
        rng = np.random.default_rng(check_seed(seed))
        return cls(2 * rng.integers(0, 2, size=shape, dtype=np.int8) - 1)

    def __repr__(self) -> str:
        return f"Hopfield(n_sites={self.n_sites}, n_patterns={self.n_patterns})"

    def configuration(self) -> dict[str, Any]:
        """Return class name, sizes and patterns (bits, packed, as hex), ready for JSON."""
        return {
            "class": "Hopfield",
            "n_sites": self.n_sites,
            "n_patterns": self.n_patterns,
            "patterns": np.packbits(self.patterns > 0).tobytes().hex(),
        }

    @classmethod
    def _from_arguments(cls, n_sites: int, n_patterns: int, patterns: str) -> Self:
        n_sites = check_count(n_sites, "n_sites", minimum=2)
        n_bits = n_sites * check_count(n_patterns, "n_patterns")
        packed = np.frombuffer(bytes.fromhex(patterns), dtype=np.uint8)
        if len(packed) != -(-n_bits // 8):
            raise ValueError(f"{len(packed)} bytes cannot hold {n_sites} x {n_patterns} bits")
        bits = np.unpackbits(packed, count=n_bits).astype(np.int8)
        return cls(2 * bits.reshape(n_sites, n_patterns) - 1)

    def _draw(self, temperatures, shape, steps, seed, *, start="random", n_threads=1):
        start = check_choice(start, "start", ("random", "patterns"))
        n_threads = check_count(n_threads, "n_threads")
        # A replica diffuses over about √N temperatures. At N = 256, P = 1…48 and T >= 0.6, energies
        # and overlaps of chains started in patterns and at random agree after 125 sweeps, and
        # |overlaps| 50 sweeps apart are correlated by less than 0.2.
        defaults = (round(n * max(1.0, self.n_sites / 256)) for n in (1000, 50))
        steps = [d if s is None else s for s, d in zip(steps, defaults, strict=True)]
        levels = replica_temperatures(temperatures, self.n_sites, self.n_patterns)
        place = np.searchsorted(levels, temperatures)
        return kernel.run(self.patterns, levels, place, shape, steps, seed, start, n_threads)[0]

    def energy(self, x: np.ndarray) -> np.ndarray:
        return -np.sum(self._sums_of(x) ** 2, axis=1) / (2 * self.n_sites)

    def order_parameter(self, x: np.ndarray) -> np.ndarray:
        return self._sums_of(x) / self.n_sites

    def _sums_of(self, x: np.ndarray) -> np.ndarray:
        # Sums of up to 2^24 units are exact in float32.
        spins = check_spins(x, self.n_sites).astype(np.float32)
        return (spins @ self.patterns.astype(np.float32)).astype(np.float64)

    def _solved(self, temperature: float) -> SolvedHopfield:
        if self.n_patterns > MAX_PATTERNS:
            known = f"exact results need at most {MAX_PATTERNS} patterns"
            raise NotImplementedError(f"{known}, this model has {self.n_patterns}")
        return SolvedHopfield(self.patterns, 1 / temperature)

    def overlap_law(
        self, temperature: float, pattern: int | tuple[int, int] = 0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the exact law of one ξ^μ·s, or the joint law of two.

        ``pattern`` is the number of one pattern, or a pair of two. The result are the values -N,
        -N+2, …, N of ξ^μ·s (N times the overlap), and their probabilities, as many, or a square of
        them for a pair, whose first axis belongs to the first pattern.
        """
        solved = self._solved(check_temperature(temperature))
        indices = pattern if isinstance(pattern, tuple) else (pattern,)
        for mu in indices:
            check_count(mu, "pattern", minimum=0, maximum=self.n_patterns - 1)
        if len(indices) > 2 or len(set(indices)) < len(indices):
            raise ValueError(f"pattern must be one index or a pair of two, got {pattern}")
        law = solved.overlap_law(*indices) if len(indices) == 1 else solved.pair_law(*indices)
        return 2 * np.arange(self.n_sites + 1) - self.n_sites, law

    @each_temperature
    def log_partition(self, temperature: Any) -> Any:
        return self._solved(temperature).log_partition_ratio + self.n_sites * np.log(2)

    @each_temperature
    def internal_energy(self, temperature: Any) -> Any:
        return self._solved(temperature).internal_energy

    @each_temperature
    def entropy(self, temperature: Any) -> Any:
        return self.n_sites * np.log(2) - self.total_correlation(temperature)

    @each_temperature
    def total_correlation(self, temperature: Any) -> Any:
        return self._solved(temperature).negentropy

    @each_temperature
    def dual_total_correlation(self, temperature: Any, *, seed: Seed = 0) -> Any:
        return self._solved(temperature).dual_total_correlation()

    @each_temperature
    def mutual_information(self, temperature: Any, cut: str = "half") -> Any:
        check_choice(cut, "cut", ("half",))
        return self._solved(temperature).half_cut()

    @each_temperature
    def subset_entropy(self, temperature: Any, sites: np.ndarray) -> Any:
        return self._solved(temperature).subset_entropy(self._check_sites(sites))

    @each_temperature
    def field_information(self, temperature: Any) -> Any:
        return self._solved(temperature).field_information()


def replica_temperatures(temperatures: np.ndarray, n_sites: int, n_patterns: int) -> np.ndarray:
    """Return the temperatures of the replicas, ascending, all ``temperatures`` among them.

    Neighbours at ``ln T' - ln T = 1.5/√N`` exchange about every third proposal. The paramagnet
    begins at 1 + √(P/N) (Amit, Gutfreund & Sompolinsky 1987); 15 % above, a chain is quick alone.
    """
    given = np.sort(temperatures)
    top = 1.15 * (1 + np.sqrt(n_patterns / n_sites))
    ends = np.append(given, top) if given[-1] < top else given
    levels = [ends[0]]
    for low, high in pairwise(ends):
        steps = np.ceil(np.log(high / low) * np.sqrt(n_sites) / 1.5) if low < top else 1
        levels += [*(low * (high / low) ** (np.arange(1, steps) / steps)), high]
    return np.array(levels)
