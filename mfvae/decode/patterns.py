"""Stored patterns off a trained decoder: its logit Jacobian spans them.

The exact decoder of a Hopfield model at temperature T = 1/β has logits ``2β ξ_i·m(z)``, hence
the Jacobian ``∂logit_i/∂z = 2β ξ_i·∂m/∂z``: the patterns times an invertible P x P matrix, which
`mfvae.decode.unmix` undoes because the patterns are signs.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted

from mfvae._validation import check_choice, check_count, check_seed
from mfvae.decode.unmixing import PatternRecovery, unmix
from mfvae.vae.estimator import MeanFieldVAE
from mfvae.vae.likelihood import Bernoulli

__all__ = ["decoder_jacobian", "recover_patterns"]

# Variance of the field along a pattern, in units of its noise, below which it counts as unused:
# training on independent spins leaves up to 0.4.
_LEAST_SIGNAL = 0.5


def decoder_jacobian(vae: MeanFieldVAE, z: np.ndarray) -> np.ndarray:
    """Return the derivative of the decoder's logits with respect to the latents.

    By automatic differentiation (the derivative of the vector-Jacobian product), one pass for
    each latent and all of ``z`` at once.

    Args:
        vae (MeanFieldVAE): Trained, with the Bernoulli likelihood.
        z (array_like, shape (n_points, n_latents)): Where to take it.

    Returns:
        ndarray, float64 (n_points, n_sites, n_latents): Of the logit of the larger letter, per unit
            of the latent; half of it for fields.

    Raises:
        TypeError, ValueError: If ``vae`` or ``z`` is not as described.
        sklearn.exceptions.NotFittedError: If ``vae`` is not trained.
    """
    if not isinstance(vae, MeanFieldVAE):
        raise TypeError(f"vae must be a MeanFieldVAE, got {type(vae).__name__}")
    check_is_fitted(vae, "module_")
    if not isinstance(vae.module_.likelihood, Bernoulli):
        raise ValueError(f"patterns need the Bernoulli likelihood, got {vae.likelihood!r}")
    points = vae.latents_as_tensor(z)
    points = points.detach().requires_grad_()
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
    n_points: int = 256,
    n_restarts: int = 3,
) -> PatternRecovery:
    """Read patterns of -1 and +1 off a trained decoder, without a reference.

    With J(z) the logit Jacobian and Σ the covariance of the latents under the prior, the span is
    that of the leading eigenvectors of ``M = E_z[J Σ Jᵀ]/4``. A plain mean of J would cancel where
    a non-linear decoder turns its frame or its sign between wells; M does not, and is the same
    for every linear reparameterisation of z. Its eigenvalues are the variances of the local
    fields along their patterns in units of their noise.

    Args:
        vae (MeanFieldVAE): Trained on spins or 0/1 words, with the Bernoulli likelihood.
        n_patterns (int or None): Number P of patterns, at most ``n_latents``; None counts the
            eigenvalues of M above 0.5.
        condition (float or array_like or None): Condition of the prior from which z is drawn, for
            example the temperature; needed if the model was trained with conditions.
        unmixing ({"binary", "ica"}): See `unmix`.
        seed (int or numpy.random.SeedSequence): Source of the latents and of the starts.
        n_points (int): Number of latents over which J is averaged.
        n_restarts (int): See `unmix`.

    Returns:
        PatternRecovery: With ``jacobian_variation = 1 - |E J|²/E|J|²``, the part of the Jacobian
            that depends on z (0 for a linear decoder), ``span_variation``, the part of M outside
            the P leading directions, and the eigenvalues of M as ``spectrum``. Without a single
            pattern the arrays are empty and ``is_reliable`` is False. A single uniform pattern is
            no evidence against short-range order: its direction follows from symmetry alone.

    Raises:
        TypeError, ValueError: For bad arguments.
        sklearn.exceptions.NotFittedError: If ``vae`` is not trained.
    """
    check_choice(unmixing, "unmixing", ("binary", "ica"))
    check_count(n_points, "n_points", minimum=2)
    check_count(n_restarts, "n_restarts", minimum=2)
    latent_seed, unmix_seed = check_seed(seed).spawn(2)
    if not isinstance(vae, MeanFieldVAE):
        raise TypeError(f"vae must be a MeanFieldVAE, got {type(vae).__name__}")
    z = vae.sample_prior(max(4096, n_points), condition, seed=latent_seed)
    covariance = np.atleast_2d(np.cov(z.T.astype(np.float64)))
    values, axes = np.linalg.eigh(covariance)
    # In these units of the latents the prior has unit covariance.
    whitened = decoder_jacobian(vae, z[:n_points]) @ (axes * np.sqrt(np.maximum(values, 0)))
    n_sites, n_latents = whitened.shape[1:]
    mean_square = np.sum(whitened**2) / n_points
    variation = 1 - np.sum(whitened.mean(axis=0) ** 2) / max(mean_square, 1e-300)
    moment = np.einsum("zik,zjk->ij", whitened, whitened, optimize=True) / (4 * n_points)
    spectrum, vectors = np.linalg.eigh(moment)
    spectrum, vectors = np.maximum(spectrum[::-1], 0), vectors[:, ::-1]
    limit = min(n_latents, n_sites - 1)
    if n_patterns is None:
        n_patterns = min(int(np.sum(spectrum[:limit] > _LEAST_SIGNAL)), limit)
    else:
        check_count(n_patterns, "n_patterns", maximum=limit)
    measured = {
        "spectrum": spectrum[: min(n_sites, 2 * n_latents)],
        "jacobian_variation": float(variation),
        "span_variation": float(spectrum[n_patterns:].sum() / max(spectrum.sum(), 1e-300)),
    }
    if n_patterns == 0:
        nothing = np.zeros(0)
        empty = np.zeros((n_sites, 0), dtype=np.int8)
        return PatternRecovery(empty, nothing, nothing, 1.0, 0.0, 0, **measured)
    # Eigenvectors alone: all directions of the span count alike.
    found = unmix(vectors[:, :n_patterns], method=unmixing, seed=unmix_seed, n_restarts=n_restarts)
    return dataclasses.replace(found, **measured)
