"""The order tensor off latents, planted and measured; couplings off patterns and samples."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mfvae import MeanFieldVAE
from mfvae.decode import (
    compare_couplings,
    couplings_from_patterns,
    mean_order_tensor,
    pseudo_likelihood_couplings,
    regress_order_tensor,
    regress_tensor,
    tensor_from_latent,
)
from mfvae.systems import Hopfield, MaierSaupe
from mfvae.systems._tensors import from_components


@pytest.fixture(scope="module")
def nematic():
    """Directors at three temperatures, and a model trained for seconds of them."""
    system, temperatures = MaierSaupe(48), np.array([0.19, 0.21, 0.24])
    x = np.concatenate(system.sample(temperatures, 1000, seed=0))
    t = np.repeat(temperatures, 1000)
    vae = MeanFieldVAE(
        5, likelihood="bingham", n_epochs=24, learning_rate=1e-2, progress=False, device="cpu"
    ).fit(x, conditions=t)
    return vae, x, t


def test_order_tensor_of_directors():
    x = MaierSaupe(32).sample(0.2, 20, seed=1)
    q = from_components(mean_order_tensor(x))
    for configuration, tensor in zip(x.astype(float), q, strict=True):
        expected = configuration.T @ configuration / 32 - np.eye(3) / 3
        assert np.allclose(tensor, expected, atol=1e-6)


def test_network_finds_a_bent_frame_and_a_line_does_not():
    rng = np.random.default_rng(2)
    q = rng.standard_normal((3000, 5))
    z = np.sinh(q @ np.linalg.qr(rng.standard_normal((5, 5)))[0])
    network = regress_tensor(z[:2400], q[:2400], (z[2400:], q[2400:]), seed=0)
    line = regress_tensor(z[:2400], q[:2400], (z[2400:], q[2400:]), method="ridge")
    assert network.r2.shape == (5,)
    assert np.all(network.r2 > 0.95)
    assert np.all(line.r2 < network.r2)


@pytest.mark.parametrize("method", ["network", "ridge"])
def test_latents_without_information_explain_nothing(method):
    rng = np.random.default_rng(3)
    z, q = rng.standard_normal((1500, 5)), rng.standard_normal((1500, 5))
    fitted = regress_tensor(z[:1000], q[:1000], (z[1000:], q[1000:]), method=method)
    # Below 0 but for noise: R² of 500 unrelated pairs has standard deviation below 0.01.
    assert np.all(fitted.r2 < 0.06)


def test_r2_is_that_of_its_definition_in_each_condition():
    rng = np.random.default_rng(4)
    z = rng.standard_normal((600, 5))
    q = z + 0.3 * rng.standard_normal((600, 5))
    conditions = np.repeat([0.2, 0.3], 100)
    fitted = regress_tensor(
        z[:400], q[:400], (z[400:], q[400:]), test_conditions=conditions, method="ridge"
    )
    rows = slice(500, 600)
    residual = np.mean((q[rows] - fitted.predicted[100:]) ** 2, axis=0)
    assert list(fitted.r2_by_condition) == [0.2, 0.3]
    assert np.allclose(fitted.r2_by_condition[0.3], 1 - residual / q[rows].var(axis=0))
    assert np.allclose(fitted.r2, 1 / 1.09, atol=0.05)


def test_closed_form_of_a_planted_decoder(nematic):
    vae, x, _ = nematic
    weight = vae.module_.decoder.affine.weight
    bias = vae.module_.decoder.affine.bias
    saved = weight.detach().clone(), bias.detach().clone()
    frame = np.random.default_rng(5).standard_normal((5, 5))
    q, temperature = mean_order_tensor(x[:50]), np.linspace(0.18, 0.25, 50)
    with torch.no_grad():
        weight.copy_(torch.tensor(np.tile(frame, (48, 1))))
        bias.zero_()
        z = (1.5 / temperature)[:, None] * q @ np.linalg.inv(frame).T
        tensor = tensor_from_latent(vae, z, temperature)
        weight.copy_(saved[0])
        bias.copy_(saved[1])
    assert np.allclose(tensor, q, atol=1e-4)


def test_tensor_of_a_trained_model(nematic):
    vae, x, t = nematic
    fitted = regress_order_tensor(vae, x, t, method="ridge", seed=1)
    closed = regress_order_tensor(vae, x, t, method="closed-form", seed=1)
    assert np.all(fitted.r2 > 0.97)
    assert np.all(closed.r2 > 0.97)
    assert list(fitted.r2_by_condition) == [0.19, 0.21, 0.24]
    assert fitted.predicted.shape == (600, 5)
    # The control: latents of other configurations know nothing.
    shuffled = np.random.default_rng(6).permutation(len(x))
    z, q = vae.transform(x, t)[shuffled], mean_order_tensor(x)
    wrong = regress_tensor(z[:2000], q[:2000], (z[2000:], q[2000:]), method="ridge")
    assert np.all(wrong.r2 < 0.1)


def test_tensor_functions_refuse_bad_input(nematic):
    vae, x, t = nematic
    spins = MeanFieldVAE(
        2, encoder="mlp", decoder="linear", n_epochs=1, progress=False, device="cpu"
    ).fit(np.where(x[:100, :, 0] > 0, 1, -1))
    with pytest.raises(ValueError, match="bingham"):
        tensor_from_latent(spins, np.zeros((2, 2)), 0.2)
    with pytest.raises(ValueError, match="temperature"):
        tensor_from_latent(vae, np.zeros((3, 5)), [0.2, 0.2])
    with pytest.raises(TypeError):
        tensor_from_latent(None, np.zeros((3, 5)), 0.2)
    with pytest.raises(ValueError, match="rows on both sides"):
        regress_order_tensor(vae, x, t, test=0.0)
    with pytest.raises(ValueError, match="method"):
        regress_order_tensor(vae, x, t, method="forest")
    with pytest.raises(ValueError, match="columns"):
        regress_tensor(np.eye(4), np.eye(4), (np.eye(3), np.eye(3)))
    with pytest.raises(ValueError, match="one row"):
        regress_tensor(np.eye(4), np.eye(3), (np.eye(3), np.eye(3)))


# ---------------------------------------------------------------- couplings


def test_couplings_of_patterns_give_the_energy():
    system = Hopfield.random(40, 5, seed=0)
    x = system.sample(1.0, 20, seed=1).astype(float)
    couplings = couplings_from_patterns(system.patterns)
    energy = -np.einsum("si,ij,sj->s", x, couplings, x) / 2 - 5 / 2
    assert np.allclose(energy, system.energy(x.astype(np.int8)))
    assert np.allclose(couplings_from_patterns(-system.patterns[:, ::-1]), couplings)


@pytest.mark.parametrize("temperature", [0.8, 1.6])
def test_pseudo_likelihood_finds_couplings_and_temperature(temperature):
    system = Hopfield.random(24, 3, seed=2)
    x = system.sample(temperature, 40_000, seed=3)
    reference = couplings_from_patterns(system.patterns)
    found = compare_couplings(pseudo_likelihood_couplings(x), reference)
    assert found.correlation > 0.99
    assert found.scale == pytest.approx(1 / temperature, rel=0.05)
    assert found.relative_error < 0.15


def test_pseudo_likelihood_stands_where_its_gradient_vanishes():
    x = Hopfield.random(12, 2, seed=4).sample(1.2, 3000, seed=5).astype(float)
    couplings = pseudo_likelihood_couplings(x, ridge=0.01)
    assert np.array_equal(np.diag(couplings), np.zeros(12))
    residual = x - np.tanh(x @ couplings)
    gradient = residual.T @ x / len(x)
    gradient = gradient + gradient.T - 0.02 * couplings
    np.fill_diagonal(gradient, 0.0)
    assert np.abs(gradient).max() < 1e-3


def test_comparison_sees_planted_errors():
    reference = couplings_from_patterns(Hopfield.random(30, 3, seed=6).patterns)
    noise = np.random.default_rng(7).standard_normal((30, 30))
    upper = np.triu_indices(30, 1)
    noise *= 0.05 * np.linalg.norm(reference[upper]) / np.linalg.norm(noise[upper])
    found = compare_couplings(3 * (reference + noise), reference)
    assert found.relative_error == pytest.approx(0.05, rel=0.1)
    assert found.correlation < 0.9995
    with pytest.raises(ValueError, match="square"):
        compare_couplings(np.eye(4), np.eye(5))
    with pytest.raises(ValueError, match="equal"):
        compare_couplings(np.eye(4), np.eye(4))
