"""Two latents on the recording: what the chapter on collective variables says, over splits."""

from __future__ import annotations

import numpy as np
import pytest
from retina_rivals import LINEAR

from mfvae import MeanFieldVAE, measure
from mfvae.compare import IndependentModel
from mfvae.data import load_retina
from mfvae.decode import GeneralizedHopfield

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def retina():
    retina = load_retina()
    if retina.is_surrogate:
        pytest.skip("the recording is not here: set MFVAE_DATA")
    return retina


@pytest.mark.parametrize("seed", [0, 1, 2, 3, 4])
def test_gain_and_laws_of_two_latents(retina, seed):
    train, test = retina.split("bins", seed=seed)
    vae = MeanFieldVAE(2, **LINEAR, progress=False, random_state=seed)
    vae.fit(train)
    exact = vae.score_samples(test, method="quadrature")
    gain = exact - IndependentModel().fit(train).score_samples(test)
    showing = retina.split_rows("bins", seed=seed)[1] // retina.n_bins
    sums = np.bincount(showing, gain - gain.mean())
    error = np.sqrt(np.sum(sums**2)) / len(gain)
    assert gain.mean() > 3.24 - 2 * error
    words = vae.sample(len(test), seed=1)
    for law, limit in ((measure.spike_count_law, 0.005), (measure.overlap_law, 0.004)):
        assert float(measure.jensen_shannon(law(test), law(words))) < limit
    if seed == 0:
        assert gain.mean() >= 3.24
        spins = 2 * test.astype(np.int8) - 1
        hopfield = GeneralizedHopfield.from_vae(vae, tolerance=1e-4)
        np.testing.assert_allclose(hopfield.log_prob(spins), exact, rtol=0, atol=1e-6)
        hopfield.field[0] += 1e-2  # negative control
        assert np.abs(hopfield.log_prob(spins[:50]) - exact[:50]).max() > 1e-5
