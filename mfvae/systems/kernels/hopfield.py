"""Block Gibbs with replica exchange for the Hopfield model, sixteen ladders at once.

Sites are kept as bits, 32 to a word. A sweep at one temperature

1. draws the field ``m_μ | s ~ Normal(M_μ/N, 1/(βN))``,
2. tabulates ``Σ ± 2β m_μ`` over groups of four patterns (all sixteen signs), so that the local
   field of a site takes one addition for four patterns,
3. draws every spin from ``P(s_i = +1 | m) = 1/(1 + exp(-2β ξ_i·m))``,
4. recounts the overlaps by exclusive or and population count.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from mfvae.systems.kernels.compilation import compiled, inlined
from mfvae.systems.kernels.lanes import LANES, count_ones, load, select, store, to_floats, to_words
from mfvae.systems.kernels.random import exp, load_state, next_words, normals, store_state, uniforms
from mfvae.systems.kernels.threads import in_threads

GROUP = 4  # patterns to a table
_ROWS = 2**GROUP
#: Sweeps before the first record and between records, unless told otherwise; times N/256 for
#: larger systems (a replica diffuses over about √N temperatures). At N = 256, P = 1…48 and
#: T >= 0.6, energies and overlaps of chains started in patterns and at random agree after 125
#: sweeps, and |overlaps| 50 sweeps apart are correlated by less than 0.2.
_BURN_IN, _THINNING = 1000, 50
#: Largest distance of neighbours, ln T' - ln T, times √N.
_SPACING = 1.5


def table_rows(patterns: np.ndarray) -> np.ndarray:
    """Return where the row of a site starts in the table of a group: uint32, site by site."""
    n_sites, n_patterns = patterns.shape
    n_groups = -(-n_patterns // GROUP)
    up = np.zeros((n_sites, n_groups * GROUP), dtype=np.uint32)
    up[:, :n_patterns] = patterns > 0
    code = up.reshape(n_sites, n_groups, GROUP) @ (1 << np.arange(GROUP, dtype=np.uint32))
    return (LANES * (code + _ROWS * np.arange(n_groups, dtype=np.uint32))).ravel()


def pack_spins(spins: np.ndarray) -> np.ndarray:
    """Return spins ``(n, n_sites)`` as words of 32 bits, ``(n, n_words)`` uint32, +1 as 1."""
    bits = np.pad(spins > 0, ((0, 0), (0, -spins.shape[1] % 32)))
    return np.ascontiguousarray(np.packbits(bits, axis=1, bitorder="little")).view("<u4")


def unpack_spins(words: np.ndarray, n_sites: int) -> np.ndarray:
    """Return int8 spins ``(…, n_sites)`` from words of 32 bits ``(…, n_words)``."""
    packed = np.ascontiguousarray(words, dtype="<u4").view(np.uint8)
    bits = np.unpackbits(packed, axis=-1, count=n_sites, bitorder="little").view(np.int8)
    bits <<= 1
    bits -= 1
    return bits


# ------------------------------------------------------------------ the kernel


@compiled
def draw_field(beta, n_sites, n_patterns, wrong, state, field):
    """Draw ``2β m`` given the spins, through ``wrong``: the sites that differ from each pattern."""
    scale, width = -4.0 * beta / n_sites, 2.0 * np.sqrt(beta / n_sites)
    s = load_state(state)
    for pattern in range(0, n_patterns, 2):
        first, s = next_words(s)
        second, s = next_words(s)
        left, right = normals(first, second)
        place = pattern * LANES
        store(field, place, to_floats(load(wrong, place)) * scale + 2.0 * beta + left * width)
        if pattern + 1 < n_patterns:
            place += LANES
            store(field, place, to_floats(load(wrong, place)) * scale + 2.0 * beta + right * width)
    store_state(state, s)


@compiled
def tabulate(n_groups, field, table):
    """Fill ``table`` with the sums of four terms of ``field``, for all sixteen signs."""
    for group in range(n_groups):
        place, base = group * GROUP * LANES, group * _ROWS * LANES
        p, q = load(field, place), load(field, place + LANES)
        r, s = load(field, place + 2 * LANES), load(field, place + 3 * LANES)
        for code in range(_ROWS // 2):
            x = 0.0 - s
            x = x + r if code & 4 else x - r
            x = x + q if code & 2 else x - q
            x = x + p if code & 1 else x - p
            store(table, base + code * LANES, x)
            store(table, base + (_ROWS - 1 - code) * LANES, 0.0 - x)


@inlined
def _exp_size(x):
    """e^|x|, at most e^80."""
    size = select(x < 0.0, 0.0 - x, x)
    return exp(select(size < 80.0, size, 80.0))


@inlined
def _against(x, words):
    """Whether a spin opposes its field x: probability 1/(1 + e^|x|), resolved to 2⁻³¹."""
    u = uniforms(words)
    return u + u * _exp_size(x) < 1.0


@compiled
def _tabulate_thresholds(table, thresholds):
    """Probability of +1 in units of 2⁻³², where one table holds every local field."""
    for place in range(0, _ROWS * LANES, LANES):
        x = load(table, place)
        small = to_words(2.0**31 / (_exp_size(x) + 1.0)) << 1
        store(thresholds, place, select(x < 0.0, small, 0xFFFFFFFF - small))


@compiled
def draw_spins(n_sites, n_groups, rows, table, thresholds, state, spins):
    """Draw all spins given the tables; with one group from a table of thresholds."""
    if n_groups == 1:
        _tabulate_thresholds(table, thresholds)
    s = load_state(state)
    for word in range((n_sites + 31) // 32):
        bits = load(spins, word * LANES) & 0
        for position in range(min(32, n_sites - 32 * word)):
            site = (32 * word + position) * n_groups
            random, s = next_words(s)
            if n_groups == 1:
                up = select(random < load(thresholds, rows[site]), 1, 0)
            else:
                x, y = load(table, rows[site]), load(table, rows[site + 1])
                for group in range(2, n_groups - 1, 2):  # two chains of additions
                    x = x + load(table, rows[site + group])
                    y = y + load(table, rows[site + group + 1])
                if n_groups % 2:
                    x = x + load(table, rows[site + n_groups - 1])
                x = x + y
                up = select(x < 0.0, 0, 1) ^ select(_against(x, random), 1, 0)
            bits = bits | (up << position)
        store(spins, word * LANES, bits)
    store_state(state, s)


@compiled
def count_wrong(n_words, n_patterns, pattern_bits, spins, wrong):
    """Count the sites that differ from each pattern."""
    for pattern in range(n_patterns):
        total = count_ones(load(spins, 0) ^ pattern_bits[pattern, 0])
        for word in range(1, n_words):
            total = total + count_ones(load(spins, word * LANES) ^ pattern_bits[pattern, word])
        store(wrong, pattern * LANES, total)


@inlined
def _swap(accept, left, right):
    """Exchange two vectors in the lanes that accept."""
    for place in range(0, len(left), LANES):
        x, y = load(left, place), load(right, place)
        store(left, place, select(accept, y, x))
        store(right, place, select(accept, x, y))


@compiled
def _exchange(difference, n_sites, state, spins, wrong, other_spins, other_wrong, swaps):
    """Swap two neighbouring temperatures with probability min(1, exp(Δβ ΔE)), lane by lane.

    ``difference`` is β - β'. With k wrong sites M² = N² - 4k(N - k): integers up to the end.
    Adds the number of swaps, a lane each, to ``swaps``.
    """
    total = load(swaps, 0) & 0
    for place in range(0, len(wrong), LANES):
        k, other = load(wrong, place), load(other_wrong, place)
        total = total + (k - other) * (n_sites - k - other)
    exponent = to_floats(total) * (2.0 * difference / n_sites)  # (β - β')(E - E')
    exponent = select(exponent < 0.0, exponent, 0.0)
    random, s = next_words(load_state(state))
    store_state(state, s)
    accept = uniforms(random) < exp(select(exponent < -80.0, -80.0, exponent))
    _swap(accept, spins, other_spins)
    _swap(accept, wrong, other_wrong)
    store(swaps, 0, load(swaps, 0) + select(accept, 1, 0))


@compiled
def _record(state, spins, record):
    """Copy the spins, reversed as a whole with probability 1/2: E(-s) = E(s)."""
    random, s = next_words(load_state(state))
    store_state(state, s)
    reverse = select(random < 0x80000000, 0, 0xFFFFFFFF)
    for place in range(0, len(spins), LANES):
        store(record, place, load(spins, place) ^ reverse)


@compiled
def run_block(betas, n_sites, rows, pattern_bits, states, spins, burn_in, thinning, records, place):
    """Run sixteen ladders and fill ``records``; return the exchanges of neighbours, a lane each.

    Args:
        betas: float64 ``(n_levels,)``, inverse temperatures; neighbours exchange, every second
            sweep.
        rows, pattern_bits: From `table_rows` and `pack_spins`.
        states, spins: uint32 ``(n_levels, 64)`` and ``(n_levels, 16 n_words)``, changed in place.
        burn_in, thinning: Sweeps before the first record and between records.
        records: uint32 ``(n_records, n_recorded, 16 n_words)``.
        place: int64 ``(n_recorded,)``, the levels recorded.
    """
    n_levels, (n_patterns, n_words) = len(betas), pattern_bits.shape
    n_groups = (n_patterns + GROUP - 1) // GROUP
    wrong = np.zeros((n_levels, n_patterns * LANES), dtype=np.uint32)
    field = np.zeros(n_groups * GROUP * LANES, dtype=np.float32)
    table = np.empty(n_groups * _ROWS * LANES, dtype=np.float32)
    thresholds = np.empty(_ROWS * LANES, dtype=np.uint32)
    swaps = np.zeros((n_levels - 1, LANES), dtype=np.uint32)
    for k in range(n_levels):
        count_wrong(n_words, n_patterns, pattern_bits, spins[k], wrong[k])
    for sweep in range(burn_in + (len(records) - 1) * thinning):
        for k in range(n_levels):
            draw_field(betas[k], n_sites, n_patterns, wrong[k], states[k], field)
            tabulate(n_groups, field, table)
            draw_spins(n_sites, n_groups, rows, table, thresholds, states[k], spins[k])
            count_wrong(n_words, n_patterns, pattern_bits, spins[k], wrong[k])
        for k in range(sweep % 2, n_levels - 1, 2):
            pair = spins[k], wrong[k], spins[k + 1], wrong[k + 1]
            _exchange(betas[k] - betas[k + 1], n_sites, states[k], *pair, swaps[k])
        done = sweep + 1 - burn_in
        if done >= 0 and done % thinning == 0:
            for index, k in enumerate(place):
                _record(states[k], spins[k], records[done // thinning, index])
    return swaps


# ------------------------------------------------------------------ temperatures, seeds, blocks


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
    levels = ladder(temperatures, n_sites, n_patterns)
    place = np.searchsorted(levels, temperatures).astype(np.int64)
    rows, pattern_bits = table_rows(patterns), pack_spins(patterns.T)
    n_levels, n_words = len(levels), pattern_bits.shape[1]
    n_blocks = -(-n_chains // LANES)
    children = seed.spawn(n_blocks * LANES)
    x = np.empty((len(temperatures), n_chains, n_records, n_sites), dtype=np.int8)

    def block(first: int) -> np.ndarray:
        seeds = children[first : first + LANES]
        drawn = np.array([child.generate_state(n_levels * (4 + n_words)) for child in seeds])
        states = drawn[:, : 4 * n_levels].reshape(LANES, n_levels, 4)
        states[..., 0] |= 1  # xoshiro must not start from zero
        spins = drawn[:, 4 * n_levels :].reshape(LANES, n_levels, n_words)
        if start == "patterns":
            spins[:] = pattern_bits[(first + np.arange(LANES)) % n_patterns, None]
        if n_sites % 32:
            spins[..., -1] &= np.uint32((1 << n_sites % 32) - 1)
        at_rest = [v.transpose(1, 2, 0).reshape(n_levels, -1) for v in (states, spins)]
        records = np.empty((n_records, len(place), n_words * LANES), dtype=np.uint32)
        swaps = run_block(
            1 / levels, n_sites, rows, pattern_bits, *at_rest, burn_in, thinning, records, place
        )
        last = min(n_chains, first + LANES)
        words = records.reshape(n_records, len(place), n_words, LANES)[..., : last - first]
        x[:, first:last] = unpack_spins(words.transpose(1, 3, 0, 2), n_sites)
        return swaps.mean(axis=1)

    swaps = in_threads(block, range(0, n_blocks * LANES, LANES), n_threads)
    n_sweeps = burn_in + (n_records - 1) * thinning
    return x, np.mean(swaps, axis=0) / max(n_sweeps / 2, 1)
