"""Special functions of two-state sites, free of overflow and of avoidable rounding."""

import numpy as np
from scipy.special import gammaln, xlogy


def log_cosh(x: np.ndarray) -> np.ndarray:
    """ln cosh x without overflow or cancellation."""
    x = np.abs(x)
    small = np.log1p(2 * np.sinh(np.minimum(x, 1) / 2) ** 2)
    return np.where(x < 1, small, x + np.log1p(np.exp(-2 * x)) - np.log(2))


def binary_negentropy(mean: np.ndarray) -> np.ndarray:
    """ln 2 minus the entropy, nats, of a spin of the given mean."""
    return (xlogy(1 + mean, 1 + mean) + xlogy(1 - mean, 1 - mean)) / 2


def log_binomial(n: int) -> np.ndarray:
    """ln [C(n, k)/2^n] for k = 0, …, n, with small absolute errors where it matters.

    Stirling's series about the binary entropy (Loader 2000) in place of three large lnΓ, whose
    difference would lose ten digits at n = 10⁵.
    """
    log_binomial = np.full(n + 1, -n * np.log(2))
    up = np.arange(1.0, n)
    down = n - up
    log_binomial[1:n] = (
        -n * binary_negentropy((up - down) / n)
        + 0.5 * np.log(n / (2 * np.pi * up * down))
        + _stirling_error(np.array([n]))
        - _stirling_error(up)
        - _stirling_error(down)
    )
    return log_binomial


def _stirling_error(n: np.ndarray) -> np.ndarray:
    """ln n! minus Stirling's formula (n + 1/2) ln n - n + ln(2π)/2."""
    n = n.astype(float)
    series = (1 / 12 - (1 / 360 - (1 / 1260 - 1 / 1680 / n**2) / n**2) / n**2) / n
    direct = gammaln(n + 1) - (n + 0.5) * np.log(n) + n - 0.5 * np.log(2 * np.pi)
    return np.where(n > 30, series, direct)
