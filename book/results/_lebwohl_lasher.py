"""The Lebwohl-Lasher model: directors that feel their neighbours, order without a mean field.

A sweep draws a mirror and turns clusters of directors over in it: with ``a_i`` their components
along its normal, one of two neighbours turned over costs ``6 a_i a_j (n_i·n_j - a_i a_j)``, and a
bond is open with probability 1 - e^{-β cost} where the cost is positive (Wolff 1989, Phys. Rev.
Lett. 62, 361; for directors Kunz & Zumbach 1992, Phys. Rev. B 46, 662, and Priezjev & Pelcovits
2001, Phys. Rev. E 63, 062702). Every cluster is turned over with probability one half.
"""

from __future__ import annotations

import math

import numpy as np

from mfvae._validation import check_count
from mfvae.systems import MaierSaupe, System
from mfvae.systems.kernels.random import draw_bits, normal, scalar_states, uniform
from mfvae.systems.kernels.running import compiled, in_threads

__all__ = ["LebwohlLasher"]

_BLOCK = 2**19  # directors treated at a time


@compiled
def random_director(state, out):
    """Draw a uniform direction into ``out``, float64 (3,)."""
    x, y, z = normal(state), normal(state), normal(state)
    length = math.sqrt(x * x + y * y + z * z)
    out[0], out[1], out[2] = x / length, y / length, z / length


@compiled
def reflection_sweeps(sites, neighbours, beta, state, n_sweeps):
    """Sweep ``sites``, float64 (n_sites, 3), in place; return the number of clusters.

    ``neighbours`` are uint32 (n_sites, n_neighbours), each of two neighbours in the other's row.
    """
    mirror, along = np.empty(3), np.empty(len(sites))
    queue, seen = np.empty(len(sites), np.uint32), np.zeros(len(sites), np.uint8)
    n_clusters = 0
    for _ in range(n_sweeps):
        random_director(state, mirror)
        for i in range(len(sites)):
            n = sites[i]
            along[i] = n[0] * mirror[0] + n[1] * mirror[1] + n[2] * mirror[2]
            seen[i] = 0
        for first in range(len(sites)):
            if seen[first]:
                continue
            n_clusters += 1
            turn = draw_bits(state) >> np.uint64(63) == np.uint64(1)
            queue[0], seen[first] = first, 1
            head, end = 0, 1
            while head < end:
                i = queue[head]
                head += 1
                n = sites[i]
                # Those seen have been turned over or not; a bond to one was tried from there.
                for j in neighbours[i]:
                    if seen[j] == 0:
                        m, both = sites[j], along[i] * along[j]
                        dot = n[0] * m[0] + n[1] * m[1] + n[2] * m[2]
                        cost = 6.0 * beta * both * (dot - both)
                        if cost > 0.0 and uniform(state) >= math.exp(-cost):
                            queue[end], seen[j] = j, 1
                            end += 1
                if turn:
                    for k in range(3):
                        n[k] -= 2.0 * along[i] * mirror[k]
    return n_clusters


@compiled
def run_chain(state, neighbours, beta, ordered, burn_in, thinning, records):
    """Run one chain and fill ``records``, float32 (n_records, n_sites, 3).

    It starts from parallel directors where ``ordered``, otherwise from independent ones.
    """
    sites = np.empty((len(neighbours), 3))
    for n in sites:
        if ordered:
            n[0], n[1], n[2] = 0.0, 0.0, 1.0
        else:
            random_director(state, n)
    for record in range(len(records)):
        steps = burn_in if record == 0 else thinning
        reflection_sweeps(sites, neighbours, beta, state, steps)
        for i in range(len(sites)):
            n = sites[i]
            # Against the slow drift of rounding.
            n /= math.sqrt(n[0] * n[0] + n[1] * n[1] + n[2] * n[2])
            for k in range(3):
                records[record, i, k] = n[k]


def run_chains(neighbours: np.ndarray, chains: list[tuple]) -> None:
    """Run chains ``(SeedSequence, beta, ordered, burn_in, thinning, records)`` in threads."""

    def run(chain: tuple) -> None:
        seed, *rest = chain
        run_chain(scalar_states(seed, 1)[0], neighbours, *rest)

    in_threads(run, chains)


class LebwohlLasher(System):
    """Directors on an L × L × L torus that feel six neighbours: ``E = -Σ_⟨ij⟩ P₂(n_i·n_j)``.

    Each site is a rod that wants to be parallel to its neighbours, as in a nematic. As L → ∞ there
    is a weak first-order transition at T = 1.1232 ± 0.0006 (Fabbri & Zannoni 1986, Mol. Phys. 58,
    763) or 1.1225 ± 0.0001 (Priezjev & Pelcovits 2001, Phys. Rev. E 63, 062702). Nothing is known
    exactly at finite L. Lebwohl & Lasher (1972), Phys. Rev. A 6, 426.

    Sampling is by cluster reflections, by default 400 sweeps before the first record and 10 between
    records. Chains start in turn from independent and from parallel directors; chain number k at
    temperature number i uses child k of child i of the seed.

    ``length`` is L, at least 3; site number i is at ``np.unravel_index(i, (L, L, L))``.
    """

    #: Of the infinite lattice (Fabbri & Zannoni 1986), units of J/k_B; not known exactly.
    TRANSITION_TEMPERATURE = 1.1232
    _n_chains = 32
    _site_entropy = float(np.log(4.0 * np.pi))

    def __init__(self, length: int) -> None:
        self.length = check_count(length, "length", minimum=3)
        self.n_sites = self.length**3

    tensor = MaierSaupe.tensor
    order_parameter = MaierSaupe.order_parameter

    def energy(self, x: np.ndarray) -> np.ndarray:
        self.tensor(x)  # checks x
        x, cube = np.asarray(x, dtype=np.float64), (-1, *[self.length] * 3, 3)
        parts = []
        for block in np.array_split(x, 1 + x.size // _BLOCK // 3):
            lattice = block.reshape(cube)
            dots = (np.einsum("...k,...k", lattice, np.roll(lattice, 1, a)) for a in (1, 2, 3))
            parts.append(sum((dot**2).reshape(len(block), -1).sum(axis=1) for dot in dots))
        return 1.5 * self.n_sites - 1.5 * np.concatenate(parts)

    def _draw(self, temperatures, shape, steps, seed):
        steps = [d if s is None else s for s, d in zip(steps, (400, 10), strict=True)]
        sites = np.arange(self.n_sites, dtype=np.uint32).reshape([self.length] * 3)
        moves = [(by, axis) for axis in range(3) for by in (1, -1)]
        neighbours = np.stack([np.roll(sites, *move).ravel() for move in moves], axis=1)
        x = np.empty((len(temperatures), *shape, self.n_sites, 3), dtype=np.float32)
        chains = []
        for i, child in enumerate(seed.spawn(len(temperatures))):
            for k, (grandchild, out) in enumerate(zip(child.spawn(shape[0]), x[i], strict=True)):
                chains.append((grandchild, 1.0 / temperatures[i], k % 2 == 1, *steps, out))
        run_chains(neighbours, chains)
        return x
