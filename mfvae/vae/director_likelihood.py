"""Directors: the Bingham law p(n) = exp(n^T A n) / Z(A) at every site, in two forms.

A is symmetric and traceless, five components in an orthonormal basis. The gradient of ln Z is
``E[nnᵀ]``, computed without eigenvectors, in Newton's form with the eigenvalues λ₃ >= λ₂ >= λ₁:

    E[nnᵀ] = E[n₃²] + 2 E[n₃²n₂²] (A - λ₃) + 4 E[n₁²n₂²n₃²] (A - λ₃)(A - λ₂).

The divided differences are mean products of squares because a rotation in the plane ij
leaves integrals alone: ``E[n_i² - n_j²] = 2 (λ_i - λ_j) E[n_i² n_j²]``, and likewise
``E[(n_i² - n_j²) n_k²] = 2 (λ_i - λ_j) E[n_1²n_2²n_3²]``.
"""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from mfvae._validation import check_directors
from mfvae.systems._bingham_torch import integrate_bingham
from mfvae.systems._tensors import BASIS
from mfvae.vae.likelihood import Likelihood

__all__ = ["BinghamNatural", "BinghamRotation", "from_components", "to_components"]


class BinghamNatural(Likelihood):
    """The decoder emits the five components of the symmetric traceless matrix A itself.

    In these natural parameters the Hubbard-Stratonovich conditional of the Maier-Saupe model is
    linear in the field, so that a linear decoder is exact. Densities refer to the surface measure,
    of total 4 pi. Means are ``E[n n^T]``, ``(n_samples, n_sites, 3, 3)``.
    """

    n_parameters = n_features = 5
    data_ndim = 3

    @classmethod
    def settings_from_data(cls, x: np.ndarray) -> dict[str, Any]:
        check_directors(x, "X", ndim=3)
        return {}

    def prepare(self, x: np.ndarray) -> Tensor:
        return torch.from_numpy(check_directors(x, "X", ndim=3).astype(np.float32))

    def restore(self, x: Tensor) -> np.ndarray:
        return x.float().numpy(force=True)

    def marginal_parameters(self, x: Tensor) -> Tensor:
        return torch.zeros(x.shape[1], self.n_parameters)

    def statistics(self, x: Tensor) -> Tensor:
        return to_components(x[..., :, None] * x[..., None, :])

    def log_normalizer(self, parameters: Tensor) -> Tensor:
        return log_normalizer(self.natural(parameters)).sum(dim=-1)

    def sample(self, parameters: Tensor, generator: torch.Generator) -> Tensor:
        from mfvae.systems.bingham import Bingham  # here, for Numba takes long to import

        seed = torch.randint(2**31, (1,), generator=generator, device=parameters.device)
        matrices = from_components(self.natural(parameters).double())
        directors = Bingham(matrices.cpu().numpy()).sample(1, seed=int(seed))[..., 0, :]
        return torch.from_numpy(directors).to(parameters.device)

    def mean(self, parameters: Tensor) -> Tensor:
        return moment(self.natural(parameters))


class BinghamRotation(BinghamNatural):
    """The decoder emits a rotation and two eigenvalue gaps (Biroli, Welling & Vitelli 2026).

    Six numbers become a rotation, two the eigenvalues 0, softplus(a), softplus(a) + softplus(b).
    """

    n_parameters = 8

    def marginal_parameters(self, x: Tensor) -> Tensor:
        return torch.tensor([1.0, 0, 0, 0, 1, 0, -1, -1]).expand(x.shape[1], -1)  # no rotation

    def natural(self, parameters: Tensor) -> Tensor:
        first, second, gaps = parameters.split([3, 3, 2], dim=-1)
        first = functional.normalize(first, dim=-1)
        second = second - (first * second).sum(dim=-1, keepdim=True) * first
        second = functional.normalize(second, dim=-1)
        axes = second, torch.linalg.cross(first, second)
        values = functional.softplus(gaps).cumsum(dim=-1)[..., None, None].unbind(dim=-3)
        terms = (v * n[..., :, None] * n[..., None, :] for v, n in zip(values, axes, strict=True))
        return to_components(sum(terms))


