"""Exact results of the square lattice: Kaufman's torus, the infinite cylinder, enumeration."""

from functools import lru_cache

import numpy as np
from scipy.sparse.linalg import LinearOperator, eigsh
from scipy.special import logsumexp, xlogy

from mfvae.systems.base import Estimate

ENUMERABLE = 4  # the largest length that is enumerated: 2^16 configurations
_FROZEN = 4.0  # κ above which the variance of the energy, e^{-8κ}, is taken from its series


@lru_cache(maxsize=4096)
def log_partition_derivatives(length: int, kappa: float) -> tuple[float, float, float]:
    """Return ln Z of the length × length torus and its first two derivatives by κ = J/T > 0.

    They are ln Z (nats), -⟨E⟩/J and (⟨E²⟩ - ⟨E⟩²)/J², at a cost O(length).

    Kaufman, B. (1949), Phys. Rev. 76, 1232, eq. 79: with S = sinh 2κ and
    ``cosh γ_l = S + 1/S - cos(πl/L)``, ``Z = ½ (2S)^{N/2} (Z1 + Z2 + Z3 ± |Z4|)``, products over
    odd l (Z1 of 2cosh(Lγ_l/2), Z2 of 2sinh) and over even l (Z3, Z4); Z4 is negative above T_c.

    Everything is written in x = min(S, 1/S), in which each product is smooth on all of [0, 1]:
    with ``e^γ = (D + u)/x``, ``D = 1 + x² - x cos(πl/L)``, ``u = √(D² - x²)``,

        (2x)^{L/2} · 2cosh(Lγ/2) = e^{Lg/2} (1 + w^L),   g = ln 2(D + u),   w = x/(D + u) = e^{-γ},

    and sinh with the minus sign. Nothing overflows or cancels, and the factor of Z4 that vanishes
    at T_c is never divided by.
    """
    n_sites = length * length
    # x and its derivatives by κ; (2S)^{N/2} = (2x)^{N/2} e^{extra}.
    above = bool(np.sinh(min(2 * kappa, 50.0)) < 1)  # above T_c
    if above:
        x = np.sinh(2 * kappa)
        x1, x2 = 2 * np.cosh(2 * kappa), 4 * x
        extra, extra1, extra2 = 0.0, 0.0, 0.0
    else:
        decay = np.exp(-4 * kappa)
        x = 2 * np.exp(-2 * kappa) / (1 - decay)
        coth = (1 + decay) / (1 - decay)
        x1, x2 = -2 * coth * x, 4 * x + 8 * x**3
        extra = n_sites * (2 * kappa + np.log1p(-decay) - np.log(2))
        extra1, extra2 = 2 * n_sites * coth, -4 * n_sites * x**2

    z1, z2, _ = _products(length, x, 1)
    z3, z4, (v, v1, v2) = _products(length, x, 0)
    # Z4 = ± (regular product) · (1 - v), v = w_0^L: the factor that vanishes at T_c.
    sign = -1.0 if above else 1.0
    terms = [(*z, 1.0, 0.0, 0.0) for z in (z1, z2, z3)]
    terms.append((*z4, sign * (1 - v), -sign * v1, -sign * v2))
    total = total1 = total2 = 0.0
    for log, log1, log2, h, h1, h2 in terms:
        # Relative to Z1, so that derivatives are differences and the variance does not cancel.
        weight = np.exp(log - z1[0])
        slope, curve = log1 - z1[1], log2 - z1[2]
        total += weight * h
        total1 += weight * (slope * h + h1)
        total2 += weight * ((slope**2 + curve) * h + 2 * slope * h1 + h2)
    f = z1[0] + np.log(total)
    f1 = z1[1] + total1 / total
    f2 = z1[2] + total2 / total - (total1 / total) ** 2
    variance = x1**2 * f2 + x2 * f1 + extra2
    if kappa > _FROZEN:
        # One flipped spin, two neighbours, one row or column around the torus; then O(e^{-16κ}).
        variance = n_sites * (64 * np.exp(-8 * kappa) + 288 * np.exp(-12 * kappa))
        variance += 32 * length**3 * np.exp(-4 * length * kappa)
    return float(f + extra - np.log(2)), float(x1 * f1 + extra1), float(variance)


