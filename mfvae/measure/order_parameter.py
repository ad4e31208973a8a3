"""Moments of any order parameter, and where a curve measured with errors has its peak."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mfvae._validation import check_count, check_finite_array, check_temperature
from mfvae.measure._jackknife import jackknife_of_means
from mfvae.systems.base import Estimate

__all__ = ["OrderParameterMoments", "order_parameter_moments", "peak_location"]


@dataclass(frozen=True)
class OrderParameterMoments:
    """What one temperature says of an order parameter S; each value has its standard error.

    Attributes:
        mean (Estimate): ``⟨S⟩``.
        susceptibility (Estimate): ``N (⟨S²⟩ - ⟨S⟩²)/T``, units of 1/J.
        binder_cumulant (Estimate): ``1 - ⟨S⁴⟩/(3⟨S²⟩²)``.
    """

    mean: Estimate
    susceptibility: Estimate
    binder_cumulant: Estimate


def order_parameter_moments(
    values: np.ndarray, n_sites: int, temperature: float, *, n_blocks: int = 64
) -> OrderParameterMoments:
    """Return mean, susceptibility and Binder cumulant of an order parameter S.

    Args:
        values (array_like, shape (n_samples,)): S of each configuration, per site, all at one
            temperature.
        n_sites (int): Number N of sites.
        temperature (float): Units of J/k_B.
        n_blocks (int): Number of blocks for the jackknife, at least 2 (fewer if there are fewer
            rows).

    Returns:
        OrderParameterMoments

    Raises:
        TypeError, ValueError: If ``values`` are not at least two finite numbers, or an argument is
            not as described.

    >>> moments = order_parameter_moments([0.2, 0.4], 10, 0.5)
    >>> round(float(moments.mean), 3), round(float(moments.susceptibility), 3)
    (0.3, 0.2)
    """
    s = check_finite_array(values, "values", ndim=1)
    scale = check_count(n_sites, "n_sites") / check_temperature(temperature)
    mean = jackknife_of_means(s[:, None], lambda m: m[..., 0], n_blocks)
    # The variance does not depend on where S is measured from; near its mean it rounds less.
    centred = s - s.mean()
    susceptibility = jackknife_of_means(
        np.stack([centred, centred**2], axis=1),
        lambda m: scale * (m[..., 1] - m[..., 0] ** 2),
        n_blocks,
    )
    if not s.any():
        return OrderParameterMoments(mean, susceptibility, Estimate(np.nan, exact=False))
    binder = jackknife_of_means(
        np.stack([s**2, s**4], axis=1), lambda m: 1 - m[..., 1] / (3 * m[..., 0] ** 2), n_blocks
    )
    return OrderParameterMoments(mean, susceptibility, binder)


def peak_location(x: Any, estimates: Sequence[Estimate], *, degree: int = 2) -> Estimate:
    """Return where a curve has its maximum, from a polynomial through points with errors.

    Weighted least squares of ``degree``, over the points handed in: choose them around the peak.
    The standard error follows from those of the points, to first order; what the polynomial
    cannot follow is not in it, so compare curves on the same ``x``.

    Args:
        x (array_like, shape (n,)): Where the estimates were made, at least ``degree + 1`` different
            places.
        estimates (sequence of Estimate, length n): Values with positive standard errors.
        degree (int): Of the polynomial, at least 2.

    Returns:
        Estimate: Location of the largest maximum within the range of ``x``.

    Raises:
        TypeError, ValueError: If the arguments do not fit, or there is no maximum within the range.

    >>> x = [0.0, 1.0, 2.0, 3.0]
    >>> round(peak_location(x, [Estimate(-((v - 1.2) ** 2), stderr=0.1) for v in x]), 3)
    1.2
    """
    x = check_finite_array(x, "x", ndim=1)
    y = check_finite_array([float(e) for e in estimates], "estimates", ndim=1)
    error = check_finite_array([e.stderr for e in estimates], "standard errors", ndim=1)
    check_count(degree, "degree", minimum=2)
    if x.shape != y.shape or len(np.unique(x)) <= degree:
        raise ValueError(
            f"need one estimate for each of at least {degree + 1} places, got {len(y)} and {len(x)}"
        )
    if np.any(error <= 0):
        raise ValueError("every estimate needs a positive standard error")
    centre, half = (x.max() + x.min()) / 2, np.ptp(x) / 2
    powers = np.vander((x - centre) / half, degree + 1, increasing=True)
    fit = np.linalg.pinv(powers / error[:, None]) / error  # coefficients are fit @ y
    curve = np.polynomial.Polynomial(fit @ y)
    slope, bend = curve.deriv(), curve.deriv(2)
    turns = [r.real for r in slope.roots() if abs(r.imag) < 1e-9 and abs(r.real) <= 1]
    peaks = [r for r in turns if bend(r) < 0]
    if not peaks:
        raise ValueError("the fitted curve has no maximum within the range of x")
    place = max(peaks, key=curve)
    # d(place) = -d(slope)/bend, and the slope at a place is linear in y.
    gradient = np.arange(1, degree + 1) * place ** np.arange(degree) @ fit[1:] / bend(place)
    stderr = half * np.sqrt(np.sum((gradient * error) ** 2))
    return Estimate(centre + half * place, stderr=stderr, exact=False)
