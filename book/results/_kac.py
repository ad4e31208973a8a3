"""An Ising magnet between two solved ones: couplings that reach from one site to all of them.

A sweep puts every spin in a cluster and flips each cluster with probability one half (Swendsen &
Wang 1987, Phys. Rev. Lett. 58, 86). Of the z bonds of a spin those that may be open, each with
probability p = 1 - e^{-2κ}, are found by skips over the closed ones (Luijten & Blöte 1995, Int. J.
Mod. Phys. C 6, 359): about 1 + zp random numbers a spin, three near T_c, whatever the range. A skip
is looked up in its cumulative law, beginning at a place that the first bits of its number give.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mfvae._validation import check_count, check_number, check_spins, check_temperature
from mfvae.systems import CurieWeiss, Ising2D, System
from mfvae.systems.base import each_temperature
from mfvae.systems.kernels.random import next_bits, scalar_states
from mfvae.systems.kernels.running import compiled, in_threads

__all__ = ["KacIsing"]

_BLOCK = 2**22  # spins transformed at a time
_ONE, _TOP, _TURNED = np.uint8(1), np.uint64(63), np.uint8(2)
_DIGITS, _GUIDES = np.uint64(11), 12  # bits that are no digits; bits that say where to look


def skip_table(kappa: float, n_bonds: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the cumulative law of skips, float64 (n_bonds + 1,), and where to begin in it."""
    law = np.append(-np.expm1(-2 * kappa * np.arange(1, n_bonds + 1)), np.inf)
    begin = np.searchsorted(law, np.arange(2**_GUIDES) / 2**_GUIDES, side="right")
    return law, begin.astype(np.int32)


@compiled
def cluster_sweeps(cells, length, shifts, skips, queue, state, n_sweeps):
    """Sweep ``cells`` ``n_sweeps`` times in place and return the number of clusters.

    Bit 0 of a cell is its spin, bit 1 changes in every sweep and says who was visited, as a bond is
    tried from the end that is visited first. ``shifts``, int64 (z, 2), lead to the neighbours by
    rows and columns, from 0 to length - 1; ``skips`` come from `skip_table`; ``queue`` is uint32
    (n_sites + 1,).
    """
    s = state[0], state[1], state[2], state[3]
    n_clusters, (law, guide), from_top = 0, skips, np.uint64(64 - _GUIDES)
    for _ in range(n_sweeps):
        turned = (cells[0] ^ _TURNED) & _TURNED
        for first in range(len(cells)):
            if cells[first] & _TURNED == turned:
                continue
            n_clusters += 1
            bits, s = next_bits(s)
            old = cells[first]
            new = old ^ _TURNED ^ np.uint8(bits >> _TOP)
            cells[first], queue[0] = new, first
            head, end = 0, 1
            while head < end:
                row, column = divmod(np.int64(queue[head]), length)
                head += 1
                place = 0
                while True:
                    bits, s = next_bits(s)
                    u, skip = np.float64(bits >> _DIGITS) * 2.0**-53, guide[bits >> from_top]
                    while law[skip] <= u:
                        skip += 1
                    place += skip + 1
                    if place > len(shifts):
                        break
                    r, c = row + shifts[place - 1, 0], column + shifts[place - 1, 1]
                    r -= length if r >= length else 0
                    c -= length if c >= length else 0
                    other = r * length + c
                    # No branch to mispredict: written in any case, kept if it joins.
                    joins = np.int64(cells[other] == old)
                    cells[other] ^= np.uint8(joins * (old ^ new))
                    queue[end] = other
                    end += joins
    state[0], state[1], state[2], state[3] = s
    return n_clusters


@compiled
def run_chain(state, length, shifts, skips, burn_in, thinning, records):
    """Run one chain from parallel spins and fill ``records``, int8 (n_records, n_sites)."""
    cells, queue = np.ones(length * length, np.uint8), np.empty(length * length + 1, np.uint32)
    for record in range(len(records)):
        steps = burn_in if record == 0 else thinning
        cluster_sweeps(cells, length, shifts, skips, queue, state, steps)
        for site in range(len(cells)):
            records[record, site] = np.int8(2) * np.int8(cells[site] & _ONE) - np.int8(1)


def run_chains(length: int, shifts: np.ndarray, chains: list[tuple]) -> None:
    """Run chains ``(SeedSequence, kappa, burn_in, thinning, records)`` in threads."""

    def run(chain: tuple) -> None:
        seed, kappa, *rest = chain
        skips = skip_table(kappa, len(shifts))
        run_chain(scalar_states(seed, 1)[0], length, shifts, skips, *rest)

    in_threads(run, chains)


class KacIsing(System):
    """Spins on an L × L torus, coupled equally to all within reach: E(s) = -(J/z) Σ_⟨ij⟩ s_i s_j.

    The z sites at a distance of at most ``reach`` are neighbours. In a mean field the transition is
    at T = J for every reach; fluctuations lower it, the more the fewer the neighbours. Two ends are
    solved: reach 1 is `Ising2D` with coupling J/4, and the largest reach `CurieWeiss` at another
    temperature (`same_law`). Between them nothing is known exactly (NotImplementedError). The order
    parameter is the magnetisation. Kac, Uhlenbeck & Hemmer (1963), J. Math. Phys. 4, 216; Luijten,
    Blöte & Binder (1996), Phys. Rev. E 54, 4626.

    Sampling is by cluster sweeps, by default 100 before the first record and 5 between records, in
    chains that start ordered; chain number k at temperature number i uses child k of child i of the
    seed.

    Args:
        length: L, at least 3; site number i is in row i // L and column i % L.
        reach: At least 1, in lattice units; from L/√2 on everyone is a neighbour.
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
