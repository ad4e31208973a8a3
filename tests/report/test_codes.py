"""Each verdict on words whose answer is known, small enough for minutes; see also benchmarks."""

from __future__ import annotations

import re
from functools import partial

import numpy as np
import pytest

import mfvae

pytestmark = pytest.mark.slow


def chain(rng: np.random.Generator, n: int) -> np.ndarray:
    same = rng.random((n, 40)) < 1 / (1 + np.exp(-1.2))
    same[:, 0] = rng.random(n) < 0.5
    return np.cumprod(np.where(same, 1, -1), axis=1).astype(np.int8)


def states(rng: np.random.Generator, n: int) -> np.ndarray:
    p = 1 / (1 + np.exp(-rng.normal(0, 1.3, (4, 30))))
    return (rng.random((n, 30)) < p[rng.integers(4, size=n)]).astype(np.uint8)


def parities(rng: np.random.Generator, n: int) -> np.ndarray:
    x = (rng.random((n, 30)) < 0.5).astype(np.uint8)
    x[:, 2::3] = x[:, ::3] ^ x[:, 1::3] ^ (rng.random((n, 10)) < 0.1)
    return x


def latents(d: int, n_cells: int, rng: np.random.Generator, n: int) -> np.ndarray:
    weights = np.linalg.qr(rng.standard_normal((n_cells, d)))[0] * np.sqrt(n_cells)
    logits = rng.standard_normal((n, d)) @ weights.T
    return (rng.random((n, n_cells)) < 1 / (1 + np.exp(-logits))).astype(np.uint8)


two_latents, twelve_latents, too_many = (
    partial(latents, d, n_cells) for d, n_cells in ((2, 40), (12, 50), (20, 40))
)


@pytest.mark.parametrize(
    ("draw", "code", "d"),
    [
        (chain, "not-mean-field", None),
        (states, "discrete-states", None),
        (parities, "beyond-models", None),
        (two_latents, "mean-field", 2),
        (twelve_latents, "mean-field", 12),
    ],
)
def test_code(draw, code: str, d: int | None) -> None:
    words = draw(np.random.default_rng(0), 4000)
    report = mfvae.report(words, ordered=False, quick=True, progress=False)
    assert report.code == code, report
    if d:
        assert report.n_latents == d
        assert report.n_latents_interval == (d, d)
    # Negative control: every column shuffled, nothing is left to find.
    rng = np.random.default_rng(1)
    shuffled = np.stack([rng.permutation(column) for column in words.T], axis=1)
    assert mfvae.report(shuffled, ordered=False, quick=True, progress=False).code == "no-structure"


def test_two_modes_of_a_latent_are_no_states() -> None:
    """A thousand words do not tell a latent of two broad modes from two states."""
    rng = np.random.default_rng(0)
    z = (1.5 * rng.choice([-1, 1], 1000) + 0.6 * rng.standard_normal(1000)) / 2.61**0.5
    logits = z[:, None] * rng.normal(0, 1, 70)
    words = (rng.random(logits.shape) < 1 / (1 + np.exp(-logits))).astype(np.uint8)
    report = mfvae.report(words, ordered=False, quick=True, progress=False)
    assert report.code in ("mean-field", "undecided"), report


def test_more_latents_than_the_ladder_has() -> None:
    """Twenty of forty cells: no number is named, and none is excluded from above."""
    words = too_many(np.random.default_rng(0), 4000)
    report = mfvae.report(words, ordered=False, quick=True, progress=False)
    assert report.code in ("undecided", "not-mean-field")
    assert report.n_latents_interval[1] is None
    assert re.search("the most tried|still rises", report.verdict)


def test_full_ladder_repeats_itself() -> None:
    words = two_latents(np.random.default_rng(0), 1500)
    first, second = (mfvae.report(words, ordered=False, progress=False).to_dict() for _ in range(2))
    for row in first["models"] + second["models"]:
        row.pop("seconds")
    assert first == second
    assert {"pairwise", "rbm", "mixture", "vae"} <= {row["kind"] for row in first["models"]}
