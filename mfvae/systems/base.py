"""What every physical system of the package offers, and the number with an error bar."""

import functools
import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Self

import numpy as np

from mfvae._validation import (
    check_count,
    check_number,
    check_seed,
    check_temperature,
    check_temperatures,
)

__all__ = ["Estimate", "Seed", "System", "each_temperature", "over_temperatures"]

Seed = int | np.random.SeedSequence


class Estimate(float):
    """A number with its standard error: a ``float`` that remembers how well it is known.

    ``stderr`` is in the same unit as the number; 0 for an exact value, infinity if unknown.
    ``exact`` is whether it is exact up to rounding; by default, whether ``stderr`` is 0.

    >>> gap = Estimate(0.25, stderr=0.01)
    >>> gap
    Estimate(0.25, stderr=0.01, exact=False)
    >>> gap + 1, gap.value, gap.stderr, gap.exact
    (1.25, 0.25, 0.01, False)
    """

    stderr: float
    exact: bool

    def __new__(cls, value: float, stderr: float = 0.0, exact: bool | None = None) -> Self:
        estimate = super().__new__(cls, value)
        unknown = np.ndim(stderr) == 0 and stderr == np.inf
        estimate.stderr = np.inf if unknown else check_number(stderr, "stderr", minimum=0.0)
        estimate.exact = estimate.stderr == 0.0 if exact is None else bool(exact)
        return estimate

    value = property(float, doc="The number as a plain float.")

    def __repr__(self) -> str:
        return f"Estimate({float(self)!r}, stderr={self.stderr!r}, exact={self.exact})"

    def __str__(self) -> str:
        return f"{float(self):.6g}" if self.exact else f"{float(self):.6g} ± {self.stderr:.2g}"


def over_temperatures(exact: Callable[[float], float], temperature: Any) -> Estimate | np.ndarray:
    """Return an exact value at one temperature as an `Estimate`, at a vector of them as float64."""
    temperatures, single = check_temperatures(temperature)
    values = np.array([exact(t) for t in temperatures.tolist()], dtype=np.float64)
    return Estimate(values[0]) if single else values


def each_temperature(method: Callable) -> Callable:
    """Let a method for one temperature (its first argument) take vectors: `over_temperatures`."""

    @functools.wraps(method)
    def over(self: Any, temperature: Any, *args: Any, **options: Any) -> Estimate | np.ndarray:
        return over_temperatures(lambda t: method(self, t, *args, **options), temperature)

    return over


