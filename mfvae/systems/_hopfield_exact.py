"""Exact results of the Hopfield model with one, two or three patterns.

Up to a sign of the site, the rows ξ_i take 2^{P-1} values: sites fall into classes, and the
energy depends on the class sums c_k alone (each spin taken times the sign of its site). With
three patterns, M₄ = Σ_i ξ_i¹ξ_i²ξ_i³ s_i completes the orthogonal transform of the class sums:

    Σ_μ M_μ² = 2^{P-1} Σ_k c_k² - [P = 3] M₄²

so that the classes are independent but for one factor exp(-βM₄²/2N) ≤ 1. Everything below is a
sum of positive terms of order N² or, for joint laws, a product of matrices of side N/2.
"""

import numpy as np
from numba import njit
from scipy.special import logsumexp

from mfvae.systems._special import binary_negentropy, log_binomial, log_cosh

MAX_PATTERNS = 3
#: Quadrature step for the field, in standard deviations of exp(-Nβm²/2): exact up to 1e-17.
_STEP = 0.7
_MAX_NODES = 100_000_000


def _sums(n: int) -> np.ndarray:
    """The values of the sum of n spins."""
    return 2 * np.arange(n + 1) - n


def _log_free(n: int) -> np.ndarray:
    """Log probabilities of those values for free spins."""
    return log_binomial(int(n)) if n else np.zeros(1)


