"""Which latent carries which order parameter, in ways that do and do not depend on the axes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mfvae._validation import check_count, check_finite_array

__all__ = ["AxisAlignment", "axis_alignment", "order_parameter_axis"]


class AxisAlignment(NamedTuple):
    """How one order parameter lies in a latent space.

    Attributes:
        correlations (numpy.ndarray of float64): Pearson correlation of each latent with the order
            parameter, ``(n_latents,)``.
        r_squared (float): Share of its variance that a linear function of *all* latents explains;
            unchanged by a rotation of the latents, as by any invertible linear map.
        mutual_information (numpy.ndarray of float64): Between each latent and the order parameter,
            nats, both sorted into bins of equal content, ``(n_latents,)``.
        gap (float): Mutual information gap: the lead of the best latent over the second, divided by
            the entropy of the bins; 1 if one latent says all, 0 if two say the same. Not a number
            for one latent.
    """

    correlations: np.ndarray
    r_squared: float
    mutual_information: np.ndarray
    gap: float


def _check_latents_and_values(z: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    z = check_finite_array(z, "z", ndim=2)
    values = check_finite_array(values, "order_parameter", ndim=1)
    if len(values) != len(z):
        raise ValueError(f"order_parameter must have shape ({len(z)},), got {values.shape}")
    if np.ptp(values) == 0:
        raise ValueError("order_parameter must vary over the samples, it is constant")
    return z, values


def _bins(values: np.ndarray, n_bins: int) -> np.ndarray:
    """Return for each value the bin it falls in; equal values fall in the same one."""
    edges = np.quantile(values, np.arange(1, n_bins) / n_bins)
    return np.searchsorted(edges, values, side="right")


def _discrete_information(a: np.ndarray, b: np.ndarray, n_bins: int) -> float:
    joint = np.bincount(a * n_bins + b, minlength=n_bins**2).reshape(n_bins, n_bins) / len(a)
    independent = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    there = joint > 0
    return float(np.sum(joint[there] * np.log(joint[there] / independent[there])))


def axis_alignment(
    z: np.ndarray, order_parameter: np.ndarray, *, n_bins: int = 16
) -> AxisAlignment:
    """Say which latent carries an order parameter, and whether it is alone in that.

    A correlation close to one is not enough: where the order parameter takes two values, ±m, any
    direction that separates them correlates with it, and a figure rotated by 45 degrees has two
    latents with correlation one. The gap (Chen, Li, Grosse & Duvenaud 2018, arXiv:1802.04942) is
    then zero.

    Args:
        z (array_like, shape (n_samples, n_latents)): Latents, for instance ``vae.transform(x)``.
        order_parameter (array_like, shape (n_samples,)): Its value on the same configurations.
        n_bins (int): Bins for the mutual information, whose bias is about ``(n_bins - 1)^2 / 2
            n_samples`` nats.

    Returns:
        AxisAlignment: A latent that does not vary has correlation 0.

    Raises:
        TypeError, ValueError: If shapes do not match, numbers are not finite, or the order
            parameter is constant.

    >>> m = np.linspace(-1, 1, 64)
    >>> found = axis_alignment(np.stack([3 * m, 0 * m], axis=1), m, n_bins=4)
    >>> found.correlations.round(2), round(found.r_squared, 3), round(found.gap, 1)
    (array([1., 0.]), 1.0, 1.0)
    """
    z, values = _check_latents_and_values(z, order_parameter)
    n_bins = check_count(n_bins, "n_bins", minimum=2)
    centred, target = z - z.mean(axis=0), values - values.mean()
    spread = np.linalg.norm(centred, axis=0)
    varies = spread > 1e-12 * np.linalg.norm(z, axis=0)
    correlations = np.zeros(z.shape[1])
    correlations[varies] = (centred.T @ target)[varies] / spread[varies] / np.linalg.norm(target)
    residual = target - centred @ np.linalg.lstsq(centred, target, rcond=None)[0]
    binned = _bins(values, n_bins)
    information = np.array(
        [_discrete_information(_bins(latent, n_bins), binned, n_bins) for latent in z.T]
    )
    gap = np.nan
    if len(information) > 1:
        second, best = np.sort(information)[-2:]
        gap = float((best - second) / _discrete_information(binned, binned, n_bins))
    r_squared = float(1 - residual @ residual / (target @ target))
    return AxisAlignment(correlations, r_squared, information, gap)


def order_parameter_axis(z: np.ndarray, order_parameter: np.ndarray) -> np.ndarray:
    """Return half the way from the latents of negative to those of positive order parameter.

    Args:
        z (array_like, shape (n_samples, n_latents)): Latents of configurations of one phase.
        order_parameter (array_like, shape (n_samples,)): Its value on the same configurations, of
            either sign.

    Returns:
        numpy.ndarray of float64: ``(n_latents,)``, latent units. Between two phases the cosine of
            the angle of their axes does not depend on a rotation of the latent space.

    Raises:
        TypeError, ValueError: If shapes do not match, numbers are not finite, or only one sign
            occurs.

    >>> order_parameter_axis([[2.0, 1.0], [-2.0, 1.0]], [0.9, -0.8])
    array([2., 0.])
    """
    z, values = _check_latents_and_values(z, order_parameter)
    if not (np.any(values > 0) and np.any(values < 0)):
        raise ValueError("order_parameter must take both signs")
    return (z[values > 0].mean(axis=0) - z[values < 0].mean(axis=0)) / 2
