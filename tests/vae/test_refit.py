"""The prior trained on alone: what it gains, and what it leaves as it was."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mfvae import MeanFieldVAE
from mfvae.systems import CurieWeiss

SYSTEM = CurieWeiss(32)


def model(**options):
    x = SYSTEM.sample([0.7, 1.3], 600, seed=0).reshape(-1, 32)
    vae = MeanFieldVAE(
        1, encoder="set", decoder="linear", n_epochs=2, progress=False, device="cpu", **options
    )
    return vae.fit(x, conditions=np.repeat([0.7, 1.3], 600))


def weights(module):
    return [weight.detach().clone() for weight in module.parameters()]


def test_only_the_prior_moves_and_the_gain_is_in_the_elbo():
    vae = model()
    x = SYSTEM.sample([0.7, 1.3], 2000, seed=1).reshape(-1, 32)
    t = np.repeat([0.7, 1.3], 2000)
    kept = [weights(vae.module_.encoder), weights(vae.module_.decoder)]
    held_out = SYSTEM.sample(0.7, 2000, seed=2), np.full(2000, 0.7)
    exact = SYSTEM.log_prob(held_out[0], 0.7).mean()
    before = vae.score_samples(*held_out, method="elbo", seed=3).mean()
    assert vae.refit_prior(x, t, n_steps=400, seed=4) is vae
    after = vae.score_samples(*held_out, method="elbo", seed=3).mean()
    assert after > before + 0.02
    assert after < exact
    for old, part in zip(kept, (vae.module_.encoder, vae.module_.decoder), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(old, weights(part), strict=True))
    assert not vae.module_.training


def test_same_seed_same_weights():
    x, t = SYSTEM.sample(0.7, 300, seed=1), np.full(300, 0.7)
    results = [weights(model().refit_prior(x, t, n_steps=20, seed=s).module_) for s in (5, 5, 6)]
    equal = [all(torch.equal(a, b) for a, b in zip(results[0], r, strict=True)) for r in results]
    assert equal == [True, True, False]


def test_refuses_bad_input():
    x, t = SYSTEM.sample(0.7, 30, seed=1), np.full(30, 0.7)
    with pytest.raises(ValueError, match="no weights"):
        model(prior="normal").refit_prior(x, t, n_steps=10)
    vae = model()
    with pytest.raises(ValueError, match="not fitted"):
        MeanFieldVAE().refit_prior(x, t, n_steps=10)
    with pytest.raises(ValueError, match="n_steps"):
        vae.refit_prior(x, t, n_steps=1)
    with pytest.raises(ValueError, match="features"):
        vae.refit_prior(x[:, :8], t, n_steps=10)
