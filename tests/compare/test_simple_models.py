"""Independent model and Bernoulli mixture: normalised, recovered, seeded, strict."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from mfvae.compare import BernoulliMixture, IndependentModel

ALL = np.array(list(itertools.product([0, 1], repeat=8)), dtype=np.uint8)
MODELS = [IndependentModel(), BernoulliMixture(3), BernoulliMixture(1)]


def planted(n=20_000, seed=0):
    """Two well separated components of eight cells."""
    weights, p = np.array([0.7, 0.3]), np.array([[0.1] * 4 + [0.3] * 4, [0.8] * 4 + [0.5] * 4])
    rng = np.random.default_rng(seed)
    component = rng.random(n) > weights[0]
    return weights, p, (rng.random((n, 8)) < p[component.astype(int)]).astype(np.uint8)


@pytest.mark.parametrize("model", MODELS, ids=lambda m: type(m).__name__)
def test_normalised_and_sampled(model):
    *_, words = planted()
    model.fit(words)
    log_prob = model.score_samples(ALL)
    assert np.exp(log_prob).sum() == pytest.approx(1, abs=1e-12)
    n = 100_000
    samples = model.sample(n, seed=4)
    assert samples.dtype == np.uint8
    observed = np.bincount(samples @ (1 << np.arange(8)[::-1]), minlength=256)
    expected = n * np.exp(log_prob)
    chi_square = ((observed - expected) ** 2 / expected).sum()
    assert chi_square < 255 + 5.5 * np.sqrt(2 * 255)
    # negative control: a rate wrong by five percent is caught by the same statistic
    wrong = n * np.exp(IndependentModel().fit(words * (np.arange(8) != 0)).score_samples(ALL))
    assert ((observed - wrong) ** 2 / wrong).sum() > 255 + 5.5 * np.sqrt(2 * 255)
    np.testing.assert_array_equal(samples, model.sample(n, seed=4))
    assert not np.array_equal(samples, model.sample(n, seed=5))


def test_independent_is_smoothed_as_stated():
    model = IndependentModel().fit(np.array([[1, 0], [1, 0], [0, 0]]))
    np.testing.assert_allclose(model.probabilities_, [2.5 / 4, 0.5 / 4], rtol=1e-15)


def test_one_component_is_the_independent_model():
    *_, words = planted()
    mixture = BernoulliMixture(1).fit(words)
    np.testing.assert_allclose(
        mixture.probabilities_[0], IndependentModel().fit(words).probabilities_, rtol=1e-4
    )


def test_planted_mixture_is_recovered():
    weights, p, words = planted(50_000)
    model = BernoulliMixture(2, max_iter=500, tol=1e-8).fit(words)
    order = np.argsort(-model.weights_)
    np.testing.assert_allclose(model.weights_[order], weights, atol=0.015)
    np.testing.assert_allclose(model.probabilities_[order], p, atol=0.025)
    # the training likelihood rises in every step (up to the prior and single precision)
    assert np.diff(model.history_).min() > -1e-5


def test_mixture_is_seeded_and_better_with_more_components():
    *_, words = planted()
    first, second = (BernoulliMixture(2, random_state=7).fit(words) for _ in range(2))
    np.testing.assert_array_equal(first.probabilities_, second.probabilities_)
    gain = first.score_samples(words) - IndependentModel().fit(words).score_samples(words)
    assert gain.mean() > 0.5


def test_number_of_parameters():
    *_, words = planted()
    assert IndependentModel().fit(words).n_parameters == 8
    assert BernoulliMixture(3).fit(words).n_parameters == 3 * 8 + 2


@pytest.mark.parametrize("model", [IndependentModel(), BernoulliMixture(2)])
@settings(deadline=None, derandomize=True, max_examples=15)
@given(
    words=arrays(
        np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=6), elements=st.integers(0, 1)
    )
)
def test_any_binary_words(model, words):
    assert np.all(np.isfinite(model.fit(words).score_samples(words)))


@pytest.mark.parametrize("make", [IndependentModel, lambda: BernoulliMixture(2)])
@pytest.mark.parametrize(
    ("words", "error"),
    [
        (np.array([[-1, 0, 1]]), ValueError),
        (np.array([[0.5, 1]]), ValueError),
        (np.array([[np.nan, 1]]), ValueError),
        (np.zeros((0, 3)), ValueError),
        (np.zeros(3), ValueError),
        (np.zeros((2, 2, 2)), ValueError),
        (None, TypeError),
        ("words", TypeError),
        ([["a", "b"]], TypeError),
    ],
)
def test_bad_words(make, words, error):
    with pytest.raises(error):
        make().fit(words)
    model = make().fit(np.eye(2, dtype=int))
    with pytest.raises(error):
        model.score_samples(words)


def test_not_fitted_and_bad_arguments():
    for model in (IndependentModel(), BernoulliMixture(2)):
        with pytest.raises(ValueError, match="not fitted"):
            model.score_samples(np.eye(2, dtype=int))
        with pytest.raises(ValueError, match="n_samples"):
            model.fit(np.eye(2, dtype=int)).sample(0, seed=0)
        with pytest.raises(ValueError, match="shape"):
            model.score_samples(np.eye(3, dtype=int))
    for arguments in ({"n_components": 0}, {"n_components": 2, "n_init": 0}):
        with pytest.raises(ValueError, match="must be"):
            BernoulliMixture(**arguments)
    with pytest.raises(TypeError):
        BernoulliMixture(2.5)
