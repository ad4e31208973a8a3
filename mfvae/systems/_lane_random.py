"""Random numbers and elementary functions for sixteen Markov chains side by side, float32."""

from __future__ import annotations

from numba import njit

from mfvae.systems._lanes import (
    LANES,
    bits_of,
    fill,
    fill_words,
    floor,
    from_bits,
    load,
    select,
    signed,
    square_root,
    store,
    to_floats,
)

__all__ = [
    "exp",
    "load_state",
    "log",
    "normal_pair",
    "quarter_circle",
    "random_words",
    "store_state",
    "uniforms",
]


@njit(inline="always")
def load_state(state):
    """Return the four words a lane of a generator's state, uint32 (4 * LANES,)."""
    return load(state, 0), load(state, LANES), load(state, 2 * LANES), load(state, 3 * LANES)


@njit(inline="always")
def store_state(state, a, b, c, d):
    """Write the four words a lane of a generator's state."""
    store(state, 0, a)
    store(state, LANES, b)
    store(state, 2 * LANES, c)
    store(state, 3 * LANES, d)


@njit(inline="always")
def _rotate(words, left):
    return (words << fill_words(left)) | (words >> fill_words(32 - left))


@njit(inline="always")
def random_words(a, b, c, d):
    """Return 32 random bits a lane and the four words of the next state (xoshiro128++).

    Blackman & Vigna, ACM Trans. Math. Softw. 47 (2021) 36.
    """
    words = _rotate(a + d, 7) + a
    shifted = b << fill_words(9)
    c = c ^ a
    d = d ^ b
    b = b ^ c
    a = a ^ d
    return words, a, b, c ^ shifted, _rotate(d, 11)


@njit(inline="always")
def uniforms(words):
    """Return floats in (0, 1) from random words: 31 bits, so that rare events stay resolved."""
    return (to_floats(words >> fill_words(1)) + fill(0.5)) * fill(2.0**-31)


@njit(inline="always")
def exp(x):
    """Return e^x to float32 accuracy; x between -87 and 88 (polynomial of Cephes ``expf``)."""
    power = floor(x * fill(1.44269504088896341) + fill(0.5))
    x = x - power * fill(0.693359375) - power * fill(-2.12194440e-4)
    y = fill(1.9875691500e-4) * x + fill(1.3981999507e-3)
    y = y * x + fill(8.3334519073e-3)
    y = y * x + fill(4.1665795894e-2)
    y = y * x + fill(1.6666665459e-1)
    y = y * x + fill(5.0000001201e-1)
    y = y * x * x + x + fill(1.0)
    return y * from_bits((signed(power) + fill_words(127)) << fill_words(23))


@njit(inline="always")
def log(x):
    """Return ln x to float32 accuracy; x positive and normal (polynomial of Cephes ``logf``)."""
    bits = bits_of(x)
    exponent = to_floats((bits >> fill_words(23)) - fill_words(126))
    x = from_bits((bits & fill_words(0x7FFFFF)) | fill_words(0x3F000000))  # in [1/2, 1)
    small = x < fill(0.707106781186547524)
    exponent = select(small, exponent - fill(1.0), exponent)
    x = select(small, x + x, x) - fill(1.0)
    y = fill(7.0376836292e-2) * x + fill(-1.1514610310e-1)
    y = y * x + fill(1.1676998740e-1)
    y = y * x + fill(-1.2420140846e-1)
    y = y * x + fill(1.4249322787e-1)
    y = y * x + fill(-1.6668057665e-1)
    y = y * x + fill(2.0000714765e-1)
    y = y * x + fill(-2.4999993993e-1)
    y = y * x + fill(3.3333331174e-1)
    square = x * x
    y = y * x * square + exponent * fill(-2.12194440e-4) - square * fill(0.5)
    return x + y + exponent * fill(0.693359375)


@njit(inline="always")
def quarter_circle(word):
    """Return the coordinates of a uniform point on a quarter of the unit circle, from one word a
    lane; the second highest bit of the word is free for another use."""
    angle = to_floats(word & fill_words(0x3FFFFFFF)) * fill(2.0**-30) - fill(0.5)
    angle = angle * fill(1.57079632679489662)
    square = angle * angle
    sine = fill(-1.9515295891e-4) * square + fill(8.3321608736e-3)
    sine = (sine * square + fill(-1.6666654611e-1)) * square * angle + angle
    cosine = fill(2.443315711809948e-5) * square + fill(-1.388731625493765e-3)
    cosine = (cosine * square + fill(4.166664568298827e-2)) * square * square
    cosine = cosine - square * fill(0.5) + fill(1.0)
    swap = word < fill_words(0x80000000)
    return select(swap, sine, cosine), select(swap, cosine, sine)


@njit(inline="always")
def normal_pair(first, second):
    """Return two independent standard normals a lane from two random words (Box & Muller 1958).

    The angle is drawn in one quarter of the circle; two spare bits choose the quarter.
    """
    radius = square_root(log(uniforms(first)) * fill(-2.0))
    sine, cosine = quarter_circle(second)
    turn = (second << fill_words(1)) < fill_words(0x80000000)
    radius = select(turn, radius, fill(0.0) - radius)
    return radius * sine, radius * cosine
