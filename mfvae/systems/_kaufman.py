"""Kaufman's exact partition function of the Ising model on a torus, with its derivatives."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

__all__ = ["log_partition_derivatives"]

#: Above this κ the variance of the energy, e^{-8κ}, is below rounding and is taken from its series.
_FROZEN = 4.0


@lru_cache(maxsize=4096)
def log_partition_derivatives(length: int, kappa: float) -> tuple[float, float, float]:
    """Return ln Z of the length × length torus and its first two derivatives by κ = J/T.

    Kaufman, B. (1949), Phys. Rev. 76, 1232, eq. 79: with S = sinh 2κ and
    ``cosh γ_l = S + 1/S - cos(πl/L)``, ``Z = ½ (2S)^{N/2} (Z1 + Z2 + Z3 ± |Z4|)``, products over
    odd l (Z1 of 2cosh(Lγ_l/2), Z2 of 2sinh) and over even l (Z3, Z4); Z4 is negative above T_c.

    Everything is written in x = min(S, 1/S), in which each product is smooth on all of [0, 1]:
    with ``e^γ = (D + u)/x``, ``D = 1 + x² - x cos(πl/L)``, ``u = √(D² - x²)``,

        (2x)^{L/2} · 2cosh(Lγ/2) = e^{Lg/2} (1 + w^L),   g = ln 2(D + u),   w = x/(D + u) = e^{-γ},

    and sinh with the minus sign. Nothing overflows at low temperature or cancels at high
    temperature, and at T_c the vanishing factor of Z4 is kept as a factor, never divided by.

    Args:
        length (int): L, at least 3; the cost is O(L).
        kappa (float): κ = J/T > 0.

    Returns:
        tuple of three floats: ln Z (nats), its derivative -⟨E⟩/J, and its second derivative (⟨E²⟩ -
            ⟨E⟩²)/J².
    """
    n_sites = length * length
    # x and its derivatives by κ; (2S)^{N/2} = (2x)^{N/2} e^{extra}.
    if np.sinh(min(2 * kappa, 50.0)) < 1:
        above = True  # above T_c
        x = np.sinh(2 * kappa)
        x1, x2 = 2 * np.cosh(2 * kappa), 4 * x
        extra, extra1, extra2 = 0.0, 0.0, 0.0
    else:
        above = False
        decay = np.exp(-4 * kappa)
        x = 2 * np.exp(-2 * kappa) / (1 - decay)
        coth = (1 + decay) / (1 - decay)
        x1, x2 = -2 * coth * x, 4 * x + 8 * x**3
        extra = n_sites * (2 * kappa + np.log1p(-decay) - np.log(2))
        extra1, extra2 = 2 * n_sites * coth, -4 * n_sites * x**2

    odd, even = _Factors(length, x, 1), _Factors(length, x, 0)
    logs = [
        odd.log_products(+1, skip_first=False),
        odd.log_products(-1, skip_first=False),
        even.log_products(+1, skip_first=False),
        even.log_products(-1, skip_first=True),
    ]
    # Z4 = ± (regular product) · (1 - v), v = w_0^L: the factor that vanishes at T_c.
    v, v1, v2 = even.v[0], even.v1[0], even.v2[0]
    sign = -1.0 if above else 1.0
    total, total1, total2 = 0.0, 0.0, 0.0
    for index, (log, log1, log2) in enumerate(logs):
        h, h1, h2 = (sign * (1 - v), -sign * v1, -sign * v2) if index == 3 else (1.0, 0.0, 0.0)
        # Relative to Z1, so that derivatives are differences and the variance does not cancel.
        weight = np.exp(log - logs[0][0])
        slope, curve = log1 - logs[0][1], log2 - logs[0][2]
        total += weight * h
        total1 += weight * (slope * h + h1)
        total2 += weight * ((slope**2 + curve) * h + 2 * slope * h1 + h2)
    f = logs[0][0] + np.log(total)
    f1 = logs[0][1] + total1 / total
    f2 = logs[0][2] + total2 / total - (total1 / total) ** 2
    variance = x1**2 * f2 + x2 * f1 + extra2
    if kappa > _FROZEN:
        # One flipped spin, two neighbours, one row or column around the torus; then O(e^{-16κ}).
        variance = n_sites * (64 * np.exp(-8 * kappa) + 288 * np.exp(-12 * kappa))
        variance += 32 * length**3 * np.exp(-4 * length * kappa)
    return float(f + extra - np.log(2)), float(x1 * f1 + extra1), float(variance)


class _Factors:
    """The factors of a product over l = parity, parity + 2, … below 2L, as functions of x."""

    def __init__(self, length: int, x: float, parity: int) -> None:
        angle = np.pi * np.arange(parity, 2 * length, 2) / length
        cosine, gap = np.cos(angle), 2 * np.sin(angle / 2) ** 2
        d, d1, d2 = 1 + x**2 - x * cosine, 2 * x - cosine, 2.0
        # u² = (D - x)(D + x), without cancellation at x = 1, and its derivatives.
        minus, plus = (1 - x) ** 2 + x * gap, 1 + x**2 + x * gap
        minus1, plus1 = 2 * (x - 1) + gap, 2 * x + gap
        u = np.sqrt(minus * plus)
        if parity == 0:  # l = 0: u = (1 - x) √(1 + x²), smooth though it vanishes
            u[0] = 1.0  # keeps the general formula finite; replaced below
        q1, q2 = minus1 * plus + minus * plus1, 2 * plus + 2 * minus1 * plus1 + 2 * minus
        u1 = q1 / (2 * u)
        u2 = (q2 - 2 * u1**2) / (2 * u)
        if parity == 0:
            r = np.sqrt(1 + x**2)
            u[0], u1[0] = (1 - x) * r, -r + (1 - x) * x / r
            u2[0] = (1 - 3 * x) / r - (1 - x) * x**2 / r**3
        self.length = length
        self.g = np.log(2 * (d + u))
        self.g1 = (d1 + u1) / (d + u)
        self.g2 = (d2 + u2) / (d + u) - self.g1**2
        scale = 1 / (d + u)
        w = x * scale
        w1 = scale * (1 - x * self.g1)
        w2 = scale * (x * self.g1**2 - 2 * self.g1 - x * self.g2)
        self.v = w**length
        self.v1 = length * w ** (length - 1) * w1
        self.v2 = length * w ** (length - 2) * ((length - 1) * w1**2 + w * w2)

    def log_products(self, sign: int, *, skip_first: bool) -> tuple[float, float, float]:
        """Return ln Π e^{Lg/2} (1 ± w^L) and two derivatives by x.

        With ``skip_first``, the bracket of the first factor (not its exponential) is left out.
        """
        part = slice(1, None) if skip_first else slice(None)
        half = self.length / 2
        bracket = 1 + sign * self.v[part]
        ratio = sign * self.v1[part] / bracket
        return (
            half * self.g.sum() + np.log1p(sign * self.v[part]).sum(),
            half * self.g1.sum() + ratio.sum(),
            half * self.g2.sum() + (sign * self.v2[part] / bracket - ratio**2).sum(),
        )
