"""Total correlation by a density ratio, against exact values."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import xlogy

import mfvae.measure.ratio_network as ratio_network
from mfvae import MeanFieldVAE
from mfvae.measure import SaturationWarning, exact_gap, total_correlation
from mfvae.measure.ratio_network import attribute, relative_loss
from mfvae.systems import CurieWeiss, MaierSaupe


def gaussian(n, nats, n_samples, seed):
    """Equicorrelated unit Gaussians of the given total correlation."""
    low, high = 0.0, 1.0 - 1e-12
    for _ in range(60):
        rho = (low + high) / 2
        exact = -((n - 1) * np.log1p(-rho) + np.log1p((n - 1) * rho)) / 2
        low, high = (rho, high) if exact < nats else (low, rho)
    rng = np.random.default_rng(seed)
    common, own = rng.standard_normal((n_samples, 1)), rng.standard_normal((n_samples, n))
    return np.sqrt(rho) * common + np.sqrt(1 - rho) * own


def signed_gaussian(n, nats, n_samples, seed):
    """As above with the sign of random sites turned: the same total correlation."""
    x = gaussian(n, nats, n_samples, seed)
    return x * np.random.default_rng(seed + 1).choice([-1.0, 1.0], size=n)


@pytest.fixture(scope="module")
def magnet():
    """A trained model of a small Curie-Weiss magnet, and fresh samples."""
    system, temperatures = CurieWeiss(16), np.array([0.8, 1.2])
    x, fresh = (system.sample(temperatures, 2000, seed=s).reshape(-1, 16) for s in (0, 1))
    conditions = np.repeat(temperatures, 2000)
    bricks = {"encoder": "set", "decoder": "linear", "device": "cpu", "progress": False}
    vae = MeanFieldVAE(1, **bricks, n_epochs=15, learning_rate=0.02).fit(x, conditions=conditions)
    return system, temperatures, vae, fresh, conditions


def test_the_minimiser_of_the_loss_is_the_relative_ratio():
    p = torch.tensor([0.7, 0.2, 0.1])
    q = torch.tensor([0.1, 0.3, 0.6])

    def loss(g, alpha):
        # Expectations as means over samples that show each letter in proportion.
        joint, reference = (torch.repeat_interleave(g, (10 * law).long()) for law in (p, q))
        return relative_loss(joint, reference, alpha)

    for alpha in (0.1, 0.5):
        exact = torch.log(p / q)
        at_minimum = loss(exact, alpha)
        for k in range(3):
            for step in (-0.05, 0.05):
                moved = exact.clone()
                moved[k] += step
                assert loss(moved, alpha) > at_minimum


def test_gaussian_of_known_total_correlation():
    found = total_correlation(None, signed_gaussian(8, 0.7, 8000, 0), seed=0, n_epochs=6)
    assert abs(found.nats - 0.7) < 0.07 + 5.5 * found.nats.stderr
    assert 0.4 < found.lower < 0.7
    assert not found.saturated
    # Negative control: the tolerance tells a value that is 50 % off.
    assert abs(found.nats - 1.05) > 0.07 + 5.5 * found.nats.stderr


def test_curie_weiss_at_two_temperatures():
    system, temperatures = CurieWeiss(16), np.array([1.0, 1.5])
    x = system.sample(temperatures, 5000, seed=0).reshape(-1, 16)
    words = (x > 0).astype(np.uint8)
    found = total_correlation(None, words, np.repeat(temperatures, 5000), seed=0, n_epochs=4)
    for temperature, exact in zip(
        temperatures, system.total_correlation(temperatures), strict=True
    ):
        value = found.by_condition[float(temperature)]
        assert abs(value.nats - exact) < 0.15 * exact + 5.5 * value.nats.stderr
        assert value.lower < exact
    assert found.lower > 0.3  # exact mean: 0.726
    assert "1.5" in str(found)


def test_null_is_zero_and_reference_draws_are_independent():
    x = np.random.default_rng(0).choice([-1, 1], size=(4000, 8))
    found = total_correlation(None, x, seed=0, n_epochs=4, null=True)
    assert abs(found.nats) < 0.02
    assert abs(found.null) < 0.02
    assert found.lower < 0.005


def test_given_the_latent_little_is_left_and_a_wrong_decoder_shows(magnet):
    system, temperatures, vae, x, conditions = magnet
    found = total_correlation(vae, x, conditions, seed=0, n_epochs=4)
    gaps = exact_gap(vae, system, temperatures, 4000, seed=2)
    for temperature, gap in zip(temperatures, gaps, strict=True):
        value = found.by_condition[float(temperature)]
        assert value.lower < gap + 5.5 * gap.stderr
        assert value.nats < gap + 0.05
    # Power: an extra correlation of two spins, which the latent does not know, is found.
    planted = x.copy()
    copied = np.random.default_rng(0).random(len(x)) < 0.5
    planted[copied, 5] = planted[copied, 9]
    wrong = total_correlation(vae, planted, conditions, seed=0, n_epochs=4)
    assert wrong.nats > found.nats + 5 * np.hypot(wrong.nats.stderr, found.nats.stderr)
    assert wrong.lower > 0
    assert np.unravel_index(np.argmax(wrong.two_point), (16, 16)) == (5, 9)


def test_planted_pair_is_found():
    rng = np.random.default_rng(0)
    x = rng.choice([-1, 1], size=(8000, 12))
    x[:, 7] = np.where(rng.random(8000) < 0.75, x[:, 3], -x[:, 3])
    found = total_correlation(None, x, seed=0, n_epochs=4)
    exact = np.log(2) + 0.75 * np.log(0.75) + 0.25 * np.log(0.25)
    assert abs(found.nats - exact) < 0.03
    pair = found.two_point
    assert pair.shape == (12, 12)
    assert np.array_equal(pair, pair.T)
    assert np.unravel_index(np.argmax(np.abs(pair)), pair.shape) == (3, 7)
    others = np.abs(pair[np.triu_indices(12, 1)])
    assert pair[3, 7] > 5 * np.sort(others)[-2]
    assert np.abs(found.one_point).max() < 0.2 * pair[3, 7]


def three_spin_products(agreement, n_triples, n_samples, seed):
    """x₃ = x₁x₂ with this mean agreement, no pair correlated; and the exact nats."""
    rng = np.random.default_rng(seed)
    x = rng.choice([-1, 1], size=(n_samples, 3 * n_triples))
    right = rng.random((n_samples, n_triples)) < (1 + agreement) / 2
    x[:, 2::3] = x[:, ::3] * x[:, 1::3] * np.where(right, 1, -1)
    law = np.array([1 + agreement, 1 - agreement]) / 2
    return x, n_triples * float(np.log(2) + xlogy(law, law).sum())


@pytest.mark.slow
@pytest.mark.parametrize("agreement", [1.0, 0.5])
def test_products_of_three_spins(agreement, monkeypatch):
    x, exact = three_spin_products(agreement, 21, 20_000, seed=0)
    found = total_correlation(None, x, seed=1, n_epochs=2, null=True)
    assert abs(found.nats - exact) < 0.05 * exact
    assert 0.9 * exact < found.lower <= exact + 1e-2
    assert abs(found.null) < 1e-3
    assert not found.saturated
    assert np.abs(found.two_point).max() < 0.1
    # Negative control: pairs alone do not see a third of it.
    monkeypatch.setattr(ratio_network, "_TIED", np.inf)
    blind = total_correlation(None, x, seed=1, n_epochs=2)
    assert blind.nats < 0.3 * exact


@pytest.mark.slow
def test_no_triple_is_made_up():
    x = np.random.default_rng(4).choice([-1, 1], size=(20_000, 63))
    assert len(ratio_network.tied_triples(torch.from_numpy(x.astype(np.float32)))) == 0
    # A few coincidences of rare letters are not a tie.
    rare = (np.random.default_rng(5).random((4000, 40)) < 0.003).astype(np.float32)
    rare = torch.from_numpy((rare - rare.mean(axis=0)) / np.maximum(rare.std(axis=0), 1e-6))
    assert len(ratio_network.tied_triples(rare)) == 0
    found = total_correlation(None, x, seed=1, n_epochs=2, null=True)
    assert abs(found.nats) < 1e-3
    assert abs(found.null) < 1e-3


def test_products_given_a_latent_that_knows_nothing_of_them():
    """The latent is independent of the words, so that what is left is all there was."""
    x, exact = three_spin_products(0.5, 8, 16_000, seed=2)
    bricks = {"encoder": "mlp", "decoder": "linear", "device": "cpu", "progress": False}
    vae = MeanFieldVAE(1, **bricks, n_epochs=2).fit(x[:8000])
    found = total_correlation(vae, x[8000:], seed=1, n_epochs=6)
    assert abs(found.nats - exact) < 0.15 * exact
    assert found.lower < exact + 1e-2


def test_regression_of_a_known_log_ratio():
    rng = np.random.default_rng(0)
    u = torch.from_numpy(rng.standard_normal((4000, 20, 2)).astype(np.float32))
    one, two = np.zeros((20, 2)), np.zeros((20, 20))
    one[4, 1], two[2, 9] = 0.3, -0.5
    exact = torch.einsum("ik,nik->n", torch.from_numpy(one), u.double()) + torch.einsum(
        "ij,nik,njk->n", torch.from_numpy(two), u.double(), u.double()
    )
    found_one, found_two = attribute(u, exact)
    # 230 coefficients, 4,000 rows: the penalty takes some 5 % of one and 3 % of two values.
    assert np.allclose(found_one, one, atol=0.03)
    assert np.allclose(found_two, two + two.T, atol=0.04)


def test_directors_have_five_values_a_site():
    system = MaierSaupe(8)
    x = system.sample(0.25, 800, seed=0)
    found = total_correlation(None, x, seed=0, n_epochs=1)
    assert found.one_point.shape == (8, 5)
    assert found.two_point.shape == (8, 8)
    exact = system.total_correlation(0.25)
    assert 0 < found.lower < exact
    assert np.all(found.two_point[np.triu_indices(8, 1)] > 0)


def test_saturation_is_said():
    x = np.random.default_rng(0).choice([-1, 1], size=(400, 1)) * np.ones((1, 32), dtype=int)
    with pytest.warns(SaturationWarning, match="more than 400 samples can resolve"):
        found = total_correlation(None, x, seed=0, n_epochs=1)
    assert found.saturated
    assert "saturated" in str(found)
    assert found.nats < 31 * np.log(2)
    assert found.lower < 31 * np.log(2)


@pytest.mark.slow
def test_same_seed_same_bits(magnet):
    _, _, vae, x, conditions = magnet
    rows = np.r_[:100, 3900:4000]
    first, second, other = (
        total_correlation(vae, x[rows], conditions[rows], seed=seed, n_epochs=1)
        for seed in (5, 5, 6)
    )
    assert (first.nats, first.lower) == (second.nats, second.lower)
    assert np.array_equal(first.two_point, second.two_point)
    assert first.nats != other.nats


@pytest.mark.parametrize(
    ("arguments", "options", "error", "match"),
    [
        ((None, np.ones((200, 4)) * np.nan), {}, ValueError, "finite"),
        ((None, np.ones((40, 4))), {}, ValueError, "at least 80 rows"),
        ((None, np.ones(200)), {}, ValueError, "shape"),
        ((None, "spins"), {}, TypeError, "array"),
        (("vae", np.ones((200, 4))), {}, TypeError, "MeanFieldVAE"),
        ((None, np.ones((200, 4)), np.ones(199)), {}, ValueError, "conditions"),
        ((None, np.ones((200, 4)), np.arange(200)), {}, ValueError, "at least 80 rows"),
        ((None, np.ones((200, 4, 3))), {}, ValueError, "unit vectors"),
        ((None, np.ones((200, 4))), {"lattice_shape": (3, 2)}, ValueError, "does not hold"),
        ((None, np.ones((200, 4))), {"lattice_shape": 4}, TypeError, "lattice_shape"),
        ((None, np.ones((200, 4))), {"n_epochs": 0}, ValueError, "n_epochs"),
        ((None, np.ones((200, 4))), {"seed": -1}, ValueError, "seed"),
        ((MeanFieldVAE(), np.ones((200, 4))), {}, ValueError, "not fitted"),
    ],
)
def test_bad_input(arguments, options, error, match):
    with pytest.raises(error, match=match):
        total_correlation(*arguments, **{"seed": 0, **options})
