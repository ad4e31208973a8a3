"""Statistics of words: against direct formulas, and telling a right model from a wrong one."""

import numpy as np
import pytest

from mfvae.compare import (
    BernoulliMixture,
    IndependentModel,
    compare_statistics,
    pair_covariances,
    triplet_moments,
)


@pytest.fixture(scope="module")
def mixture():
    model = BernoulliMixture(2)
    rng = np.random.default_rng(0)
    model.weights_ = np.array([0.8, 0.2])
    model.probabilities_ = np.stack([0.05 + 0.1 * rng.random(12), 0.2 + 0.5 * rng.random(12)])
    return model


def test_covariances_and_triplets_are_the_formulas(mixture):
    x = mixture.sample(3000, seed=0)
    full = np.cov(x.T, bias=True)
    np.testing.assert_allclose(pair_covariances(x), full[np.triu_indices(12, 1)], atol=1e-7)
    y = x - x.mean(axis=0)
    direct = [(y[:, a] * y[:, b] * y[:, c]).mean() for a, b, c in ((0, 1, 2), (3, 7, 11))]
    found = triplet_moments(x, np.array([[0, 1, 2], [3, 7, 11]]))
    np.testing.assert_allclose(found, direct, atol=1e-7)


def test_right_and_wrong_model(mixture):
    test = mixture.sample(20_000, seed=1)
    independent = IndependentModel().fit(test)
    samples = {
        "right": mixture.sample(20_000, seed=2),
        "independent": independent.sample(20_000, seed=3),
    }
    table = compare_statistics(samples, test, n_triplets=100, n_subset=5, n_subsets=5)
    right, wrong = table.rows["right"], table.rows["independent"]
    for key in ("spike_count", "overlap", "patterns"):
        assert right[key] < 0.002 < 0.01 < wrong[key]
    assert right["covariance"] > 0.98 > 0.5 > wrong["covariance"]
    assert right["triplet"] > 0.9 > 0.5 > wrong["triplet"]
    assert right["covariance_slope"] == pytest.approx(1, abs=0.05)
    assert repr(table).count("\n") == 2
    again = compare_statistics(samples, test, n_triplets=100, n_subset=5, n_subsets=5)
    assert again.rows == table.rows


def test_bad_input(mixture):
    x = mixture.sample(50, seed=0)
    with pytest.raises(TypeError, match="mapping"):
        compare_statistics([x], x)
    with pytest.raises(ValueError, match="m must have shape"):
        compare_statistics({"m": x[:, :5]}, x)
    with pytest.raises(ValueError, match="n_subset"):
        compare_statistics({"m": x}, x, n_subset=17)
    with pytest.raises(ValueError, match="triplets"):
        triplet_moments(x, [[0, 1]])
    with pytest.raises(ValueError, match="words"):
        pair_covariances(np.full((2, 2), 2))
