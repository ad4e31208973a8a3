"""Every observation model: normalised, its samples agree with it, its gradients are right."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mfvae.systems import Bingham
from mfvae.vae.director_likelihood import (
    BinghamNatural,
    BinghamRotation,
    from_components,
    to_components,
)
from mfvae.vae.likelihood import Bernoulli, Categorical, Gaussian, Tempered

#: Smallest p-value, and largest deviation in standard errors, that a right sampler may show:
#: 1e-8 each and fewer than 100 comparisons in this file, a false-alarm rate below 1e-6.
P_VALUE = 1e-8
SIGMAS = 5.8


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def parameters(shape: tuple[int, ...], seed: int = 0, scale: float = 1.0) -> torch.Tensor:
    return scale * torch.randn(shape, generator=generator(seed), dtype=torch.float64)


def sphere_rule(n: int = 60) -> tuple[torch.Tensor, torch.Tensor]:
    """Nodes and weights on the unit sphere: Gauss-Legendre in height, trapezoid in azimuth."""
    height, weight = np.polynomial.legendre.leggauss(n)
    azimuth = 2 * np.pi * np.arange(2 * n) / (2 * n)
    t, phi = (grid.ravel() for grid in np.meshgrid(height, azimuth, indexing="ij"))
    radius = np.sqrt(1 - t**2)
    nodes = np.stack([radius * np.cos(phi), radius * np.sin(phi), t], axis=1)
    weights = np.repeat(weight, 2 * n) * np.pi / n
    return torch.from_numpy(nodes), torch.from_numpy(weights)


def gaussian(variance: str) -> Gaussian:
    likelihood = Gaussian([1.0, -2.0], [0.5, 3.0], variance=variance).double()
    if variance == "learned":
        with torch.no_grad():
            likelihood.log_variance.copy_(torch.tensor([0.3, -1.0]))
    return likelihood


DISCRETE = {
    "bernoulli": Bernoulli((-1, 1)),
    "tempered": Tempered((-1, 1)),
    "categorical": Categorical(4),
}
LIKELIHOODS = {
    **DISCRETE,
    "gaussian": gaussian("learned"),
    "gaussian-unit": gaussian("unit"),
    "bingham": BinghamNatural(),
    "bingham-rotation": BinghamRotation(),
}


def draw(likelihood, n_samples: int, n_sites: int, seed: int = 0) -> torch.Tensor:
    p = parameters((1, n_sites, likelihood.n_parameters), seed).expand(n_samples, -1, -1)
    return likelihood.sample(p, generator(seed + 1))


# ------------------------------------------------------------------------------ density


@pytest.mark.parametrize(
    ("name", "n_letters"), [("bernoulli", 2), ("tempered", 2), ("categorical", 4)]
)
def test_discrete_probabilities_sum_to_one(name: str, n_letters: int) -> None:
    likelihood = DISCRETE[name]
    x = torch.tensor(list(itertools.product(range(n_letters), repeat=3)), dtype=torch.uint8)
    p = parameters((5, 3, likelihood.n_parameters), scale=3.0)
    totals = torch.logsumexp(likelihood.log_prob_matrix(p, x), dim=0)
    torch.testing.assert_close(totals, torch.zeros(5, dtype=torch.float64), atol=1e-12, rtol=0)


@pytest.mark.parametrize("variance", ["learned", "unit"])
def test_gaussian_density_integrates_to_one_in_the_users_units(variance: str) -> None:
    likelihood = gaussian(variance)
    grids = [np.linspace(-20, 22, 4001), np.linspace(-80, 80, 4001)]
    p = parameters((1, 2, 1))
    spreads = (likelihood.site_variance().sqrt() * likelihood.scale).detach()
    for site, grid in enumerate(grids):
        other = 1 - site
        x = np.zeros((4001, 2))
        x[:, site] = grid
        x[:, other] = np.array([1.0, -2.0])[other]
        prepared = likelihood.prepare(x)
        log_density = likelihood.log_prob(p.expand(4001, -1, -1), prepared).detach()
        fixed = prepared[:1].double()[0, other] - p[0, other, 0]
        log_other = stats.norm.logpdf(
            float(fixed * likelihood.scale[other]), 0, float(spreads[other])
        )
        density = np.exp(log_density.numpy() - log_other)
        assert np.sum(density) * (grid[1] - grid[0]) == pytest.approx(1, abs=2e-6)


def test_unit_variance_is_the_square_of_the_scale() -> None:
    p, x = torch.zeros(1, 2, 1), np.array([[1.7, 2.0]])
    score = gaussian("unit").log_prob(p, gaussian("unit").prepare(x))
    expected = stats.norm.logpdf(x[0], [1.0, -2.0], [0.5, 3.0]).sum()
    assert float(score) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", ["bingham", "bingham-rotation"])
def test_director_density_integrates_to_one(name: str) -> None:
    likelihood = LIKELIHOODS[name]
    nodes, weights = sphere_rule()
    p = parameters((6, 1, likelihood.n_parameters), scale=3.0)
    density = likelihood.log_prob_matrix(p, nodes[:, None, :]).exp()
    totals = (density * weights[:, None]).sum(dim=0)
    torch.testing.assert_close(totals, torch.ones(6, dtype=torch.float64), atol=1e-9, rtol=0)


@pytest.mark.parametrize("name", list(LIKELIHOODS))
def test_log_prob_is_the_diagonal_of_the_matrix(name: str) -> None:
    likelihood = LIKELIHOODS[name]
    n_sites = 2
    x = draw(likelihood, 7, n_sites)
    p = parameters((7, n_sites, likelihood.n_parameters), seed=5)
    matrix = likelihood.log_prob_matrix(p, x)
    assert matrix.shape == (7, 7)
    torch.testing.assert_close(likelihood.log_prob(p, x), matrix.diagonal(), atol=1e-10, rtol=1e-10)


def test_the_matrix_keeps_its_digits_at_small_variances() -> None:
    likelihood = Gaussian([0.0], [1.0]).double()
    likelihood.min_variance = 1e-6
    with torch.no_grad():
        likelihood.log_variance.fill_(-40.0)
    x = torch.tensor([[1.2345678]])  # float32, as the model keeps data
    p = x.double()[None] + 1e-4
    matrix = likelihood.log_prob_matrix(p, x)
    torch.testing.assert_close(matrix[0], likelihood.log_prob(p, x), atol=1e-6, rtol=0)


# ------------------------------------------------------------------------------ samples


@pytest.mark.parametrize("name", list(DISCRETE))
def test_discrete_samples_agree_with_the_density(name: str) -> None:
    likelihood, n_samples = DISCRETE[name], 40_000
    n_letters = 4 if name == "categorical" else 2
    states = torch.tensor(list(itertools.product(range(n_letters), repeat=2)), dtype=torch.uint8)
    p = parameters((1, 2, likelihood.n_parameters), seed=3)
    x = likelihood.sample(p.expand(n_samples, -1, -1), generator(4))
    counts = (x[:, None, :] == states).all(dim=-1).sum(dim=0).numpy()
    assert counts.sum() == n_samples

    def p_value(planted: float) -> float:
        q = p.clone()
        q[0, 0, 0] += planted
        expected = likelihood.log_prob_matrix(q, states).exp()[:, 0].numpy()
        return stats.chisquare(counts, n_samples * expected / expected.sum()).pvalue

    assert p_value(0.0) > P_VALUE
    assert p_value(0.12) < P_VALUE


@pytest.mark.parametrize("variance", ["learned", "unit"])
def test_gaussian_samples_agree_with_the_density(variance: str) -> None:
    likelihood, n_samples = gaussian(variance), 40_000
    p = parameters((1, 2, 1), seed=3)
    drawn = likelihood.sample(p.expand(n_samples, -1, -1), generator(4)).detach()
    x = likelihood.restore(drawn)
    mean = likelihood.mean(p).detach().numpy()[0]
    scale = (likelihood.site_variance().sqrt() * likelihood.scale).detach().numpy()
    for site in range(2):
        law = stats.norm(mean[site], scale[site])
        assert stats.kstest(x[:, site], law.cdf).pvalue > P_VALUE
        wrong = stats.norm(mean[site] + 0.05 * scale[site], scale[site])
        assert stats.kstest(x[:, site], wrong.cdf).pvalue < P_VALUE


@pytest.mark.parametrize("name", ["bingham", "bingham-rotation"])
def test_directors_agree_with_the_density(name: str) -> None:
    likelihood, n_samples = LIKELIHOODS[name], 40_000
    p = parameters((1, 1, likelihood.n_parameters), seed=3, scale=2.0)
    x = likelihood.sample(p.expand(n_samples, -1, -1), generator(4))
    assert x.shape == (n_samples, 1, 3)
    torch.testing.assert_close(x.norm(dim=-1), torch.ones(n_samples, 1), atol=1e-5, rtol=0)
    outer = (x[..., :, None] * x[..., None, :]).double().numpy()[:, 0]
    stderr = outer.std(axis=0) / math.sqrt(n_samples)

    def deviation(q: torch.Tensor) -> float:
        return np.abs((outer.mean(axis=0) - likelihood.mean(q)[0, 0].numpy()) / stderr).max()

    assert deviation(p) < SIGMAS
    assert deviation(1.1 * p) > SIGMAS


def test_director_moments_are_those_of_the_density() -> None:
    nodes, weights = sphere_rule()
    for name in ("bingham", "bingham-rotation"):
        likelihood = LIKELIHOODS[name]
        p = parameters((3, 1, likelihood.n_parameters), scale=2.0)
        density = likelihood.log_prob_matrix(p, nodes[:, None, :]).exp() * weights[:, None]
        moment = torch.einsum("sk,si,sj->kij", density, nodes, nodes)
        torch.testing.assert_close(likelihood.mean(p)[:, 0], moment, atol=1e-9, rtol=0)


@pytest.mark.parametrize("name", list(LIKELIHOODS))
def test_sampling_repeats_and_follows_its_generator(name: str) -> None:
    likelihood = LIKELIHOODS[name]
    p = parameters((50, 2, likelihood.n_parameters))
    first, again, other = (likelihood.sample(p, generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_mean_of_a_bernoulli_site_is_in_the_users_letters() -> None:
    logit = torch.tensor([[[0.8]]])
    assert float(Bernoulli((-1, 1)).mean(logit)) == pytest.approx(math.tanh(0.4))
    assert float(Bernoulli((0, 1)).mean(logit)) == pytest.approx(1 / (1 + math.exp(-0.8)))


def test_mean_of_a_category_is_its_probability() -> None:
    p = parameters((2, 3, 4))
    one_hot = torch.eye(4)[:, None].expand(-1, 3, -1)
    x = torch.arange(4, dtype=torch.uint8)[:, None].expand(-1, 3)
    alone = torch.stack(
        [Categorical(4).log_prob_matrix(p[:, [site]], x[:, [site]]).exp().T for site in range(3)], 1
    )
    torch.testing.assert_close(Categorical(4).mean(p), alone)
    torch.testing.assert_close(Categorical(4).statistics(x), one_hot)


# -------------------------------------------------------------------------- what users hand in


@pytest.mark.parametrize("dtype", ["int8", "int64", "float64", "float32"])
@pytest.mark.parametrize("letters", [(-1, 1), (0, 1)])
def test_two_letter_data_come_back_in_letters_and_dtype(letters: tuple, dtype: str) -> None:
    x = np.random.default_rng(0).choice(letters, (20, 5)).astype(dtype)
    likelihood = Bernoulli(**Bernoulli.settings_from_data(x))
    back = likelihood.restore(likelihood.prepare(x))
    assert back.dtype == x.dtype
    np.testing.assert_array_equal(back, x)


def test_bool_data_come_back_as_bool() -> None:
    x = np.random.default_rng(0).random((20, 5)) < 0.5
    for likelihood in (
        Bernoulli(**Bernoulli.settings_from_data(x)),
        Categorical(**Categorical.settings_from_data(x)),
    ):
        back = likelihood.restore(likelihood.prepare(x))
        assert back.dtype == np.bool_
        np.testing.assert_array_equal(back, x)


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float64"])
def test_codes_come_back(dtype: str) -> None:
    x = np.random.default_rng(0).integers(0, 5, (20, 4)).astype(dtype)
    likelihood = Categorical(**Categorical.settings_from_data(x, n_categories=7))
    assert likelihood.n_parameters == 7
    back = likelihood.restore(likelihood.prepare(x))
    assert back.dtype == x.dtype
    np.testing.assert_array_equal(back, x)


def test_real_values_come_back_with_constant_columns() -> None:
    x = np.random.default_rng(0).normal(3, 2, (20, 4))
    x[:, 1] = 7.25
    likelihood = Gaussian(**Gaussian.settings_from_data(x))
    np.testing.assert_allclose(likelihood.restore(likelihood.prepare(x)), x, rtol=1e-5)


def test_directors_come_back() -> None:
    n = Bingham(np.zeros((3, 3))).sample(12, seed=0).reshape(4, 3, 3).astype(np.float32)
    likelihood = BinghamNatural(**BinghamNatural.settings_from_data(n))
    np.testing.assert_array_equal(likelihood.restore(likelihood.prepare(n)), n)


@pytest.mark.parametrize(
    ("likelihood", "x"),
    [
        (Bernoulli, np.array([[0, 2]])),
        (Bernoulli, np.array([[-1, 0, 1]])),
        (Bernoulli, np.array([[0.5, 1.0]])),
        (Bernoulli, np.ones((3, 2))),
        (Categorical, np.array([[0.5, 1.0]])),
        (Categorical, np.array([[-1, 1]])),
        (Categorical, np.array([[256, 1]])),
        (Gaussian, np.array([[np.nan, 1.0]])),
        (Gaussian, np.array([[1e200, 1.0]])),
        (BinghamNatural, np.ones((2, 3, 3))),
        (BinghamNatural, np.ones((2, 3, 2)) / math.sqrt(2)),
    ],
)
def test_wrong_letters_are_refused(likelihood: type, x: np.ndarray) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (each likelihood has its own words)
        likelihood.settings_from_data(x)


@given(st.integers(-3, 300))
@settings(max_examples=30, deadline=None, derandomize=True)
def test_letters_that_fit_never_saw_are_refused(code: int) -> None:
    for likelihood, allowed in ((Bernoulli((-1, 1)), (-1, 1)), (Categorical(3), (0, 1, 2))):
        x = np.array([[allowed[0], code]])
        if code in allowed:
            likelihood.prepare(x)
        else:
            with pytest.raises(ValueError, match="must hold"):
                likelihood.prepare(x)


def test_letters_of_constant_data_can_be_named() -> None:
    settings = Bernoulli.settings_from_data(np.ones((3, 2), np.int8), letters=(-1, 1))
    assert Bernoulli(**settings).letters == (-1, 1)
    with pytest.raises(ValueError, match="letters must be"):
        Bernoulli((0, 2))


# ------------------------------------------------------------- gradients, maximum likelihood


@pytest.mark.parametrize("name", list(LIKELIHOODS))
def test_every_parameter_receives_a_gradient(name: str) -> None:
    likelihood = LIKELIHOODS[name]
    p = parameters((6, 2, likelihood.n_parameters), seed=9).requires_grad_()
    x = draw(likelihood, 6, 2, seed=11)
    own = list(likelihood.parameters())
    gradients = torch.autograd.grad(likelihood.log_prob(p, x).sum(), [p, *own])
    for gradient in gradients:
        assert torch.isfinite(gradient).all()
        assert (gradient != 0).all()


@pytest.mark.parametrize("name", list(LIKELIHOODS))
def test_gradients_against_finite_differences(name: str) -> None:
    likelihood = LIKELIHOODS[name]
    x = draw(likelihood, 3, 2, seed=11)
    p = parameters((3, 2, likelihood.n_parameters), seed=9, scale=2.0).requires_grad_()
    assert torch.autograd.gradcheck(lambda q: likelihood.log_prob(q, x), (p,), atol=1e-7)


def test_bingham_gradient_where_eigenvalues_meet() -> None:
    likelihood = BinghamNatural()
    n = torch.tensor([[[0.0, 0.6, 0.8]]], dtype=torch.float64)
    uniaxial = to_components(torch.diag(torch.tensor([0.0, 0.0, 3.0]).double()))
    for components in (torch.zeros(5, dtype=torch.float64), uniaxial):
        p = components.reshape(1, 1, 5).requires_grad_()
        assert torch.autograd.gradcheck(lambda q: likelihood.log_prob(q, n), (p,), atol=1e-7)


def test_both_bingham_forms_are_the_same_law() -> None:
    rotation, natural = BinghamRotation(), BinghamNatural()
    p = parameters((5, 2, 8), scale=2.0)
    x = draw(rotation, 5, 2)
    torch.testing.assert_close(rotation.log_prob(p, x), natural.log_prob(rotation.natural(p), x))


def test_rotation_form_has_the_eigenvalues_it_names() -> None:
    p = parameters((5, 1, 8), scale=2.0)
    matrices = from_components(BinghamRotation().natural(p))
    gaps = torch.linalg.eigvalsh(matrices)[:, 0].diff(dim=-1)
    expected = torch.nn.functional.softplus(p[:, 0, 6:8])
    torch.testing.assert_close(gaps, expected)


@pytest.mark.parametrize("likelihood", [BinghamNatural(), BinghamRotation()])
def test_maximum_likelihood_recovers_a_planted_matrix(likelihood) -> None:
    planted = np.array([[1.0, 0.4, 0.0], [0.4, -2.0, 0.7], [0.0, 0.7, 1.0]])
    n_samples = 20_000
    directors = torch.from_numpy(Bingham(planted).sample(n_samples, seed=3)[:, None, :])
    start = likelihood.marginal_parameters(directors).double()[None]
    p = start.clone().requires_grad_()
    optimizer = torch.optim.LBFGS([p], max_iter=100, line_search_fn="strong_wolfe")
    average = likelihood.statistics(directors).mean(dim=0, keepdim=True)

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        inner = (likelihood.natural(p) * average).sum()
        value = likelihood.log_normalizer(p).sum() - inner
        value.backward()
        return value

    optimizer.step(loss)
    found = likelihood.natural(p).detach()[0, 0].numpy()
    # The Fisher information of the natural parameters is the covariance of the statistics.
    covariance = np.cov(likelihood.statistics(directors)[:, 0].numpy().T)
    expected = to_components(torch.from_numpy(planted)).numpy()

    def chi_squared(truth: np.ndarray) -> float:
        return n_samples * (found - truth) @ covariance @ (found - truth)

    assert stats.chi2(5).sf(chi_squared(expected)) > P_VALUE
    assert stats.chi2(5).sf(chi_squared(1.2 * expected)) < P_VALUE