def _products(length: int, x: float, parity: int) -> list[tuple[float, float, float]]:
    """ln Π e^{Lg/2} (1 ± w^L) over l = parity, parity + 2, … below 2L, and w_0^L.

    Each with two derivatives by x: first the product with plus, then that with minus, which for
    even l leaves out the bracket (not the exponential) of l = 0.
    """
    angle = np.pi * np.arange(parity, 2 * length, 2) / length
    cosine, gap = np.cos(angle), 2 * np.sin(angle / 2) ** 2
    d, d1, d2 = 1 + x**2 - x * cosine, 2 * x - cosine, 2.0
    # u² = (D - x)(D + x), without cancellation at x = 1, and its derivatives.
    minus, plus = (1 - x) ** 2 + x * gap, 1 + x**2 + x * gap
    minus1, plus1 = 2 * (x - 1) + gap, 2 * x + gap
    u = np.sqrt(minus * plus)
    if parity == 0:
        u[0] = 1.0  # keeps the general formula finite; replaced below
    q1, q2 = minus1 * plus + minus * plus1, 2 * plus + 2 * minus1 * plus1 + 2 * minus
    u1 = q1 / (2 * u)
    u2 = (q2 - 2 * u1**2) / (2 * u)
    if parity == 0:  # l = 0: u = (1 - x) √(1 + x²), smooth though it vanishes
        r = np.sqrt(1 + x**2)
        u[0], u1[0] = (1 - x) * r, -r + (1 - x) * x / r
        u2[0] = (1 - 3 * x) / r - (1 - x) * x**2 / r**3
    g, g1 = np.log(2 * (d + u)), (d1 + u1) / (d + u)
    g2 = (d2 + u2) / (d + u) - g1**2
    scale = 1 / (d + u)
    w, w1, w2 = x * scale, scale * (1 - x * g1), scale * (x * g1**2 - 2 * g1 - x * g2)
    v = w**length
    v1 = length * w ** (length - 1) * w1
    v2 = length * w ** (length - 2) * ((length - 1) * w1**2 + w * w2)
    products = []
    for sign, part in ((1, slice(None)), (-1, slice(1 - parity, None))):
        bracket = 1 + sign * v[part]
        ratio = sign * v1[part] / bracket
        log = length / 2 * g.sum() + np.log1p(sign * v[part]).sum()
        log2 = length / 2 * g2.sum() + (sign * v2[part] / bracket - ratio**2).sum()
        products.append((log, length / 2 * g1.sum() + ratio.sum(), log2))
    return [*products, (v[0], v1[0], v2[0])]


def _apply_factors(vector: np.ndarray, circumference: int, factor: np.ndarray) -> np.ndarray:
    """Multiply by the same 2 × 2 matrix acting on each of the spins of a row."""
    for _ in range(circumference):
        # The leading spin is contracted and comes back as the last: after L turns all is in place.
        vector = (factor @ vector.reshape(2, -1)).T.ravel()
    return vector


