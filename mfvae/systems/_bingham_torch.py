"""The integrals of `_bingham_quadrature` by torch, in single precision too and on any device."""

import math

import torch
from torch import Tensor

from mfvae.systems._bingham_quadrature import axis_nodes

_BLOCK = 16384  # sites

# Polynomials 9.8.1 and 9.8.2 of Abramowitz & Stegun (relative error below 2e-7).
_SMALL = (1.0, 3.5156229, 3.0899424, 1.2067492, 0.2659732, 0.0360768, 0.0045813)
_LARGE = (
    *(0.39894228, 0.01328592, 0.00225319, -0.00157565, 0.00916281),
    *(-0.02057706, 0.02635537, -0.01647633, 0.00392377),
)


def integrate_bingham(values: Tensor, dtype: torch.dtype) -> tuple[Tensor, ...]:
    """Return ln Z, E[n₃²], 2 E[n₃²n₂²] and 4 E[n₁²n₂²n₃²], each ``(...)`` in ``dtype``.

    ``values``, ``(..., 3)``, are the eigenvalues, ascending.
    """
    lowest, middle, top = values.unbind(-1)
    if top.numel() == 0:
        return (top.to(dtype),) * 4
    spread = float((top - lowest).max())
    if not math.isfinite(spread):
        return (torch.full_like(top, math.nan, dtype=dtype),) * 4
    nodes, weights = axis_nodes(spread, double=dtype == torch.float64)
    b = (top - middle).to(dtype).flatten()
    x1 = (0.5 * (middle - lowest)).to(dtype).flatten()
    sums = torch.zeros(4, b.numel(), dtype=dtype, device=b.device)
    rule = list(zip(nodes.tolist(), weights.tolist(), strict=True))
    # On the CPU a block's vectors stay in the cache.
    size = _BLOCK if b.device.type == "cpu" else max(1, b.numel())
    blocks = zip(sums.split(size, dim=1), b.split(size), x1.split(size), strict=True)
    for (total, square, pair, triple), height, width in blocks:
        for s, weight in rule:
            x = width * s
            density = torch.exp(height * -s).mul_(weight)
            bessel = density * _i0e(x)
            ratio = density.mul_(torch.special.i1e(x))
            total += bessel
            square.add_(bessel, alpha=1 - s)
            pair.add_(bessel + ratio, alpha=s * (1 - s))
            by_x = torch.where(x > 1e-12, ratio / x.clamp_min(1e-12), 0.5 * bessel)
            triple.add_(by_x, alpha=s * s * (1 - s))
    log_z = torch.log(4 * math.pi * sums[0].view(top.shape)) + top.to(dtype)
    return log_z, *(sums[1:] / sums[0]).view(3, *top.shape)


def _i0e(x: Tensor) -> Tensor:
    """Return ``exp(-x) I0(x)`` for x >= 0; torch's own is exact, but slow on the CPU."""
    if x.dtype != torch.float32 or x.is_cuda:
        return torch.special.i0e(x)

    def polynomial(y: Tensor, coefficients: tuple[float, ...]) -> Tensor:
        value = torch.full_like(y, coefficients[-1])
        for coefficient in coefficients[-2::-1]:
            value.mul_(y).add_(coefficient)
        return value

    low, high = x.clamp_max(3.75), x.clamp_min(3.75)
    small = polynomial((low / 3.75) ** 2, _SMALL).mul_(torch.exp(-low))
    return torch.where(x < 3.75, small, polynomial(3.75 / high, _LARGE).mul_(torch.rsqrt(high)))
