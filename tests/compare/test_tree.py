"""The Chow–Liu tree against a planted tree and against all words of a few cells."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from mfvae.compare import ChowLiuTree

ALL = np.array(list(itertools.product([0, 1], repeat=8)), dtype=np.uint8)
PARENTS = [-1, 0, 0, 1, 1, 2, 2, 5]  # three generations below cell 0


def planted(n_words: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return draws of a tree and the exact log probability of all words."""
    rng = np.random.default_rng(seed)
    given = rng.choice([0.15, 0.3, 0.7, 0.85], size=(8, 2))
    given[:, 1] = 1 - given[:, 0]
    words = np.zeros((n_words, 8), dtype=np.uint8)
    log_prob = np.zeros(len(ALL))
    for i, parent in enumerate(PARENTS):
        p, q = (given[i][x[:, parent]] if i else np.full(len(x), 0.4) for x in (words, ALL))
        words[:, i] = rng.random(n_words) < p
        log_prob += np.log(np.where(ALL[:, i] == 1, q, 1 - q))
    return words, log_prob


def test_the_planted_tree_is_found_and_its_law() -> None:
    words, log_prob = planted(40_000, 1)
    model = ChowLiuTree().fit(words)
    assert model.parents_.tolist() == PARENTS
    assert model.n_parameters == 15
    found = model.score_samples(ALL)
    assert np.exp(found).sum() == pytest.approx(1, abs=1e-12)
    # what fitting 15 parameters to 40,000 words costs is 15/80,000 on average; chi-square of 15
    divergence = np.exp(log_prob) @ (log_prob - found)
    assert 0 <= divergence < 70 / 80_000
    shuffled = ChowLiuTree().fit(np.random.default_rng(0).permuted(words, axis=0))
    assert np.exp(log_prob) @ (log_prob - shuffled.score_samples(ALL)) > 0.1  # negative control


def test_no_tree_does_better_in_training() -> None:
    words, _ = planted(300, 2)

    def gain(edges: list[tuple[int, int]]) -> float:
        total = 0.0
        for i, j in edges:
            for a, b in itertools.product((0, 1), repeat=2):
                p = np.mean((words[:, i] == a) & (words[:, j] == b))
                q = np.mean(words[:, i] == a) * np.mean(words[:, j] == b)
                total += p * np.log(p / q) if p else 0.0
        return total

    model = ChowLiuTree().fit(words)
    own = gain([(i, int(p)) for i, p in enumerate(model.parents_) if p >= 0])
    rng = np.random.default_rng(3)
    others = [gain([(i, int(rng.integers(i))) for i in range(1, 8)]) for _ in range(300)]
    assert own >= max(others)


def test_draws_follow_the_law() -> None:
    words, _ = planted(5_000, 3)
    model = ChowLiuTree().fit(words)
    drawn = model.sample(100_000, seed=1)
    counts = np.bincount(drawn @ (1 << np.arange(8)[::-1]), minlength=256)

    def chi_square(expected: np.ndarray) -> float:
        return float(((counts - expected) ** 2 / expected).sum())

    expected = len(drawn) * np.exp(model.score_samples(ALL))
    assert chi_square(expected) < 255 + 5.5 * np.sqrt(2 * 255) + 15
    tilted = expected * np.exp(0.15 * ALL[:, 3])  # negative control: a field off by 0.15
    assert chi_square(tilted * len(drawn) / tilted.sum()) > 255 + 5.5 * np.sqrt(2 * 255) + 15


def test_silent_and_constant_cells() -> None:
    words = np.zeros((50, 3), dtype=np.uint8)
    words[:, 1] = 1
    model = ChowLiuTree().fit(words)
    assert np.isfinite(model.score_samples(ALL[:, :3])).all()
    assert np.exp(model.score_samples(np.unique(ALL[:, :3], axis=0))).sum() == pytest.approx(1)
