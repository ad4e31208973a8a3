"""Stored patterns off a trained decoder: its logit Jacobian spans them.

The exact decoder of a Hopfield model has logits ``2β ξ_i·m(z)``, hence the Jacobian
``∂logit_i/∂z = 2β ξ_i·∂m/∂z``: the patterns times an invertible matrix, which `unmix` undoes.
"""

import dataclasses

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from mfvae._validation import check_choice, check_count, check_seed, check_spins, check_trained
from mfvae.decode.unmixing import PatternRecovery, unmix
from mfvae.vae.estimator import MeanFieldVAE

__all__ = ["Alignment", "align_patterns", "decoder_jacobian", "recover_patterns"]

# Variance of the field along a pattern in use, in units of its noise; independent spins reach 0.4.
_LEAST_SIGNAL = 0.5
_N_POINTS = 256  # latents over which the Jacobian is averaged


def decoder_jacobian(vae: MeanFieldVAE, z: np.ndarray) -> np.ndarray:
    """Return the decoder's Jacobian at latents ``z``, float64 (n_points, n_sites, n_latents).

    It is that of the logit of the larger letter, per unit of the latent; half of it is that of the
    fields. ``z`` are ``(n_points, n_latents)``, the likelihood is Bernoulli (else ValueError).
    """
    likelihood = check_trained(vae).configuration_["likelihood"]
    if likelihood != "bernoulli":
        raise ValueError(f"patterns need the Bernoulli likelihood, got {likelihood!r}")
    points = vae.latents_as_tensor(z).detach().requires_grad_()
    logits = vae.module_.decoder(points)[..., 0]
    # Jᵀv is linear in v, so its derivative with respect to v in direction e is J e.
    v = torch.zeros_like(logits, requires_grad=True)
    (pulled_back,) = torch.autograd.grad(logits, points, v, create_graph=True)
    columns = [
        torch.autograd.grad(pulled_back, v, direction.expand_as(points), retain_graph=True)[0]
        for direction in torch.eye(points.shape[1], dtype=points.dtype, device=points.device)
    ]
    return torch.stack(columns, dim=-1).double().cpu().numpy()


def recover_patterns(
    vae: MeanFieldVAE,
    n_patterns: int | None = None,
    *,
    condition: float | np.ndarray | None = None,
    unmixing: str = "binary",
    seed: int | np.random.SeedSequence = 0,
) -> PatternRecovery:
    """Return patterns of -1 and +1 read off a trained decoder, without a reference.

    With J(z) the logit Jacobian and Σ the covariance of the latents under the prior, the span is
    that of the leading eigenvectors of ``M = E_z[J Σ Jᵀ]/4``. A plain mean of J would cancel where
    a non-linear decoder turns its frame or its sign between wells; M does not. Its eigenvalues are
    the variances of the local fields along their patterns in units of their noise.

    Args:
        vae: Trained on spins or 0/1 words, with the Bernoulli likelihood.
        n_patterns: Number P of patterns, at most ``n_latents``; None counts the eigenvalues of M
            above 0.5.
        condition: Condition of the prior from which z is drawn, where the model has conditions.
        unmixing: "binary" or "ica", see `unmix`.

    Returns:
        PatternRecovery: With ``jacobian_variation = 1 - |E J|²/E|J|²`` (0 for a linear decoder),
            ``span_variation``, the part of M outside the P leading directions, and the eigenvalues
            of M as ``spectrum``. Without a single pattern the arrays are empty and ``is_reliable``
            is False. A single uniform pattern is no evidence against short-range order: its
            direction follows from symmetry alone.
    """
    check_choice(unmixing, "unmixing", ("binary", "ica"))
    latent_seed, unmix_seed = check_seed(seed).spawn(2)
    z = check_trained(vae).sample_prior(4096, condition, seed=latent_seed)
    values, axes = np.linalg.eigh(np.atleast_2d(np.cov(z.T.astype(np.float64))))
    # In these units of the latents the prior has unit covariance.
    whitened = decoder_jacobian(vae, z[:_N_POINTS]) @ (axes * np.sqrt(np.maximum(values, 0)))
    n_sites, n_latents = whitened.shape[1:]
    mean_square = np.sum(whitened**2) / _N_POINTS
    variation = 1 - np.sum(whitened.mean(axis=0) ** 2) / max(mean_square, 1e-300)
    moment = np.einsum("zik,zjk->ij", whitened, whitened, optimize=True) / (4 * _N_POINTS)
    spectrum, vectors = np.linalg.eigh(moment)
    spectrum, vectors = np.maximum(spectrum[::-1], 0), vectors[:, ::-1]
    limit = min(n_latents, n_sites - 1)
    n_kept = int(np.sum(spectrum[:limit] > _LEAST_SIGNAL))
    if n_patterns is not None:
        n_kept = check_count(n_patterns, "n_patterns", maximum=limit)
    measured = {
        "spectrum": spectrum[: 2 * n_latents],
        "jacobian_variation": float(variation),
        "span_variation": float(spectrum[n_kept:].sum() / max(spectrum.sum(), 1e-300)),
    }
    if n_kept == 0:
        empty = np.zeros((n_sites, 0), dtype=np.int8)
        return PatternRecovery(empty, np.zeros(0), np.zeros(0), 1.0, 0.0, 0, **measured)
    # Eigenvectors alone: all directions of the span count alike.
    found = unmix(vectors[:, :n_kept], method=unmixing, seed=unmix_seed)
    return dataclasses.replace(found, **measured)


@dataclasses.dataclass(frozen=True)
class Alignment:
    """Recovered patterns in the order and with the signs of a reference.

    Attributes:
        patterns: int8 (n_sites, n_patterns), 0 where nothing was recovered for a column.
        overlaps: ``patterns.T @ reference / n_sites``, float64 (n_patterns, n_patterns).
    """

    patterns: np.ndarray
    overlaps: np.ndarray

    @property
    def bit_accuracies(self) -> np.ndarray:
        """Fraction of right bits in each pattern, float64 (n_patterns,), 0.5 to 1."""
        return (1 + np.diag(self.overlaps)) / 2

    @property
    def bit_accuracy(self) -> float:
        """Mean of ``bit_accuracies``; a pattern that is missing counts 0.5, a guess."""
        return float(self.bit_accuracies.mean())


def align_patterns(recovered: np.ndarray | PatternRecovery, reference: np.ndarray) -> Alignment:
    """Return recovered patterns matched to reference patterns, with signs fixed.

    The assignment has the largest sum of absolute overlaps (Kuhn 1955).

    Both are spins -1 and +1, ``(n_sites, n_patterns)``, the recovered ones (or a PatternRecovery)
    of any number, order and signs; those matched to nothing are left out.

    >>> reference = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]])
    >>> aligned = align_patterns(-reference[:, ::-1], reference)
    >>> aligned.bit_accuracy, bool((aligned.patterns == reference).all())
    (1.0, True)
    """
    recovered = np.asarray(getattr(recovered, "patterns", recovered))
    reference = check_spins(reference, name="reference")
    if recovered.size:  # none recovered is no error
        recovered = check_spins(recovered, name="recovered")
    if len(recovered) != len(reference):
        raise ValueError(f"recovered has {len(recovered)} sites, reference {len(reference)}")
    overlaps = recovered.T.astype(float) @ reference
    rows, columns = linear_sum_assignment(-np.abs(overlaps))
    signs = np.where(overlaps[rows, columns] < 0, -1, 1)
    patterns = np.zeros_like(reference)
    patterns[:, columns] = recovered[:, rows] * signs
    return Alignment(patterns, patterns.T.astype(float) @ reference / len(reference))
