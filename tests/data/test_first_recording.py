"""The chapter "A first real recording": its numbers, on the recording itself, over splits."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from retina_rivals import LINEAR

from mfvae import MeanFieldVAE, measure
from mfvae.compare import IndependentModel
from mfvae.data import load_retina

FILE = Path(os.environ.get("MFVAE_DATA", "")) / "retina" / "bint_fishmovie32_100.mat"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        "MFVAE_DATA" not in os.environ or not FILE.exists(),
        reason="the recording is not at hand: set MFVAE_DATA",
    ),
]


@pytest.fixture(scope="module")
def retina():
    return load_retina(FILE)


def count_of_independent_cells(rates):
    law = np.ones(1)
    for p in rates:
        law = np.convolve(law, [1 - p, p])
    return law


def test_statistics_of_the_recording(retina):
    words = retina.flat()
    count = words.sum(axis=1)
    law = count_of_independent_cells(words.mean(axis=0))
    k = np.arange(len(law))
    assert round(words.mean(), 4) == 0.0358
    assert round(count.mean(), 2) == 5.73
    assert round(np.mean(count == 0), 4) == 0.2101
    assert round(law[0], 4) == 0.0027
    assert round(count.var(), 1) == 38.1
    assert round(law @ k**2 - (law @ k) ** 2, 2) == 5.39
    assert count.max() == 45
    assert len(np.unique(np.packbits(words, axis=1), axis=0)) == 147_790
    score = IndependentModel().fit(words).score_samples(words)
    assert round(-score.mean(), 3) == 22.935


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_two_latents_gain_three_nats_a_word(retina, seed):
    train, test = retina.split("bins", seed=seed)
    order = np.random.default_rng(seed).permutation(len(retina.flat()))
    assert np.array_equal(test, retina.flat()[order[: len(order) // 10]])
    vae = MeanFieldVAE(2, **LINEAR, progress=False).fit(train)
    baseline = IndependentModel().fit(train).score_samples(test)
    gain = vae.score_samples(test, method="elbo", n_importance=16) - baseline
    assert gain.mean() >= 3.1
    law = measure.spike_count_law(vae.sample(100_000, seed=1))
    assert float(measure.jensen_shannon(measure.spike_count_law(test), law)) < 0.01
