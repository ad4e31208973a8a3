"""An Ising magnet between two solved ones: couplings that reach from one site to all of them."""

from typing import Any

import numpy as np

from mfvae._validation import check_count, check_number, check_spins, check_temperature
from mfvae.systems.base import System, each_temperature
from mfvae.systems.curie_weiss import CurieWeiss
from mfvae.systems.ising import Ising2D
from mfvae.systems.kernels.kac import run_chains

__all__ = ["KacIsing"]

_BLOCK = 2**22  # spins transformed at a time


class KacIsing(System):
    """Spins on an L × L torus, coupled equally to all within reach: E(s) = -(J/z) Σ_⟨ij⟩ s_i s_j.

    The z sites at a distance of at most ``reach`` are neighbours. In a mean field the transition is
    at T = J for every reach; fluctuations lower it, the more the fewer the neighbours. Two ends are
    solved: reach 1 is `Ising2D` with coupling J/4, and the largest reach `CurieWeiss` at another
    temperature (`same_law`). Between them nothing is known exactly (NotImplementedError); see
    `estimate_log_partition`. The order parameter is the magnetisation. Kac, Uhlenbeck & Hemmer
    (1963), J. Math. Phys. 4, 216; Luijten, Blöte & Binder (1996), Phys. Rev. E 54, 4626.

    Sampling is by cluster sweeps, by default 100 before the first record and 5 between records, in
    chains that start ordered; chain number k at temperature number i uses child k of child i of the
    seed.

    Args:
        length: L, at least 3; site number i is in row i // L and column i % L.
        reach: At least 1, in lattice units; from L/√2 on everyone is a neighbour.

    >>> system = KacIsing(16, 2)
    >>> system.n_neighbours, system.sample(0.9, 5, seed=0).shape
    (12, (5, 256))
    """

    _n_chains = 32

    def __init__(self, length: int, reach: float = 1) -> None:
        self.length = check_count(length, "length", minimum=3)
        self.reach = check_number(reach, "reach", minimum=1)
        self.n_sites = self.length**2
        offsets = np.indices((self.length, self.length)).reshape(2, -1)
        nearest = np.minimum(offsets, self.length - offsets)  # on the torus
        squares = (nearest**2).sum(axis=0)
        within = (squares > 0) & (squares <= self.reach**2 * (1 + 1e-12))
        self._shifts = np.ascontiguousarray(offsets.T[within])

    @property
    def n_neighbours(self) -> int:
        """The number z of sites that a spin is coupled to."""
        return len(self._shifts)

    def energy(self, x: np.ndarray) -> np.ndarray:
        x = check_spins(x, self.n_sites)
        local = [self.local_field(part) for part in np.array_split(x, 1 + x.size // _BLOCK)]
        return -np.einsum("ni,ni->n", x, np.concatenate(local)) / 2

    def local_field(self, x: np.ndarray) -> np.ndarray:
        """Return the mean of each spin's neighbours, float64 (n_samples, n_sites), units of J.

        By a Fourier transform, rounded to the whole numbers that sums of spins are.
        """
        lattice = check_spins(x, self.n_sites).reshape(-1, self.length, self.length)
        reached = np.zeros((self.length, self.length))
        reached[tuple(self._shifts.T)] = 1
        transformed = np.fft.rfft2(lattice) * np.fft.rfft2(reached)
        sums = np.rint(np.fft.irfft2(transformed, lattice.shape[1:]))
        return sums.reshape(len(lattice), -1) / self.n_neighbours

    def order_parameter(self, x: np.ndarray) -> np.ndarray:
        return check_spins(x, self.n_sites).mean(axis=1, dtype=np.float64)

    def _draw(self, temperatures, shape, steps, seed):
        burn_in, thinning = (d if s is None else s for s, d in zip(steps, (100, 5), strict=True))
        records = np.empty((len(temperatures), *shape, self.n_sites), dtype=np.int8)
        chains = []
        for child, temperature, out in zip(
            seed.spawn(len(temperatures)), temperatures.tolist(), records, strict=True
        ):
            kappa = 1 / (self.n_neighbours * temperature)
            for grandchild, chain in zip(child.spawn(shape[0]), out, strict=True):
                chains.append((grandchild, kappa, burn_in, thinning, chain))
        run_chains(self.length, self._shifts, chains)
        return records

    def same_law(self, temperature: float) -> tuple[System, float]:
        """Return the solved system of the same law as this one at T, and its temperature.

        Only at the ends, else NotImplementedError. Curie-Weiss spins count themselves among their
        neighbours, ``E(s) = E'(s) N/(N - 1) + N/2(N - 1)``, hence their T' = T (N - 1)/N.
        """
        temperature = check_temperature(temperature)
        system, scale, _ = self._end()
        return system, scale * temperature

    def _end(self) -> tuple[System, float, float]:
        """The solved system, T'/T, and what is to be added to its energy, already in our scale."""
        if self.n_neighbours == 4:
            return Ising2D(self.length, 0.25), 1.0, 0.0
        if (others := self.n_sites - 1) == self.n_neighbours:
            return CurieWeiss(self.n_sites), others / self.n_sites, self.n_sites / (2 * others)
        raise self._unknown(f"exact results at reach {self.reach:g}")

    @each_temperature
    def log_partition(self, temperature: Any) -> Any:
        system, scale, shift = self._end()
        return system.log_partition(scale * temperature) - shift / temperature

    @each_temperature
    def internal_energy(self, temperature: Any) -> Any:
        system, scale, shift = self._end()
        return system.internal_energy(scale * temperature) / scale + shift
