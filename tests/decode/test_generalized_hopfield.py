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


def planted(n_latents):
    rng = np.random.default_rng(5)
    patterns = 0.5 * rng.standard_normal((N, n_latents))
    return GeneralizedHopfield(patterns, 0.4 * rng.standard_normal(N))


def by_brute_force(model, s, grid):
    """ln p(s) by averaging p(s | z) over a fine grid of z, in plain NumPy."""
    z, log_weight = grid
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
        prior="spline",
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
    # Normal(0, 1/Nβ) is the tilted law
    u = beta * ALL @ patterns
    quadratic = (u**2).sum(axis=1) / (2 * N * beta)
    np.testing.assert_allclose(raw.cumulant(u), quadratic, atol=1e-6)
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
    wrong = GeneralizedHopfield(1.08 * model.patterns, model.field, vae.module_.prior)
    assert worst(wrong.sample(n, seed=3), theirs) > SIGMAS


def test_cumulant_has_mean_and_covariance_of_the_tilted_law():
    model = planted(2)
    z, log_weight = normal_grid(2)
    h = z @ model.patterns.T + model.field
    log_weight = log_weight - np.logaddexp(h, -h).sum(axis=1)
    weight = np.exp(log_weight - logsumexp(log_weight))
    mean, covariance = weight @ z, np.cov(z.T, aweights=weight, ddof=0)
    assert model.cumulant(np.zeros((1, 2)))[0] == 0
    step = 1e-2
    eye = step * np.eye(2)
    slope = (model.cumulant(eye) - model.cumulant(-eye)) / (2 * step)
    np.testing.assert_allclose(slope, mean, atol=1e-4)
    curvature = (model.cumulant(eye) + model.cumulant(-eye)) / step**2
    np.testing.assert_allclose(curvature, np.diag(covariance), atol=1e-3)
    # the fields saturate, so far out the parabola must differ
    far = np.array([[6.0, 0.0], [0.0, -6.0]])
    parabola = far @ mean + np.einsum("ni,ij,nj->n", far, covariance, far) / 2
    assert np.abs(model.cumulant(far) - parabola).max() > 0.05


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
        ((np.zeros((3, 1)), np.zeros(3), "normal"), ValueError),
        ((np.zeros((3, 1)), np.zeros(3), NormalPrior(2, 0)), ValueError),
        ((np.zeros((3, 3)), np.zeros(3)), ValueError),
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
    deep = MeanFieldVAE(2, decoder="mlp", n_epochs=1, progress=False).fit(x)
    with pytest.raises(ValueError, match="linear"):
        GeneralizedHopfield.from_vae(deep)
    wide = MeanFieldVAE(3, encoder="mlp", decoder="linear", n_epochs=1, progress=False).fit(x)
    with pytest.raises(ValueError, match="one or two latents"):
        GeneralizedHopfield.from_vae(wide)
