"""The Bingham log-normaliser as a differentiable torch function, smooth everywhere.

Its gradient is ``E[nnᵀ]``, a smooth function of A even where eigenvalues meet, computed
without eigenvectors: in Newton's form with the eigenvalues λ₃ >= λ₂ >= λ₁,

    E[nnᵀ] = E[n₃²] + 2 E[n₃²n₂²] (A - λ₃) + 4 E[n₁²n₂²n₃²] (A - λ₃)(A - λ₂).

The divided differences are mean products of squares because a rotation in the plane ij
leaves integrals alone: ``E[n_i² - n_j²] = 2 (λ_i - λ_j) E[n_i² n_j²]``, and likewise
``E[(n_i² - n_j²) n_k²] = 2 (λ_i - λ_j) E[n_1²n_2²n_3²]``.
"""

from __future__ import annotations

import math

import torch
from torch.autograd.function import once_differentiable

from mfvae.systems._bingham_quadrature import axis_nodes
from mfvae.systems._tensors import BASIS

__all__ = ["eigenvalues", "from_components", "log_normalizer", "moment", "to_components"]


_BLOCK = 16384  # sites


def _basis(like: torch.Tensor) -> torch.Tensor:
    return torch.tensor(BASIS.reshape(5, 9), dtype=like.dtype, device=like.device)


def to_components(tensor: torch.Tensor) -> torch.Tensor:
    """Return the five orthonormal components ``(..., 5)`` of tensors ``(..., 3, 3)``."""
    return tensor.flatten(-2) @ _basis(tensor).T


def from_components(components: torch.Tensor) -> torch.Tensor:
    """Return symmetric traceless tensors ``(..., 3, 3)`` with components ``(..., 5)``."""
    return (components @ _basis(components)).unflatten(-1, (3, 3))


def eigenvalues(matrices: torch.Tensor) -> torch.Tensor:
    """Return the eigenvalues of symmetric 3 x 3 matrices in closed form, ascending.

    ``λ_k = tr(A)/3 + 2p cos(φ + 2πk/3)`` with ``p² = tr(K²)/6``, ``cos 3φ = det(K)/2p³`` and K the
    traceless part (Smith, Communications of the ACM 4:168, 1961). Not differentiable.

    Args:
        matrices (Tensor): ``(..., 3, 3)``, any unit.

    Returns:
        Tensor: ``(..., 3)``, same unit and dtype. Where two eigenvalues nearly meet, their
            difference is known to the square root of the rounding error, their sum to the rounding
            error.
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
    top = 2 * p * torch.cos(phi)
    lowest = 2 * p * torch.cos(phi + 2 * math.pi / 3)
    return torch.stack([mean + lowest, mean - top - lowest, mean + top], dim=-1)


# Polynomials 9.8.1 and 9.8.2 of Abramowitz & Stegun (relative error below 2e-7).
_SMALL = (1.0, 3.5156229, 3.0899424, 1.2067492, 0.2659732, 0.0360768, 0.0045813)
_LARGE = (
    *(0.39894228, 0.01328592, 0.00225319, -0.00157565, 0.00916281),
    *(-0.02057706, 0.02635537, -0.01647633, 0.00392377),
)


def _i0e(x: torch.Tensor) -> torch.Tensor:
    """Return ``exp(-x) I0(x)`` for x >= 0; torch's own is exact, but slow on the CPU."""
    if x.dtype != torch.float32 or x.is_cuda:
        return torch.special.i0e(x)
    low = x.clamp_max(3.75)
    y = (low / 3.75) ** 2
    small = torch.full_like(y, _SMALL[-1])
    for coefficient in _SMALL[-2::-1]:
        small.mul_(y).add_(coefficient)
    small.mul_(torch.exp(-low))
    high = x.clamp_min(3.75)
    y = 3.75 / high
    large = torch.full_like(y, _LARGE[-1])
    for coefficient in _LARGE[-2::-1]:
        large.mul_(y).add_(coefficient)
    return torch.where(x < 3.75, small, large.mul_(torch.rsqrt(high)))


def _integrate(values: torch.Tensor, dtype: torch.dtype) -> tuple[torch.Tensor, ...]:
    """Return ``ln Z`` and the three coefficients of Newton's form, each ``(...)`` in ``dtype``."""
    lowest, middle, top = values.unbind(-1)
    if top.numel() == 0:
        return (top.to(dtype),) * 4
    spread = float((top - lowest).max())
    if not math.isfinite(spread):
        nan = torch.full_like(top, math.nan, dtype=dtype)
        return nan, nan, nan, nan
    nodes, weights = axis_nodes(spread, double=dtype == torch.float64)
    b = (top - middle).to(dtype).flatten()
    x1 = (0.5 * (middle - lowest)).to(dtype).flatten()
    sums = torch.zeros(4, b.numel(), dtype=dtype, device=b.device)
    # On the CPU a block's vectors stay in the cache.
    size = _BLOCK if b.device.type == "cpu" else max(1, b.numel())
    for block in zip(sums.split(size, dim=1), b.split(size), x1.split(size), strict=True):
        _accumulate(*block, nodes.tolist(), weights.tolist())
    total = sums[0].view(top.shape)
    square, pair, triple = (sums[1:] / sums[0]).view(3, *top.shape)
    return torch.log(4 * math.pi * total) + top.to(dtype), square, pair, triple


