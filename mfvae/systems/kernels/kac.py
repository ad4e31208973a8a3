"""Cluster sweeps of an Ising magnet with equal couplings to many neighbours.

A sweep puts every spin in a cluster and flips each cluster with probability one half (Swendsen &
Wang 1987, Phys. Rev. Lett. 58, 86). Of the z bonds of a spin those that may be open, each with
probability p = 1 - e^{-2κ}, are found by skips over the closed ones (Luijten & Blöte 1995, Int. J.
Mod. Phys. C 6, 359): about 1 + zp random numbers a spin, three near T_c, whatever the range. A skip
is looked up in its cumulative law, beginning at a place that the first bits of its number give.
"""

import numpy as np

from mfvae.systems.kernels.random import next_bits, scalar_states
from mfvae.systems.kernels.running import compiled, in_threads

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
