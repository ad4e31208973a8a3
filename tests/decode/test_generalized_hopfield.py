"""GeneralizedHopfield against enumeration, the VAE's own likelihood, and exact Hopfield laws."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp

from mfvae import MeanFieldVAE
from mfvae.decode import GeneralizedHopfield
from mfvae.vae.mixture_prior import MixturePrior
from mfvae.vae.prior import NormalPrior, Prior

N = 12
ALL = np.array(list(itertools.product([-1, 1], repeat=N)), dtype=np.int8)
SIGMAS = 5.5  # two-sided false-alarm rate 4e-8 a comparison


class HubbardStratonovichPrior(Prior):
    """The field's law of a Hopfield model: Gaussian times Π_i 2cosh(β ξ_i·m), unnormalised."""

    def __init__(self, patterns, beta, log_norm=0.0):
        super().__init__(patterns.shape[1])
        self.register_buffer("patterns", torch.from_numpy(patterns))
        self.beta, self.log_norm = beta, log_norm

    def log_prob(self, z, conditions):
        h = self.beta * z @ self.patterns.T
        log_cosh = torch.logaddexp(h, -h).sum(dim=-1)
        return log_cosh - len(self.patterns) * self.beta * (z**2).sum(dim=-1) / 2 - self.log_norm

    def box(self, conditions):
        edge = torch.full((self.n_latents,), 6.0, dtype=conditions.dtype)
        return -edge, edge


def mixture_prior(n_latents, seed=3):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return MixturePrior(n_latents, 0, n_components=5)


def planted(n_latents, prior=None, scale=0.5):
    rng = np.random.default_rng(5)
    patterns = scale * rng.standard_normal((N, n_latents))
    return GeneralizedHopfield(patterns, 0.4 * rng.standard_normal(N), prior, n_importance=2048)


def by_brute_force(model, s, prior_draw):
    """ln p(s) by averaging p(s | z) over a fine grid or many draws of z, in plain NumPy."""
    z, log_weight = prior_draw
    h = z @ model.patterns.T + model.field
    return logsumexp(s.astype(float) @ h.T - np.logaddexp(h, -h).sum(axis=1) + log_weight, axis=1)


def normal_grid(n_latents, n=61):
    nodes, weights = np.polynomial.hermite_e.hermegauss(n)
    z = np.array(list(itertools.product(nodes, repeat=n_latents)))
    w = np.array(list(itertools.product(weights, repeat=n_latents))).prod(axis=1)
    return z, np.log(w) - n_latents / 2 * np.log(2 * np.pi)


@pytest.fixture(scope="module")
def vae():
    """A linear VAE whose weights are planted, on words of 0 and 1."""
    x = (np.random.default_rng(0).random((200, N)) < 0.3).astype(np.uint8)
    vae = MeanFieldVAE(
        2,
        encoder="mlp",
        decoder="linear",
        prior_options={"n_layers": 1, "n_bins": 5},
        n_epochs=1,
        progress=False,
    ).fit(x)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        affine = vae.module_.decoder.affine
        affine.weight.copy_(torch.randn(N, 2, generator=generator))
        for layer in vae.module_.prior.layers:
            constant = layer.parameters_of.constant
            constant.copy_(0.7 * torch.randn(constant.shape, generator=generator))
    return vae


@pytest.fixture(scope="module")
def read_off(vae):
    """The model of the planted VAE, and its law of all words."""
    model = GeneralizedHopfield.from_vae(vae, tolerance=1e-4)  # settles far below
    return model, model.log_prob(ALL)


@pytest.mark.parametrize("n_latents", [1, 2])
def test_planted_model_equals_enumeration_and_an_independent_rule(n_latents):
    model = planted(n_latents)
    model.tolerance = 1e-5  # settles far below
    log_prob = model.log_prob(ALL)
    assert np.exp(log_prob).sum() == pytest.approx(1, abs=1e-9)
    expected = by_brute_force(model, ALL, normal_grid(n_latents))
    np.testing.assert_allclose(log_prob, expected, atol=1e-6)
    # the same law from the energies alone, normalised by enumeration
    energy = model.energy(ALL)
    assert logsumexp(-energy) == pytest.approx(model.log_normalizer, abs=1e-7)
    np.testing.assert_allclose(-energy - logsumexp(-energy), log_prob, atol=1e-7)
    # negative control: a pattern off by two percent is not within the tolerance
    other = GeneralizedHopfield(1.02 * model.patterns, model.field)
    assert np.abs(other.log_prob(ALL) - expected).max() > 1e-3