class SolvedHopfield:
    """Finite sums for patterns (n_sites, P) int8, P <= 3, at inverse temperature ``beta``."""

    def __init__(self, patterns: np.ndarray, beta: float) -> None:
        self.patterns, self.beta = patterns, beta
        self.n_sites, self.n_patterns = patterns.shape
        #: 2^{P-1}, the number of classes and the factor of Σ c_k² in Σ M_μ².
        self.n_classes = 2 ** (self.n_patterns - 1)
        # Bit μ - 1 of the class of a site is set where ξ_i^μ differs from ξ_i^0.
        places = np.arange(self.n_patterns - 1)
        self.class_of_site = (patterns[:, 1:] != patterns[:, :1]) @ (1 << places)
        self.class_sizes = np.bincount(self.class_of_site, minlength=self.n_classes)
        # The row ξ of each class, its first entry +1, and the sign of its sum in M₄.
        signs = 1 - 2 * (np.arange(self.n_classes)[:, None] >> places & 1)
        self.class_signs = np.column_stack([np.ones(self.n_classes, dtype=int), signs])
        self.fourth_signs = self.class_signs.prod(axis=1)
        # Laws of the class sums without the M₄ factor, and Σ_k ln z_k relative to free spins.
        self.class_laws, total = [], 0.0
        for size in self.class_sizes:
            gain = beta * self.n_classes / (2 * self.n_sites)
            log_weights = _log_free(size) + gain * (_sums(size).astype(float) ** 2 - size**2)
            log_sum = logsumexp(log_weights)
            self.class_laws.append(np.exp(log_weights - log_sum))
            total += log_sum + gain * float(size) ** 2
        self.fourth_mean = 1.0  # of exp(-βM₄²/2N) over independent classes
        if self.n_patterns == 3:
            factor = self._fourth_factor(_sums(self.n_sites))
            self.fourth_mean = float(self._fourth_law() @ factor)
        #: ln(Z/2^N).
        self.log_partition_ratio = float(total) + float(np.log(self.fourth_mean))

    def _fourth_law(self, skip: int | None = None) -> np.ndarray:
        """Law of M₄ without its own factor, all classes or all but one (P = 3)."""
        law = np.ones(1)
        for k, (sign, p) in enumerate(zip(self.fourth_signs, self.class_laws, strict=True)):
            if k != skip:
                law = np.convolve(law, p[::sign])
        return law

    def _fourth_factor(self, values: np.ndarray) -> np.ndarray:
        return np.exp(-self.beta * values.astype(float) ** 2 / (2 * self.n_sites))

    def _class_and_fourth(self, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Joint law of (c_k, M₄), with both sets of values; for P < 3, M₄ is the single value 0."""
        own, values = self.class_laws[k], _sums(self.class_sizes[k])
        if self.n_patterns < 3:
            return own[:, None], values, np.zeros(1, dtype=int)
        rest, fourth = self._fourth_law(skip=k), _sums(self.n_sites)
        joint = np.zeros((len(values), len(fourth)))
        for i, c in enumerate(values):
            start = (self.class_sizes[k] + self.fourth_signs[k] * c) // 2
            joint[i, start : start + len(rest)] = own[i] * rest
        return joint * self._fourth_factor(fourth) / self.fourth_mean, values, fourth

    @property
    def internal_energy(self) -> float:
        squares = 0.0
        for k in range(self.n_classes):
            joint, values, fourth = self._class_and_fourth(k)
            squares += self.n_classes * float(joint.sum(axis=1) @ values.astype(float) ** 2)
        if self.n_patterns == 3:
            squares -= float(joint.sum(axis=0) @ fourth.astype(float) ** 2)
        return -squares / (2 * self.n_sites)

    @property
    def negentropy(self) -> float:
        """N ln 2 - H(s), the total correlation."""
        return max(-self.beta * self.internal_energy - self.log_partition_ratio, 0.0)

    def dual_total_correlation(self) -> float:
        """Σ_i [ln 2 - H(s_i | others)] minus the negentropy.

        A site of class k feels Σ_μ ξ^μ M_μ = 2^{P-1} c_k - [P = 3] ±M₄, less P times its own spin.
        """
        total = 0.0
        for k, size in enumerate(self.class_sizes):
            if size == 0:
                continue
            joint, values, fourth = self._class_and_fourth(k)
            field = self.n_classes * values[:, None] - self.fourth_signs[k] * fourth
            for sign in (1, -1):
                weight = joint * (1 + sign * values[:, None] / size) / 2
                mean = np.tanh(self.beta * (field - sign * self.n_patterns) / self.n_sites)
                total += size * float(np.sum(weight * binary_negentropy(mean)))
        return max(total - self.negentropy, 0.0)

    def pair_law(self, first: int, second: int) -> np.ndarray:
        """Joint law of (M_first, M_second), ``(n_sites + 1, n_sites + 1)`` from -N to N."""
        n = self.n_sites
        third = [mu for mu in range(self.n_patterns) if mu not in (first, second)]
        ordered = SolvedHopfield(self.patterns[:, [first, second, *third]], self.beta)
        laws, sizes = ordered.class_laws, ordered.class_sizes
        if self.n_patterns == 2:
            like, unlike = sizes
            joint = np.outer(*laws)
        else:
            # Classes 0, 2 have ξ¹ = ξ² and, up to sign, ξ³ = ξ¹ or -ξ¹; 1, 3 likewise with -ξ².
            like, unlike = sizes[0] + sizes[2], sizes[1] + sizes[3]
            left = _sum_and_difference(laws[0], laws[2])
            right = _sum_and_difference(laws[1], laws[3])
            # M₄ is the difference of classes 0 and 2 less that of 1 and 3.
            kernel = self._fourth_factor(_sums(like)[:, None] - _sums(unlike))
            joint = left @ kernel @ right.T / ordered.fourth_mean
        law = np.zeros((n + 1, n + 1))
        u, v = _sums(like)[:, None], _sums(unlike)
        law[(n + u + v) // 2, (n + u - v) // 2] = joint
        return law / law.sum()

    def overlap_law(self, pattern: int) -> np.ndarray:
        """Law of M_pattern = ξ·s, ``(n_sites + 1,)`` from -N to N."""
        if self.n_patterns == 1:
            return self.class_laws[0]
        return self.pair_law(pattern, (pattern + 1) % self.n_patterns).sum(axis=1)

    def _nodes(self) -> tuple[np.ndarray, float]:
        """Equidistant values of one component of the field, and their distance."""
        deviation = 1 / np.sqrt(self.n_sites * self.beta)
        step = _STEP * min(deviation, 1 / (2 * self.beta))
        half = int(np.ceil((1 + 10 * deviation) / step))
        if (2 * half + 1) ** self.n_patterns > _MAX_NODES:
            raise NotImplementedError(
                f"the quadrature over the field needs {2 * half + 1}^{self.n_patterns} nodes, more "
                f"than {_MAX_NODES:,}; use a higher temperature or fewer sites"
            )
        return step * np.arange(-half, half + 1), step

    def _log_density(self, planes: tuple[np.ndarray, ...], sizes: np.ndarray) -> np.ndarray:
        """Σ_k size_k ln cosh(β ξ_k·m) - Nβm²/2 on a grid given by its (broadcast) axes."""
        result = -self.n_sites * self.beta * sum(m**2 for m in planes) / 2
        for size, signs in zip(sizes, self.class_signs, strict=True):
            argument = sum(sign * m for sign, m in zip(signs, planes, strict=True))
            result = result + size * log_cosh(self.beta * argument)
        return result

    def field_information(self) -> float:
        """I(s; m) = h(m) - h(m | s), by the trapezoidal rule in P dimensions, slab by slab."""
        nodes, step = self._nodes()
        shift = self.n_patterns / 2 * np.log(self.n_sites * self.beta / (2 * np.pi))
        shift -= self.log_partition_ratio
        rest = np.meshgrid(*[nodes] * (self.n_patterns - 1), indexing="ij", sparse=True)
        weight = entropy = 0.0
        for m in nodes[nodes >= 0]:  # p(-m) = p(m)
            log_density = shift + self._log_density((m, *rest), self.class_sizes)
            density = np.exp(log_density) * (step**self.n_patterns * (1 if m == 0 else 2))
            weight += np.sum(density)
            entropy -= np.sum(density * log_density)
        if abs(weight - 1) > 1e-9:  # the normaliser is known
            raise RuntimeError(f"the density of the field integrates to {weight}, not 1")
        noise = np.log(2 * np.pi * np.e / (self.beta * self.n_sites))
        return float(entropy - self.n_patterns / 2 * noise)

    def half_cut(self) -> float:
        """I between the first N // 2 sites and the others."""
        first = np.bincount(self.class_of_site[: self.n_sites // 2], minlength=self.n_classes)
        rest = self.class_sizes - first
        information = self.negentropy - self._part_negentropy(first, rest)
        return max(information - self._part_negentropy(rest, first), 0.0)

    def subset_entropy(self, sites: np.ndarray) -> float:
        """H of some sites, nats."""
        chosen = np.bincount(self.class_of_site[sites], minlength=self.n_classes)
        rest = self.class_sizes - chosen
        return len(sites) * float(np.log(2)) - self._part_negentropy(chosen, rest)

    def _class_negentropy(self, size: int, other: int) -> float:
        """That of a part of one class, which is independent of the other classes: P < 3."""
        values = _sums(size)[:, None] + _sums(other).astype(float)
        gain = self.beta * self.n_classes / (2 * self.n_sites)
        log_joint = _log_free(size)[:, None] + _log_free(other) + gain * values**2
        log_law = logsumexp(log_joint - logsumexp(log_joint), axis=1)
        return float(np.exp(log_law) @ (log_law - _log_free(size)))

    def _part_negentropy(self, sizes: np.ndarray, others: np.ndarray) -> float:
        """|A| ln 2 - H(s_A), for P = 3 by quadrature:

        ``2^{|A|} p(s_A) = (2^N/Z) (Nβ/2π)^{3/2} ∫ dm exp(-Nβm²/2 + βm·M_A) Π_B cosh(β ξ_i·m)``.
        Split as exp(-Nβ(m - 2M_A/N)²/4) exp(βM_A²/N) times a function of m alone, the integral is
        three products of matrices with entries below one.
        """
        if self.n_patterns < 3:
            return sum(map(self._class_negentropy, sizes, others))
        nodes, step = self._nodes()
        stiffness = self.n_sites * self.beta / 4
        values = _sums(int(sizes.sum())).astype(float)
        kernel = np.exp(-stiffness * (nodes - 2 * values[:, None] / self.n_sites) ** 2)
        grid = np.meshgrid(nodes, nodes, nodes, indexing="ij", sparse=True)
        log_rest = self._log_density(tuple(grid), others)
        log_rest += stiffness * sum(m**2 for m in grid)
        top = log_rest.max()
        rest = np.exp(log_rest - top).reshape(len(nodes), -1)
        constant = top + 1.5 * np.log(self.n_sites * self.beta / (2 * np.pi)) + 3 * np.log(step)
        constant -= self.log_partition_ratio
        squares = values**2 * self.beta / self.n_sites
        free = [np.exp(_log_free(size)) for size in sizes]
        weight = negentropy = 0.0
        for i in range(len(values)):  # a plane M₁ = constant at a time
            plane = kernel @ (kernel[i] @ rest).reshape(2 * [len(nodes)]) @ kernel.T
            log_ratio = np.log(plane, out=np.full(plane.shape, -np.inf), where=plane > 0)
            log_ratio += constant + squares[i] + squares[:, None] + squares
            sums = _sum_over_classes(i, log_ratio, *free)
            weight, negentropy = weight + sums[0], negentropy + sums[1]
        if abs(weight - 1) > 1e-9:
            raise RuntimeError(f"the law of half the sites sums to {weight}, not 1")
        return negentropy


def _sum_and_difference(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Joint law of (a + b, a - b) of independent a and b, indexed from their lowest values."""
    i, j = np.arange(len(first))[:, None], np.arange(len(second))
    joint = np.zeros((len(first) + len(second) - 1,) * 2)
    joint[i + j, i + j[::-1]] = np.outer(first, second)
    return joint


@njit(cache=True)
def _sum_over_classes(n_up, log_ratio, p0, p1, p2, p3):  # pragma: no cover
    """Σ p r and Σ p r ln r over the sums of four free classes with ``n_up`` spins up in all.

    ln r is a function of (M₂, M₃) on that plane.
    """
    n1, n2, n3 = len(p1) - 1, len(p2) - 1, len(p3) - 1
    weight = total = 0.0
    for a in range(min(len(p0) - 1, n_up) + 1):
        for b in range(min(n1, n_up - a) + 1):
            left = n_up - a - b
            for c in range(max(0, left - n3), min(n2, left) + 1):
                d = left - c
                value = log_ratio[a + (n1 - b) + c + (n3 - d), a + b + (n2 - c) + (n3 - d)]
                probability = p0[a] * p1[b] * p2[c] * p3[d] * np.exp(value)
                if probability > 0:
                    weight += probability
                    total += probability * value
    return weight, total
