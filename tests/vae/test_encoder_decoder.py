"""Encoders and decoders: shapes, symmetries, and that every weight takes part."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mfvae.vae.decoder import CNNDecoder, LinearDecoder, MLPDecoder
from mfvae.vae.encoder import LOG_VARIANCE_RANGE, CNNEncoder, MLPEncoder, SetEncoder, Sizes
from mfvae.vae.model import DECODERS, ENCODERS, build_model, seeded_initialization

LATTICE = Sizes(1, 4, lattice_shape=(2, 2))
SHAPES = [(4, 4), (5, 7), (1, 6), (3, 2), (1, 1), (2, 17)]


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def sizes(lattice_shape: tuple[int, int], n_conditions: int = 1) -> Sizes:
    return Sizes(3, lattice_shape[0] * lattice_shape[1], n_conditions, 2, 2, lattice_shape)


def encoder(name: str, lattice_shape: tuple[int, int], n_conditions: int = 1, **options):
    with seeded_initialization(0):
        return ENCODERS[name](sizes(lattice_shape, n_conditions), **options).double()


def decoder(name: str, lattice_shape: tuple[int, int], **options):
    with seeded_initialization(0):
        return DECODERS[name](sizes(lattice_shape), **options).double()


@pytest.mark.parametrize("name", list(ENCODERS))
@pytest.mark.parametrize("lattice_shape", SHAPES)
@pytest.mark.parametrize("n_conditions", [0, 2])
def test_encoder_shapes(name: str, lattice_shape: tuple, n_conditions: int) -> None:
    n_sites = lattice_shape[0] * lattice_shape[1]
    model = encoder(name, lattice_shape, n_conditions)
    mean, log_variance = model(randn(5, 2, n_sites), randn(5, n_conditions))
    assert mean.shape == log_variance.shape == (5, 3)


@pytest.mark.parametrize("name", list(DECODERS))
@pytest.mark.parametrize("lattice_shape", SHAPES)
def test_decoder_shapes(name: str, lattice_shape: tuple) -> None:
    assert decoder(name, lattice_shape)(randn(5, 3)).shape == (
        5,
        lattice_shape[0] * lattice_shape[1],
        2,
    )


@pytest.mark.parametrize("padding_mode", ["zeros", "circular"])
@pytest.mark.parametrize("channels", [(4,), (4, 6), (4, 6, 8)])
@pytest.mark.parametrize("lattice_shape", [(5, 7), (8, 8)])
def test_any_depth_and_padding(padding_mode: str, channels: tuple, lattice_shape: tuple) -> None:
    options = {"channels": channels, "padding_mode": padding_mode}
    n_sites = lattice_shape[0] * lattice_shape[1]
    mean, _ = encoder("cnn", lattice_shape, **options)(randn(2, 2, n_sites), randn(2, 1))
    assert decoder("cnn", lattice_shape, **options)(mean).shape == (2, n_sites, 2)


def spread(sites: torch.Tensor, shape: tuple[int, int], shift: tuple[int, int]) -> torch.Tensor:
    """Shift sites ``(n, k, n_sites)`` on the torus."""
    return sites.unflatten(2, shape).roll(shift, dims=(2, 3)).flatten(2)


@pytest.mark.parametrize("shift", [(4, 0), (0, 4), (8, 4)])
def test_circular_encoder_moves_with_the_lattice(shift: tuple[int, int]) -> None:
    shape = (12, 8)
    model = encoder("cnn", shape, padding_mode="circular")
    x, c = randn(3, 2, 96), randn(3, 1)
    pooled = tuple(side // 4 for side in shape)

    def blocks(features: torch.Tensor) -> torch.Tensor:
        return model.hidden(features, c).unflatten(1, (32, *pooled))

    moved = blocks(spread(x, shape, shift))
    expected = blocks(x).roll((shift[0] // 4, shift[1] // 4), dims=(2, 3))
    torch.testing.assert_close(moved, expected)
    zeros = encoder("cnn", shape, padding_mode="zeros")
    zeros.load_state_dict(model.state_dict())
    model = zeros
    assert (blocks(spread(x, shape, shift)) - expected).abs().max() > 1e-3


@pytest.mark.parametrize("shift", [(1, 0), (0, 1), (2, 1)])
def test_circular_decoder_moves_with_the_pooled_grid(shift: tuple[int, int]) -> None:
    shape, pooled = (12, 8), (3, 2)
    for padding_mode, moves in (("circular", True), ("zeros", False)):
        model = decoder("cnn", shape, padding_mode=padding_mode)
        image = randn(3, 32, *pooled)
        moved = model.steps(image.roll(shift, dims=(2, 3)))
        expected = model.steps(image).roll((4 * shift[0], 4 * shift[1]), dims=(2, 3))
        assert torch.allclose(moved, expected, atol=1e-12) is moves


def test_zero_padding_is_torchs_transposed_convolution() -> None:
    model = decoder("cnn", (8, 8))
    plain = nn.Sequential(
        nn.SiLU(),
        nn.ConvTranspose2d(32, 16, 3, stride=2, padding=1, output_padding=1),
        nn.SiLU(),
        nn.ConvTranspose2d(16, 2, 3, stride=2, padding=1, output_padding=1),
    ).double()
    for key, mine in (("1", 1), ("3", 3)):
        plain.get_submodule(key).load_state_dict(model.steps[mine].convolution.state_dict())
    z = randn(3, 3)
    expected = plain(model.affine(z).unflatten(1, (32, 2, 2))).flatten(2).transpose(1, 2)
    torch.testing.assert_close(model(z), expected)


def test_circular_and_zero_padding_agree_away_from_the_edge() -> None:
    zeros, circular = (
        decoder("cnn", (32, 32), padding_mode=mode) for mode in ("zeros", "circular")
    )
    circular.load_state_dict(zeros.state_dict())
    z = randn(2, 3)
    one, other = (model(z).unflatten(1, (32, 32)) for model in (zeros, circular))
    torch.testing.assert_close(one[:, 8:-8, 8:-8], other[:, 8:-8, 8:-8])
    assert (one - other).abs().max() > 1e-3


def test_set_encoder_is_permutation_invariant_and_the_others_are_not() -> None:
    x, c = randn(4, 2, 16), randn(4, 1)
    order = torch.randperm(16, generator=torch.Generator().manual_seed(1))
    for name in ENCODERS:
        model = encoder(name, (4, 4))
        close = torch.allclose(model(x, c)[0], model(x[:, :, order], c)[0], atol=1e-12)
        assert close is (name == "set")


def test_set_encoder_standardises_the_average() -> None:
    model = encoder("set", (4, 4))
    x = 0.01 * randn(500, 2, 16) + 3.0
    with torch.no_grad():
        model.calibrate(x, randn(500, 1))
    average = (x.mean(dim=2) - model.location) / model.scale
    torch.testing.assert_close(average.mean(dim=0), torch.zeros(2).double(), atol=1e-4, rtol=0)
    torch.testing.assert_close(average.std(dim=0), torch.ones(2).double(), atol=1e-5, rtol=0)
    with torch.no_grad():
        model.calibrate(x[:1], randn(1, 1))  # one sample has no spread
    assert torch.isfinite(model(x, randn(500, 1))[0]).all()


@pytest.mark.parametrize("name", list(ENCODERS))
def test_every_encoder_weight_receives_a_gradient(name: str) -> None:
    model = encoder(name, (8, 8))
    mean, log_variance = model(randn(8, 2, 64), randn(8, 1))
    (mean.sum() + (log_variance * randn(8, 3, seed=3)).sum()).backward()
    for weight_name, weight in model.named_parameters():
        assert (weight.grad != 0).all(), weight_name


@pytest.mark.parametrize("name", list(DECODERS))
@pytest.mark.parametrize("padding_mode", ["zeros", "circular"])
def test_every_decoder_weight_receives_a_gradient(name: str, padding_mode: str) -> None:
    model = decoder(name, (8, 8), **({"padding_mode": padding_mode} if name == "cnn" else {}))
    (model(randn(8, 3)) * randn(8, 64, 2, seed=4)).sum().backward()
    for weight_name, weight in model.named_parameters():
        assert (weight.grad != 0).all(), weight_name


@pytest.mark.parametrize("name", list(ENCODERS))
def test_conditions_reach_the_posterior(name: str) -> None:
    model = encoder(name, (4, 4))
    x = randn(1, 2, 16)
    cold, hot = (model(x, torch.tensor([[value]]).double())[0] for value in (-1.0, 1.0))
    assert (cold - hot).abs().min() > 1e-6


def test_log_variance_is_clamped() -> None:
    model = encoder("mlp", (4, 4))
    with torch.no_grad():
        model.log_variance_head.bias.fill_(1e6)
    assert (model(randn(2, 2, 16), randn(2, 1))[1] == LOG_VARIANCE_RANGE[1]).all()


@torch.no_grad()
@pytest.mark.parametrize("name", ["linear", "mlp"])
def test_calibrated_decoders_start_around_the_independent_model(name: str) -> None:
    model, marginals = decoder(name, (4, 4)), randn(16, 2, seed=5)
    model.calibrate(marginals)
    last = model.affine if name == "linear" else model.body[-1]
    last.weight.zero_()
    torch.testing.assert_close(model(randn(1, 3))[0], marginals)


@torch.no_grad()
def test_a_calibrated_cnn_starts_around_the_average_site() -> None:
    model, marginals = decoder("cnn", (4, 4)), randn(16, 2, seed=5)
    model.calibrate(marginals)
    model.steps[-1].convolution.weight.zero_()
    torch.testing.assert_close(model(randn(1, 3))[0], marginals.mean(0).expand(16, -1))


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: SetEncoder(LATTICE, widths=()), ValueError),
        (lambda: MLPEncoder(LATTICE, widths=8), TypeError),
        (lambda: MLPEncoder(LATTICE, widths=(0,)), ValueError),
        (lambda: MLPDecoder(LATTICE, widths=(-2,)), ValueError),
        (lambda: CNNEncoder(LATTICE, channels=()), ValueError),
        (lambda: CNNDecoder(LATTICE, channels=(1.5,)), TypeError),
        (lambda: CNNDecoder(LATTICE, padding_mode="reflect"), ValueError),
    ],
)
def test_bad_options_are_refused(make, error: type) -> None:
    with pytest.raises(error, match="must"):
        make()


@torch.no_grad()
def test_an_encoder_without_hidden_layers_is_affine() -> None:
    model = encoder("mlp", (2, 3), widths=())
    a, b, c = randn(1, 6, 2), randn(1, 6, 2, seed=1), randn(1, 1, seed=2)
    middle, ends = model((a + b) / 2, c), (model(a, c), model(b, c))
    torch.testing.assert_close(middle[0], (ends[0][0] + ends[1][0]) / 2)
    hidden = encoder("mlp", (2, 3))  # one hidden layer is not
    gap = hidden((a + b) / 2, c)[0] - (hidden(a, c)[0] + hidden(b, c)[0]) / 2
    assert gap.abs().max() > 1e-4


def test_a_linear_decoder_is_affine() -> None:
    model = LinearDecoder(Sizes(2, 5)).double()
    a, b = randn(1, 2), randn(1, 2, seed=1)
    torch.testing.assert_close(model((a + b) / 2), (model(a) + model(b)) / 2)


def test_a_description_builds_the_same_weights_and_leaves_torchs_generator_alone() -> None:
    description = {
        **{"encoder": "cnn", "decoder": "mlp", "prior": "coupling", "likelihood": "bernoulli"},
        **{f"{kind}_options": {} for kind in ("encoder", "decoder", "prior", "likelihood")},
        **{"n_latents": 2, "n_sites": 15, "lattice_shape": (3, 5), "seed": 4},
        **{"condition_location": [0.0], "condition_scale": [1.0]},
    }
    before = torch.get_rng_state()
    one, same = build_model(description), build_model(description)
    other = build_model({**description, "seed": 5})
    assert torch.equal(torch.get_rng_state(), before)
    weights, again, changed = (list(model.state_dict().values()) for model in (one, same, other))
    assert all(map(torch.equal, weights, again))
    assert not all(map(torch.equal, weights, changed))
    with pytest.raises(ValueError, match="does not know the option 'depth'"):
        build_model({**description, "decoder_options": {"depth": 3}})
