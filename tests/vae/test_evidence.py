"""Evidence against exact probabilities: planted exact weights, enumeration, brute force."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from mfvae.systems import CurieWeiss
from mfvae.vae.decoder import LinearDecoder
from mfvae.vae.encoder import MLPEncoder, Sizes
from mfvae.vae.evidence import bound, log_weights, quadrature
from mfvae.vae.likelihood import Bernoulli, Gaussian
from mfvae.vae.mixture_prior import MixturePrior
from mfvae.vae.model import PRIORS, LatentVariableModel, seeded_initialization
from mfvae.vae.prior import NormalPrior, Prior

SIGMAS = 5.5


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class FieldPrior(Prior):
    """The exact Hubbard-Stratonovich density of Curie-Weiss; one condition: the temperature."""

    def __init__(self, n_sites: int) -> None:
        super().__init__(1)
        self.system = CurieWeiss(n_sites)

    def log_prob(self, z: torch.Tensor, conditions: torch.Tensor) -> torch.Tensor:
        with np.errstate(divide="ignore"):  # far out the density is below the smallest float
            rows = self._rows(z, conditions)
        return torch.from_numpy(np.concatenate(rows)).to(z.dtype)

    def _rows(self, z: torch.Tensor, conditions: torch.Tensor) -> list[np.ndarray]:
        return [
            np.log(self.system.field_density(m, float(t[0])))
            for m, t in zip(z.numpy(force=True), conditions.numpy(force=True), strict=True)
        ]

    def box(self, conditions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        edge = conditions.new_full((1,), 2.0)
        return -edge, edge


def exact_curie_weiss(n_sites: int, temperature: float) -> LatentVariableModel:
    """Logits 2 beta m and the exact prior: a VAE that is the Curie-Weiss model."""
    with seeded_initialization(0):
        sizes = Sizes(1, n_sites, n_conditions=1)
        encoder, decoder = MLPEncoder(sizes, widths=(4,)), LinearDecoder(sizes)
    with torch.no_grad():
        decoder.affine.weight.fill_(2 / temperature)
        decoder.affine.bias.zero_()
        # q(m | s) is close to the exact posterior Normal(M / N, T / N), not equal to it.
        for weight in encoder.parameters():
            weight.zero_()
        encoder.body[-1].weight[0] = 2e-3
        encoder.mean_head.weight[0, 0] = 2 / (2e-3 * n_sites)
        encoder.log_variance_head.bias.fill_(np.log(1.3 * temperature / n_sites))
    return LatentVariableModel(
        encoder, decoder, FieldPrior(n_sites), Bernoulli((-1, 1)), [0.0], [1.0]
    ).double()


@pytest.mark.parametrize("n_sites", [10, 64])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_planted_curie_weiss_is_exact(n_sites: int, temperature: float) -> None:
    system, model = CurieWeiss(n_sites), exact_curie_weiss(n_sites, temperature)
    spins = system.sample(temperature, 6, seed=1)
    x = model.likelihood.prepare(spins)
    c = torch.full((len(x), 1), temperature, dtype=torch.float64)
    exact = system.log_prob(spins, temperature)
    score = quadrature(model, x, c, tolerance=1e-7).numpy()
    np.testing.assert_allclose(score, exact, atol=1e-8)
    with torch.no_grad():  # negative control: logits off by a percent
        model.decoder.affine.weight.mul_(1.01)
    wrong = quadrature(model, x, c).numpy()
    assert np.abs(wrong - exact).max() > 1e-4


def test_quadrature_of_a_peak_much_narrower_than_the_first_panels() -> None:
    temperature, n_sites = 0.7, 5_000
    system, model = CurieWeiss(n_sites), exact_curie_weiss(n_sites, temperature)
    spins = system.sample(temperature, 2, seed=1)
    c = torch.full((2, 1), temperature, dtype=torch.float64)
    score = quadrature(model, model.likelihood.prepare(spins), c).numpy()
    np.testing.assert_allclose(score, system.log_prob(spins, temperature), atol=1e-4)


@pytest.mark.parametrize(("n_latents", "covariance"), [(1, "diagonal"), (2, "full")])
def test_quadrature_finds_a_component_narrower_than_its_nodes(
    n_latents: int, covariance: str
) -> None:
    n_sites = 5
    with seeded_initialization(3):
        prior = MixturePrior(n_latents, 0, n_components=3, covariance=covariance)
        sizes = Sizes(n_latents, n_sites)
        encoder, decoder = MLPEncoder(sizes, widths=(4,)), LinearDecoder(sizes)
    with torch.no_grad():
        prior.log_scales[0] = -6.5
        prior.means[0] = 0.37
    model = LatentVariableModel(encoder, decoder, prior, Bernoulli((0, 1)), [], []).double()
    words = np.array(list(itertools.product([0, 1], repeat=n_sites)))
    c = torch.zeros((len(words), 0), dtype=torch.float64)
    score = quadrature(model, model.likelihood.prepare(words), c, tolerance=1e-5)
    np.testing.assert_allclose(float(score.exp().sum()), 1, atol=1e-5)


def test_bounds_are_ordered_and_tighten() -> None:
    temperature, n_sites, n_samples = 1.0, 12, 200
    system, model = CurieWeiss(n_sites), exact_curie_weiss(n_sites, temperature)
    spins = system.sample(temperature, n_samples, seed=2)
    x = model.likelihood.prepare(spins)
    c = torch.full((n_samples, 1), temperature, dtype=torch.float64)
    exact = system.log_prob(spins, temperature)
    gaps = [exact - bound(model, x, c, 16, generator(1), method="elbo").numpy()]
    for n in (2, 8, 64):
        gaps.append(exact - bound(model, x, c, n, generator(1), method="iwae").numpy())
    means = [gap.mean() for gap in gaps]
    stderr = [gap.std() / n_samples**0.5 for gap in gaps]
    assert all(one > next_one for one, next_one in itertools.pairwise(means))
    assert means[0] > SIGMAS * stderr[0]  # the encoder is not the posterior: a true bound
    assert abs(means[-1]) < 0.01
    # The bound with n latents falls short by Var(w) / 2n, so a fourfold n brings a quarter.
    assert 2.0 < means[1] / means[2] < 8.0


def random_model(prior: str, n_latents: int, n_conditions: int, n_sites: int = 5):
    sizes = Sizes(n_latents, n_sites, n_conditions)
    with seeded_initialization(3):
        model = LatentVariableModel(
            MLPEncoder(sizes, widths=(8,)),
            LinearDecoder(sizes),
            PRIORS[prior](n_latents, n_conditions),
            Bernoulli(),
            [0.0] * n_conditions,
            [1.0] * n_conditions,
        )
        with torch.no_grad():
            for weight in model.prior.parameters():
                fan_in = weight.shape[1] if weight.ndim == 2 else 1
                bend = 0.1 if prior == "coupling" else 0.3
                weight += bend * torch.randn_like(weight) / fan_in**0.5
    return model


PRIORS_AND_LATENTS = [
    (prior, d) for prior in PRIORS for d in (1, 2) if not (prior == "coupling" and d == 1)
]


@pytest.mark.parametrize(("prior", "n_latents"), PRIORS_AND_LATENTS)
def test_probabilities_of_all_words_sum_to_one(prior: str, n_latents: int) -> None:
    model = random_model(prior, n_latents, 1)
    x = torch.tensor(list(itertools.product((0, 1), repeat=5)), dtype=torch.uint8)
    # The coupling's kinks lie along curves, where product rules converge slowly.
    tolerance = 1e-3 if prior == "coupling" else 1e-4
    score = quadrature(model, x, torch.full((32, 1), 0.5), tolerance=tolerance)
    assert float(torch.logsumexp(score, 0)) == pytest.approx(0, abs=tolerance)


@pytest.mark.parametrize(("prior", "n_latents"), PRIORS_AND_LATENTS)
def test_a_decoder_blind_to_the_latent_is_the_independent_model(prior, n_latents: int) -> None:
    model = random_model(prior, n_latents, 0)
    with torch.no_grad():
        model.decoder.affine.weight.zero_()
    x = torch.tensor([[0, 1, 1, 0, 1], [1, 1, 1, 1, 1]], dtype=torch.uint8)
    bias = model.decoder.affine.bias.detach().double()
    exact = (x * bias - torch.nn.functional.softplus(bias)).sum(dim=1)
    tolerance = 1e-3 if prior == "coupling" else 1e-4
    score = quadrature(model, x, torch.zeros(2, 0), tolerance=tolerance)
    np.testing.assert_allclose(score.numpy(), exact.numpy(), atol=tolerance)


def test_two_latents_against_brute_force() -> None:
    model = random_model("spline", 2, 0).double()
    axis = torch.linspace(-6, 6, 1201, dtype=torch.float64)
    z = torch.cartesian_prod(axis, axis)
    zero, none = torch.zeros_like(axis), torch.zeros(len(axis), 0)
    x = torch.tensor([[0, 1, 1, 0, 1], [1, 0, 0, 0, 0]], dtype=torch.uint8)
    with torch.no_grad():
        # The spline prior factorises: two lines through the origin give the whole plane.
        first = model.prior.log_prob(torch.stack([axis, zero], 1), none)
        second = model.prior.log_prob(torch.stack([zero, axis], 1), none)
        log_prior = (first[:, None] + second - first[600]).flatten()
        joint = model.likelihood.log_prob_matrix(model.decoder(z), x) + log_prior
    brute = torch.logsumexp(joint, dim=1) + 2 * np.log(12 / 1200)
    score = quadrature(model, x, torch.zeros(2, 0), tolerance=1e-6)
    np.testing.assert_allclose(score.numpy(), brute.numpy(), atol=1e-4)


def test_quadrature_follows_a_posterior_out_of_the_priors_box() -> None:
    """A linear Gaussian model is solvable: x ~ Normal(0, 1 + w^2), far out as well."""
    with seeded_initialization(0):
        model = LatentVariableModel(
            MLPEncoder(Sizes(1), widths=(2,)),
            LinearDecoder(Sizes(1)),
            NormalPrior(1, 0),
            Gaussian([0.0], [1.0], variance="unit"),
            [],
            [],
        )
    weight = 3.0
    with torch.no_grad():
        model.decoder.affine.weight.fill_(weight)
        model.decoder.affine.bias.zero_()
    x = torch.tensor([[0.5], [30.0], [-70.0]])
    variance = 1 + weight**2
    exact = -(x[:, 0].double() ** 2 / variance + np.log(2 * np.pi * variance)) / 2
    score = quadrature(model, x, torch.zeros(3, 0))
    np.testing.assert_allclose(score.numpy(), exact.numpy(), atol=1e-4)


def test_each_condition_gets_its_own_integral_and_repeats_agree() -> None:
    model = random_model("spline", 1, 1)
    x = torch.tensor([[0, 1, 1, 0, 1]] * 4, dtype=torch.uint8)
    c = torch.tensor([[0.0], [1.0], [0.0], [-1.0]])
    together = quadrature(model, x, c)
    alone = torch.cat([quadrature(model, x[[i]], c[[i]]) for i in range(4)])
    torch.testing.assert_close(together, alone, atol=2e-4, rtol=0)
    assert together[0] == together[2] != together[1]


def test_three_latents_and_unreachable_tolerances_are_refused() -> None:
    x, c = torch.zeros(1, 5, dtype=torch.uint8), torch.zeros(1, 0)
    with pytest.raises(ValueError, match="one or two latents"):
        quadrature(random_model("normal", 3, 0), x, c)
    with pytest.raises(RuntimeError, match="did not settle"):
        quadrature(random_model("coupling", 2, 0), x, c, tolerance=1e-14, max_nodes=30_000)


def test_log_weights_have_the_right_mean() -> None:
    """E_q[w] = p(x), for an encoder that covers the posterior."""
    model = random_model("normal", 2, 0).double()
    x = torch.tensor([[0, 1, 1, 0, 1]], dtype=torch.uint8)
    c = torch.zeros(1, 0, dtype=torch.float64)
    exact = quadrature(model, x, c)
    with torch.no_grad():
        weights = log_weights(model, x, c, 40_000, generator(1))[:, 0]
    ratio = (weights - exact).exp()
    stderr = float(ratio.std()) / 200
    assert abs(float(ratio.mean()) - 1) < SIGMAS * stderr
    assert abs(1.05 * float(ratio.mean()) - 1) > SIGMAS * stderr
    assert stderr < 0.009
