"""The Hopfield sampler around its kernel: temperatures, seeds, blocks of sixteen ladders."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np

from mfvae.systems._hopfield_gibbs import pack_spins, run_block, table_rows, unpack_spins
from mfvae.systems._lanes import LANES

__all__ = ["disordered_above", "ladder", "run"]

#: Sweeps before the first record and between records, unless told otherwise; times N/256 for
#: larger systems (a replica diffuses over about √N temperatures). At N = 256, P = 1…48 and
#: T >= 0.6, energies and overlaps of chains started in patterns and at random agree after 125
#: sweeps, and |overlaps| 50 sweeps apart are correlated by less than 0.2.
_BURN_IN, _THINNING = 1000, 50
#: Largest distance of neighbours, ln T' - ln T, times √N.
_SPACING = 1.5


def disordered_above(n_sites: int, n_patterns: int) -> float:
    """Return a temperature, units of J/k_B, above which one chain alone equilibrates quickly.

    The transition from the paramagnet is at 1 + √(P/N) (Amit, Gutfreund & Sompolinsky 1987);
    15 % are added.
    """
    return 1.15 * (1 + np.sqrt(n_patterns / n_sites))


def ladder(temperatures: np.ndarray, n_sites: int, n_patterns: int) -> np.ndarray:
    """Return the temperatures of the replicas, ascending, among them all of ``temperatures``.

    With a heat capacity of order one a site, neighbours at ``ln T' - ln T = 1.5/√N`` exchange
    about every third proposal.
    """
    given = np.sort(temperatures)
    top = disordered_above(n_sites, n_patterns)
    ends = np.append(given, top) if given[-1] < top else given
    levels = [ends[:1]]
    for low, high in pairwise(ends):
        steps = 1
        if low < top:
            steps = max(1, int(np.ceil(np.log(high / low) * np.sqrt(n_sites) / _SPACING)))
        levels.append(low * (high / low) ** (np.arange(1, steps + 1) / steps))
        levels[-1][-1] = high
    return np.concatenate(levels)


def run(
    patterns: np.ndarray,
    temperatures: np.ndarray,
    n_chains: int,
    n_records: int,
    *,
    burn_in: int | None,
    thinning: int | None,
    seed: np.random.SeedSequence,
    start: str = "random",
    n_threads: int = 1,
) -> tuple[np.ndarray, np.ndarray]:
    """Return spins ``(n_temperatures, n_chains, n_records, n_sites)`` int8, and exchange rates.

    The rates belong to neighbours of the ladder, averaged over sweeps and chains (the lanes that
    fill the last block included).
    """
    n_sites, n_patterns = patterns.shape
    scale = max(1.0, n_sites / 256)
    burn_in = round(_BURN_IN * scale) if burn_in is None else burn_in
    thinning = round(_THINNING * scale) if thinning is None else thinning
    all_levels = ladder(temperatures, n_sites, n_patterns)
    recorded = np.searchsorted(all_levels, temperatures).astype(np.int64)
    rows = table_rows(patterns).ravel()
    pattern_bits = np.ascontiguousarray(pack_spins(patterns.T))
    n_levels, n_words = len(all_levels), pattern_bits.shape[1]
    n_blocks = -(-n_chains // LANES)
    children = seed.spawn(n_blocks * LANES)
    x = np.empty((len(temperatures), n_chains, n_records, n_sites), dtype=np.int8)

    def block(number: int) -> np.ndarray:
        first = number * LANES
        states = np.empty((LANES, n_levels, 4), dtype=np.uint32)
        spins = np.empty((LANES, n_levels, n_words), dtype=np.uint32)
        for lane in range(LANES):
            words = children[first + lane].generate_state(n_levels * (4 + n_words))
            states[lane] = words[: 4 * n_levels].reshape(n_levels, 4)
            states[lane, :, 0] |= 1  # xoshiro must not start from zero
            spins[lane] = words[4 * n_levels :].reshape(n_levels, n_words)
            if start == "patterns":
                spins[lane] = pattern_bits[(first + lane) % n_patterns]
        if n_sites % 32:
            spins[..., -1] &= np.uint32((1 << n_sites % 32) - 1)
        records = np.empty((n_records, len(temperatures), n_words * LANES), dtype=np.uint32)
        swaps = run_block(
            1 / all_levels,
            n_sites,
            n_patterns,
            rows,
            pattern_bits,
            np.ascontiguousarray(states.transpose(1, 2, 0)).reshape(n_levels, -1),
            np.ascontiguousarray(spins.transpose(1, 2, 0)).reshape(n_levels, -1),
            burn_in,
            thinning,
            records,
            recorded,
        )
        words = records.reshape(n_records, len(temperatures), n_words, LANES)
        last = min(n_chains, first + LANES)
        x[:, first:last] = unpack_spins(words[..., : last - first].transpose(1, 3, 0, 2), n_sites)
        return swaps.mean(axis=1)

    if n_threads == 1:
        swaps = [block(number) for number in range(n_blocks)]
    else:
        with ThreadPoolExecutor(n_threads) as pool:
            swaps = list(pool.map(block, range(n_blocks)))
    n_sweeps = burn_in + (n_records - 1) * thinning
    return x, np.mean(swaps, axis=0) / max(n_sweeps / 2, 1)
