"""How a latent space lies: order parameters on its axes, distances of classes."""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple

import numpy as np
from sklearn.metrics import mutual_info_score

from mfvae._validation import check_count, check_finite_array

__all__ = ["AxisAlignment", "axis_alignment", "isometry"]


class AxisAlignment(NamedTuple):
    """How one order parameter lies in a latent space; fields as in `axis_alignment`."""

    correlations: np.ndarray
    r_squared: float
    mutual_information: np.ndarray
    gap: float


def axis_alignment(
    z: np.ndarray, order_parameter: np.ndarray, *, n_bins: int = 16
) -> AxisAlignment:
    """Say which latent carries an order parameter, and whether it is alone in that.

    A correlation close to one is not enough: where the order parameter takes two values, ±m, any
    direction that separates them correlates with it, and a figure rotated by 45 degrees has two
    latents with correlation one. The gap (Chen, Li, Grosse & Duvenaud 2018, arXiv:1802.04942) is
    then zero.

    Args:
        z: Latents, (n_samples, n_latents), for instance ``vae.transform(x)``.
        order_parameter: Its value on the same configurations, (n_samples,); not constant.
        n_bins: Bins of equal content for the mutual information, whose bias is about
            ``(n_bins - 1)^2 / 2 n_samples`` nats.

    Returns:
        ``correlations`` (n_latents,) of each latent with the order parameter, 0 if it is constant;
        ``r_squared``, the share of its variance that a linear function of *all* latents explains,
        unchanged by any invertible linear map of them; ``mutual_information`` (n_latents,) with
        each latent, nats; and ``gap``, the lead of the best latent over the second, divided by the
        entropy of the bins: 1 if one latent says all, 0 if two say the same, NaN for one latent.

    >>> m = np.linspace(-1, 1, 64)
    >>> found = axis_alignment(np.stack([3 * m, 0 * m], axis=1), m, n_bins=4)
    >>> found.correlations.round(2), round(found.r_squared, 3), round(found.gap, 1)
    (array([1., 0.]), 1.0, 1.0)
    """
    z = check_finite_array(z, "z", ndim=2)
    values = check_finite_array(order_parameter, "order_parameter", ndim=1)
    if len(values) != len(z) or np.ptp(values) == 0:
        raise ValueError(f"order_parameter must vary and have shape ({len(z)},)")
    n_bins = check_count(n_bins, "n_bins", minimum=2)
    centred, target = z - z.mean(axis=0), values - values.mean()
    spread = np.linalg.norm(centred, axis=0)
    varies = spread > 1e-12 * np.linalg.norm(z, axis=0)
    correlations = np.zeros(z.shape[1])
    correlations[varies] = (centred.T @ target)[varies] / spread[varies] / np.linalg.norm(target)
    residual = target - centred @ np.linalg.lstsq(centred, target, rcond=None)[0]
    r_squared = float(1 - residual @ residual / (target @ target))
    quantiles = np.arange(1, n_bins) / n_bins
    binned, *latents = (  # equal values fall in the same bin
        np.searchsorted(np.quantile(v, quantiles), v, side="right") for v in (values, *z.T)
    )
    information = np.array([mutual_info_score(latent, binned) for latent in latents])
    gap = np.nan
    if len(latents) > 1:
        second, best = np.sort(information)[-2:]
        gap = float((best - second) / mutual_info_score(binned, binned))
    return AxisAlignment(correlations, r_squared, information, gap)


def isometry(x: np.ndarray, z: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Return latent distance over data distance for all pairs of classes.

    All are alike if the map is an isometry up to scale. The distance of two classes, that of their
    means, is the maximum mean discrepancy over linear functions (Huang, Hu & Yang 2022, eq. 9).
    What finite samples add to its square, the squared standard errors of the two means, is
    subtracted; a latent distance below its own noise counts as zero.

    Args:
        x: Configurations, (n_samples, n_sites).
        z: Their latents, (n_samples, n_latents).
        label: Class of each row, (n_samples,), at least two rows a class; a phase with a broken
            symmetry is one class for each sign.

    Returns:
        Ratios, (n_pairs,), pairs in the order of ``itertools.combinations`` of the sorted classes;
        ValueError if two classes have the same mean configuration.

    >>> x = [[1, 1], [1, 1], [-1, -1], [-1, -1]]
    >>> isometry(x, [[0.5], [0.5], [-0.5], [-0.5]], [0, 0, 1, 1]).round(3)
    array([0.354])
    """
    label = np.asarray(label)
    classes, counts = np.unique(label, return_counts=True)
    if len(classes) < 2 or counts.min() < 2:
        raise ValueError(f"label must name two classes or more of at least two rows, got {counts}")
    first, second = np.array(list(combinations(range(len(classes)), 2))).T
    squared = []
    for name, points in (("x", x), ("z", z)):
        points = check_finite_array(points, name, ndim=2)
        if label.shape != (len(points),):
            raise ValueError(f"label must have shape ({len(points)},), got {label.shape}")
        groups = [points[label == c] for c in classes]
        means = np.stack([group.mean(axis=0) for group in groups])
        noise = np.array([group.var(axis=0, ddof=1).sum() / len(group) for group in groups])
        apart = ((means[first] - means[second]) ** 2).sum(axis=1)
        squared.append(apart - noise[first] - noise[second])
    data, latent = squared
    if data.min() <= 0:
        raise ValueError("two classes have the same mean configuration: no ratio of distances")
    return np.sqrt(np.maximum(latent, 0) / data)
