"""Random numbers for kernels, sixteen lanes or one at a time, and what they are made into.

Both generators are of one family (Blackman & Vigna, ACM Trans. Math. Softw. 47:36, 2021):
xoshiro128++ in every lane, xoshiro256++ for what is drawn one by one. A state is four numbers in
an array while it rests and a tuple of four while a kernel runs. It comes from a ``SeedSequence``,
nothing is global: the bits depend on the seed alone.
"""

from __future__ import annotations

import math

import numpy as np

from mfvae.systems.kernels.compilation import compiled, inlined
from mfvae.systems.kernels.lanes import (
    LANES,
    bits_of,
    floor,
    from_bits,
    load,
    select,
    square_root,
    store,
    to_floats,
    to_words,
)


def lane_states(seed: np.random.SeedSequence, n_states: int) -> np.ndarray:
    """Return states of sixteen-lane generators, uint32 ``(n_states, 64)``."""
    return seed.generate_state(4 * LANES * n_states).reshape(n_states, 4 * LANES)


def scalar_states(seed: np.random.SeedSequence, n_states: int) -> np.ndarray:
    """Return states of scalar generators, uint64 ``(n_states, 4)``."""
    return seed.generate_state(4 * n_states, np.uint64).reshape(n_states, 4)


@inlined
def _rotate(x, left, n_bits):
    return (x << left) | (x >> (n_bits - left))


@inlined
def _next(state, n_bits, first, shift, last):
    """Return a random number of ``n_bits`` and the next state, for lanes and scalars alike."""
    a, b, c, d = state
    random = _rotate(a + d, first, n_bits) + a
    shifted = b << shift
    c = c ^ a
    d = d ^ b
    b = b ^ c
    a = a ^ d
    return random, (a, b, c ^ shifted, _rotate(d, last, n_bits))


@inlined
def next_words(state):
    """Return 32 random bits a lane and the next state (xoshiro128++)."""
    return _next(state, 32, 7, 9, 11)


@inlined
def next_bits(state):
    """Return 64 random bits and the next state (xoshiro256++)."""
    return _next(state, 64, 23, 17, 45)


@inlined
def load_state(state):
    """Return the four words a lane of a state at rest, uint32 (4 * LANES,)."""
    return load(state, 0), load(state, LANES), load(state, 2 * LANES), load(state, 3 * LANES)


@inlined
def store_state(state, words):
    """Write the four words a lane of a state."""
    for k, word in enumerate(words):
        store(state, k * LANES, word)


# ------------------------------------------------------------------ one by one


@inlined
def draw_bits(state):
    """Return 64 random bits and advance ``state``, uint64 (4,), in place."""
    bits, (state[0], state[1], state[2], state[3]) = next_bits(
        (state[0], state[1], state[2], state[3])
    )
    return bits


@inlined
def unit(bits):
    """Return a float64 uniform on [0, 1) from 64 random bits."""
    return np.float64(bits >> np.uint64(11)) * 2.0**-53


@compiled
def uniform(state):
    """Return a float64 uniform on [0, 1) and advance ``state``, uint64 (4,)."""
    return unit(draw_bits(state))


@compiled
def normal(state):
    """Return a standard normal number (Box-Muller, cosine branch) and advance ``state``."""
    radius = math.sqrt(-2.0 * math.log(1.0 - uniform(state)))
    return radius * math.cos(2.0 * math.pi * uniform(state))


# ------------------------------------------------------------------ sixteen at a time, float32


@inlined
def uniforms(words):
    """Return floats in (0, 1) from random words: 31 bits, so that rare events stay resolved."""
    return (to_floats(words >> 1) + 0.5) * 2.0**-31


@inlined
def exp(x):
    """Return e^x to float32 accuracy; x between -87 and 88 (polynomial of Cephes ``expf``)."""
    power = floor(x * 1.44269504088896341 + 0.5)
    x = x - power * 0.693359375 - power * -2.12194440e-4
    y = ((1.9875691500e-4 * x + 1.3981999507e-3) * x + 8.3334519073e-3) * x + 4.1665795894e-2
    y = (y * x + 1.6666665459e-1) * x + 5.0000001201e-1
    return (y * x * x + x + 1.0) * from_bits((to_words(power) + 127) << 23)


@inlined
def log(x):
    """Return ln x to float32 accuracy; x positive and normal (polynomial of Cephes ``logf``)."""
    bits = bits_of(x)
    exponent = to_floats((bits >> 23) - 126)
    x = from_bits((bits & 0x7FFFFF) | 0x3F000000)  # in [1/2, 1)
    small = x < 0.707106781186547524
    exponent = select(small, exponent - 1.0, exponent)
    x = select(small, x + x, x) - 1.0
    y = (7.0376836292e-2 * x + -1.1514610310e-1) * x + 1.1676998740e-1
    y = ((y * x + -1.2420140846e-1) * x + 1.4249322787e-1) * x + -1.6668057665e-1
    y = ((y * x + 2.0000714765e-1) * x + -2.4999993993e-1) * x + 3.3333331174e-1
    square = x * x
    y = y * x * square + exponent * -2.12194440e-4 - square * 0.5
    return x + y + exponent * 0.693359375


@inlined
def quarter_circle(word):
    """Return the coordinates of a uniform point on a quarter of the unit circle, from one word a
    lane; the second highest bit of the word is free for another use."""
    angle = (to_floats(word & 0x3FFFFFFF) * 2.0**-30 - 0.5) * 1.57079632679489662
    square = angle * angle
    sine = (-1.9515295891e-4 * square + 8.3321608736e-3) * square + -1.6666654611e-1
    sine = sine * square * angle + angle
    cosine = 2.443315711809948e-5 * square + -1.388731625493765e-3
    cosine = (cosine * square + 4.166664568298827e-2) * square * square - square * 0.5 + 1.0
    swap = word < 0x80000000
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
