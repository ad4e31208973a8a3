"""The Hopfield model: patterns stored in pair couplings, a vector order parameter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mfvae._validation import (
    check_choice,
    check_count,
    check_finite_array,
    check_seed,
    check_spins,
    check_temperature,
    check_temperatures,
)
from mfvae.systems._hopfield_exact import MAX_PATTERNS, SolvedHopfield
from mfvae.systems.base import Estimate
from mfvae.systems.kernels import hopfield as kernel

__all__ = ["Hopfield"]


class Hopfield:
    """Spins that remember patterns: E(s) = -Σ_μ (ξ^μ·s)²/2N.

    The Hubbard–Stratonovich identity with a field m in R^P turns the law of the spins into a
    latent-variable model with conditionally independent sites: ``m | s ~ Normal(ξᵀs/N, 1/(βN))``
    and ``P(s_i = +1 | m) = 1/(1 + exp(-2β ξ_i·m))``. Alternating the two is the sampler; replica
    exchange over temperatures carries it between wells. For P <= 3 patterns everything is known
    exactly at finite N.

    Args:
        patterns (array_like of int, shape (n_sites, n_patterns)): The patterns ξ, entries -1 and
            +1; a column is a pattern. At least two sites and one pattern.

    Raises:
        TypeError, ValueError: If ``patterns`` is not such an array.

    Temperatures are in units of J/k_B, energies in units of J, information in nats, all for the
    whole system. Methods of the temperature alone take one temperature and return an exact
    `Estimate`, or take a vector and return a float64 vector; for P > 3 they raise
    NotImplementedError. Hopfield, J. J. (1982), PNAS 79, 2554; Amit, D. J., Gutfreund, H. &
    Sompolinsky, H. (1985), Phys. Rev. A 32, 1007.

    >>> system = Hopfield.random(64, 2, seed=0)
    >>> x = system.sample(0.6, 100, seed=1)
    >>> x.shape, x.dtype
    ((100, 64), dtype('int8'))
    >>> bool(abs(system.order_parameter(x)).max(axis=1).mean() > 0.8)
    True
    """

    def __init__(self, patterns: Any) -> None:
        array = check_spins(
            check_finite_array(patterns, "patterns", ndim=2, dtype=None), name="patterns"
        )
        if array.shape[0] < 2:
            raise ValueError(f"patterns must have at least 2 sites (rows), got {array.shape}")
        if array.shape[0] ** 2 * array.shape[1] >= 2**33:
            raise ValueError(
                f"n_sites**2 * n_patterns must stay below 2**33, got shape {array.shape}"
            )
        self._patterns = np.array(array)
        self._patterns.setflags(write=False)

    @classmethod
    def random(
        cls, n_sites: int, n_patterns: int, *, seed: int | np.random.SeedSequence
    ) -> Hopfield:
        """Return a model with independent unbiased random patterns.

        Args:
            n_sites, n_patterns (int): Number N >= 2 of spins and P >= 1 of patterns.
            seed (int or numpy.random.SeedSequence): Source of randomness.

        Raises:
            TypeError, ValueError: For a bad count or seed.
        """
        shape = (
            check_count(n_sites, "n_sites", minimum=2),
            check_count(n_patterns, "n_patterns"),
        )
        rng = np.random.default_rng(check_seed(seed))
        return cls(2 * rng.integers(0, 2, size=shape, dtype=np.int8) - 1)

    def __repr__(self) -> str:
        return f"Hopfield(n_sites={self.n_sites}, n_patterns={self.n_patterns})"

    @property
    def patterns(self) -> np.ndarray:
        """The patterns ξ, int8 (n_sites, n_patterns), read-only."""
        return self._patterns

    @property
    def n_sites(self) -> int:
        """Number N of spins."""
        return self._patterns.shape[0]

    @property
    def n_patterns(self) -> int:
        """Number P of patterns."""
        return self._patterns.shape[1]

    def configuration(self) -> dict[str, Any]:
        """Return class name, sizes and patterns (bits, packed, as hex), ready for JSON."""
        return {
            "class": "Hopfield",
            "n_sites": self.n_sites,
            "n_patterns": self.n_patterns,
            "patterns": np.packbits(self._patterns > 0).tobytes().hex(),
        }

    @classmethod
    def from_configuration(cls, configuration: dict[str, Any]) -> Hopfield:
        """Return the model that `configuration` describes.

        Raises:
            ValueError: If the patterns do not have the stated size.
        """
        n_sites = check_count(configuration["n_sites"], "n_sites", minimum=2)
        n_patterns = check_count(configuration["n_patterns"], "n_patterns")
        packed = np.frombuffer(bytes.fromhex(configuration["patterns"]), dtype=np.uint8)
        if len(packed) != -(-n_sites * n_patterns // 8):
            raise ValueError(f"{len(packed)} bytes cannot hold {n_sites} x {n_patterns} bits")
        bits = np.unpackbits(packed, count=n_sites * n_patterns).astype(np.int8)
        return cls(2 * bits.reshape(n_sites, n_patterns) - 1)

    # ---------------------------------------------------------------- configurations

    def sample(
        self,
        temperature: Any,
        n_samples: int,
        *,
        seed: int | np.random.SeedSequence,
        burn_in: int | None = None,
        thinning: int | None = None,
        start: str = "random",
    ) -> np.ndarray:
        """Draw configurations from up to 256 chains, see `sample_chains`.

        Args:
            temperature (float or array_like, shape (n_temperatures,)): Temperature, units of J/k_B.
                Replica exchange runs over all of them together.
            n_samples (int): Number of configurations for each temperature. Up to 256 of them come
                from different chains and are independent; more are records of those chains,
                ``thinning`` apart.
            seed (int or numpy.random.SeedSequence): Source of randomness.
            burn_in, thinning, start: As in `sample_chains`.

        Returns:
            ndarray of int8, shape (n_samples, n_sites) or (n_temperatures, n_samples, n_sites):
                Spins -1 and +1; the leading axis is there if ``temperature`` is an array.
                Neighbours come from different chains.

        Raises:
            TypeError, ValueError: For a temperature that is not positive and finite, a bad count or
                a bad seed.
        """
        temperatures, single = check_temperatures(temperature)
        n_samples = check_count(n_samples, "n_samples")
        n_chains = min(n_samples, 256)
        x = self.sample_chains(
            temperatures,
            n_chains,
            -(-n_samples // n_chains),
            burn_in=burn_in,
            thinning=thinning,
            seed=seed,
            start=start,
        )
        x = x.swapaxes(1, 2).reshape(len(temperatures), -1, self.n_sites)[:, :n_samples]
        return np.ascontiguousarray(x[0] if single else x)

    def sample_chains(
        self,
        temperatures: Any,
        n_chains: int,
        n_records: int,
        *,
        burn_in: int | None = None,
        thinning: int | None = None,
        seed: int | np.random.SeedSequence,
        start: str = "random",
        n_threads: int = 1,
    ) -> np.ndarray:
        """Draw chains of block-Gibbs sweeps with replica exchange over the temperatures.

        Every chain is a ladder of replicas that stand at the given temperatures and, below the
        disordered phase, at as many more as exchange needs: up to ``1.15 (1 + √(P/N))``, and
        between given ones that lie too far apart. A sweep costs O(NP). Sixteen chains run side by
        side at the cost of one.

        Args:
            temperatures (float or array_like, shape (n_temperatures,)): Temperatures, units of
                J/k_B, in any order.
            n_chains, n_records (int): Number of chains for each temperature, and of records in each
                chain. The records of one chain at different temperatures belong to one ladder and
                are not independent.
            burn_in, thinning (int, optional): Sweeps before the first record, and between records;
                by default 1000 and 50, times N/256 for larger systems, measured to be enough for P
                <= 48 and T >= 0.6.
            seed (int or numpy.random.SeedSequence): Source of randomness; chain number i uses its
                i-th spawned child, whatever the number of chains and threads.
            start ({"random", "patterns"}): Start all replicas of chain i from independent random
                spins, or in pattern i modulo P. That the two agree after ``burn_in`` is a test of
                equilibrium.
            n_threads (int): Threads to share the chains between, sixteen at a time.

        Returns:
            ndarray of int8, shape (n_temperatures, n_chains, n_records, n_sites): Spins -1 and +1.

        Raises:
            TypeError, ValueError: For temperatures that are not positive and finite, bad counts or
                a bad seed.
        """
        temperatures, _ = check_temperatures(temperatures, "temperatures")
        x, _ = kernel.run(
            self._patterns,
            temperatures,
            check_count(n_chains, "n_chains"),
            check_count(n_records, "n_records"),
            burn_in=None if burn_in is None else check_count(burn_in, "burn_in", minimum=0),
            thinning=None if thinning is None else check_count(thinning, "thinning"),
            seed=check_seed(seed),
            start=check_choice(start, "start", ("random", "patterns")),
            n_threads=check_count(n_threads, "n_threads"),
        )
        return x

    def energy(self, x: np.ndarray) -> np.ndarray:
        """Return -Σ_μ (ξ^μ·s)²/2N of spins ``x`` (n_samples, n_sites): (n_samples,) float64.

        In units of J. Raises ValueError or TypeError if ``x`` does not hold spins of this size.
        """
        return -np.sum(self._sums_of(x) ** 2, axis=1) / (2 * self.n_sites)

    def order_parameter(self, x: np.ndarray) -> np.ndarray:
        """Return the overlaps ξᵀs/N of spins ``x`` (n_samples, n_sites): (n_samples, P) float64.

        Raises ValueError or TypeError if ``x`` does not hold spins of this size.
        """
        return self._sums_of(x) / self.n_sites

    def log_prob(self, x: np.ndarray, temperature: float) -> np.ndarray:
        """Return -βE(s) - ln Z of spins ``x`` (n_samples, n_sites): (n_samples,) nats; P <= 3.

        ``temperature`` is one number, units of J/k_B. Raises ValueError or TypeError for a bad
        temperature, or if ``x`` does not hold spins of this size; NotImplementedError for P > 3.
        """
        beta = 1 / check_temperature(temperature)
        free = self.n_sites * np.log(2)
        return -beta * self.energy(x) - (self._solved(beta).log_partition_ratio + free)

    # ---------------------------------------------------------------- the law of the overlaps

    def overlap_law(
        self, temperature: float, pattern: int | tuple[int, int] = 0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the exact law of one ξ^μ·s, or the joint law of two; P <= 3.

        A finite sum over the sums of the classes of sites with equal ±ξ_i.

        Args:
            temperature (float): Temperature, units of J/k_B.
            pattern (int or pair of different ints): Which pattern or patterns, from 0.

        Returns:
            - values : ndarray of int64, shape (n_sites + 1,): -N, -N+2, …, N: the values of ξ^μ·s,
              N times the overlap.
            - probabilities : ndarray of float64, shape (n_sites + 1,) or (n_sites + 1, n_sites +
              1): Their probabilities; the first axis of the joint law belongs to the first pattern.

        Raises:
            TypeError, ValueError: For a bad temperature, or patterns that do not exist.
            NotImplementedError: For P > 3.
        """
        solved = self._solved(1 / check_temperature(temperature))
        chosen = pattern if isinstance(pattern, tuple) else (pattern,)
        indices = [
            check_count(mu, "pattern", minimum=0, maximum=self.n_patterns - 1) for mu in chosen
        ]
        if len(indices) > 2 or len(set(indices)) < len(indices):
            raise ValueError(f"pattern must be one index or a pair of two, got {pattern}")
        law = solved.overlap_law(*indices) if len(indices) == 1 else solved.pair_law(*indices)
        return 2 * np.arange(self.n_sites + 1) - self.n_sites, law

    # ---------------------------------------------------------------- thermodynamics, information

    def log_partition(self, temperature: Any) -> Any:
        """Return the exact ln Z, nats; P <= 3 (see Notes of the class)."""
        free = self.n_sites * np.log(2)
        return self._each(temperature, lambda solved: solved.log_partition_ratio + free)

    def free_energy(self, temperature: Any) -> Any:
        """Return the exact F = -T ln Z, units of J; P <= 3 (see Notes of the class)."""
        free = self.n_sites * np.log(2)
        return self._each(
            temperature, lambda solved: -(solved.log_partition_ratio + free) / solved.beta
        )

    def mean_energy(self, temperature: Any) -> Any:
        """Return the exact ⟨E⟩, units of J; P <= 3 (see Notes of the class)."""
        return self._each(temperature, lambda solved: solved.mean_energy)

    internal_energy = mean_energy

    def entropy(self, temperature: Any) -> Any:
        """Return the exact H(s) = ln Z + β⟨E⟩, nats; P <= 3 (see Notes of the class)."""
        free = self.n_sites * np.log(2)
        return self._each(temperature, lambda solved: free - solved.negentropy)

    def total_correlation(self, temperature: Any) -> Any:
        """Return the exact Σ_i H(s_i) - H(s) = N ln 2 - H(s), nats; P <= 3 (Notes of the class)."""
        return self._each(temperature, lambda solved: solved.negentropy)

    def dual_total_correlation(self, temperature: Any) -> Any:
        """Return the exact D = H(s) - Σ_i H(s_i | the others), nats; P <= 3 (Notes of the class).

        It is at least the mutual information across any cut (Han 1978).
        """
        return self._each(temperature, lambda solved: solved.dual_total_correlation)

    def mutual_information(self, temperature: Any, cut: str = "half") -> Any:
        """Return the exact mutual information between sites i < N // 2 and the others; P <= 3.

        Args:
            temperature (float or array_like, shape (n_temperatures,)): Temperature, units of J/k_B.
            cut ({"half"}): The first N // 2 sites on one side.

        Returns:
            Estimate, or ndarray of float64, shape (n_temperatures,): Mutual information, nats.

        Raises:
            TypeError, ValueError: For a bad temperature, or another cut.
            NotImplementedError: For P > 3.
        """
        check_choice(cut, "cut", ("half",))
        return self._each(temperature, lambda solved: solved.half_cut())

    def field_information(self, temperature: Any) -> Any:
        """Return the exact I(s; m), what the field tells about the spins, nats; P <= 3.

        ``I = h(m) - h(m | s)`` by quadrature in P dimensions (see Notes of the class). It is at
        least `dual_total_correlation`.
        """
        return self._each(temperature, lambda solved: solved.field_information)

    # ---------------------------------------------------------------- the workings

    def _solved(self, beta: float) -> SolvedHopfield:
        if self.n_patterns > MAX_PATTERNS:
            raise NotImplementedError(
                f"exact results need at most {MAX_PATTERNS} patterns, this model has "
                f"{self.n_patterns}"
            )
        return SolvedHopfield(self._patterns, beta)

    def _each(self, temperature: Any, exact: Callable[[SolvedHopfield], float]) -> Any:
        temperatures, single = check_temperatures(temperature)
        results = np.array([exact(self._solved(1 / t)) for t in temperatures])
        return Estimate(results[0]) if single else results

    def _sums_of(self, x: np.ndarray) -> np.ndarray:
        # Sums of up to 2^24 units are exact in float32.
        spins = check_spins(x, self.n_sites).astype(np.float32)
        return (spins @ self._patterns.astype(np.float32)).astype(np.float64)
