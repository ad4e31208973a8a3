"""Rivals as scikit-learn knows them: letters, clone, score, grid search, files without pickles."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from mfvae.compare import (
    BernoulliMixture,
    ChowLiuTree,
    IndependentModel,
    PairwiseMaximumEntropy,
    RestrictedBoltzmannMachine,
)

SHORT = {"n_annealing_chains": 20, "n_annealing_steps": 20}
MODELS = [
    IndependentModel(),
    BernoulliMixture(2),
    ChowLiuTree(),
    PairwiseMaximumEntropy(count_potential=True, n_steps=20, n_chains=50, **SHORT),
    PairwiseMaximumEntropy(n_steps=20, n_chains=50, **SHORT),
    PairwiseMaximumEntropy(method="pseudo-likelihood", **SHORT),
    RestrictedBoltzmannMachine(3, n_epochs=2, **SHORT),
]


def words() -> np.ndarray:
    rng = np.random.default_rng(0)
    shared = rng.random((600, 1)) < 0.5
    return np.where(rng.random((600, 5)) < 0.6, shared, rng.random((600, 5)) < 0.4).astype(np.uint8)


@pytest.mark.parametrize("model", MODELS, ids=lambda m: type(m).__name__)
def test_spins_and_words_are_one_and_files_keep_all(model, tmp_path) -> None:
    x = words()
    spins = 2 * x.astype(np.int8) - 1
    first, second = clone(model).fit(x), clone(model).fit(spins)
    assert np.array_equal(first.score_samples(x), second.score_samples(spins))
    assert first.score(x) == first.score_samples(x).mean()
    drawn, turned = first.sample(50, seed=1), second.sample(50, seed=1)
    assert drawn.dtype == np.uint8
    assert np.array_equal(2 * drawn.astype(np.int8) - 1, turned)
    second.save(tmp_path / "m.npz")
    again = type(model).load(tmp_path / "m.npz")
    assert again.get_params() == second.get_params()
    assert np.array_equal(again.score_samples(spins), second.score_samples(spins))
    assert np.array_equal(again.sample(50, seed=1), turned)
    (tmp_path / "m.npz").write_bytes((tmp_path / "m.npz").read_bytes()[:100])
    with pytest.raises(ValueError, match="holds no"):
        type(model).load(tmp_path / "m.npz")


def test_file_of_another_class_is_refused(tmp_path) -> None:
    IndependentModel().fit(words()).save(tmp_path / "i.npz")
    with pytest.raises(ValueError, match="IndependentModel"):
        BernoulliMixture.load(tmp_path / "i.npz")


def test_grid_search_finds_the_two_states() -> None:
    search = GridSearchCV(BernoulliMixture(1), {"n_components": [1, 2]}, cv=3).fit(words())
    assert search.best_params_ == {"n_components": 2}


def enumerate_words(n: int) -> np.ndarray:
    return ((np.arange(2**n)[:, None] >> np.arange(n)) & 1).astype(np.uint8)


@pytest.mark.parametrize("method", ["pseudo-likelihood", "both"])
def test_pairwise_methods_find_planted_couplings(method: str) -> None:
    rng = np.random.default_rng(2)
    J = np.triu(rng.normal(0, 1.0, (6, 6)), 1)
    J, h = J + J.T, rng.normal(-0.5, 0.3, 6)
    states = enumerate_words(6)
    energy = states @ h + np.einsum("ni,ij,nj->n", states, J, states) / 2
    p = np.exp(energy - energy.max())
    x = states[rng.choice(64, 40000, p=p / p.sum())]
    model = PairwiseMaximumEntropy(
        method=method, ridge=0.1, n_steps=200, learning_rate=0.02, **SHORT
    ).fit(x)
    # Errors of couplings from 40,000 words: about 0.03 to 0.06; fifteen pairs.
    assert np.abs(model.couplings_ - J).max() < 0.3
    assert np.abs(model.field_ - h).max() < 0.3
    wrong = clone(model).set_params(method="pseudo-likelihood").fit(np.roll(x, 1, axis=1))
    assert np.abs(wrong.couplings_ - J).max() > 0.3
