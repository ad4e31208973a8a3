"""The second paper's networks: their layers, what batch normalisation does, and beta^2."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
import torch
from torch import nn

import mfvae
from mfvae.vae.encoder import Sizes
from mfvae.vae.likelihood import Tempered
from mfvae.vae.model import DECODERS, ENCODERS

PAPER = {"channels": (64, 128), "width": 1024}


@pytest.fixture(scope="module", autouse=True)
def registered() -> None:
    importlib.import_module("_normalized_cnn")


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def networks(lattice_shape: tuple[int, int], **options) -> list[nn.Module]:
    sizes = Sizes(2, lattice_shape[0] * lattice_shape[1], lattice_shape=lattice_shape)
    return [bricks["normalized-cnn"](sizes, **options) for bricks in (ENCODERS, DECODERS)]


def test_the_paper_preset_has_the_layers_of_its_table() -> None:
    encoder, decoder = networks((32, 32), **PAPER)
    convolutions = [m for m in encoder.modules() if isinstance(m, nn.Conv2d)]
    assert [tuple(c.weight.shape) for c in convolutions] == [(64, 1, 4, 4), (128, 64, 4, 4)]
    assert all(c.stride == (2, 2) for c in convolutions)
    dense = [m for m in (*encoder.modules(), *decoder.modules()) if isinstance(m, nn.Linear)]
    # Heads, encoder's dense layer, decoder's two (the table's "8 x 1024" can only be 8 x 8 x 128).
    assert sorted(tuple(d.weight.shape) for d in dense) == sorted(
        [(2, 1024), (2, 1024), (1024, 8192), (1024, 2), (8192, 1024)]
    )
    transposed = [m for m in decoder.modules() if isinstance(m, nn.ConvTranspose2d)]
    assert [tuple(c.weight.shape) for c in transposed] == [(128, 64, 4, 4), (64, 1, 4, 4)]
    slopes = [m.negative_slope for m in encoder.modules() if isinstance(m, nn.LeakyReLU)]
    assert slopes == [0.2] * 3
    n_norms = [
        sum(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in network.modules())
        for network in (encoder, decoder)
    ]
    assert n_norms == [3, 3]
    assert isinstance(decoder.steps[-1], nn.ConvTranspose2d)


def test_without_normalization_nothing_else_is_missing() -> None:
    both = zip(networks((8, 8)), networks((8, 8), normalize=False), strict=True)
    for normalized, plain in both:
        assert not any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in plain.modules())
        weighty = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)
        layers = [[m for m in n.modules() if isinstance(m, weighty)] for n in (normalized, plain)]
        shapes = [[tuple(layer.weight.shape) for layer in each] for each in layers]
        assert shapes[0] == shapes[1]
        assert all(layer.bias is not None for layer in layers[1])
    encoder, _ = networks((8, 8), normalize=False)
    x, none = randn(16, 1, 64), torch.zeros(16, 0)  # in training, too
    torch.testing.assert_close(encoder(x, none)[0][:1], encoder(x[:1], none[:1])[0])


@pytest.mark.parametrize("lattice_shape", [(8, 8), (5, 7)])
def test_answers_do_not_depend_on_the_company_after_training(lattice_shape: tuple) -> None:
    n_sites = lattice_shape[0] * lattice_shape[1]
    encoder, decoder = networks(lattice_shape)
    x, none = randn(16, 1, n_sites), torch.zeros(16, 0)
    together, alone = encoder(x, none)[0][:1], encoder(x[:1], none[:1])[0]
    assert not torch.allclose(together, alone, atol=1e-3)  # in training they do
    for network in (encoder, decoder):
        network.eval()
    torch.testing.assert_close(encoder(x, none)[0][:1], encoder(x[:1], none[:1])[0])
    z = randn(16, 2)
    torch.testing.assert_close(decoder(z)[:1], decoder(z[:1]))


@pytest.mark.filterwarnings("ignore:too few rows")
def test_a_last_batch_of_one_row_trains() -> None:
    x = np.random.default_rng(0).choice([-1, 1], (9, 16))
    for n_rows in (9, 1):
        vae = mfvae.MeanFieldVAE(
            2, encoder="normalized-cnn", n_epochs=2, batch_size=8, prior="normal", progress=False
        ).fit(x[:n_rows])
        assert vae.configuration_["decoder"] == "normalized-cnn"
        assert np.isfinite(vae.transform(x)).all()


def test_running_averages_survive_saving(tmp_path) -> None:
    x = np.random.default_rng(0).choice([-1, 1], (64, 16)).astype(np.int8)
    vae = mfvae.MeanFieldVAE(
        2, encoder="normalized-cnn", likelihood="tempered", prior="normal", n_epochs=2,
        batch_size=16, progress=False,
    ).fit(x)  # fmt: skip
    vae.save(tmp_path / "vae.pt")
    again = mfvae.MeanFieldVAE.load(tmp_path / "vae.pt")
    np.testing.assert_array_equal(again.transform(x), vae.transform(x))
    assert vae.decode(np.zeros((3, 2))).shape == (3, 16, 2)
    assert set(np.unique(vae.sample(50, seed=0))) == {-1, 1}


def test_momentum_is_the_optimisers_and_bad_values_are_refused() -> None:
    x = np.random.default_rng(0).choice([-1, 1], (64, 16))
    fits = [
        mfvae.MeanFieldVAE(
            1, momentum=momentum, schedule="constant", n_epochs=2, progress=False
        ).fit(x).transform(x)
        for momentum in (0.9, 0.9, 0.5)
    ]  # fmt: skip
    np.testing.assert_array_equal(fits[0], fits[1])
    assert not np.allclose(fits[0], fits[2])
    with pytest.raises(ValueError, match="momentum must lie"):
        mfvae.MeanFieldVAE(1, momentum=1.0, progress=False).fit(x)


def test_networks_without_a_lattice_are_refused() -> None:
    with pytest.raises(ValueError, match="no square"):
        mfvae.MeanFieldVAE(1, encoder="normalized-cnn", progress=False).fit(np.eye(12) * 2 - 1)


# ----------------------------------------------------------------------------- beta^2


def test_only_the_product_of_field_and_inverse_temperature_counts() -> None:
    likelihood = Tempered((-1, 1))
    x = (randn(7, 5) > 0).to(torch.uint8)
    field, logit = randn(7, 5, 1, seed=1).double(), randn(7, 5, 1, seed=2).double()
    one = torch.cat([field, logit], dim=-1)
    scaled = torch.sigmoid(logit) / 2
    other = torch.cat([2 * field, torch.logit(scaled)], dim=-1)  # h -> 2h, beta -> beta/2
    torch.testing.assert_close(likelihood.log_prob(one, x), likelihood.log_prob(other, x))
    torch.testing.assert_close(likelihood.mean(one), likelihood.mean(other))
    changed = torch.cat([2 * field, logit], dim=-1)  # the negative control: h alone does count
    assert (likelihood.log_prob(one, x) - likelihood.log_prob(changed, x)).abs().min() > 1e-3


def test_the_inverse_temperature_stays_between_zero_and_one() -> None:
    field, inverse_temperature = Tempered.branches(3 * randn(50, 4, 2))
    assert field.shape == inverse_temperature.shape == (50, 4, 1)
    assert ((inverse_temperature > 0) & (inverse_temperature < 1)).all()


def test_beta_squared_starts_at_the_independent_model() -> None:
    likelihood = Tempered((0, 1))
    x = torch.from_numpy(np.random.default_rng(0).integers(0, 2, (200, 6)).astype(np.uint8))
    start = likelihood.marginal_parameters(x)[None]
    expected = (x.double().sum(dim=0) + 0.5) / 201
    torch.testing.assert_close(likelihood.mean(start)[0], expected)
    torch.testing.assert_close(Tempered.branches(start)[1], torch.full((1, 6, 1), 0.5).double())
