"""The Maier-Saupe model in the limit of infinitely many directors."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.optimize import brentq, minimize_scalar

from mfvae.systems._bingham_quadrature import integrate_bingham

__all__ = ["branch", "nematic_order_parameter", "transition"]

_LARGEST_FIELD = 1e7


def branch(field: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return temperature, order parameter and excess free energy along the uniaxial solutions.

    A director in the field ``h`` has the density ``∝ exp(h cos²θ)``; self-consistency,
    ``h = 3S/(2T)``, gives T once S(h) is known, and the free energy per director relative to
    the isotropic phase is ``S²/2 + T (h/3 - ln[Z_B(h)/4π])``.

    Args:
        field (ndarray): h > 0, dimensionless.

    Returns:
        (ndarray, ndarray, ndarray): T in units of J/k_B, S dimensionless, excess free energy in
            units of J.
    """
    field = np.asarray(field, dtype=np.float64)
    zero = np.zeros_like(field)
    log_z, squares = integrate_bingham(np.stack([zero, zero, field], axis=-1))
    # 1 - <P2> from the small squares, exact where the order is nearly perfect.
    order = 1.0 - 1.5 * (squares[..., 0] + squares[..., 1])
    temperature = 1.5 * order / field
    excess = 0.5 * order**2 + temperature * (field / 3.0 - log_z + np.log(4.0 * np.pi))
    return temperature, order, excess


@lru_cache(maxsize=1)
def transition() -> dict[str, float]:
    """Return the transition temperature, the limits of metastability, and S at both.

    Returns:
        dict: ``temperature``, ``order_parameter`` (of the nematic at the transition),
            ``superheating_temperature``, ``superheating_order_parameter``,
            ``supercooling_temperature`` and ``field`` and ``superheating_field``.
    """
    top = minimize_scalar(
        lambda h: -float(branch(np.array(h))[0]), bounds=(1.0, 4.0), options={"xatol": 1e-10}
    ).x
    field = brentq(lambda h: float(branch(np.array(h))[2]), top, 10.0, xtol=1e-13)
    temperature, order, _ = branch(np.array([field, top]))
    return {
        "temperature": float(temperature[0]),
        "order_parameter": float(order[0]),
        "superheating_temperature": float(temperature[1]),
        "superheating_order_parameter": float(order[1]),
        "supercooling_temperature": 0.2,
        "field": float(field),
        "superheating_field": float(top),
    }


def nematic_order_parameter(temperature: float) -> float:
    """Return S of the ordered (meta)stable solution, or 0 above its superheating limit."""
    known = transition()
    if temperature > known["superheating_temperature"]:
        return 0.0
    low, high = known["superheating_field"], 3.0 / temperature + 10.0
    if high > _LARGEST_FIELD:
        return 1.0 - temperature  # S = 1 - T + O(T²): equipartition of two soft modes
    excess = lambda h: float(branch(np.array(h))[0]) - temperature  # noqa: E731
    if excess(low) <= 0.0:
        return known["superheating_order_parameter"]
    return float(branch(np.array(brentq(excess, low, high, xtol=1e-12)))[1])
