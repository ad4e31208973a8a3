"""Exact results of the Maier-Saupe model: the law of its tensor, and the limit N → ∞.

With ``a = 3/(2T)`` the Hubbard-Stratonovich tensor A has the density ``∝ exp(-aN‖A‖²/2) Z_B(aA)^N``
in its five components, Z_B being the Bingham normaliser. It depends on ``r = ‖A‖`` and on
``c = √6 tr(A³)/r³`` alone. In the eigenbasis the weight ``Π|λ_i - λ_j| dλ`` of the ordered chamber
becomes, with ``λ_k = r √(2/3) cos(φ + 2πk/3)`` and ``c = cos 3φ``, just ``r⁴ dr dc`` on
``r > 0, -1 <= c <= 1``: the kinks of ``|λ_i - λ_j|`` lie on the chamber's walls ``c = ±1`` and are
absorbed by ``sin 3φ dφ``. What is left is analytic, and Gauss-Legendre converges geometrically.
"""

from functools import cached_property, lru_cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.optimize import brentq, minimize_scalar
from scipy.special import roots_legendre

from mfvae.systems._bingham_quadrature import integrate_bingham, log_normalizer_sorted

_DEPTH = 42.0  # what lies e^{-42} below the largest weight is left out: 6e-19
_MARGIN = 0.02  # added to the bound of a cell's log weight beyond its curvature
_LARGEST_FIELD = 1e7


