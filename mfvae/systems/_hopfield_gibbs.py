"""Kernel of the Hopfield sampler: block Gibbs with replica exchange, sixteen ladders at once.

Sites are kept as bits, 32 to a word. A sweep at one temperature

1. draws the field ``m_μ | s ~ Normal(M_μ/N, 1/(βN))``,
2. tabulates ``Σ ± 2β m_μ`` over groups of four patterns (all sixteen signs), so that the local
   field of a site takes one addition for four patterns,
3. draws every spin from ``P(s_i = +1 | m) = 1/(1 + exp(-2β ξ_i·m))``,
4. recounts the overlaps by exclusive or and population count.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from mfvae.systems._lane_random import (
    exp,
    load_state,
    normal_pair,
    random_words,
    store_state,
    uniforms,
)
from mfvae.systems._lanes import (
    LANES,
    count_ones,
    fill,
    fill_words,
    load,
    select,
    signed,
    store,
    to_floats,
)

__all__ = ["GROUP", "pack_spins", "run_block", "table_rows", "unpack_spins"]

GROUP = 4  # patterns to a table
_ROWS = 2**GROUP


def table_rows(patterns: np.ndarray) -> np.ndarray:
    """Return, for every site and group of patterns, where its row of the table starts (uint32)."""
    n_sites, n_patterns = patterns.shape
    n_groups = -(-n_patterns // GROUP)
    up = np.zeros((n_sites, n_groups * GROUP), dtype=np.uint32)
    up[:, :n_patterns] = patterns > 0
    code = up.reshape(n_sites, n_groups, GROUP) @ (1 << np.arange(GROUP)).astype(np.uint32)
    rows = code + _ROWS * np.arange(n_groups, dtype=np.uint32)
    return np.ascontiguousarray(LANES * rows, dtype=np.uint32)


def pack_spins(spins: np.ndarray) -> np.ndarray:
    """Return spins ``(n, n_sites)`` as words of 32 bits, ``(n, n_words)`` uint32, +1 as 1."""
    n_words = -(-spins.shape[1] // 32)
    bits = np.zeros((len(spins), 32 * n_words), dtype=np.uint8)
    bits[:, : spins.shape[1]] = spins > 0
    return np.packbits(bits, axis=1, bitorder="little").view("<u4")


def unpack_spins(words: np.ndarray, n_sites: int) -> np.ndarray:
    """Return int8 spins ``(…, n_sites)`` from words of 32 bits ``(…, n_words)``."""
    packed = np.ascontiguousarray(words, dtype="<u4").view(np.uint8)
    bits = np.unpackbits(packed, axis=-1, count=n_sites, bitorder="little").view(np.int8)
    bits <<= 1
    bits -= 1
    return bits


@njit(nogil=True, cache=True)
def _draw_field(beta, n_sites, n_patterns, wrong, state, scaled_field):
    """``2β m`` given the spins, through ``wrong``: the sites that differ from each pattern."""
    scale = fill(-4.0 * beta / n_sites)
    offset = fill(2.0 * beta)
    width = fill(2.0 * np.sqrt(beta / n_sites))
    a, b, c, d = load_state(state)
    for pattern in range(0, n_patterns, 2):
        first, a, b, c, d = random_words(a, b, c, d)
        second, a, b, c, d = random_words(a, b, c, d)
        left, right = normal_pair(first, second)
        place = pattern * LANES
        mean = to_floats(load(wrong, place)) * scale + offset
        store(scaled_field, place, mean + left * width)
        if pattern + 1 < n_patterns:
            mean = to_floats(load(wrong, place + LANES)) * scale + offset
            store(scaled_field, place + LANES, mean + right * width)
    store_state(state, a, b, c, d)


@njit(nogil=True, cache=True)
def _tabulate(n_groups, scaled_field, table):
    for group in range(n_groups):
        place = group * GROUP * LANES
        p = load(scaled_field, place)
        q = load(scaled_field, place + LANES)
        r = load(scaled_field, place + 2 * LANES)
        s = load(scaled_field, place + 3 * LANES)
        base = group * _ROWS * LANES
        for code in range(_ROWS // 2):
            x = fill(0.0) - s
            x = x + r if code & 4 else x - r
            x = x + q if code & 2 else x - q
            x = x + p if code & 1 else x - p
            store(table, base + code * LANES, x)
            store(table, base + (_ROWS - 1 - code) * LANES, fill(0.0) - x)


@njit(inline="always")
def _exp_size(x):
    """e^|x|, at most e^80."""
    size = select(x < fill(0.0), fill(0.0) - x, x)
    return exp(select(size < fill(80.0), size, fill(80.0)))


@njit(inline="always")
def _against(x, words):
    """Whether a spin opposes its field x: probability 1/(1 + e^|x|), resolved to 2⁻³¹."""
    u = uniforms(words)
    return u + u * _exp_size(x) < fill(1.0)


@njit(nogil=True, cache=True)
def _draw_spins(n_sites, n_groups, rows, table, state, spins):
    a, b, c, d = load_state(state)
    one, zero = fill_words(1), fill_words(0)
    for word in range((n_sites + 31) // 32):
        bits = zero
        for position in range(min(32, n_sites - 32 * word)):
            site = (32 * word + position) * n_groups
            x, y = load(table, rows[site]), load(table, rows[site + 1])
            for group in range(2, n_groups - 1, 2):  # two chains of additions
                x = x + load(table, rows[site + group])
                y = y + load(table, rows[site + group + 1])
            if n_groups % 2:
                x = x + load(table, rows[site + n_groups - 1])
            x = x + y
            random, a, b, c, d = random_words(a, b, c, d)
            up = select(x < fill(0.0), zero, one)
            flip = select(_against(x, random), one, zero)
            bits = bits | ((up ^ flip) << fill_words(position))
        store(spins, word * LANES, bits)
    store_state(state, a, b, c, d)


@njit(nogil=True, cache=True)
def _tabulate_thresholds(table, thresholds):
    """Probability of +1 in units of 2⁻³², where one table holds every local field."""
    for code in range(_ROWS):
        x = load(table, code * LANES)
        small = signed(fill(2.0**31) / (_exp_size(x) + fill(1.0))) << fill_words(1)
        up = select(x < fill(0.0), small, fill_words(0xFFFFFFFF) - small)
        store(thresholds, code * LANES, up)


@njit(nogil=True, cache=True)
def _draw_spins_from_thresholds(n_sites, rows, thresholds, state, spins):
    a, b, c, d = load_state(state)
    one, zero = fill_words(1), fill_words(0)
    for word in range((n_sites + 31) // 32):
        bits = zero
        for position in range(min(32, n_sites - 32 * word)):
            threshold = load(thresholds, rows[32 * word + position])
            random, a, b, c, d = random_words(a, b, c, d)
            up = select(random < threshold, one, zero)
            bits = bits | (up << fill_words(position))
        store(spins, word * LANES, bits)
    store_state(state, a, b, c, d)


@njit(nogil=True, cache=True)
def _count_wrong(n_words, n_patterns, pattern_bits, spins, wrong):
    for pattern in range(n_patterns):
        total = fill_words(0)
        for word in range(n_words):
            bits = fill_words(pattern_bits[pattern, word])
            total = total + count_ones(load(spins, word * LANES) ^ bits)
        store(wrong, pattern * LANES, total)


@njit(nogil=True, cache=True)
def _exchange(
    difference, n_sites, n_patterns, n_words, state, spins, wrong, other_spins, other_wrong
):
    """Swap two neighbouring temperatures with probability min(1, exp(Δβ ΔE)), lane by lane.

    ``difference`` is β - β'. With k wrong sites M² = N² - 4k(N - k): integers up to the end.
    Returns the number of swaps, a lane each.
    """
    total = fill_words(0)
    length = fill_words(n_sites)
    for pattern in range(n_patterns):
        k = load(wrong, pattern * LANES)
        other = load(other_wrong, pattern * LANES)
        total = total + (k - other) * (length - k - other)
    exponent = to_floats(total) * fill(2.0 * difference / n_sites)  # (β - β')(E - E')
    a, b, c, d = load_state(state)
    random, a, b, c, d = random_words(a, b, c, d)
    store_state(state, a, b, c, d)
    exponent = select(exponent < fill(0.0), exponent, fill(0.0))
    exponent = select(exponent < fill(-80.0), fill(-80.0), exponent)
    accept = uniforms(random) < exp(exponent)
    for word in range(n_words):
        place = word * LANES
        x, y = load(spins, place), load(other_spins, place)
        store(spins, place, select(accept, y, x))
        store(other_spins, place, select(accept, x, y))
    for pattern in range(n_patterns):
        place = pattern * LANES
        x, y = load(wrong, place), load(other_wrong, place)
        store(wrong, place, select(accept, y, x))
        store(other_wrong, place, select(accept, x, y))
    return select(accept, fill_words(1), fill_words(0))


@njit(nogil=True, cache=True)
def _record(n_words, state, spins, record):
    """Copy the spins, reversed as a whole with probability 1/2: E(-s) = E(s)."""
    a, b, c, d = load_state(state)
    random, a, b, c, d = random_words(a, b, c, d)
    store_state(state, a, b, c, d)
    half = random < fill_words(0x80000000)
    reverse = select(half, fill_words(0), fill_words(0xFFFFFFFF))
    for word in range(n_words):
        store(record, word * LANES, load(spins, word * LANES) ^ reverse)


@njit(nogil=True, cache=True)
def run_block(
    betas,
    n_sites,
    n_patterns,
    rows,
    pattern_bits,
    states,
    spins,
    burn_in,
    thinning,
    records,
    levels,
):
    """Run sixteen ladders and fill ``records``.

    Args:
        betas ((n_levels,) float64): Inverse temperatures, neighbours exchange.
        n_sites, n_patterns (int)
        rows ((n_sites * n_groups,) uint32): From `table_rows`, flattened.
        pattern_bits ((n_patterns, n_words) uint32): From `pack_spins`.
        states ((n_levels, 4 * LANES) uint32): States of the random-number generators, changed in
            place.
        spins ((n_levels, n_words * LANES) uint32): Starting configurations, changed in place.
        burn_in, thinning (int): Sweeps before the first record and between records.
        records ((n_records, n_recorded, n_words * LANES) uint32): Output.
        levels ((n_recorded,) int64): Which temperatures are recorded.

    Returns:
        swaps : (n_levels - 1, LANES) uint32: Accepted exchanges between neighbours; every second
            sweep proposes one.
    """
    n_levels, n_words = len(betas), pattern_bits.shape[1]
    n_groups = (n_patterns + GROUP - 1) // GROUP
    wrong = np.zeros((n_levels, n_patterns * LANES), dtype=np.uint32)
    scaled_field = np.zeros(n_groups * GROUP * LANES, dtype=np.float32)
    table = np.empty(n_groups * _ROWS * LANES, dtype=np.float32)
    thresholds = np.empty(_ROWS * LANES, dtype=np.uint32)
    swaps = np.zeros((n_levels - 1, LANES), dtype=np.uint32)
    for level in range(n_levels):
        _count_wrong(n_words, n_patterns, pattern_bits, spins[level], wrong[level])
    n_records = len(records)
    for sweep in range(burn_in + (n_records - 1) * thinning):
        for level in range(n_levels):
            state = states[level]
            _draw_field(betas[level], n_sites, n_patterns, wrong[level], state, scaled_field)
            _tabulate(n_groups, scaled_field, table)
            if n_groups == 1:
                _tabulate_thresholds(table, thresholds)
                _draw_spins_from_thresholds(n_sites, rows, thresholds, state, spins[level])
            else:
                _draw_spins(n_sites, n_groups, rows, table, state, spins[level])
            _count_wrong(n_words, n_patterns, pattern_bits, spins[level], wrong[level])
        for level in range(sweep % 2, n_levels - 1, 2):
            swapped = _exchange(
                betas[level] - betas[level + 1],
                n_sites,
                n_patterns,
                n_words,
                states[level],
                spins[level],
                wrong[level],
                spins[level + 1],
                wrong[level + 1],
            )
            store(swaps[level], 0, load(swaps[level], 0) + swapped)
        done = sweep + 1 - burn_in
        if done >= 0 and done % thinning == 0:
            for index in range(len(levels)):
                level = levels[index]
                _record(n_words, states[level], spins[level], records[done // thinning, index])
    return swaps
