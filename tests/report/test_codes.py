"""Each verdict on words whose answer is known, small enough for minutes; see also benchmarks."""

from __future__ import annotations

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


def two_latents(rng: np.random.Generator, n: int) -> np.ndarray:
    weights = np.linalg.qr(rng.standard_normal((40, 2)))[0] * np.sqrt(40)
    logits = rng.standard_normal((n, 2)) @ weights.T
    return (rng.random((n, 40)) < 1 / (1 + np.exp(-logits))).astype(np.uint8)


@pytest.mark.parametrize(
    ("draw", "code"),
    [
        (chain, "not-mean-field"),
        (states, "discrete-states"),
        (parities, "beyond-models"),
        (two_latents, "mean-field"),
    ],
)
def test_code(draw, code: str) -> None:
    words = draw(np.random.default_rng(0), 4000)
    report = mfvae.report(words, ordered=False, quick=True, progress=False)
    assert report.code == code, report
    if code == "mean-field":
        assert report.n_latents == 2
    # Negative control: every column shuffled, nothing is left to find.
    rng = np.random.default_rng(1)
    shuffled = np.stack([rng.permutation(column) for column in words.T], axis=1)
    assert mfvae.report(shuffled, ordered=False, quick=True, progress=False).code == "no-structure"


def test_full_ladder_repeats_itself() -> None:
    words = two_latents(np.random.default_rng(0), 1500)
    first, second = (mfvae.report(words, ordered=False, progress=False).to_dict() for _ in range(2))
    for row in first["models"] + second["models"]:
        row.pop("seconds")
    assert first == second
    assert {"pairwise", "rbm", "mixture", "vae"} <= {row["kind"] for row in first["models"]}
