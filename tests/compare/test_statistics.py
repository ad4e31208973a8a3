"""Statistics of words: against direct formulas, and telling a right model from a wrong one."""

from itertools import combinations

import numpy as np
import pytest

from mfvae.compare import BernoulliMixture, IndependentModel, compare_statistics


@pytest.fixture(scope="module")
def mixture():
    rng = np.random.default_rng(0)
    model = BernoulliMixture(2, max_iter=1).fit(np.eye(12, dtype=np.uint8))
    model.weights_ = np.array([0.8, 0.2])
    model.probabilities_ = np.stack([0.05 + 0.1 * rng.random(12), 0.2 + 0.5 * rng.random(12)])
    return model


def test_covariances_and_triplets_are_the_formulas(mixture):
    words = {seed: mixture.sample(3000, seed=seed) for seed in (0, 1)}
    row = compare_statistics({"m": words[0]}, words[1])["m"]
    pairs, triplets = [], []
    for x in words.values():
        y = x - x.mean(axis=0)
        pairs.append([(y[:, a] * y[:, b]).mean() for a, b in combinations(range(12), 2)])
        triplets.append([y[:, list(abc)].prod(axis=1).mean() for abc in combinations(range(12), 3)])
    assert row["covariance"] == pytest.approx(np.corrcoef(pairs)[0, 1], abs=1e-9)
    slope = np.cov(pairs)[0, 1] / np.var(pairs[1], ddof=1)
    assert row["covariance_slope"] == pytest.approx(slope, abs=1e-9)
    # all 220 triplets of twelve cells, in another order
    assert row["triplet"] == pytest.approx(np.corrcoef(triplets)[0, 1], abs=1e-5)


def test_right_and_wrong_model(mixture):
    test = mixture.sample(100_000, seed=1)
    independent = IndependentModel().fit(test)
    samples = {
        "right": mixture.sample(100_000, seed=2),
        "independent": independent.sample(100_000, seed=3),
    }
    table = compare_statistics(samples, test)
    right, wrong = table["right"], table["independent"]
    for key in ("spike_count", "overlap"):
        assert right[key] < 0.002 < 0.01 < wrong[key]
    # the size of two samples alone puts a thousand words about 1000 / (4 × 100,000) nats apart
    assert right["patterns"] < 0.003 < 0.02 < wrong["patterns"]
    assert right["covariance"] > 0.98 > 0.5 > wrong["covariance"]
    assert right["triplet"] > 0.9 > 0.5 > wrong["triplet"]
    assert right["covariance_slope"] == pytest.approx(1, abs=0.05)
    assert repr(table).count("\n") == 2
    assert compare_statistics(samples, test) == table


def test_bad_input(mixture):
    x = mixture.sample(50, seed=0)
    with pytest.raises(TypeError, match="mapping"):
        compare_statistics([x], x)
    with pytest.raises(ValueError, match="m must have shape"):
        compare_statistics({"m": x[:, :5]}, x)
    with pytest.raises(ValueError, match="3 cells"):
        compare_statistics({"m": x[:, :2]}, x[:, :2])
    with pytest.raises(ValueError, match="test"):
        compare_statistics({"m": x}, np.full((2, 2), 2))
