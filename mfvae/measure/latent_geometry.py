"""Distances and angles between classes, in data and in latent space; the fields of a decoder."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mfvae._validation import check_finite_array

if TYPE_CHECKING:
    from mfvae.vae.estimator import MeanFieldVAE

__all__ = [
    "Isometry",
    "LocalFields",
    "class_similarity",
    "cosine_similarity",
    "isometry",
    "linear_discrepancy",
    "local_fields",
]


class Isometry(NamedTuple):
    """Latent distance over data distance for all pairs of classes.

    Attributes:
        pairs (list of (int, int)): The classes compared.
        ratios (numpy.ndarray of float64): Distance of the two mean latents over that of the two
            mean configurations, ``(n_pairs,)``.
        spread (float): Standard deviation of the ratios over their mean; 0 if the map is an
            isometry up to scale.
    """

    pairs: list[tuple[int, int]]
    ratios: np.ndarray
    spread: float


class LocalFields(NamedTuple):
    """The mean-field Hamiltonian ``-sum_k h_k sigma_k`` of a decoder, sigma_k in {0, 1}.

    Attributes:
        field (numpy.ndarray of float32): h_k, ``(n_samples, n_sites)``, units of temperature; on
            spins ±1 the field is half of it.
        inverse_temperature (numpy.ndarray of float32): beta_k of the same shape: 1 for a Bernoulli
            decoder.
    """

    field: np.ndarray
    inverse_temperature: np.ndarray


def _check_classes(x: np.ndarray, label: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
    x = check_finite_array(x, name, ndim=2)
    label = np.asarray(label)
    if label.ndim != 1 or len(label) != len(x):
        raise ValueError(f"label must have shape ({len(x)},), got {label.shape}")
    return x, label


def linear_discrepancy(x: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Return the squared maximum mean discrepancy of classes over linear functions.

    With the functions ``f(x) = c x``, ``0 <= c <= 1``, it is the squared distance of the class
    means (Huang, Hu & Yang 2022, equation 9). What the finite samples add to it, the squared
    standard errors of the two means, is subtracted.

    Args:
        x (array_like, shape (n_samples, n_dimensions)): Configurations or latents.
        label (array_like, shape (n_samples,)): Class of each row, at least two rows a class.

    Returns:
        numpy.ndarray of float64: ``(n_classes, n_classes)``, classes in the order of
            ``numpy.unique(label)``; unbiased, so that small entries may be negative; zero on the
            diagonal.

    Raises:
        TypeError, ValueError: If shapes do not match, numbers are not finite, or a class has fewer
            than two rows.

    >>> linear_discrepancy([[0.0], [0.0], [3.0], [3.0]], [0, 0, 1, 1])
    array([[0., 9.],
           [9., 0.]])
    """
    x, label = _check_classes(x, label, "x")
    classes, counts = np.unique(label, return_counts=True)
    if counts.min() < 2:
        raise ValueError(f"every class must have at least two rows, got {counts.tolist()}")
    groups = [x[label == c] for c in classes]
    means = np.stack([group.mean(axis=0) for group in groups])
    noise = np.array([group.var(axis=0, ddof=1).sum() / len(group) for group in groups])
    squared = ((means[:, None] - means[None]) ** 2).sum(axis=2) - noise[:, None] - noise[None]
    np.fill_diagonal(squared, 0.0)
    return squared


