"""What every physical system of the package offers, and the number with an error bar."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np

from mfvae._validation import check_number

__all__ = ["Estimate", "System"]


class Estimate(float):
    """A number with its standard error: a ``float`` that remembers how well it is known.

    Args:
        value (float): The number itself, in the unit of the quantity it stands for.
        stderr (float): Its standard error, in the same unit; 0 for an exact value, infinity if
            unknown.
        exact (bool or None): Whether the value is exact up to rounding; by default, whether
            ``stderr`` is 0.

    >>> gap = Estimate(0.25, stderr=0.01)
    >>> gap
    Estimate(0.25, stderr=0.01, exact=False)
    >>> gap + 1, gap.value, gap.stderr, gap.exact
    (1.25, 0.25, 0.01, False)
    """

    __slots__ = ("exact", "stderr")

    stderr: float
    exact: bool

    def __new__(cls, value: float, stderr: float = 0.0, exact: bool | None = None) -> Estimate:
        estimate = super().__new__(cls, value)
        unknown = np.ndim(stderr) == 0 and stderr == float("inf")
        estimate.stderr = np.inf if unknown else check_number(stderr, "stderr", minimum=0.0)
        estimate.exact = estimate.stderr == 0.0 if exact is None else bool(exact)
        return estimate

    @property
    def value(self) -> float:
        """The number as a plain float."""
        return float(self)

    def __repr__(self) -> str:
        return f"Estimate({float(self)!r}, stderr={self.stderr!r}, exact={self.exact})"

    def __str__(self) -> str:
        return f"{float(self):.6g}" if self.exact else f"{float(self):.6g} ± {self.stderr:.2g}"

    def __reduce__(self) -> tuple:
        return type(self), (float(self), self.stderr, self.exact)


@runtime_checkable
class System(Protocol):
    """A model in thermal equilibrium: energy, sampler and, where known, exact results.

    Temperatures are in units of J/k_B, energies in units of J for the whole system,
    information and entropies in nats for the whole system. Configurations are arrays
    ``(n_samples, n_sites)`` of int8 spins -1, +1, or ``(n_samples, n_sites, 3)`` of float32
    directors.
    """

    n_sites: int

    def configuration(self) -> dict[str, Any]:
        """Return the constructor's arguments with the class name, ready for JSON."""
        ...

    def sample(
        self, temperature: Any, n_samples: int, *, seed: int | np.random.SeedSequence
    ) -> np.ndarray:
        """Draw configurations ``(n_samples, …)``; with an array of temperatures
        ``(n_temperatures, n_samples, …)``."""
        ...

    def sample_chains(
        self,
        temperatures: Any,
        n_chains: int,
        n_records: int,
        *,
        burn_in: int | None = None,
        thinning: int | None = None,
        seed: int | np.random.SeedSequence,
    ) -> np.ndarray:
        """Draw ``n_records`` configurations from each of ``n_chains`` independent chains,
        ``(n_temperatures, n_chains, n_records, n_sites, …)``."""
        ...

    def energy(self, x: np.ndarray) -> np.ndarray:
        """Return the energy of each configuration, ``(n_samples,)`` float64, units of J."""
        ...

    def order_parameter(self, x: np.ndarray) -> np.ndarray:
        """Return the order parameter of each configuration, float64 ``(n_samples, …)``."""
        ...

    def log_prob(self, x: np.ndarray, temperature: float) -> np.ndarray:
        """Return the exact log probability of each configuration, ``(n_samples,)`` nats."""
        ...