@pytest.mark.parametrize("n_patterns", [1, 2])
def test_ordinary_hopfield_model_has_a_quadratic_cumulant(n_patterns):
    beta = 1.3
    patterns = np.random.default_rng(2).choice([-1.0, 1.0], size=(N, n_patterns))
    raw = GeneralizedHopfield(
        beta * patterns, np.zeros(N), HubbardStratonovichPrior(patterns, beta), tolerance=1e-9
    )
    energy = -beta / (2 * N) * ((ALL @ patterns) ** 2).sum(axis=1)
    np.testing.assert_allclose(raw.energy(ALL), energy, atol=1e-7)
    u = beta * ALL @ patterns
    np.testing.assert_allclose(raw.gaussian_cumulant(u), raw.cumulant(u), atol=1e-6)
    np.testing.assert_allclose(raw.tilted_covariance, np.eye(n_patterns) / (N * beta), atol=1e-9)
    # with the prior normalised, log_prob is the Boltzmann law
    log_norm = logsumexp(raw.log_prob(ALL))
    prior = HubbardStratonovichPrior(patterns, beta, log_norm)
    model = GeneralizedHopfield(beta * patterns, np.zeros(N), prior)
    np.testing.assert_allclose(model.log_prob(ALL), -energy - logsumexp(-energy), atol=1e-7)