class System:
    """A model in thermal equilibrium: energy, sampler and, where known, exact results.

    Configurations x are int8 spins -1, +1 ``(n_samples, n_sites)`` or float32 directors
    ``(n_samples, n_sites, 3)``; methods that take them raise ValueError if x does not hold such
    sites, ``n_sites`` of them. Temperatures are in units of J/k_B, energies in units of J,
    information in nats, all for the whole system. Exact results take one temperature and return an
    `Estimate`, or take a vector and return a float64 vector; what a system does not know raises
    NotImplementedError.

    A system of your own is a subclass with `sample_chains`, `energy`, `order_parameter` and, for
    exact results, `log_partition` and `internal_energy`; the rest follows.
    """

    n_sites: int
    #: Chains that `sample` draws from by default (None: each configuration has its own), and
    #: whether neighbouring configurations come from different chains.
    _n_chains: int | None = None
    _interleaved = False
    _site_entropy = float(np.log(2))  #: Of one site by itself, nats.

    def __repr__(self) -> str:
        arguments = list(self.configuration().items())[1:]
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in arguments)})"

    def configuration(self) -> dict[str, Any]:
        """Return the constructor's arguments with the name of the class, ready for JSON."""
        names = inspect.signature(type(self)).parameters
        return {"class": type(self).__name__} | {name: getattr(self, name) for name in names}

    @classmethod
    def from_configuration(cls, configuration: Mapping[str, Any]) -> "System":
        """Return the system that ``configuration()`` described, possibly after a trip through JSON.

        ``System`` knows every system of this package by name, a subclass only itself; ValueError
        for another name or arguments that do not fit.

        >>> System.from_configuration({"class": "CurieWeiss", "n_sites": 64})
        CurieWeiss(n_sites=64)
        """
        if not isinstance(configuration, Mapping):
            raise TypeError(f"configuration must be a mapping, got {type(configuration).__name__}")
        arguments, maker = dict(configuration), cls
        name = arguments.pop("class", None)
        if cls is System:
            systems = importlib.import_module("mfvae.systems")
            maker = getattr(systems, name) if name in systems.__all__ else None
            if not isinstance(maker, type) or not issubclass(maker, System) or maker is System:
                raise ValueError(f"{name!r} is not the name of a system of mfvae.systems")
        try:
            return maker._from_arguments(**arguments)
        except TypeError as error:
            raise ValueError(f"configuration {arguments} does not fit {name}: {error}") from None

    @classmethod
    def _from_arguments(cls, **arguments: Any) -> Self:
        return cls(**arguments)

    def sample(
        self,
        temperature: Any,
        n_samples: int,
        *,
        seed: Seed,
        n_chains: int | None = None,
        **options: Any,
    ) -> np.ndarray:
        """Draw configurations ``(n_samples, n_sites[, 3])`` in equilibrium.

        Args:
            temperature: One temperature, or ``(n_temperatures,)``, units of J/k_B; a vector gives
                the result a leading axis ``n_temperatures``.
            n_samples: Number of configurations for each temperature.
            seed: The same seed gives the same bits, whatever the number of threads.
            n_chains: Number of independent chains that they are the records of. Curie–Weiss and
                Maier–Saupe draw every configuration independently by default; Ising takes 32
                chains, one after another; Hopfield 256, neighbours from different ones.
            **options: As in `sample_chains`.
        """
        temperatures, single = check_temperatures(temperature)
        n_samples = check_count(n_samples, "n_samples")
        n_chains = self._n_chains or n_samples if n_chains is None else n_chains
        n_chains = min(check_count(n_chains, "n_chains"), n_samples)
        n_records = -(-n_samples // n_chains)
        x = self.sample_chains(temperatures, n_chains, n_records, seed=seed, **options)
        x = x.swapaxes(1, 2) if self._interleaved else x
        x = x.reshape(len(temperatures), -1, *x.shape[3:])[:, :n_samples]
        return np.ascontiguousarray(x[0] if single else x)

    def sample_chains(
        self,
        temperatures: Any,
        n_chains: int,
        n_records: int,
        *,
        burn_in: int | None = None,
        thinning: int | None = None,
        seed: Seed,
        **options: Any,
    ) -> np.ndarray:
        """Draw configurations as chains, ``(n_temperatures, n_chains, n_records, n_sites[, 3])``.

        ``burn_in`` and ``thinning`` are the steps before the first record and from record to
        record, by default enough for equilibrium; ``options`` are those of the system, see there.
        """
        shape = check_count(n_chains, "n_chains"), check_count(n_records, "n_records")
        steps = (
            None if burn_in is None else check_count(burn_in, "burn_in", minimum=0),
            None if thinning is None else check_count(thinning, "thinning"),
        )
        temperatures, _ = check_temperatures(temperatures, "temperatures")
        return self._draw(temperatures, shape, steps, check_seed(seed), **options)

    def _draw(self, temperatures: np.ndarray, shape: tuple, steps: tuple, seed: Any) -> np.ndarray:
        """Draw ``shape`` = (n_chains, n_records), ``steps`` = (burn_in, thinning) if given."""
        raise self._unknown("sampler")

    def energy(self, x: np.ndarray) -> np.ndarray:
        """Return the energy of each configuration, float64 ``(n_samples,)``, units of J."""
        raise self._unknown("energy")

    def order_parameter(self, x: np.ndarray) -> np.ndarray:
        """Return the order parameter of each configuration, float64 ``(n_samples, …)``."""
        raise self._unknown("order parameter")

    def log_prob(self, x: np.ndarray, temperature: float) -> np.ndarray:
        """Return the exact -E(x)/T - ln Z at one temperature, float64 ``(n_samples,)``, nats.

        For directors a density with respect to the product of the surface measures (total 4π each).
        """
        temperature = check_temperature(temperature)
        return -self.energy(x) / temperature - self.log_partition(temperature)

    def log_partition(self, temperature: Any) -> Any:
        """Return the exact ln Z, nats; N ln 2 or N ln 4π at infinite temperature."""
        raise self._unknown("partition function")

    @each_temperature
    def free_energy(self, temperature: Any) -> Any:
        """Return the exact F = -T ln Z, units of J."""
        return -temperature * self.log_partition(temperature)

    def internal_energy(self, temperature: Any) -> Any:
        """Return the exact ⟨E⟩ = -∂ln Z/∂β, units of J."""
        raise self._unknown("internal energy")

    @each_temperature
    def entropy(self, temperature: Any) -> Any:
        """Return the exact H(x) = ln Z + ⟨E⟩/T, nats; differential for directors."""
        return self.log_partition(temperature) + self.internal_energy(temperature) / temperature

    @each_temperature
    def total_correlation(self, temperature: Any) -> Any:
        """Return the exact Σ_i H(x_i) - H(x), nats: by symmetry a site by itself is uniform."""
        return max(self.n_sites * self._site_entropy - self.entropy(temperature), 0.0)

    def dual_total_correlation(self, temperature: Any, *, seed: Seed = 0) -> Any:
        """Return D = H(x) - Σ_i H(x_i | the others), nats.

        At least the mutual information across any cut (Han 1978). ``seed`` serves where D is an
        average over samples (Ising, Maier–Saupe), with its standard error in the `Estimate`.
        """
        raise self._unknown("dual total correlation")

    def mutual_information(self, temperature: Any, cut: str = "half") -> Any:
        """Return the exact mutual information of the first N // 2 sites and the others, nats."""
        raise self._unknown("mutual information between parts")

    def subset_entropy(self, temperature: Any, sites: np.ndarray) -> Any:
        """Return the exact entropy of some sites, by their numbers, int (n_chosen,), nats."""
        raise self._unknown("entropy of a subset")

    def field_information(self, temperature: Any) -> Any:
        """Return the exact I(x; m) of the sites and their Hubbard–Stratonovich field m, nats.

        At least `dual_total_correlation`; h(m) by quadrature, and m given x is Gaussian.
        """
        raise self._unknown("field information")

    def _check_sites(self, value: object) -> np.ndarray:
        """Return numbers of distinct sites, at least one, as int64."""
        sites = np.asarray(value)
        if sites.ndim != 1 or sites.size == 0 or not np.issubdtype(sites.dtype, np.integer):
            raise ValueError("sites must be a list of one or more site numbers")
        if not np.isin(sites, np.arange(self.n_sites)).all() or len(np.unique(sites)) < len(sites):
            raise ValueError(f"sites must be distinct numbers from 0 to {self.n_sites - 1}")
        return sites.astype(np.int64)

    def _unknown(self, what: str) -> NotImplementedError:
        return NotImplementedError(f"{type(self).__name__} has no {what}")
