"""Patterns planted in noisy mixtures, in decoders and in samples; and where there are none."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.exceptions import NotFittedError

from mfvae import MeanFieldVAE
from mfvae.decode import (
    align_patterns,
    correlation_spectrum,
    decoder_jacobian,
    estimate_n_patterns,
    polish_patterns,
    recover_patterns,
    unmix,
)
from mfvae.systems import Hopfield, Ising2D


def random_patterns(n_sites: int, n_patterns: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).choice(np.array([-1, 1], np.int8), (n_sites, n_patterns))


def planted_mixture(patterns: np.ndarray, noise: float, seed: int) -> np.ndarray:
    """Patterns times a random matrix, with noise added of the given share of the variance."""
    rng = np.random.default_rng(seed)
    mixed = patterns @ np.linalg.qr(rng.standard_normal((patterns.shape[1],) * 2))[0]
    return mixed + np.sqrt(noise) * rng.standard_normal(mixed.shape)


def planted_vae(n_sites: int, n_latents: int, **options) -> MeanFieldVAE:
    """A trained-looking model: one epoch on coin flips, its decoder to be overwritten."""
    x = random_patterns(120, n_sites, 99)
    options = {"encoder": "mlp", "decoder": "linear", "prior": "normal", **options}
    return MeanFieldVAE(n_latents, n_epochs=1, progress=False, device="cpu", **options).fit(x)


class SignFlippingDecoder(torch.nn.Module):
    """Logits ξ·m with m_μ = |(Az)_μ|: the Jacobian averages to zero, its span is that of ξ."""

    def __init__(self, patterns: np.ndarray, mixing: np.ndarray) -> None:
        super().__init__()
        self.patterns = torch.tensor(patterns, dtype=torch.float32)
        self.mixing = torch.tensor(mixing, dtype=torch.float32)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        m = torch.sqrt((z @ self.mixing.T) ** 2 + 0.01)
        return (m @ self.patterns.T).unsqueeze(-1)


# ---------------------------------------------------------------- unmixing


@pytest.mark.parametrize(("n_patterns", "noise"), [(1, 0.1), (4, 0.05), (16, 0.03), (32, 0.02)])
def test_binary_unmixing_is_exact_in_noise(n_patterns, noise):
    patterns = random_patterns(256, n_patterns, 1)
    found = unmix(planted_mixture(patterns, noise, 2), seed=3)
    aligned = align_patterns(found, patterns)
    assert aligned.bit_accuracy == 1.0
    assert found.is_reliable
    assert np.all(found.stability == 1.0)
    assert np.all(np.diff(found.residuals) >= 0)
    # Noise of variance v a column takes v/(1 + v) of a pattern's square out of the span.
    assert found.residuals.mean() == pytest.approx(noise / (1 + noise), rel=0.3)


@pytest.mark.slow
def test_ica_matches_at_small_load_and_fails_at_an_eighth():
    few, many = random_patterns(256, 3, 1), random_patterns(256, 32, 2)
    found = unmix(planted_mixture(few, 0.01, 3), method="ica")
    assert align_patterns(found, few).bit_accuracy == 1.0
    assert found.is_reliable
    mixed = planted_mixture(many, 0.01, 4)
    ica, binary = unmix(mixed, method="ica"), unmix(mixed)
    assert align_patterns(ica, many).bit_accuracy < 0.95
    assert not ica.is_reliable
    assert align_patterns(binary, many).bit_accuracy == 1.0


@pytest.mark.parametrize("method", ["binary", "ica"])
@pytest.mark.parametrize("n_columns", [1, 2, 12])
def test_random_span_is_reported_unreliable(method, n_columns):
    mixed = np.random.default_rng(n_columns).standard_normal((256, n_columns))
    found = unmix(mixed, method=method)
    assert not np.any(found.reliable)
    assert np.all(found.scores < 0.5)


def test_a_pattern_found_twice_counts_once():
    """ICA may return one pattern twice, each of them in the span and stable."""
    patterns = random_patterns(256, 4, 5)
    found = unmix(planted_mixture(patterns, 0.01, 6))
    assert found.is_reliable
    assert not found.repeated.any()
    twice = found.patterns.copy()
    twice[:, 2] = -twice[:, 0]
    found = dataclasses.replace(found, patterns=twice)
    assert found.repeated.tolist() == [False, False, True, False]
    assert np.array_equal(found.scores <= 0, found.repeated)
    assert not found.is_reliable


@pytest.mark.slow
def test_noise_beyond_recovery_is_reported_unreliable():
    patterns = random_patterns(256, 16, 5)
    found = unmix(planted_mixture(patterns, 1.0, 6))
    assert align_patterns(found, patterns).bit_accuracy < 0.9
    assert not found.is_reliable


def test_unmixing_does_not_depend_on_the_mixture_and_repeats():
    patterns = random_patterns(128, 6, 7)
    first = unmix(patterns.astype(float), seed=1)
    ill_conditioned = patterns @ (
        np.random.default_rng(8).standard_normal((6, 6)) * 10.0 ** -np.arange(6)
    )
    second = unmix(ill_conditioned, seed=1)
    assert align_patterns(second, first.patterns).bit_accuracy == 1.0
    again = unmix(ill_conditioned, seed=1)
    assert np.array_equal(second.patterns, again.patterns)
    assert np.array_equal(second.stability, again.stability)


def test_more_columns_than_patterns_are_cut_to_the_leading_ones():
    patterns = random_patterns(200, 5, 9)
    noise = 0.05 * np.random.default_rng(10).standard_normal((200, 4))
    found = unmix(np.hstack([patterns, noise]), 5)
    assert align_patterns(found, patterns).bit_accuracy == 1.0


def test_null_residual_of_one_vector_is_that_of_gaussian_signs():
    # Mean 1 - 2/π = 0.363 and standard deviation 0.06 at N = 256, five of them taken off.
    small, large, wide = (
        unmix(random_patterns(n_sites, n_patterns, 0).astype(float)).null_residual
        for n_sites, n_patterns in ((256, 1), (1024, 1), (256, 8))
    )
    assert 0.0 < small < 1 - 2 / np.pi
    assert large > small
    assert wide < unmix(random_patterns(256, 2, 0).astype(float)).null_residual


@settings(deadline=None, max_examples=15, derandomize=True)
@given(st.integers(2, 40), st.integers(1, 4), st.sampled_from(["binary", "ica"]))
def test_shapes_of_a_recovery(n_sites, n_columns, method):
    mixed = np.random.default_rng(n_sites).standard_normal((n_sites, n_columns))
    if n_columns > n_sites - 1:
        with pytest.raises(ValueError, match="n_patterns"):
            unmix(mixed, method=method)
        return
    found = unmix(mixed, method=method)
    assert found.patterns.shape == (n_sites, found.n_patterns)
    assert found.patterns.dtype == np.int8
    assert set(np.unique(found.patterns)) <= {-1, 1}
    assert found.residuals.shape == found.stability.shape == found.reliable.shape
    assert np.all((found.residuals > -1e-9) & (found.residuals <= 1))


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (([1.0, 2.0],), ValueError),
        ((np.full((4, 2), np.nan),), ValueError),
        ((np.eye(4), 0), ValueError),
        ((np.eye(4), 4), ValueError),
        ((np.eye(4), 2.0), TypeError),
        ((np.ones((4, 2)),), ValueError),
        ((np.zeros((4, 2)),), ValueError),
        ((np.eye(4), 2, "pca"), ValueError),
        ((np.eye(4), 2, "ica", -1), ValueError),
        (("text",), TypeError),
    ],
)
def test_unmix_refuses_bad_input(arguments, error):
    with pytest.raises(error):
        unmix(*arguments)


# ---------------------------------------------------------------- alignment


def test_alignment_undoes_order_and_signs_and_counts_bits():
    rng = np.random.default_rng(11)
    reference = random_patterns(100, 7, 12)
    order, signs = rng.permutation(7), rng.choice([-1, 1], 7)
    recovered = reference[:, order] * signs
    recovered[:3, 0] *= -1  # three wrong bits of 700
    aligned = align_patterns(recovered, reference)
    assert np.sum(aligned.patterns != reference) == 3
    assert aligned.bit_accuracy == pytest.approx(1 - 3 / 700)
    assert aligned.bit_accuracies[order[0]] == pytest.approx(0.97)
    assert np.allclose(np.diag(aligned.overlaps), 2 * aligned.bit_accuracies - 1)


def test_missing_patterns_count_as_guesses_and_surplus_is_left_out():
    reference = random_patterns(64, 4, 13)
    aligned = align_patterns(reference[:, :2], reference)
    assert aligned.bit_accuracy == pytest.approx(0.75)
    assert np.sum(aligned.patterns == 0) == 128
    assert align_patterns(np.zeros((64, 0), np.int8), reference).bit_accuracy == 0.5
    surplus = np.hstack([random_patterns(64, 3, 14), reference])
    assert align_patterns(surplus, reference).bit_accuracy == 1.0


def test_alignment_refuses_bad_input():
    with pytest.raises(ValueError, match="sites"):
        align_patterns(np.ones((3, 2)), np.ones((4, 2)))
    with pytest.raises(ValueError, match="spins"):
        align_patterns(np.zeros((4, 2)), np.ones((4, 2)))


# ---------------------------------------------------------------- decoders


def test_jacobian_of_a_linear_decoder_is_its_weight():
    vae = planted_vae(16, 3)
    jacobian = decoder_jacobian(vae, np.random.default_rng(0).standard_normal((5, 3)))
    weight = vae.module_.decoder.affine.weight.detach().numpy()
    assert jacobian.shape == (5, 16, 3)
    assert np.allclose(jacobian, weight, atol=1e-6)


@pytest.mark.parametrize("decoder", ["mlp", "cnn"])
def test_jacobian_agrees_with_differences(decoder):
    vae = planted_vae(16, 2, encoder=decoder, decoder=decoder)
    vae.module_ = vae.module_.double()
    z, step = np.random.default_rng(1).standard_normal((4, 2)), 1e-5
    jacobian = decoder_jacobian(vae, z)
    for k in range(2):
        shift = step * np.eye(2)[k]
        difference = (vae.decode(z + shift) - vae.decode(z - shift))[..., 0] / (2 * step)
        assert np.allclose(jacobian[..., k], difference, atol=1e-8)


def test_patterns_of_a_planted_linear_decoder():
    patterns = random_patterns(64, 4, 15)
    vae = planted_vae(64, 6)
    mixing = np.random.default_rng(16).standard_normal((4, 6))
    with torch.no_grad():
        weight = torch.tensor(patterns @ mixing, dtype=torch.float32)
        vae.module_.decoder.affine.weight.copy_(weight)
    found = recover_patterns(vae)
    assert found.n_patterns == 4
    assert align_patterns(found, patterns).bit_accuracy == 1.0
    assert found.is_reliable
    assert found.jacobian_variation == pytest.approx(0.0, abs=1e-9)
    assert found.span_variation == pytest.approx(0.0, abs=1e-5)
    ica = recover_patterns(vae, 4, unmixing="ica")
    assert align_patterns(ica, patterns).bit_accuracy > 0.9


def test_signs_that_flip_with_the_latent_do_not_cancel():
    patterns = random_patterns(64, 3, 17)
    vae = planted_vae(64, 3)
    mixing = np.random.default_rng(18).standard_normal((3, 3))
    vae.module_.decoder = SignFlippingDecoder(patterns, mixing)
    found = recover_patterns(vae)
    assert align_patterns(found, patterns).bit_accuracy == 1.0
    assert found.is_reliable
    # The control: the plain mean of the Jacobian is mostly gone, and the report says so.
    assert found.jacobian_variation > 0.9
    assert found.span_variation < 1e-5


def test_a_decoder_without_use_of_its_latents_has_no_patterns():
    vae = planted_vae(64, 3)
    with torch.no_grad():
        vae.module_.decoder.affine.weight.mul_(0.01)
    found = recover_patterns(vae)
    assert found.patterns.shape == (64, 0)
    assert not found.is_reliable
    assert not recover_patterns(vae, 3).is_reliable


def test_recovery_refuses_bad_input():
    with pytest.raises(TypeError, match="MeanFieldVAE"):
        recover_patterns(np.eye(3))
    with pytest.raises(NotFittedError):
        recover_patterns(MeanFieldVAE(2))
    vae = planted_vae(16, 2)
    with pytest.raises(ValueError, match="n_patterns"):
        recover_patterns(vae, 3)
    with pytest.raises(ValueError, match="unmixing"):
        recover_patterns(vae, unmixing="pca")


def test_patterns_from_samples_by_a_trained_model():
    system = Hopfield.random(64, 2, seed=1)
    x = system.sample(1.1, 10_000, seed=2)
    vae = MeanFieldVAE(
        4,
        encoder="mlp",
        decoder="linear",
        n_epochs=6,
        learning_rate=1e-2,
        progress=False,
        device="cpu",
    ).fit(x)
    found = recover_patterns(vae, 2)
    assert align_patterns(found, system.patterns).bit_accuracy == 1.0
    assert found.is_reliable


# ---------------------------------------------------------------- samples alone


def leading_modes(x: np.ndarray, n_patterns: int) -> np.ndarray:
    return correlation_spectrum(x)[1][:, :n_patterns]


def test_leading_modes_are_orthonormal_and_hold_the_patterns():
    system = Hopfield.random(256, 16, seed=3)
    x = system.sample(1.2, 20_000, seed=4)
    values, vectors = correlation_spectrum(x)
    subspace = vectors[:, :16]
    assert np.allclose(subspace.T @ subspace, np.eye(16))
    found = unmix(subspace)
    assert align_patterns(found, system.patterns).bit_accuracy == 1.0
    assert found.is_reliable
    assert values.sum() == pytest.approx(256)


@pytest.mark.parametrize("n_patterns", [1, 5, 32])
def test_number_of_patterns(n_patterns):
    x = Hopfield.random(256, n_patterns, seed=n_patterns).sample(1.2, 40_000, seed=7)
    assert estimate_n_patterns(x) == n_patterns


def test_no_patterns_in_independent_spins():
    for seed in range(3):
        x = random_patterns(5000, 128, seed)
        assert estimate_n_patterns(x) == 0
        assert not np.any(unmix(leading_modes(x, 8)).reliable)


@pytest.mark.parametrize("temperature", [2.0, 2.269, 3.5])
def test_modes_of_the_ising_model_are_not_taken_for_patterns(temperature):
    x = Ising2D(16).sample(temperature, 4000, seed=5)
    for n_patterns in (2, 3, 5, 8):
        found = unmix(leading_modes(x, n_patterns))
        assert not found.is_reliable


def test_samples_put_wrong_bits_right():
    system = Hopfield.random(128, 8, seed=9)
    x = system.sample(0.8, 8000, seed=10)
    wrong = system.patterns * np.where(np.random.default_rng(11).random((128, 8)) < 0.05, -1, 1)
    wrong = wrong.astype(np.int8)
    polished = polish_patterns(wrong, x)
    assert np.array_equal(polished, system.patterns)
    # The control: spins that know nothing of the patterns put no bits right.
    unrelated = polish_patterns(wrong, random_patterns(2000, 128, 12))
    assert 0.4 < np.mean(unrelated == system.patterns) < 0.6
    with pytest.raises(ValueError, match="128"):
        polish_patterns(wrong, x[:, :64])


@pytest.mark.slow
def test_number_of_patterns_over_forty_draws():
    right = []
    for seed in range(40):
        n_patterns = 1 + (seed * 31) % 32
        x = Hopfield.random(256, n_patterns, seed=seed).sample(1.2, 40_000, seed=1000 + seed)
        right.append(estimate_n_patterns(x) == n_patterns)
    assert np.mean(right) >= 0.95


def test_number_of_patterns_needs_spins_and_sites():
    with pytest.raises(ValueError, match="16 sites"):
        estimate_n_patterns(np.ones((10, 4)))
    with pytest.raises(ValueError, match="spins"):
        estimate_n_patterns(np.zeros((10, 20)))