def test_equals_the_quadrature_likelihood_of_the_vae(vae, read_off):
    model, log_prob = read_off
    assert np.exp(log_prob).sum() == pytest.approx(1, abs=1e-7)
    words = ((ALL[::16] + 1) // 2).astype(np.uint8)
    expected = vae.score_samples(words, method="quadrature", tolerance=1e-7)
    np.testing.assert_allclose(log_prob[::16], expected, atol=1e-6)
    logits = vae.decode(np.array([[0.3, -0.7]]))[0, :, 0]
    np.testing.assert_allclose(
        2 * (model.patterns @ [0.3, -0.7] + model.field), logits, rtol=1e-5, atol=1e-5
    )


def test_samples_are_those_of_the_vae(vae, read_off):
    model, n = read_off[0], 40_000
    own = model.sample(n, seed=1)
    theirs = 2 * vae.sample(n, seed=2).astype(np.int8) - 1
    assert own.dtype == np.int8
    np.testing.assert_array_equal(own, model.sample(n, seed=1))

    def worst(a, b):
        """Largest z-score over one-point, two-point and magnetisation averages."""
        scores = []
        for f in (lambda s: s, lambda s: s[:, :, None] * s[:, None, :], count):
            x, y = f(a.astype(float)).reshape(n, -1), f(b.astype(float)).reshape(n, -1)
            error = np.sqrt((x.var(axis=0) + y.var(axis=0)) / n)
            moved = n * error**2 > 1e-3  # averages over enough events to be Gaussian
            scores.append(np.abs((x.mean(axis=0) - y.mean(axis=0))[moved]) / error[moved])
        return max(score.max() for score in scores)

    def count(s):
        return (s.sum(axis=1)[:, None] == np.arange(-N, N + 1, 2)).astype(float)

    assert worst(own, theirs) < SIGMAS
    # and of the exact law, by chi-squared over all 4096 words
    expected = n * np.exp(read_off[1])
    index = (own > 0) @ (1 << np.arange(N)[::-1])
    observed = np.bincount(index, minlength=2**N)
    large = expected > 5
    observed = np.append(observed[large], observed[~large].sum())
    expected = np.append(expected[large], expected[~large].sum())
    chi_square, dof = ((observed - expected) ** 2 / expected).sum(), len(observed) - 1
    assert chi_square < dof + 5.5 * np.sqrt(2 * dof) + 15
    # negative control: patterns too strong by eight percent
    wrong = GeneralizedHopfield(1.08 * model.patterns, model.field, model._prior)
    assert worst(wrong.sample(n, seed=3), theirs) > SIGMAS


@pytest.mark.parametrize("prior", [None, mixture_prior(3)], ids=["normal", "mixture"])
def test_importance_sampling_above_two_latents(prior):
    model = planted(3, prior, scale=0.7)
    s = ALL[np.random.default_rng(0).choice(len(ALL), 150, replace=False)]
    log_prob, stderr = model.log_prob(s, return_stderr=True)
    if prior is None:
        draws = normal_grid(3, 31)
    else:
        centres, scales = model._prior.means.numpy(), np.exp(model._prior.log_scales.numpy())
        z, w = normal_grid(3, 21)
        draws = (
            np.concatenate([c + r * z for c, r in zip(centres, scales, strict=True)]),
            np.tile(w - np.log(len(centres)), len(centres)),
        )
    expected = by_brute_force(model, s, draws)
    assert stderr.max() < 0.1
    scores = (log_prob + stderr**2 / 2 - expected) / stderr
    assert np.abs(scores).max() < SIGMAS + 1
    assert 0.5 < scores.std() < 1.6
    # negative control: a field off by five percent shows in the same scores
    other = GeneralizedHopfield(model.patterns, 1.05 * model.field, model._prior)
    value, error = other.log_prob(s, return_stderr=True)
    assert np.abs((value - expected) / error).max() > SIGMAS + 1
    # cumulant: zero at zero, gradient there the tilted mean, curvature the covariance
    assert model.cumulant(np.zeros((1, 3)))[0] == 0
    np.testing.assert_array_equal(model.log_prob(s), log_prob)
    z, log_w = draws
    h = z @ model.patterns.T + model.field
    log_w = log_w - np.logaddexp(h, -h).sum(axis=1)
    weights = np.exp(log_w - logsumexp(log_w))
    np.testing.assert_allclose(model.tilted_mean, weights @ z, atol=0.02)
    covariance = np.cov(z.T, aweights=weights, ddof=0)
    np.testing.assert_allclose(model.tilted_covariance, covariance, atol=0.02)


def test_gaussian_baseline_has_the_cumulants_slope_and_curvature(vae):
    model = GeneralizedHopfield.from_vae(vae, tolerance=1e-8)
    step = 1e-2
    eye = step * np.eye(2)
    slope = (model.cumulant(eye) - model.cumulant(-eye)) / (2 * step)
    np.testing.assert_allclose(slope, model.tilted_mean, atol=1e-4)
    curvature = (model.cumulant(eye) + model.cumulant(-eye)) / step**2
    np.testing.assert_allclose(curvature, np.diag(model.tilted_covariance), atol=1e-3)
    # this prior is not Gaussian, so far out the two must differ
    far = np.array([[6.0, 0.0], [0.0, -6.0]])
    assert np.abs(model.cumulant(far) - model.gaussian_cumulant(far)).max() > 0.05


def test_condition_picks_the_prior():
    rng = np.random.default_rng(0)
    x = rng.choice(np.array([-1, 1], dtype=np.int8), size=(300, 6))
    temperature = np.repeat([1.0, 2.0, 3.0], 100)
    vae = MeanFieldVAE(1, encoder="mlp", decoder="linear", n_epochs=2, progress=False)
    vae.fit(x, conditions=temperature)
    with torch.no_grad():
        for layer in vae.module_.prior.layers:
            layer.parameters_of.network[-1].weight.normal_(
                0, 0.5, generator=torch.Generator().manual_seed(0)
            )
        vae.module_.decoder.affine.weight.mul_(20)
    s = ALL[:64, -6:]
    values = [GeneralizedHopfield.from_vae(vae, t).log_prob(s) for t in (1.0, 3.0)]
    for t, value in zip((1.0, 3.0), values, strict=True):
        expected = vae.score_samples(s, np.full(64, t), method="quadrature", tolerance=1e-8)
        np.testing.assert_allclose(value, expected, atol=1e-6)
    assert np.abs(values[0] - values[1]).max() > 1e-3
    with pytest.raises(ValueError, match="condition"):
        GeneralizedHopfield.from_vae(vae)


@settings(deadline=None, derandomize=True, max_examples=10)
@given(n_sites=st.integers(1, 6), n_latents=st.integers(1, 2), seed=st.integers(0, 99))
def test_any_shape_is_normalised(n_sites, n_latents, seed):
    rng = np.random.default_rng(seed)
    model = GeneralizedHopfield(
        rng.standard_normal((n_sites, n_latents)), rng.standard_normal(n_sites)
    )
    s = np.array(list(itertools.product([-1, 1], repeat=n_sites)))
    assert np.exp(model.log_prob(s)).sum() == pytest.approx(1, abs=1e-6)
    assert model.sample(3, seed=seed).shape == (3, n_sites)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((np.zeros(3), np.zeros(3)), ValueError),
        ((np.zeros((3, 1)), np.zeros(4)), ValueError),
        ((np.full((3, 1), np.nan), np.zeros(3)), ValueError),
        ((np.zeros((3, 1)), np.zeros(3), "normal"), TypeError),
        ((np.zeros((3, 1)), np.zeros(3), NormalPrior(2, 0)), ValueError),
        ((None, np.zeros(3)), TypeError),
    ],
)
def test_bad_arguments(arguments, error):
    with pytest.raises(error):
        GeneralizedHopfield(*arguments)


def test_bad_input():
    model = planted(2)
    for bad in (np.zeros((2, N)), np.ones((2, N - 1)), np.ones(N), np.empty((0, N))):
        with pytest.raises(ValueError, match="s "):
            model.log_prob(bad)
    with pytest.raises(ValueError, match="u must have shape"):
        model.cumulant(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="n_samples"):
        model.sample(0, seed=0)
    with pytest.raises(TypeError, match="MeanFieldVAE"):
        GeneralizedHopfield.from_vae("vae")
    x = (np.random.default_rng(0).random((50, 6)) < 0.3).astype(np.uint8)
    deep = MeanFieldVAE(2, encoder="mlp", n_epochs=1, progress=False).fit(x)
    with pytest.raises(ValueError, match="linear"):
        GeneralizedHopfield.from_vae(deep)
