"""The exact law of the Hubbard-Stratonovich tensor of the Maier-Saupe model, in two variables.

With ``a = 3/(2T)`` the tensor A has the density ``∝ exp(-aN‖A‖²/2) Z_B(aA)^N`` in its five
components, Z_B being the Bingham normaliser. It depends on ``r = ‖A‖`` and on
``c = √6 tr(A³)/r³`` alone. In the eigenbasis the weight ``Π|λ_i - λ_j| dλ`` of the ordered chamber
becomes, with ``λ_k = r √(2/3) cos(φ + 2πk/3)`` and ``c = cos 3φ``, just ``r⁴ dr dc`` on
``r > 0, -1 <= c <= 1``: the kinks of ``|λ_i - λ_j|`` lie on the chamber's walls ``c = ±1`` and are
absorbed by ``sin 3φ dφ``. What is left is analytic, and Gauss-Legendre converges geometrically.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.special import roots_legendre

from mfvae.systems._bingham_quadrature import log_normalizer_sorted

__all__ = ["TensorLaw", "chamber_eigenvalues", "tensor_law"]

_DEPTH = 42.0  # what lies e^{-42} below the largest weight is left out: 6e-19
_MARGIN = 0.02  # added to the bound of a cell's log weight beyond its curvature


def chamber_eigenvalues(r: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Return the ascending eigenvalues ``(..., 3)`` of tensors of norm r and shape c."""
    phi = np.arccos(np.clip(c, -1.0, 1.0)) / 3.0
    angles = phi[..., None] + 2.0 * np.pi / 3.0 * np.array([1.0, 2.0, 0.0])
    return np.sqrt(2.0 / 3.0) * r[..., None] * np.cos(angles)