def _basis(like: Tensor) -> Tensor:
    return torch.tensor(BASIS.reshape(5, 9), dtype=like.dtype, device=like.device)


def to_components(tensor: Tensor) -> Tensor:
    """Return the five orthonormal components ``(..., 5)`` of tensors ``(..., 3, 3)``."""
    return tensor.flatten(-2) @ _basis(tensor).T


def from_components(components: Tensor) -> Tensor:
    """Return symmetric traceless tensors ``(..., 3, 3)`` with components ``(..., 5)``."""
    return (components @ _basis(components)).unflatten(-1, (3, 3))


def log_normalizer(components: Tensor) -> Tensor:
    """Return ``ln ∫ exp(nᵀAn) dn`` over the unit sphere, nats, ``(...)``, differentiable once.

    Lower precisions than float32 of the ``components`` ``(..., 5)`` of A are computed in float32.
    The relative error of Z is about 1e-6 in float32 and 1e-10 in float64 for eigenvalues up to
    1e3; all is NaN if any entry of the batch is not finite.

    >>> a = torch.zeros(2, 5, dtype=torch.float64)
    >>> torch.allclose(log_normalizer(a).exp(), torch.tensor(4 * math.pi, dtype=a.dtype))
    True
    """
    matrices = from_components(components)
    precise = torch.promote_types(matrices.dtype, torch.float32)
    return _LogNormalizer.apply(matrices.to(precise)).to(matrices.dtype)


@torch.no_grad()
def moment(components: Tensor) -> Tensor:
    """Return ``E[nnᵀ]`` of the Bingham law, ``(..., 3, 3)`` of unit trace, without gradient."""
    return _log_normalizer_and_moment(from_components(components))[1]


class _LogNormalizer(torch.autograd.Function):
    @staticmethod
    def forward(ctx, matrices):
        log_z, mean = _log_normalizer_and_moment(matrices)
        ctx.save_for_backward(mean)
        return log_z

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        return gradient[..., None, None] * ctx.saved_tensors[0]


def _log_normalizer_and_moment(matrices: Tensor) -> tuple[Tensor, Tensor]:
    # Rounding in the invariants moves ln Z by its square root times the spread squared.
    values = _eigenvalues(matrices.double() if matrices.device.type != "mps" else matrices)
    log_z, *coefficients = integrate_bingham(values, matrices.dtype)
    identity = torch.eye(3, dtype=matrices.dtype, device=matrices.device)
    _, middle, top, square, pair, triple = (
        part[..., None, None] for part in (*values.to(matrices.dtype).unbind(-1), *coefficients)
    )
    first, second = matrices - top * identity, matrices - middle * identity
    return log_z, square * identity + pair * first + triple * (first @ second)


def _eigenvalues(matrices: Tensor) -> Tensor:
    """Return the eigenvalues of symmetric 3 x 3 matrices in closed form, ascending.

    ``λ_k = tr(A)/3 + 2p cos(φ + 2πk/3)`` with ``p² = tr(K²)/6``, ``cos 3φ = det(K)/2p³`` and K the
    traceless part (Smith, Communications of the ACM 4:168, 1961). Where two nearly meet, their
    difference is known to the square root of the rounding error only.
    """
    a, b, c = matrices[..., 0, 0], matrices[..., 1, 1], matrices[..., 2, 2]
    d, e, f = matrices[..., 0, 1], matrices[..., 0, 2], matrices[..., 1, 2]
    mean = (a + b + c) / 3
    a, b, c = a - mean, b - mean, c - mean
    d2, e2, f2 = d * d, e * e, f * f
    p = torch.sqrt((a * a + b * b + c * c + 2 * (d2 + e2 + f2)) / 6)
    scale = 1 / p.clamp_min(torch.finfo(p.dtype).tiny ** 0.25)
    half = 0.5 * (a * (b * c - f2) - b * e2 - c * d2 + 2 * d * e * f) * scale * scale * scale
    phi = torch.acos(half.clamp(-1, 1)) / 3
    top, lowest = 2 * p * torch.cos(phi), 2 * p * torch.cos(phi + 2 * math.pi / 3)
    return torch.stack([mean + lowest, mean - top - lowest, mean + top], dim=-1)
