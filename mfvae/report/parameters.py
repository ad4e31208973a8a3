"""What the chosen model says of the cells: patterns, field and prior in one fixed gauge."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse
from scipy.signal import find_peaks
from scipy.special import expit
from scipy.stats import gaussian_kde

from mfvae.vae.estimator import MeanFieldVAE

__all__ = ["read_parameters"]

N_DRAWN = 20_000  # latents of the prior, and rows for errors


def read_parameters(
    vae: MeanFieldVAE, words: np.ndarray, blocks: np.ndarray, seed: np.random.SeedSequence
) -> dict[str, Any]:
    """Return patterns W, field b with errors, latents of all words and the law of the latents.

    Fields on spins are ``b + W z``, half the log odds. A linear decoder is the same model in every
    affine frame of z; here z has mean 0 and covariance 1 under the prior, the columns of W are
    orthogonal, the longest first, and have a sum above zero. So W Wᵀ, the couplings to leading
    order, is what it is. Errors: one Newton step of the likelihood of every cell given latents
    drawn from q(z|x), its gradients resampled by blocks (the bootstrap in closed form).
    """
    affine = vae.module_.decoder.affine
    weight, bias = (p.detach().double().numpy() for p in (affine.weight, affine.bias))
    z = vae.sample_prior(N_DRAWN, seed=seed).astype(np.float64)
    mean, root = z.mean(axis=0), np.linalg.cholesky(np.atleast_2d(np.cov(z, rowvar=False)))
    left, length, right = np.linalg.svd(weight @ root, full_matrices=False)
    sign = np.where((left * length).sum(axis=0) >= 0, 1.0, -1.0)
    frame = np.linalg.inv(root).T @ right.T * sign  # z' = (z - mean) @ frame
    logits, offset = left * length * sign, bias + weight @ mean
    center, deviation = vae.encode(words)
    drawn = center + deviation * np.random.default_rng(seed).standard_normal(center.shape)
    some = slice(None, None, max(1, -(-len(words) // N_DRAWN)))
    ours = np.column_stack([np.ones(len(words[some])), ((drawn[some] - mean) @ frame)])
    p = expit(ours @ np.column_stack([offset, logits]).T)
    hessian = np.einsum("ni,nk,nl->ikl", p * (1 - p), ours, ours, optimize=True)
    labels = np.unique(blocks[some], return_inverse=True)[1]
    member = sparse.csr_array((np.ones(len(labels)), (labels, np.arange(len(labels)))))
    off = words[some] - p
    gradient = np.stack([member @ (off * column[:, None]) for column in ours.T], axis=2)
    gradient -= gradient.mean(axis=0)
    outer = np.einsum("bik,bil->ikl", gradient, gradient, optimize=True)
    inverse = np.linalg.inv(hessian + 1e-3 * np.eye(ours.shape[1]))
    errors = np.sqrt(np.einsum("ikl,ilm,imk->ik", inverse, outer, inverse, optimize=True))
    errors *= np.sqrt(len(ours) / len(words))
    prior, modes = ((z - mean) @ frame)[:4000], []
    for column in prior.T:  # maxima that stand out by a twentieth of the highest
        density = gaussian_kde(column)(np.linspace(*np.quantile(column, [0.001, 0.999]), 200))
        modes.append(max(1, len(find_peaks(density, prominence=0.05 * density.max())[0])))
    return {
        "patterns": logits / 2,
        "patterns_stderr": errors[:, 1:] / 2,
        "field": offset / 2,
        "field_stderr": errors[:, 0] / 2,
        "latents": ((center - mean) @ frame).astype(np.float32),
        "prior": prior.astype(np.float32),
        "modes": modes,
    }