class TensorLaw:
    """The law of (r, c) at one size and temperature: normaliser, moments, exact draws.

    Args:
        n_sites (int): Number of directors N.
        temperature (float): In units of J/k_B.
        refine (float): Multiplies the number of nodes in both directions.
    """

    def __init__(self, n_sites: int, temperature: float, *, refine: float = 1.0) -> None:
        self.n_sites = n_sites
        self.a = 1.5 / temperature
        self.width = 1.0 / np.sqrt(self.a * n_sites)
        self._bounds()
        (r_low, r_high), (c_low, c_high) = self._r_range, self._c_range
        n_r = int(refine * (60 + 4.0 * (r_high - r_low) / self.width))
        # The nematic law falls off within 1/N of c = 1, where nodes have distances 1/n_c².
        n_c = int(refine * max(64, 1.5 * np.sqrt(n_sites)))
        x, w_r = roots_legendre(n_r)
        y, w_c = roots_legendre(n_c)
        r = r_low + 0.5 * (r_high - r_low) * (x + 1.0)
        c = c_low + 0.5 * (c_high - c_low) * (y + 1.0)
        log_weight = self._log_smooth(r[:, None], c[None, :]) + 4.0 * np.log(r)[:, None]
        peak = log_weight.max()
        mass = np.exp(log_weight - peak) * w_r[:, None] * w_c[None, :]
        total = mass.sum()
        area = 0.25 * (r_high - r_low) * (c_high - c_low)
        # The same weight r⁴ dr dc with the Gaussian alone integrates to 2 · 3 √(π/2) (aN)^{-5/2}.
        gaussian = np.log(6.0 * np.sqrt(0.5 * np.pi)) - 2.5 * np.log(self.a * n_sites)
        self.log_partition = float(peak + np.log(total * area) - gaussian)
        mass /= total
        self.mean_square = float((mass.sum(axis=1) * r**2).sum())
        self.mean_cube = float((mass @ c * r**3).sum() / np.sqrt(6.0))

    def _log_smooth(self, r: np.ndarray, c: np.ndarray) -> np.ndarray:
        """Return the log weight without its factor r⁴."""
        r, c = np.broadcast_arrays(r, c)
        log_z = log_normalizer_sorted(self.a * chamber_eigenvalues(r, c))
        return self.n_sites * (log_z - 0.5 * self.a * r**2)

    def _bounds(self) -> None:
        """Find the rectangle outside which the weight is negligible."""
        reach = np.sqrt(2.0 / 3.0) + 12.0 * self.width
        r = np.linspace(0.0, reach, 200 + int(2.0 * reach / self.width))[1:]
        c = np.cos(np.linspace(np.pi, 0.0, 41))
        log_weight = self._log_smooth(r[:, None], c[None, :]) + 4.0 * np.log(r)[:, None]
        kept = log_weight > log_weight.max() - _DEPTH
        rows, columns = np.flatnonzero(kept.any(axis=1)), np.flatnonzero(kept.any(axis=0))
        step = r[1] - r[0]
        self._r_range = (max(0.0, r[rows[0]] - step), r[rows[-1]] + step)
        self._c_range = (c[max(0, columns[0] - 1)], c[min(len(c) - 1, columns[-1] + 1)])

    def _envelope(self) -> tuple[np.ndarray, ...]:
        """Return cell edges in r and c, an upper bound of the log weight in each cell, and the
        cumulated probabilities of the cells."""
        r_edges = np.linspace(*self._r_range, 60 + int(4 * np.ptp(self._r_range) / self.width))
        c_edges = np.cos(np.linspace(*np.arccos(self._c_range), 49))
        smooth = self._log_smooth(r_edges[:, None], c_edges[None, :])
        corners = np.maximum(smooth[:-1], smooth[1:])
        corners = np.maximum(corners[:, :-1], corners[:, 1:])
        # Between two nodes a function exceeds the larger by at most h²|f''|/8; the largest
        # of the neighbouring second differences stands for h²|f''|, and is taken twice.
        bend = np.zeros_like(smooth)
        bend[1:-1] += np.abs(np.diff(smooth, 2, axis=0))
        bend[:, 1:-1] += np.abs(np.diff(smooth, 2, axis=1))
        bend[0], bend[-1] = bend[1], bend[-2]
        bend[:, 0], bend[:, -1] = bend[:, 1], bend[:, -2]
        bend = np.maximum(bend[:-1], bend[1:])
        bend = np.maximum(bend[:, :-1], bend[:, 1:])
        bound = corners + 0.25 * bend + _MARGIN
        log_mass = bound + 4.0 * np.log(r_edges[1:])[:, None]
        log_mass = log_mass + np.log(np.diff(r_edges))[:, None] + np.log(np.diff(c_edges))
        cumulated = np.cumsum(np.exp(log_mass - log_mass.max()).ravel())
        return r_edges, c_edges, bound, cumulated / cumulated[-1]

    def sample_eigenvalues(self, n_samples: int, generator: np.random.Generator) -> np.ndarray:
        """Draw eigenvalues of A, independently: rejection from a law constant on cells.

        Args:
            n_samples (int): Number of draws.
            generator (numpy.random.Generator): Advanced in place.

        Returns:
            ndarray: float64 ``(n_samples, 3)``, ascending, dimensionless.

        Raises:
            RuntimeError: If the weight exceeds its bound somewhere (it would bias the draws).
        """
        if not hasattr(self, "_cells"):
            self._cells = self._envelope()
        r_edges, c_edges, bound, cumulated = self._cells
        accepted, missing = [], n_samples
        while missing > 0:
            u = generator.random((4, missing + missing // 2 + 16))
            cell = np.minimum(np.searchsorted(cumulated, u[0], side="right"), cumulated.size - 1)
            i, j = np.unravel_index(cell, bound.shape)
            r = r_edges[i] + u[1] * (r_edges[i + 1] - r_edges[i])
            c = c_edges[j] + u[2] * (c_edges[j + 1] - c_edges[j])
            excess = self._log_smooth(r, c) - bound[i, j]
            if excess.max() > 0.0:
                raise RuntimeError("the envelope of the tensor law is too low: please report this")
            accept = u[3] < (r / r_edges[i + 1]) ** 4 * np.exp(excess)
            accepted.append(chamber_eigenvalues(r[accept], c[accept]))
            missing -= len(accepted[-1])
        return np.concatenate(accepted)[:n_samples]


@lru_cache(maxsize=128)
def tensor_law(n_sites: int, temperature: float) -> TensorLaw:
    """Return the law at one size and temperature, computed once."""
    return TensorLaw(n_sites, temperature)
