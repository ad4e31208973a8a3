"""Monte-Carlo kernels of the two-dimensional Ising model: Wolff clusters, Metropolis flips.

Spins are bits (0 for -1, 1 for +1) in uint8 while a kernel runs; every chain has a generator.
"""

import numpy as np

from mfvae.systems.kernels.random import draw_bits, next_bits
from mfvae.systems.kernels.running import compiled

_BIT, _HALF, _QUARTER = np.uint8(1), np.uint64(32), np.uint64(0xFFFF)
_ONES, _TOPS = np.uint64(0x0001000100010001), np.uint64(0x8000800080008000)  # of each quarter


def neighbour_table(length: int) -> np.ndarray:
    """Return the right, left, lower and upper neighbour of each site: uint32 (length², 4)."""
    sites = np.arange(length * length, dtype=np.uint32).reshape(length, length)
    shifts = [(1, -1), (1, 1), (0, -1), (0, 1)]
    return np.stack([np.roll(sites, by, axis).ravel() for axis, by in shifts], axis=1)


def bond_threshold(kappa: float) -> np.uint64:
    """Return the bond probability 1 - e^{-2κ} in units of 2^-32."""
    return np.uint64(round(-np.expm1(-2 * kappa) * 2**32))


def flip_thresholds(kappa: float) -> np.ndarray:
    """Return min(1, e^{-2κn}) in units of 2^-32 for s_i Σ_nbrs s_j = n = -4, …, 4: uint64 (5,)."""
    accept = np.exp(-np.maximum(2 * kappa * np.arange(-4, 5, 2), 0.0))
    return np.round(accept * 2**32).astype(np.uint64)


@compiled
def wolff_clusters(spins, queue, state, neighbours, threshold, n_clusters):
    """Flip ``n_clusters`` Wolff clusters in place and return the number of flipped spins.

    A cluster grows breadth-first from a random site through equal neighbours, each bond open with
    probability 1 - e^{-2κ}, and is flipped as it grows (Wolff 1989, Phys. Rev. Lett. 62, 361).
    There is no branch to mispredict: a neighbour is always written to the end of the ``queue``,
    uint32 (n_sites + 1,), which advances by the 0 or 1 that says whether it joined. Four bonds
    share one 64-bit draw, 16 bits each; only on a tie with the threshold do 16 more bits decide.

    A number of clusters that depends on the flips would bias the sample.
    """
    s = state[0], state[1], state[2], state[3]
    n_sites, flipped = np.uint64(len(spins)), np.uint64(0)
    high = threshold >> np.uint64(16)
    for _ in range(n_clusters):
        bits, s = next_bits(s)
        # Not uniform to the last bit, and it need not be: detailed balance holds for any fixed
        # law of the first site, since a cluster is grown and undone from the same sites.
        site = ((bits >> _HALF) * n_sites) >> _HALF
        spin = spins[site]
        spins[site] = spin ^ _BIT
        queue[0] = site
        head, end = np.uint64(0), np.uint64(1)
        while head < end:
            site = np.uint64(queue[head])
            head += np.uint64(1)
            bits, s = next_bits(s)
            limit, more, wide = high, np.uint64(0), np.uint64(0)
            difference = bits ^ (high & _QUARTER) * _ONES  # a quarter of zeros is a tie
            if (difference - _ONES) & ~difference & _TOPS != np.uint64(0):
                limit, wide = threshold, np.uint64(16)
                more, s = next_bits(s)
            for k in range(4):
                shift, other = np.uint64(16 * k), np.uint64(neighbours[site, k])
                draw = (((bits >> shift) & _QUARTER) << wide) | ((more >> shift) & _QUARTER)
                joins = np.uint8(draw < limit) & ~(spins[other] ^ spin) & _BIT
                spins[other] ^= joins
                queue[end] = other
                end += np.uint64(joins)
        flipped += end
    state[0], state[1], state[2], state[3] = s
    return flipped


@compiled
def metropolis_sweeps(spins, state, neighbours, thresholds, n_sweeps):
    """Try ``n_sweeps`` × n_sites flips of random single spins in place; return those accepted.

    Metropolis et al. (1953), J. Chem. Phys. 21, 1087; ``thresholds`` from `flip_thresholds`.
    """
    s = state[0], state[1], state[2], state[3]
    accepted, n_sites = 0, np.uint64(len(spins))
    for _ in range(n_sweeps * len(spins)):
        bits, s = next_bits(s)
        site = ((bits >> _HALF) * n_sites) >> _HALF
        spin = spins[site]
        aligned = np.uint64(0)
        for k in range(4):
            aligned += np.uint64((~(spins[neighbours[site, k]] ^ spin)) & _BIT)
        if (bits & np.uint64(0xFFFFFFFF)) < thresholds[aligned]:
            spins[site] = spin ^ _BIT
            accepted += 1
    state[0], state[1], state[2], state[3] = s
    return accepted


@compiled
def run_chain(state, neighbours, thresholds, wolff, burn_in, thinning, records):
    """Run one chain and fill ``records``, int8 (n_records, n_sites), with spins -1 and +1.

    The chain starts ordered, up or down at random. With ``wolff`` a step is a cluster, otherwise a
    Metropolis sweep; after clusters all spins are flipped with probability one half in each record
    (an exact symmetry: at low temperature the sign would otherwise alternate for ever).
    """
    n_sites = len(neighbours)
    spins = np.full(n_sites, np.uint8(draw_bits(state) >> np.uint64(63)), dtype=np.uint8)
    queue = np.empty(n_sites + 1, dtype=np.uint32)
    for record in range(-1, len(records)):
        steps = burn_in if record < 0 else thinning
        if wolff:
            wolff_clusters(spins, queue, state, neighbours, thresholds[0], steps)
        else:
            metropolis_sweeps(spins, state, neighbours, thresholds, steps)
        if record >= 0:
            flip = np.uint8(draw_bits(state) >> np.uint64(63)) if wolff else np.uint8(0)
            for site in range(n_sites):
                records[record, site] = np.int8(2) * np.int8(spins[site] ^ flip) - np.int8(1)
