"""Monte-Carlo kernels of the two-dimensional Ising model: Wolff clusters, Metropolis flips.

Spins are bits (0 for -1, 1 for +1) in uint8 while a kernel runs. Every chain carries its own
xoshiro256++ generator (Blackman & Vigna 2021), so that its bits depend neither on the other
chains nor on the number of threads; kernels release the interpreter's lock.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import numpy as np
from numba import njit

from mfvae._threads import thread_count

__all__ = [
    "bond_threshold",
    "flip_thresholds",
    "metropolis_sweeps",
    "neighbour_table",
    "new_generator",
    "run_chain",
    "run_chains",
    "wolff_clusters",
    "wolff_schedule",
]

_ONE = np.uint64(1)
_BIT = np.uint8(1)
_LANE = np.uint64(0xFFFF)
_LANES = np.uint64(0x0001000100010001)
_TOPS = np.uint64(0x8000800080008000)
_LOW = np.uint64(0xFFFFFFFF)


@lru_cache(maxsize=32)
def neighbour_table(length: int) -> np.ndarray:
    """Return the right, left, lower and upper neighbour of each site: uint32 (length², 4)."""
    row, column = np.divmod(np.arange(length * length), length)
    table = np.empty((length * length, 4), dtype=np.uint32)
    table[:, 0] = row * length + (column + 1) % length
    table[:, 1] = row * length + (column - 1) % length
    table[:, 2] = (row + 1) % length * length + column
    table[:, 3] = (row - 1) % length * length + column
    table.flags.writeable = False
    return table


def new_generator(seed: np.random.SeedSequence) -> np.ndarray:
    """Return the state of a xoshiro256++ generator: uint64 (4,)."""
    return seed.generate_state(4, np.uint64)


def bond_threshold(kappa: float) -> np.uint64:
    """Return the bond probability 1 - e^{-2κ} in units of 2^-32."""
    return np.uint64(round(-np.expm1(-2 * kappa) * 2**32))


def flip_thresholds(kappa: float) -> np.ndarray:
    """Return min(1, e^{-2κn}) in units of 2^-32 for s_i Σ_nbrs s_j = n = -4, …, 4: uint64 (5,)."""
    accept = np.exp(-np.maximum(2 * kappa * np.arange(-4, 5, 2), 0.0))
    return np.round(accept * 2**32).astype(np.uint64)


@njit(inline="always")
def _next(s0, s1, s2, s3):  # pragma: no cover - compiled
    """One step of xoshiro256++: 64 random bits and the new state."""
    total = s0 + s3
    bits = ((total << np.uint64(23)) | (total >> np.uint64(41))) + s0
    t = s1 << np.uint64(17)
    s2 ^= s0
    s3 ^= s1
    s1 ^= s2
    s0 ^= s3
    s2 ^= t
    s3 = (s3 << np.uint64(45)) | (s3 >> np.uint64(19))
    return bits, s0, s1, s2, s3


@njit(nogil=True, cache=True)
def wolff_clusters(spins, queue, state, neighbours, threshold, n_clusters):  # pragma: no cover
    """Flip ``n_clusters`` Wolff clusters in place and return the number of flipped spins.

    A cluster grows breadth-first from a random site through equal neighbours, each bond open with
    probability 1 - e^{-2κ}, and is flipped as it grows (Wolff 1989, Phys. Rev. Lett. 62, 361). The
    inner loop has no branch to mispredict: a neighbour is always written to the end of the queue,
    which advances by the 0 or 1 that says whether it joined. Four bonds share one 64-bit draw, 16
    bits each; only if one of them ties with the threshold (once in 16,000 sites) are 16 more bits
    a bond drawn, so that probabilities are right to 2^-33.

    Args:
        spins (ndarray of uint8, shape (n_sites,)): Bits of the spins; changed.
        queue (ndarray of uint32, shape (n_sites + 1,)): Room for the cluster; overwritten.
        state (ndarray of uint64, shape (4,)): State of the generator; advanced.
        neighbours (ndarray of uint32, shape (n_sites, 4)): From `neighbour_table`.
        threshold (uint64): From `bond_threshold`.
        n_clusters (int): Number of clusters, to be fixed before the run: a number that depends on
            the flips would bias the sample.
    """
    s0, s1, s2, s3 = state[0], state[1], state[2], state[3]
    n_sites = np.uint64(spins.shape[0])
    high = threshold >> np.uint64(16)
    low = threshold & _LANE
    pattern = (high & _LANE) * _LANES
    flipped = np.uint64(0)
    for _ in range(n_clusters):
        bits, s0, s1, s2, s3 = _next(s0, s1, s2, s3)
        # Not uniform to the last bit, and it need not be: detailed balance holds for any fixed
        # law of the first site, since a cluster is grown and undone from the same sites.
        site = ((bits >> np.uint64(32)) * n_sites) >> np.uint64(32)
        spin = spins[site]
        spins[site] = spin ^ _BIT
        queue[0] = site
        head, tail = np.uint64(0), _ONE
        while head < tail:
            site = np.uint64(queue[head])
            head += _ONE
            bits, s0, s1, s2, s3 = _next(s0, s1, s2, s3)
            lane0 = bits & _LANE
            lane1 = (bits >> np.uint64(16)) & _LANE
            lane2 = (bits >> np.uint64(32)) & _LANE
            lane3 = bits >> np.uint64(48)
            open0, open1 = np.uint8(lane0 < high), np.uint8(lane1 < high)
            open2, open3 = np.uint8(lane2 < high), np.uint8(lane3 < high)
            difference = bits ^ pattern  # a lane of zeros is a tie
            if ((difference - _LANES) & ~difference & _TOPS) != np.uint64(0):
                bits, s0, s1, s2, s3 = _next(s0, s1, s2, s3)
                open0 |= np.uint8((lane0 == high) & ((bits & _LANE) < low))
                open1 |= np.uint8((lane1 == high) & (((bits >> np.uint64(16)) & _LANE) < low))
                open2 |= np.uint8((lane2 == high) & (((bits >> np.uint64(32)) & _LANE) < low))
                open3 |= np.uint8((lane3 == high) & ((bits >> np.uint64(48)) < low))
            other = np.uint64(neighbours[site, 0])
            joins = open0 & ~(spins[other] ^ spin) & _BIT
            spins[other] ^= joins
            queue[tail] = other
            tail += np.uint64(joins)
            other = np.uint64(neighbours[site, 1])
            joins = open1 & ~(spins[other] ^ spin) & _BIT
            spins[other] ^= joins
            queue[tail] = other
            tail += np.uint64(joins)
            other = np.uint64(neighbours[site, 2])
            joins = open2 & ~(spins[other] ^ spin) & _BIT
            spins[other] ^= joins
            queue[tail] = other
            tail += np.uint64(joins)
            other = np.uint64(neighbours[site, 3])
            joins = open3 & ~(spins[other] ^ spin) & _BIT
            spins[other] ^= joins
            queue[tail] = other
            tail += np.uint64(joins)
        flipped += tail
    state[0], state[1], state[2], state[3] = s0, s1, s2, s3
    return flipped


@njit(nogil=True, cache=True)
def metropolis_sweeps(spins, state, neighbours, thresholds, n_sweeps):  # pragma: no cover
    """Try ``n_sweeps`` × n_sites flips of random single spins in place; return those accepted.

    Arguments as in `wolff_clusters`, with ``thresholds`` from `flip_thresholds`. Metropolis et al.
    (1953), J. Chem. Phys. 21, 1087; κ of either sign.
    """
    s0, s1, s2, s3 = state[0], state[1], state[2], state[3]
    n_sites = np.uint64(spins.shape[0])
    accepted = 0
    for _ in range(n_sweeps * spins.shape[0]):
        bits, s0, s1, s2, s3 = _next(s0, s1, s2, s3)
        site = ((bits >> np.uint64(32)) * n_sites) >> np.uint64(32)
        spin = spins[site]
        aligned = np.uint64(0)
        for k in range(4):
            aligned += np.uint64((~(spins[neighbours[site, k]] ^ spin)) & _BIT)
        if (bits & _LOW) < thresholds[aligned]:
            spins[site] = spin ^ _BIT
            accepted += 1
    state[0], state[1], state[2], state[3] = s0, s1, s2, s3
    return accepted


@njit(nogil=True, cache=True)
def run_chain(
    state, neighbours, thresholds, wolff, burn_in, thinning, records
):  # pragma: no cover - compiled
    """Run one chain and fill ``records``, int8 (n_records, n_sites), with spins -1 and +1.

    The chain starts ordered, up or down at random. With ``wolff`` a step is a cluster,
    ``thresholds`` is `bond_threshold` in an array of one, and the spins are all flipped with
    probability one half before each record (an exact symmetry: at low temperature the sign would
    otherwise alternate for ever). Without it a step is a Metropolis sweep and ``thresholds`` is
    `flip_thresholds`.
    """
    n_sites = neighbours.shape[0]
    bits, state[0], state[1], state[2], state[3] = _next(state[0], state[1], state[2], state[3])
    spins = np.full(n_sites, np.uint8(bits >> np.uint64(63)), dtype=np.uint8)
    queue = np.empty(n_sites + 1, dtype=np.uint32)
    for record in range(-1, records.shape[0]):
        steps = burn_in if record < 0 else thinning
        if wolff:
            wolff_clusters(spins, queue, state, neighbours, thresholds[0], steps)
        else:
            metropolis_sweeps(spins, state, neighbours, thresholds, steps)
        if record >= 0:
            sign = np.int8(1)
            if wolff:
                bits, state[0], state[1], state[2], state[3] = _next(
                    state[0], state[1], state[2], state[3]
                )
                sign = np.int8(1) - np.int8(2) * np.int8(bits >> np.uint64(63))
            for site in range(n_sites):
                records[record, site] = sign * (np.int8(2) * np.int8(spins[site]) - np.int8(1))


def run_chains(length: int, chains: list[tuple], wolff: bool) -> None:
    """Run chains in as many threads as Numba is set to use, filling their records in place.

    Args:
        length (int): L.
        chains (list of (SeedSequence, kappa, burn_in, thinning, records)): One entry for each
            chain; ``records`` as in `run_chain`.
        wolff (bool): Clusters, at |κ|; otherwise Metropolis sweeps, at κ of either sign.
    """
    neighbours = neighbour_table(length)

    def run(chain: tuple) -> None:
        seed, kappa, burn_in, thinning, records = chain
        thresholds = np.array([bond_threshold(abs(kappa))]) if wolff else flip_thresholds(kappa)
        run_chain(new_generator(seed), neighbours, thresholds, wolff, burn_in, thinning, records)

    with ThreadPoolExecutor(thread_count()) as threads:
        list(threads.map(run, chains))


@lru_cache(maxsize=4096)
def wolff_schedule(length: int, kappa: float, sweeps: float) -> int:
    """Return the number of clusters that flip ``sweeps`` × n_sites spins on average, at least 1.

    The mean cluster size comes from a pilot run with a fixed seed of its own: the number depends
    on the system and on κ alone, never on the run it is used for.
    """
    n_sites = length * length
    neighbours, threshold = neighbour_table(length), bond_threshold(kappa)
    spins, queue = np.ones(n_sites, np.uint8), np.empty(n_sites + 1, np.uint32)
    state = new_generator(np.random.SeedSequence(0))
    clusters = 0
    for n_flips in (20 * n_sites, 50 * n_sites):  # the first to forget the start
        clusters, flipped = 0, 0
        while flipped < n_flips:
            batch = max(1, n_sites // 64)
            flipped += int(wolff_clusters(spins, queue, state, neighbours, threshold, batch))
            clusters += batch
    return max(1, round(sweeps * n_sites * clusters / flipped))
