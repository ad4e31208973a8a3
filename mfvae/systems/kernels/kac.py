"""Cluster sweeps of an Ising magnet with equal couplings to many neighbours.

A sweep puts every spin in a cluster and flips each cluster with probability one half (Swendsen &
Wang 1987, Phys. Rev. Lett. 58, 86). Of the z bonds of a spin those that may be open, each with
probability p = 1 - e^{-2κ}, are found by geometric skips (Luijten & Blöte 1995, Int. J. Mod. Phys.
C 6, 359): about 1 + zp random numbers a spin, two or three near T_c, whatever the range.
"""

import math

import numpy as np

from mfvae.systems.kernels.random import next_bits, scalar_states
from mfvae.systems.kernels.running import compiled, in_threads

_ONE, _TOP, _TURNED = np.uint8(1), np.uint64(63), np.uint8(2)
_DIGITS = np.uint64(11)


@compiled
def cluster_sweeps(cells, length, shifts, scale, queue, state, n_sweeps):
    """Sweep ``cells`` ``n_sweeps`` times in place and return the number of clusters.

    Bit 0 of a cell is its spin, bit 1 changes in every sweep and says who was visited, as a bond is
    tried from the end that is visited first. ``shifts``, int64 (z, 2), lead to the neighbours by
    rows and columns, from 0 to length - 1; ``scale`` is -1/2κ; ``queue`` uint32 (n_sites,).
    """
    s = state[0], state[1], state[2], state[3]
    n_clusters, z = 0, float(len(shifts))
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
                place = 0.0
                while True:
                    bits, s = next_bits(s)
                    # 1 - u with 53 bits, so that its logarithm is finite.
                    u = (np.float64(bits >> _DIGITS) + 1.0) * 2.0**-53
                    place += math.floor(scale * math.log(u))
                    if place >= z:
                        break
                    shift = shifts[int(place)]
                    place += 1.0
                    r, c = row + shift[0], column + shift[1]
                    r -= length if r >= length else 0
                    c -= length if c >= length else 0
                    other = r * length + c
                    if cells[other] == old:
                        cells[other] = new
                        queue[end] = other
                        end += 1
    state[0], state[1], state[2], state[3] = s
    return n_clusters


@compiled
def run_chain(state, length, shifts, scale, burn_in, thinning, records):
    """Run one chain from parallel spins and fill ``records``, int8 (n_records, n_sites)."""
    cells, queue = np.ones(length * length, np.uint8), np.empty(length * length, np.uint32)
    for record in range(len(records)):
        steps = burn_in if record == 0 else thinning
        cluster_sweeps(cells, length, shifts, scale, queue, state, steps)
        for site in range(len(cells)):
            records[record, site] = np.int8(2) * np.int8(cells[site] & _ONE) - np.int8(1)


def run_chains(length: int, shifts: np.ndarray, chains: list[tuple]) -> None:
    """Run chains ``(SeedSequence, kappa, burn_in, thinning, records)`` in threads."""

    def run(chain: tuple) -> None:
        seed, kappa, *rest = chain
        run_chain(scalar_states(seed, 1)[0], length, shifts, -0.5 / kappa, *rest)

    in_threads(run, chains)