def _accumulate(sums, b, x1, nodes: list[float], weights: list[float]) -> None:
    """Add up the four integrals over the height, node by node, into ``sums`` (4, sites)."""
    total, square, pair, triple = sums
    for s, weight in zip(nodes, weights, strict=True):
        x = x1 * s
        density = torch.exp(b * -s).mul_(weight)
        bessel = density * _i0e(x)
        ratio = density.mul_(torch.special.i1e(x))
        total += bessel
        square.add_(bessel, alpha=1 - s)
        pair.add_(bessel + ratio, alpha=s * (1 - s))
        by_x = torch.where(x > 1e-12, ratio / x.clamp_min(1e-12), 0.5 * bessel)
        triple.add_(by_x, alpha=s * s * (1 - s))


def _log_normalizer_and_moment(matrices: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    # Rounding in the invariants moves ln Z by its square root times the spread squared.
    values = eigenvalues(matrices.double() if matrices.device.type != "mps" else matrices)
    log_z, square, pair, triple = _integrate(values, matrices.dtype)
    values = values.to(matrices.dtype)
    identity = torch.eye(3, dtype=matrices.dtype, device=matrices.device)
    first = matrices - values[..., 2, None, None] * identity
    second = matrices - values[..., 1, None, None] * identity
    mean = square[..., None, None] * identity + pair[..., None, None] * first
    return log_z, mean + triple[..., None, None] * (first @ second)


class _LogNormalizer(torch.autograd.Function):
    @staticmethod
    def forward(ctx, matrices):
        log_z, mean = _log_normalizer_and_moment(matrices)
        ctx.save_for_backward(mean)
        return log_z

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        (mean,) = ctx.saved_tensors
        return gradient[..., None, None] * mean


def _check(matrices: torch.Tensor) -> torch.Tensor:
    if not isinstance(matrices, torch.Tensor):
        raise TypeError(f"matrices must be a torch.Tensor, got {type(matrices).__name__}")
    if not matrices.is_floating_point():
        raise TypeError(f"matrices must be floating point, got {matrices.dtype}")
    if matrices.shape[-2:] == (3, 3):
        return matrices
    if matrices.ndim and matrices.shape[-1] == 5:
        return from_components(matrices)
    raise ValueError(f"matrices must have shape (..., 3, 3) or (..., 5), got {matrices.shape}")


def log_normalizer(matrices: torch.Tensor) -> torch.Tensor:
    """Return ``ln ∫ exp(nᵀAn) dn`` over the unit sphere, differentiable once with respect to A.

    The gradient is the moment matrix ``E[nnᵀ]``, smooth at degenerate eigenvalues.

    Args:
        matrices (Tensor): Symmetric ``(..., 3, 3)``, or five natural parameters ``(..., 5)``: the
            orthonormal components of a symmetric traceless A. Dimensionless; float32 or float64
            (lower precisions are computed in float32).

    Returns:
        Tensor: ``(...)``, nats, in the dtype of the input. Relative error of Z about 1e-6 in
            float32 and 1e-10 in float64 for eigenvalues up to 1e3; NaN throughout if any entry of
            the batch is not finite.

    Raises:
        TypeError, ValueError: If the input is not a floating-point tensor of one of these shapes.

    >>> a = torch.zeros(2, 5, dtype=torch.float64)
    >>> torch.allclose(log_normalizer(a).exp(), torch.tensor(4 * math.pi, dtype=a.dtype))
    True
    """
    matrices = _check(matrices)
    if matrices.dtype in (torch.float16, torch.bfloat16):
        return _LogNormalizer.apply(matrices.float()).to(matrices.dtype)
    return _LogNormalizer.apply(matrices)


@torch.no_grad()
def moment(matrices: torch.Tensor) -> torch.Tensor:
    """Return ``E[nnᵀ]`` of the Bingham law, without gradient.

    Args:
        matrices (Tensor): Symmetric ``(..., 3, 3)`` or natural parameters ``(..., 5)``, float32 or
            float64.

    Returns:
        Tensor: ``(..., 3, 3)``, same dtype; unit trace.
    """
    return _log_normalizer_and_moment(_check(matrices))[1]
