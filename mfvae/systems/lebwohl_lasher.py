"""The Lebwohl-Lasher model: directors that feel their neighbours, order without a mean field."""

import numpy as np

from mfvae._validation import check_count
from mfvae.systems.base import System
from mfvae.systems.kernels.lebwohl_lasher import run_chains
from mfvae.systems.maier_saupe import MaierSaupe

__all__ = ["LebwohlLasher"]

_BLOCK = 2**19  # directors treated at a time


class LebwohlLasher(System):
    """Directors on an L × L × L torus that feel six neighbours: ``E = -Σ_⟨ij⟩ P₂(n_i·n_j)``.

    Each site is a rod that wants to be parallel to its neighbours, as in a nematic. As L → ∞ there
    is a weak first-order transition at T = 1.1232 ± 0.0006 (Fabbri & Zannoni 1986, Mol. Phys. 58,
    763) or 1.1225 ± 0.0001 (Priezjev & Pelcovits 2001, Phys. Rev. E 63, 062702). Nothing is known
    exactly at finite L, ln Z by `estimate_log_partition`. Lebwohl & Lasher (1972), Phys. Rev. A 6,
    426.

    Sampling is by cluster reflections, by default 400 sweeps before the first record and 10 between
    records. Chains start in turn from independent and from parallel directors; chain number k at
    temperature number i uses child k of child i of the seed.

    ``length`` is L, at least 3; site number i is at ``np.unravel_index(i, (L, L, L))``.

    >>> system = LebwohlLasher(4)
    >>> n = system.sample(1.0, 5, seed=0)
    >>> n.shape, system.energy(n).shape
    ((5, 64, 3), (5,))
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
