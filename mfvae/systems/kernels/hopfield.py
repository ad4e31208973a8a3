"""Block Gibbs with replica exchange for the Hopfield model, sixteen ladders at once.

Sites are kept as bits, 32 to a word. A sweep at one temperature draws the field
``m_μ | s ~ Normal(M_μ/N, 1/(βN))``, tabulates ``Σ ± 2β m_μ`` over groups of four patterns (all
sixteen signs), so that the local field of a site takes one addition for four patterns, draws every
spin from ``P(s_i = +1 | m) = 1/(1 + exp(-2β ξ_i·m))``, and recounts the overlaps by exclusive or.
"""

import numpy as np

from mfvae.systems.kernels import lanes
from mfvae.systems.kernels.lanes import LANES, exp, load, select, store, to_floats
from mfvae.systems.kernels.random import load_state, next_words, normals, store_state, uniforms
from mfvae.systems.kernels.running import compiled, in_threads, inlined

GROUP = 4  # patterns to a table
_ROWS = 2**GROUP


def table_rows(patterns: np.ndarray) -> np.ndarray:
    """Return where the row of a site starts in the table of a group: uint32, site by site."""
    packed = np.packbits(patterns > 0, axis=1, bitorder="little")  # two groups of four to a byte
    code = np.stack([packed % _ROWS, packed // _ROWS], axis=2).reshape(len(patterns), -1)
    starts = _ROWS * np.arange(-(-patterns.shape[1] // GROUP), dtype=np.uint32)
    return (LANES * (code[:, : len(starts)] + starts)).ravel()


def pack_spins(spins: np.ndarray) -> np.ndarray:
    """Return spins ``(n, n_sites)`` as words of 32 bits, ``(n, n_words)`` uint32, +1 as 1."""
    packed = np.packbits(spins > 0, axis=1, bitorder="little")
    padded = np.pad(packed, ((0, 0), (0, -packed.shape[1] % 4)))
    return np.ascontiguousarray(padded).view("<u4")


@compiled
def draw_field(beta, n_sites, wrong, state, field):
    """Draw ``2β m`` given the spins, through ``wrong``: the sites that differ from each pattern."""
    scale, width = -4.0 * beta / n_sites, 2.0 * np.sqrt(beta / n_sites)
    s = load_state(state)
    for place in range(0, len(wrong), 2 * LANES):
        first, s = next_words(s)
        second, s = next_words(s)
        for k, noise in enumerate(normals(first, second)):
            here = place + k * LANES
            if here < len(wrong):
                mean = to_floats(load(wrong, here)) * scale + 2.0 * beta
                store(field, here, mean + noise * width)
    store_state(state, s)


@compiled
def tabulate(field, table):
    """Fill ``table`` with the sums of four terms of ``field``, for all sixteen signs."""
    for place in range(0, len(field), GROUP * LANES):
        base = place // GROUP * _ROWS
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
    """Return e^|x|, at most e^80."""
    size = select(x < 0.0, 0.0 - x, x)
    return exp(select(size < 80.0, size, 80.0))


@compiled
def draw_spins(n_sites, rows, table, thresholds, state, spins):
    """Draw all spins given the tables; ``thresholds`` is scratch of `_ROWS` rows."""
    n_groups = len(table) // (_ROWS * LANES)
    if n_groups == 1:  # one table holds every local field: P(+1) in units of 2⁻³² stands for it
        for place in range(0, _ROWS * LANES, LANES):
            x = load(table, place)
            small = lanes.to_words(2.0**31 / (_exp_size(x) + 1.0)) << 1
            store(thresholds, place, select(x < 0.0, small, 0xFFFFFFFF - small))
    s = load_state(state)
    for word in range((n_sites + 31) // 32):
        bits = load(spins, word * LANES) & 0
        sites = range(32 * word, min(32 * word + 32, n_sites))
        if n_groups == 1:
            for site in sites:
                random, s = next_words(s)
                up = select(random < load(thresholds, rows[site]), 1, 0)
                bits = bits | (up << (site & 31))
        else:
            for site in sites:
                row = site * n_groups
                x, y = load(table, rows[row]), load(table, rows[row + 1])
                for group in range(2, n_groups - 1, 2):  # two chains of additions
                    x = x + load(table, rows[row + group])
                    y = y + load(table, rows[row + group + 1])
                if n_groups % 2:
                    x = x + load(table, rows[row + n_groups - 1])
                x = x + y
                random, s = next_words(s)
                u = uniforms(random)
                against = u + u * _exp_size(x) < 1.0  # probability 1/(1 + e^|x|)
                up = select(x < 0.0, 0, 1) ^ select(against, 1, 0)
                bits = bits | (up << (site & 31))
        store(spins, word * LANES, bits)
    store_state(state, s)


@compiled
def count_wrong(pattern_bits, spins, wrong):
    """Count the sites that differ from each pattern."""
    n_patterns, n_words = pattern_bits.shape
    for pattern in range(n_patterns):
        total = load(spins, 0) & 0
        for word in range(n_words):
            differ = load(spins, word * LANES) ^ pattern_bits[pattern, word]
            total = total + lanes.count_ones(differ)
        store(wrong, pattern * LANES, total)


@compiled
def run_block(betas, n_sites, rows, pattern_bits, states, spins, burn_in, thinning, records, place):
    """Run sixteen ladders and fill ``records``; return the exchanges of neighbours, a lane each.

    Neighbours of ``betas`` exchange every second sweep; ``rows`` and ``pattern_bits`` are those of
    `table_rows` and `pack_spins`; ``states``, ``spins`` and ``records`` end in sixteen lanes for
    each word, and ``place`` says which levels are recorded.
    """
    n_levels, (n_patterns, n_words) = len(betas), pattern_bits.shape
    n_groups, n_spins = (n_patterns + GROUP - 1) // GROUP, n_words * LANES
    levels = np.empty((n_levels, n_spins + n_patterns * LANES), dtype=np.uint32)
    levels[:, :n_spins] = spins
    field = np.zeros(n_groups * GROUP * LANES, dtype=np.float32)
    table = np.empty(n_groups * _ROWS * LANES, dtype=np.float32)
    thresholds = np.empty(_ROWS * LANES, dtype=np.uint32)
    swaps = np.zeros((n_levels - 1, LANES), dtype=np.uint32)
    for level in levels:
        count_wrong(pattern_bits, level, level[n_spins:])
    for sweep in range(burn_in + (len(records) - 1) * thinning):
        for k in range(n_levels):
            level, wrong = levels[k], levels[k, n_spins:]
            draw_field(betas[k], n_sites, wrong, states[k], field)
            tabulate(field, table)
            draw_spins(n_sites, rows, table, thresholds, states[k], level)
            count_wrong(pattern_bits, level, wrong)
        for k in range(sweep % 2, n_levels - 1, 2):
            # Spins and counts of wrong sites are swapped with probability min(1, exp(Δβ ΔE)). With
            # m wrong sites M² = N² - 4m(N - m): integers up to the end.
            colder, hotter, total = levels[k], levels[k + 1], load(swaps[k], 0) & 0
            for i in range(n_spins, len(colder), LANES):
                m, other = load(colder, i), load(hotter, i)
                total = total + (m - other) * (n_sites - m - other)
            exponent = to_floats(total) * (2.0 * (betas[k] - betas[k + 1]) / n_sites)
            exponent = select(exponent < 0.0, exponent, 0.0)
            random, s = next_words(load_state(states[k]))
            store_state(states[k], s)
            accept = uniforms(random) < exp(select(exponent < -80.0, -80.0, exponent))
            for i in range(0, len(colder), LANES):
                x, y = load(colder, i), load(hotter, i)
                store(colder, i, select(accept, y, x))
                store(hotter, i, select(accept, x, y))
            store(swaps[k], 0, load(swaps[k], 0) + select(accept, 1, 0))
        done = sweep + 1 - burn_in
        if done >= 0 and done % thinning == 0:
            for index, k in enumerate(place):
                random, s = next_words(load_state(states[k]))
                store_state(states[k], s)
                # E(-s) = E(s): reversed as a whole with probability 1/2.
                reverse = select(random < 0x80000000, 0, 0xFFFFFFFF)
                for i in range(0, n_spins, LANES):
                    store(records[done // thinning, index], i, load(levels[k], i) ^ reverse)
    return swaps


def run(patterns, levels, place, shape, steps, seed, start="random", n_threads=1):
    """Return spins ``(len(place), *shape, n_sites)`` int8, and exchange rates of neighbours.

    Replicas stand at the temperatures ``levels``, ascending, and those at ``place`` are recorded;
    ``shape`` is of chains and records, ``steps`` are burn-in and thinning.
    """
    (n_sites, n_patterns), (n_chains, n_records), (burn_in, thinning) = patterns.shape, shape, steps
    pattern_bits = pack_spins(patterns.T)
    fixed = n_sites, table_rows(patterns), pattern_bits
    n_levels, n_words = len(levels), pattern_bits.shape[1]
    n_blocks = -(-n_chains // LANES)
    children = seed.spawn(n_blocks * LANES)
    x = np.empty((len(place), n_chains, n_records, n_sites), dtype=np.int8)

    def block(first: int) -> np.ndarray:
        seeds = children[first : first + LANES]
        drawn = np.array([child.generate_state(n_levels * (4 + n_words)) for child in seeds])
        states = drawn[:, : 4 * n_levels].reshape(LANES, n_levels, 4)
        states[..., 0] |= 1  # xoshiro must not start from zero
        spins = drawn[:, 4 * n_levels :].reshape(LANES, n_levels, n_words)
        if start == "patterns":
            spins[:] = pattern_bits[(first + np.arange(LANES)) % n_patterns, None]
        spins[..., -1] &= np.uint32(2**32 - 1 >> -n_sites % 32)
        lanes = [v.transpose(1, 2, 0).reshape(n_levels, -1) for v in (states, spins)]
        records = np.empty((n_records, len(place), n_words * LANES), dtype=np.uint32)
        swaps = run_block(1 / levels, *fixed, *lanes, burn_in, thinning, records, place)
        part = x[:, first : first + LANES]
        words = records.reshape(n_records, len(place), n_words, LANES)[..., : part.shape[1]]
        packed = np.ascontiguousarray(words.transpose(1, 3, 0, 2)).view(np.uint8)
        part[:] = np.unpackbits(packed, axis=-1, count=n_sites, bitorder="little")
        part *= 2
        part -= 1
        return swaps.mean(axis=1)

    swaps = in_threads(block, range(0, n_blocks * LANES, LANES), n_threads)
    n_sweeps = burn_in + (n_records - 1) * thinning
    return x, np.mean(swaps, axis=0) / max(n_sweeps / 2, 1)
