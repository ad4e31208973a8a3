"""Random numbers for kernels, sixteen lanes or one at a time.

xoshiro128++ in every lane, xoshiro256++ for what is drawn one by one (Blackman & Vigna, ACM Trans.
Math. Softw. 47:36, 2021). A state is an array while it rests, a tuple while a kernel runs.
"""

import math
from collections.abc import Callable

import numpy as np

from mfvae.systems.kernels.lanes import LANES, load, log, select, square_root, store, to_floats
from mfvae.systems.kernels.running import compiled, inlined


def lane_states(seed: np.random.SeedSequence, n_states: int) -> np.ndarray:
    """Return states of sixteen-lane generators, uint32 ``(n_states, 64)``."""
    return seed.generate_state(4 * LANES * n_states).reshape(n_states, 4 * LANES)


def scalar_states(seed: np.random.SeedSequence, n_states: int) -> np.ndarray:
    """Return states of scalar generators, uint64 ``(n_states, 4)``."""
    return seed.generate_state(4 * n_states, np.uint64).reshape(n_states, 4)


def _xoshiro(n_bits: int, first: int, shift: int, last: int) -> Callable:
    @inlined
    def following(state):
        a, b, c, d = state
        total, shifted = a + d, b << shift
        random = ((total << first) | (total >> (n_bits - first))) + a
        c = c ^ a
        d = d ^ b
        b = b ^ c
        a = a ^ d
        return random, (a, b, c ^ shifted, (d << last) | (d >> (n_bits - last)))

    return following


# Each returns random bits, 32 a lane or 64, and the next state.
next_words, next_bits = _xoshiro(32, 7, 9, 11), _xoshiro(64, 23, 17, 45)


@inlined
def load_state(state):
    """Return the four words a lane of a state at rest, uint32 (4 * LANES,)."""
    return load(state, 0), load(state, LANES), load(state, 2 * LANES), load(state, 3 * LANES)


@inlined
def store_state(state, words):
    """Write the four words a lane of a state."""
    for k, word in enumerate(words):
        store(state, k * LANES, word)


@compiled
def draw_bits(state):
    """Return 64 random bits and advance ``state``, uint64 (4,), in place."""
    bits, following = next_bits((state[0], state[1], state[2], state[3]))
    state[0], state[1], state[2], state[3] = following
    return bits


@compiled
def uniform(state):
    """Return a float64 uniform on [0, 1) and advance ``state``."""
    return np.float64(draw_bits(state) >> np.uint64(11)) * 2.0**-53


@compiled
def normal(state):
    """Return a standard normal number (Box-Muller, cosine branch) and advance ``state``."""
    radius = math.sqrt(-2.0 * math.log(1.0 - uniform(state)))
    return radius * math.cos(2.0 * math.pi * uniform(state))


@inlined
def uniforms(words):
    """Return floats in (0, 1) from random words: 31 bits, so that rare events stay resolved."""
    return (to_floats(words >> 1) + 0.5) * 2.0**-31


@inlined
def quarter_circle(words):
    """Return a uniform point on a quarter of the unit circle, from 31 bits: the second is free."""
    angle = (to_floats(words & 0x3FFFFFFF) * 2.0**-30 - 0.5) * 1.57079632679489662
    square = angle * angle
    sine = (-1.9515295891e-4 * square + 8.3321608736e-3) * square + -1.6666654611e-1
    sine = sine * square * angle + angle
    cosine = 2.443315711809948e-5 * square + -1.388731625493765e-3
    cosine = (cosine * square + 4.166664568298827e-2) * square * square - square * 0.5 + 1.0
    swap = words < 0x80000000
    return select(swap, sine, cosine), select(swap, cosine, sine)


@inlined
def normals(first, second):
    """Return two independent standard normals a lane from two random words (Box & Muller 1958).

    The angle is drawn in one quarter of the circle; two spare bits choose the quarter.
    """
    radius = square_root(log(uniforms(first)) * -2.0)
    sine, cosine = quarter_circle(second)
    radius = select((second << 1) < 0x80000000, radius, 0.0 - radius)
    return radius * sine, radius * cosine