def _chamber_eigenvalues(r: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Ascending eigenvalues ``(..., 3)`` of tensors of norm r and shape c."""
    phi = np.arccos(np.clip(c, -1.0, 1.0)) / 3.0
    angles = phi[..., None] + 2.0 * np.pi / 3.0 * np.array([1.0, 2.0, 0.0])
    return np.sqrt(2.0 / 3.0) * r[..., None] * np.cos(angles)


class TensorLaw:
    """The law of (r, c) at one size and temperature (units of J/k_B): normaliser, moments, draws.

    ``refine`` multiplies the number of nodes in both directions.
    """

    def __init__(self, n_sites: int, temperature: float, *, refine: float = 1.0) -> None:
        self.n_sites = n_sites
        self.a = 1.5 / temperature
        self.width = 1.0 / np.sqrt(self.a * n_sites)
        # The rectangle outside which the weight is negligible.
        reach = np.sqrt(2.0 / 3.0) + 12.0 * self.width
        r = np.linspace(0.0, reach, 200 + int(2.0 * reach / self.width))[1:]
        c = np.cos(np.linspace(np.pi, 0.0, 41))
        log_weight = self._log_weight(r, c)
        kept = log_weight > log_weight.max() - _DEPTH
        rows, columns = np.flatnonzero(kept.any(axis=1)), np.flatnonzero(kept.any(axis=0))
        step = r[1] - r[0]
        self._r_range = r_low, r_high = max(0.0, r[rows[0]] - step), r[rows[-1]] + step
        self._c_range = c_low, c_high = c[max(0, columns[0] - 1)], c[min(40, columns[-1] + 1)]
        n_r = int(refine * (60 + 4.0 * (r_high - r_low) / self.width))
        # The nematic law falls off within 1/N of c = 1, where nodes have distances 1/n_c².
        n_c = int(refine * max(64, 1.5 * np.sqrt(n_sites)))
        x, w_r = roots_legendre(n_r)
        y, w_c = roots_legendre(n_c)
        r = r_low + 0.5 * (r_high - r_low) * (x + 1.0)
        c = c_low + 0.5 * (c_high - c_low) * (y + 1.0)
        log_weight = self._log_weight(r, c)
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
        """The log weight without its factor r⁴."""
        r, c = np.broadcast_arrays(r, c)
        log_z = log_normalizer_sorted(self.a * _chamber_eigenvalues(r, c))
        return self.n_sites * (log_z - 0.5 * self.a * r**2)

    def _log_weight(self, r: np.ndarray, c: np.ndarray) -> np.ndarray:
        return self._log_smooth(r[:, None], c[None, :]) + 4.0 * np.log(r)[:, None]

    @cached_property
    def _envelope(self) -> tuple[np.ndarray, ...]:
        """Edges of cells in r and c, a bound of the log weight in each, their cumulated masses."""
        r_edges = np.linspace(*self._r_range, 60 + int(4 * np.ptp(self._r_range) / self.width))
        c_edges = np.cos(np.linspace(*np.arccos(self._c_range), 49))
        smooth = self._log_smooth(r_edges[:, None], c_edges[None, :])
        # Between two nodes a function exceeds the larger by at most h²|f''|/8; the largest
        # of the neighbouring second differences stands for h²|f''|, and is taken twice.
        bend = np.zeros_like(smooth)
        bend[1:-1] += np.abs(np.diff(smooth, 2, axis=0))
        bend[:, 1:-1] += np.abs(np.diff(smooth, 2, axis=1))
        bend[0], bend[-1] = bend[1], bend[-2]
        bend[:, 0], bend[:, -1] = bend[:, 1], bend[:, -2]
        corners, bend = (sliding_window_view(v, (2, 2)).max(axis=(2, 3)) for v in (smooth, bend))
        bound = corners + 0.25 * bend + _MARGIN
        log_mass = bound + 4.0 * np.log(r_edges[1:])[:, None]
        log_mass = log_mass + np.log(np.diff(r_edges))[:, None] + np.log(np.diff(c_edges))
        cumulated = np.cumsum(np.exp(log_mass - log_mass.max()).ravel())
        return r_edges, c_edges, bound, cumulated / cumulated[-1]

    def sample_eigenvalues(self, n_samples: int, generator: np.random.Generator) -> np.ndarray:
        """Draw ascending eigenvalues of A, ``(n_samples, 3)``, by rejection from constant cells."""
        r_edges, c_edges, bound, cumulated = self._envelope
        accepted, missing = [], n_samples
        while missing > 0:
            u = generator.random((4, missing + missing // 2 + 16))
            cell = np.minimum(np.searchsorted(cumulated, u[0], side="right"), cumulated.size - 1)
            i, j = np.unravel_index(cell, bound.shape)
            r = r_edges[i] + u[1] * (r_edges[i + 1] - r_edges[i])
            c = c_edges[j] + u[2] * (c_edges[j + 1] - c_edges[j])
            excess = self._log_smooth(r, c) - bound[i, j]
            if excess.max() > 0.0:  # it would bias the draws
                raise RuntimeError("the envelope of the tensor law is too low: please report this")
            accept = u[3] < (r / r_edges[i + 1]) ** 4 * np.exp(excess)
            accepted.append(_chamber_eigenvalues(r[accept], c[accept]))
            missing -= len(accepted[-1])
        return np.concatenate(accepted)[:n_samples]


tensor_law = lru_cache(maxsize=128)(TensorLaw)  #: Each computed once.


def branch(field: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return T, S and the excess free energy of a director along the uniaxial solutions, h > 0.

    A director in the field ``h`` has the density ``∝ exp(h cos²θ)``; self-consistency,
    ``h = 3S/(2T)``, gives T once S(h) is known, and the free energy per director relative to
    the isotropic phase is ``S²/2 + T (h/3 - ln[Z_B(h)/4π])``.
    """
    zero = np.zeros_like(field)
    log_z, squares = integrate_bingham(np.stack([zero, zero, field], axis=-1))
    # 1 - <P2> from the small squares, exact where the order is nearly perfect.
    order = 1.0 - 1.5 * (squares[..., 0] + squares[..., 1])
    temperature = 1.5 * order / field
    excess = 0.5 * order**2 + temperature * (field / 3.0 - log_z + np.log(4.0 * np.pi))
    return temperature, order, excess


@lru_cache(maxsize=1)
def transition_fields() -> tuple[float, float]:
    """Return the fields h of the nematic at the transition and at its limit of superheating."""
    top = minimize_scalar(
        lambda h: -float(branch(np.array(h))[0]), bounds=(1.0, 4.0), options={"xatol": 1e-10}
    ).x
    return brentq(lambda h: float(branch(np.array(h))[2]), top, 10.0, xtol=1e-13), top


def nematic_order_parameter(temperature: float) -> float:
    """Return S of the nematic, at most at the temperature of the transition."""
    low, high = transition_fields()[1], 3.0 / temperature + 10.0
    if high > _LARGEST_FIELD:
        return 1.0 - temperature  # S = 1 - T + O(T²): equipartition of two soft modes
    field = brentq(lambda h: float(branch(np.array(h))[0]) - temperature, low, high, xtol=1e-12)
    return float(branch(np.array(field))[1])
