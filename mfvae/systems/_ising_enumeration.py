"""What single spins know of their neighbours, and small tori by counting every configuration."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.special import logsumexp, xlogy

from mfvae.systems.base import Estimate

__all__ = ["ENUMERABLE", "Enumeration", "conditional_entropy", "mean_conditional_entropy"]

#: The largest length that is enumerated: 2^16 configurations.
ENUMERABLE = 4


def conditional_entropy(kappa: float) -> np.ndarray:
    """Return H(s_i | neighbours) for neighbours that sum to -4, -2, 0, 2, 4: (5,) nats."""
    x = np.abs(kappa * np.arange(-4, 5, 2))
    decay = np.exp(-2 * x)
    return np.log1p(decay) + 2 * x * decay / (1 + decay)  # ln 2cosh x - x tanh x


def mean_conditional_entropy(
    chains: np.ndarray, kappa: float, energies: np.ndarray, known_energy: float
) -> Estimate:
    """Return Σ_i H(s_i | neighbours), nats, averaged over independent chains of a square torus.

    The known mean energy serves as control variate: the means of the chains are regressed on
    their mean energies, and the line is read off at the known value.

    Args:
        chains (ndarray of int8, shape (n_chains, n_records, n_sites)): Spins -1 and +1.
        kappa (float): J/T.
        energies (ndarray of float64, shape (n_chains, n_records)): Energies of the records.
        known_energy (float): The exact mean energy, in the same unit.
    """
    n_chains, n_records, n_sites = chains.shape
    length = round(np.sqrt(n_sites))
    table = conditional_entropy(kappa)
    conditional = np.empty(n_chains)
    for k, chain in enumerate(chains):
        lattice = chain.reshape(-1, length, length)
        fields = sum(np.roll(lattice, shift, axis) for shift in (1, -1) for axis in (1, 2))
        counts = np.bincount(((fields + 4) // 2).ravel(), minlength=5)
        conditional[k] = table @ counts / n_records
    energy = energies.mean(axis=1)
    excess, shift = energy - energy.mean(), known_energy - energy.mean()
    spread = max(excess @ excess, np.finfo(float).tiny)
    slope = excess @ conditional / spread
    residual = conditional - conditional.mean() - slope * excess
    variance = residual @ residual / (n_chains - 2) * (1 / n_chains + shift**2 / spread)
    value = conditional.mean() + slope * shift
    return Estimate(value, stderr=float(np.sqrt(variance)), exact=False)


@lru_cache(maxsize=8)
def _configurations(length: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """All spins (2^N, N), Σ_⟨ij⟩ s_i s_j, Σ_i s_i, and the sums over the neighbours (2^N, N)."""
    n_sites = length * length
    bits = np.arange(2**n_sites)[:, None] >> np.arange(n_sites)[::-1] & 1
    spins = (2 * bits - 1).astype(np.int8)
    lattice = spins.reshape(-1, length, length)
    fields = sum(np.roll(lattice, shift, axis) for shift in (1, -1) for axis in (1, 2))
    fields = fields.reshape(-1, n_sites)
    bonds = np.einsum("ij,ij->i", spins, fields, dtype=np.int64) // 2
    return spins, bonds, spins.sum(axis=1, dtype=np.int64), fields


class Enumeration:
    """Exact averages of the length × length torus at κ = J/T of either sign, length <= 4."""

    def __init__(self, length: int, kappa: float) -> None:
        self.length, self.kappa = length, kappa
        self.spins, self.bonds, self.total, self.fields = _configurations(length)
        log_weights = kappa * self.bonds
        self.log_partition = float(logsumexp(log_weights))
        self.probability = np.exp(log_weights - self.log_partition)

    def average(self, values: np.ndarray) -> float:
        """Return the thermal average of one value for each configuration."""
        return float(self.probability @ values)

    @property
    def entropy(self) -> float:
        """H(s), nats."""
        return self.log_partition - self.kappa * self.average(self.bonds)

    def dual_total_correlation(self) -> float:
        """H(s) - Σ_i H(s_i | the others), nats."""
        conditional = conditional_entropy(self.kappa)[(self.fields + 4) // 2]
        return self.entropy - self.average(conditional.sum(axis=1))

    def mutual_information(self, cut: str) -> float:
        """Mutual information of two sets of sites, nats (`cut` as in Ising2D)."""
        row, column = np.divmod(np.arange(self.length**2), self.length)
        first = row < self.length // 2 if cut == "half" else (row + column) % 2 == 0
        law = self.probability.reshape((2,) * self.length**2)
        information = -self.entropy
        for side in (first, ~first):
            marginal = law.sum(axis=tuple(np.flatnonzero(~side)))
            information -= float(xlogy(marginal, marginal).sum())
        return max(information, 0.0)
