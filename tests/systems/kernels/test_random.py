"""Lanes and random numbers: xoshiro word by word, uniform and normal laws, exp and ln."""

from __future__ import annotations

import numpy as np
from numba import njit
from scipy import stats

from mfvae.systems.kernels import lanes, random
from mfvae.systems.kernels.lanes import LANES

FALSE_ALARM = 1e-7  # of each comparison; there are four


@njit
def words_and_normals(state, words, normals):
    s = random.load_state(state)
    for i in range(0, words.size, 2 * LANES):
        first, s = random.next_words(s)
        second, s = random.next_words(s)
        left, right = random.normals(first, second)
        lanes.store(words, i, first)
        lanes.store(words, i + LANES, second)
        lanes.store(normals, i, left)
        lanes.store(normals, i + LANES, right)


@njit
def elementary(x, exponentials, logarithms):
    for i in range(0, x.size, LANES):
        value = lanes.exp(lanes.load(x, i))
        lanes.store(exponentials, i, value)
        lanes.store(logarithms, i, lanes.log(value))


def test_random_words_are_xoshiro_and_normals_are_normal() -> None:
    n = 400_000
    state = random.lane_states(np.random.SeedSequence(3), 1)[0]
    words, normals = np.empty(n, dtype=np.uint32), np.empty(n, dtype=np.float32)
    words_and_normals(state, words, normals)
    s = [int(word) for word in state[::LANES]]  # the first lane, in Python's integers

    def rotated(value: int, k: int) -> int:
        return (value << k | value >> 32 - k) & 0xFFFFFFFF

    for i in range(50):
        expected = (rotated((s[0] + s[3]) & 0xFFFFFFFF, 7) + s[0]) & 0xFFFFFFFF
        assert words[i * LANES] == expected
        shifted = s[1] << 9 & 0xFFFFFFFF
        s[2] ^= s[0]
        s[3] ^= s[1]
        s[1] ^= s[2]
        s[0] ^= s[3]
        s[2] ^= shifted
        s[3] = rotated(s[3], 11)
    assert stats.kstest(normals.astype(float), "norm").pvalue > FALSE_ALARM
    assert stats.kstest(1.03 * normals.astype(float), "norm").pvalue < FALSE_ALARM
    pairs = normals.reshape(-1, 2, LANES)
    angle = np.arctan2(pairs[:, 0], pairs[:, 1]).ravel() / (2 * np.pi) + 0.5
    assert stats.kstest(angle, "uniform").pvalue > FALSE_ALARM


def test_scalar_uniforms_and_normals() -> None:
    state = random.scalar_states(np.random.SeedSequence(4), 1)[0]
    uniforms = np.array([random.uniform(state) for _ in range(100_000)])
    assert stats.kstest(uniforms, "uniform").pvalue > FALSE_ALARM
    normals = np.array([random.normal(state) for _ in range(100_000)])
    assert stats.kstest(normals, "norm").pvalue > FALSE_ALARM
    assert stats.kstest(1.05 * normals, "norm").pvalue < FALSE_ALARM


def test_exp_and_log_to_single_precision() -> None:
    x = np.linspace(-80, 80, 16_000).astype(np.float32)
    exponentials, logarithms = np.empty_like(x), np.empty_like(x)
    elementary(x, exponentials, logarithms)
    np.testing.assert_allclose(exponentials, np.exp(x.astype(float)), rtol=5e-7)
    np.testing.assert_allclose(logarithms, np.log(exponentials.astype(float)), rtol=5e-7, atol=1e-7)
