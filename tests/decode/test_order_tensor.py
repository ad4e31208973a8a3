"""The order tensor off latents, planted and measured; couplings off samples."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import r2_score

from mfvae import MeanFieldVAE
from mfvae.decode import pseudo_likelihood_couplings, regress_order_tensor
from mfvae.systems import Hopfield, MaierSaupe, to_components

SYSTEM, TEMPERATURES = MaierSaupe(48), np.array([0.19, 0.21, 0.24])


def draw(n_samples, seed):
    x = np.concatenate(SYSTEM.sample(TEMPERATURES, n_samples, seed=seed))
    return x, np.repeat(TEMPERATURES, n_samples)


def r2(x, predicted):
    return r2_score(to_components(SYSTEM.tensor(x)), predicted, multioutput="raw_values")


@pytest.fixture(scope="module")
def nematic():
    """Directors at three temperatures, and a model trained for seconds of them."""
    x, t = draw(1000, seed=0)
    vae = MeanFieldVAE(
        5,
        likelihood="bingham",
        prior="spline",
        n_epochs=24,
        learning_rate=1e-2,
        progress=False,
        device="cpu",
    ).fit(x, conditions=t)
    return vae, x, t


@pytest.mark.slow
def test_network_finds_a_bent_frame_and_a_line_does_not(nematic, monkeypatch):
    vae, x, t = nematic
    x_test, t_test = draw(200, seed=1)
    straight = vae.transform
    mixing = np.linalg.qr(np.random.default_rng(2).standard_normal((5, 5)))[0]
    monkeypatch.setattr(vae, "transform", lambda *data: np.sinh(2 * straight(*data) @ mixing))
    options = {"test": (x_test, t_test), "seed": 0}
    network = r2(x_test, regress_order_tensor(vae, x, t, **options))
    line = r2(x_test, regress_order_tensor(vae, x, t, method="ridge", **options))
    assert network.shape == (5,)
    assert np.all(network > 0.93)
    assert np.all(line < network)


@pytest.mark.parametrize("method", ["network", "ridge"])
def test_latents_of_other_configurations_explain_nothing(nematic, method, monkeypatch):
    vae, x, t = nematic
    rng = np.random.default_rng(3)
    monkeypatch.setattr(vae, "transform", lambda x, _: rng.standard_normal((len(x), 5)))
    x_test, t_test = draw(200, seed=1)
    predicted = regress_order_tensor(vae, x, t, test=(x_test, t_test), method=method)
    # Below 0 but for noise: R² of 600 unrelated pairs has standard deviation below 0.01.
    assert np.all(r2(x_test, predicted) < 0.06)


def test_closed_form_of_a_planted_decoder(nematic, monkeypatch):
    vae, x, _ = nematic
    affine = vae.module_.decoder.affine
    saved = affine.weight.detach().clone(), affine.bias.detach().clone()
    frame = np.random.default_rng(5).standard_normal((5, 5))
    q, temperature = to_components(SYSTEM.tensor(x[:50])), np.linspace(0.18, 0.25, 50)
    z = (1.5 / temperature)[:, None] * q @ np.linalg.inv(frame).T
    monkeypatch.setattr(vae, "transform", lambda *_: z)
    with torch.no_grad():
        affine.weight.copy_(torch.tensor(np.tile(frame, (48, 1))))
        affine.bias.zero_()
        test = x[:50], temperature
        tensor = regress_order_tensor(vae, *test, test=test, method="closed-form")
        affine.weight.copy_(saved[0])
        affine.bias.copy_(saved[1])
    assert np.allclose(tensor, q, atol=1e-4)


def test_tensor_of_a_trained_model(nematic):
    vae, x, t = nematic
    x_test, t_test = draw(200, seed=1)
    for method in ("ridge", "closed-form"):
        predicted = regress_order_tensor(vae, x, t, test=(x_test, t_test), method=method)
        assert predicted.shape == (600, 5)
        assert np.all(r2(x_test, predicted) > 0.97)


def test_regression_refuses_bad_input(nematic):
    vae, x, t = nematic
    test = x[:9], t[:9]
    with pytest.raises(TypeError, match="MeanFieldVAE"):
        regress_order_tensor(None, x, t, test=test)
    with pytest.raises(ValueError, match="method"):
        regress_order_tensor(vae, x, t, test=test, method="forest")
    with pytest.raises(ValueError, match="condition"):
        regress_order_tensor(vae, x, t, test=(x, None), method="closed-form")
    options = {"encoder": "set", "n_epochs": 1, "progress": False, "device": "cpu"}
    timeless = MeanFieldVAE(5, likelihood="bingham", **options).fit(x[:99])
    with pytest.raises(ValueError, match="temperature"):
        regress_order_tensor(timeless, x, test=(x[:9], None), method="closed-form")
    rotation = MeanFieldVAE(5, likelihood="bingham-rotation", **options)
    rotation.fit(x[:99], conditions=t[:99])
    with pytest.raises(ValueError, match="bingham"):
        regress_order_tensor(rotation, x, t, test=test, method="closed-form")


# ---------------------------------------------------------------- couplings


@pytest.mark.parametrize("temperature", [0.8, 1.6])
def test_pseudo_likelihood_finds_couplings_and_temperature(temperature):
    system = Hopfield.random(24, 3, seed=2)
    x = system.sample(temperature, 40_000, seed=3)
    pairs = np.triu_indices(24, 1)
    reference = (system.patterns.astype(float) @ system.patterns.T / 24)[pairs]
    found = pseudo_likelihood_couplings(x)[pairs]
    scale = found @ reference / (reference @ reference)
    assert np.corrcoef(found, reference)[0, 1] > 0.99
    assert scale == pytest.approx(1 / temperature, rel=0.05)
    assert np.linalg.norm(found / scale - reference) < 0.15 * np.linalg.norm(reference)


@pytest.mark.parametrize(
    ("n_sites", "temperature", "n_samples", "ridge"),
    [(12, 1.2, 3000, 0.01), (128, 0.7, 120, 0.1)],  # the second: more sites than samples
)
def test_pseudo_likelihood_stands_where_its_gradient_vanishes(
    n_sites, temperature, n_samples, ridge
):
    x = Hopfield.random(n_sites, 2, seed=4).sample(temperature, n_samples, seed=5).astype(float)
    couplings = pseudo_likelihood_couplings(x, ridge=ridge)
    assert np.array_equal(np.diag(couplings), np.zeros(n_sites))
    residual = x - np.tanh(x @ couplings)
    gradient = residual.T @ x / len(x)
    gradient = gradient + gradient.T - 2 * ridge * couplings
    np.fill_diagonal(gradient, 0.0)
    assert np.abs(gradient).max() < 1e-3