def isometry(x: np.ndarray, z: np.ndarray, label: np.ndarray) -> Isometry:
    """Compare the distances of classes in latent space with those in data space.

    Args:
        x (array_like, shape (n_samples, n_sites)): Configurations.
        z (array_like, shape (n_samples, n_latents)): Their latents.
        label (array_like, shape (n_samples,)): Class of each row; a phase with a broken symmetry is
            one class for each sign.

    Returns:
        Isometry: A distance below its own noise counts as zero.

    Raises:
        TypeError, ValueError: As in `linear_discrepancy`, or if two classes have the same mean
            configuration.

    >>> x = [[1, 1], [1, 1], [-1, -1], [-1, -1]]
    >>> isometry(x, [[0.5], [0.5], [-0.5], [-0.5]], [0, 0, 1, 1]).ratios.round(3)
    array([0.354])
    """
    data, latent = linear_discrepancy(x, label), linear_discrepancy(z, label)
    pairs = list(combinations(range(len(data)), 2))
    if not pairs:
        raise ValueError("label must name at least two classes")
    rows, columns = np.array(pairs).T
    if data[rows, columns].min() <= 0:
        raise ValueError("two classes have the same mean configuration: no ratio of distances")
    ratios = np.sqrt(np.maximum(latent[rows, columns], 0) / data[rows, columns])
    mean = ratios.mean()
    return Isometry(pairs, ratios, float(ratios.std() / mean) if mean > 0 else np.nan)


def cosine_similarity(z: np.ndarray) -> np.ndarray:
    """Return the cosine of the angle between every two rows, ``(n_samples, n_samples)``.

    Args:
        z (array_like, shape (n_samples, n_latents)): Latents; the angle is seen from the origin,
            where the prior has its centre.

    Raises:
        TypeError, ValueError: If ``z`` is not such an array, or a row is zero and has no direction.

    >>> cosine_similarity([[2.0, 0.0], [0.0, 1.0]])
    array([[1., 0.],
           [0., 1.]])
    """
    z = check_finite_array(z, "z", ndim=2)
    length = np.linalg.norm(z, axis=1, keepdims=True)
    if length.min() == 0:
        raise ValueError("z must not hold a zero row: it has no direction")
    unit = z / length
    return unit @ unit.T


def class_similarity(z: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Return the mean cosine similarity between the members of every two classes.

    Args:
        z (array_like, shape (n_samples, n_latents)): Latents.
        label (array_like, shape (n_samples,)): Class of each row, at least two rows a class.

    Returns:
        numpy.ndarray of float64: ``(n_classes, n_classes)``: blocks of `cosine_similarity`, a row's
            similarity with itself left out.

    Raises:
        TypeError, ValueError: As in `cosine_similarity`, or if shapes do not match or a class has
            one row only.

    >>> class_similarity([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0], [0.0, 3.0]], [0, 0, 1, 1])
    array([[1., 0.],
           [0., 1.]])
    """
    z, label = _check_classes(z, label, "z")
    similarity = cosine_similarity(z)
    classes, counts = np.unique(label, return_counts=True)
    if counts.min() < 2:
        raise ValueError(f"every class must have at least two rows, got {counts.tolist()}")
    member = (label == classes[:, None]).astype(np.float64)
    totals = member @ (similarity - np.diag(similarity.diagonal())) @ member.T
    return totals / (np.outer(counts, counts) - np.diag(counts))


def local_fields(vae: MeanFieldVAE, z: np.ndarray) -> LocalFields:
    """Return the effective field that a decoder puts on every site.

    A Bernoulli decoder with means m_k is the Hamiltonian ``-sum_k h_k sigma_k`` at temperature 1
    with ``h_k = ln[m_k / (1 - m_k)]`` (Huang, Hu & Yang 2022, equations 10 and 11); a tempered one
    has ``m_k = sigmoid(beta_k h_k)``, of which data fix the product only.

    Args:
        vae (MeanFieldVAE): Trained with ``likelihood="bernoulli"`` or ``"tempered"``.
        z (array_like, shape (n_samples, n_latents)): Latents.

    Returns:
        LocalFields: Fields and inverse temperatures, each ``(n_samples, n_sites)``.

    Raises:
        TypeError, ValueError: If ``z`` is not such an array, or the likelihood another one.
    """
    likelihood = getattr(vae, "likelihood", None)
    if likelihood not in ("bernoulli", "tempered"):
        raise ValueError(
            f"local fields need a Bernoulli or tempered likelihood, the model has {likelihood!r}"
        )
    emitted = vae.decode(z)
    field = emitted[..., 0]
    if likelihood == "bernoulli":
        return LocalFields(field, np.ones_like(field))
    return LocalFields(field, 1 / (1 + np.exp(-emitted[..., 1])))