def cylinder_information(circumference: int, kappa: float) -> float:
    """Return the mutual information across one cut of an infinite cylinder, nats, κ = J/T > 0.

    With ψ and λ the dominant eigenvector and eigenvalue of the symmetric transfer matrix
    ``T(s,s') = exp[V(s)/2 + κ Σ_j s_j s'_j + V(s')/2]``, V the energy of a row, neighbouring rows
    have ``p(s,s') = ψ(s) T(s,s') ψ(s')/λ`` and ``I = E[ln T] - ln λ + H(ψ²)``. T is applied as a
    product of L two-by-two factors (Kramers & Wannier 1941), at a cost O(L 2^L), L >= 3.
    """
    size = 2**circumference
    states = np.arange(size)
    rotated = (states >> 1) | ((states & 1) << (circumference - 1))
    # Broken bonds of a row; energies are taken from the ground state, so that nothing overflows.
    broken = np.bitwise_count(states ^ rotated)
    row = np.exp(-kappa * broken)  # e^{V/2}, scaled by e^{-κL/2}
    flip = np.exp(-2 * kappa)
    aligned = np.array([[1.0, flip], [flip, 1.0]])

    def transfer(half: np.ndarray) -> np.ndarray:
        # The dominant eigenvector is even under a flip of all spins, which reverses the index:
        # the first half of it determines the rest, and the odd sector never enters.
        even = np.concatenate([half, half[::-1]])
        return (row * _apply_factors(row * even, circumference, aligned))[: size // 2]

    operator = LinearOperator((size // 2, size // 2), matvec=lambda v: transfer(v.ravel()))
    values, vectors = eigsh(operator, k=1, which="LA", v0=row[: size // 2], tol=0)
    half = np.abs(vectors[:, 0])
    psi = np.concatenate([half, half[::-1]])
    psi /= np.linalg.norm(psi)

    # E[ln T]: each broken bond of a row costs κ to both of its halves, each one between rows 2κ.
    within = 2 * kappa * (psi**2 @ broken)
    crossed = np.array([[0.0, 2 * kappa * flip], [2 * kappa * flip, 0.0]])
    vector = (crossed @ (row * psi).reshape(2, -1)).T.ravel()
    vector = _apply_factors(vector, circumference - 1, aligned)
    between = circumference * (psi @ (row * vector)) / values[0]
    entropy = -xlogy(psi**2, psi**2).sum()
    return max(float(entropy - within - between - np.log(values[0])), 0.0)


def _conditional_entropy(kappa: float) -> np.ndarray:
    """H(s_i | neighbours) for neighbours that sum to -4, -2, 0, 2, 4: (5,) nats."""
    x = np.abs(kappa * np.arange(-4, 5, 2))
    decay = np.exp(-2 * x)
    return np.log1p(decay) + 2 * x * decay / (1 + decay)  # ln 2cosh x - x tanh x


def _fields(spins: np.ndarray, length: int) -> np.ndarray:
    """The sums over the four neighbours of each site, (n, length, length)."""
    lattice = spins.reshape(-1, length, length)
    return sum(np.roll(lattice, shift, axis) for shift in (1, -1) for axis in (1, 2))


def mean_conditional_entropy(
    chains: np.ndarray, kappa: float, energies: np.ndarray, known_energy: float
) -> Estimate:
    """Return Σ_i H(s_i | neighbours), nats, averaged over independent chains of a square torus.

    The means of the ``chains`` of spins, int8 ``(n_chains, n_records, n_sites)``, are regressed on
    those of their ``energies``, ``(n_chains, n_records)``, and read off at the known value.
    """
    n_chains, n_records, n_sites = chains.shape
    table, conditional = _conditional_entropy(kappa), np.empty(n_chains)
    for k, chain in enumerate(chains):
        sums = _fields(chain, round(np.sqrt(n_sites)))
        counts = np.bincount(((sums + 4) // 2).ravel(), minlength=5)
        conditional[k] = table @ counts / n_records
    energy = energies.mean(axis=1)
    excess, shift = energy - energy.mean(), known_energy - energy.mean()
    spread = max(excess @ excess, np.finfo(float).tiny)
    slope = excess @ conditional / spread
    residual = conditional - conditional.mean() - slope * excess
    variance = residual @ residual / (n_chains - 2) * (1 / n_chains + shift**2 / spread)
    value = conditional.mean() + slope * shift
    return Estimate(value, stderr=float(np.sqrt(variance)), exact=False)


@lru_cache(maxsize=2)
def _configurations(length: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All spins (2^N, N), Σ_⟨ij⟩ s_i s_j, and the sums over the neighbours (2^N, N)."""
    n_sites = length * length
    bits = np.arange(2**n_sites)[:, None] >> np.arange(n_sites)[::-1] & 1
    spins = (2 * bits - 1).astype(np.int8)
    fields = _fields(spins, length).reshape(-1, n_sites)
    return spins, np.einsum("ij,ij->i", spins, fields, dtype=np.int64) // 2, fields


class Enumeration:
    """Exact averages of the length × length torus at κ = J/T of either sign, length <= 4."""

    def __init__(self, length: int, kappa: float) -> None:
        self.length, self.kappa = length, kappa
        self.spins, self.bonds, self.fields = _configurations(length)
        log_weights = kappa * self.bonds
        self.log_partition = float(logsumexp(log_weights))
        self.probability = np.exp(log_weights - self.log_partition)
        self.entropy = self.log_partition - kappa * self.average(self.bonds)

    def average(self, values: np.ndarray) -> float:
        """Return the thermal average of one value for each configuration."""
        return float(self.probability @ values)

    def dual_total_correlation(self) -> float:
        """H(s) - Σ_i H(s_i | the others), nats."""
        conditional = _conditional_entropy(self.kappa)[(self.fields + 4) // 2]
        return self.entropy - self.average(conditional.sum(axis=1))

    def mutual_information(self, cut: str) -> float:
        """Mutual information of two sets of sites, nats (`cut` as in Ising2D)."""
        row, column = np.divmod(np.arange(self.length**2), self.length)
        first = row < self.length // 2 if cut == "half" else (row + column) % 2 == 0
        sides = (np.flatnonzero(first), np.flatnonzero(~first))
        return max(sum(map(self.subset_entropy, sides)) - self.entropy, 0.0)

    def subset_entropy(self, sites: np.ndarray) -> float:
        """Entropy of some sites, nats."""
        law = self.probability.reshape((2,) * self.length**2)
        marginal = law.sum(axis=tuple(np.setdiff1d(np.arange(self.length**2), sites)))
        return -float(xlogy(marginal, marginal).sum())
