"""The table: paired intervals that cover, respect groups, and say what they compare."""

import numpy as np
import pytest

import mfvae.compare.table as table_module
from mfvae import MeanFieldVAE
from mfvae.compare import BernoulliMixture, IndependentModel, ScoredVAE, compare_models


class Fixed:
    """A model with given scores."""

    def __init__(self, scores, stderr=0.0):
        self.scores, self.log_prob_stderr = scores, stderr

    def fit(self, X):
        return self

    def score_samples(self, X):
        return self.scores[: len(X)]

    def sample(self, n_samples, *, seed):
        raise NotImplementedError


def words(n=400, cells=5, seed=0):
    return (np.random.default_rng(seed).random((n, cells)) < 0.3).astype(np.uint8)


def test_intervals_cover_and_respect_groups(monkeypatch):
    monkeypatch.setattr(table_module, "_N_BOOTSTRAP", 300)
    n_groups, size, effect = 60, 20, 0.1
    covered = {"groups": 0, "words": 0}
    n_runs = 150
    for run in range(n_runs):
        rng = np.random.default_rng(run)
        shared = np.repeat(rng.standard_normal(n_groups), size)  # a bad trial is bad throughout
        difference = effect + 0.5 * shared + 0.5 * rng.standard_normal(n_groups * size)
        level = -20 + 3 * rng.standard_normal(n_groups * size)
        models = {"a": Fixed(level + difference), "b": Fixed(level)}
        x = words(n_groups * size)
        for kind, groups in (("groups", np.repeat(np.arange(n_groups), size)), ("words", None)):
            table = compare_models(models, None, x, groups=groups, seed=run)
            found = table.difference("a", "b")
            assert found.value == pytest.approx(difference.mean(), abs=1e-12)
            covered[kind] += found.low < effect < found.high
    # binomial(150, 0.95) is below 0.85 with probability 2e-6; without groups it fails
    assert covered["groups"] / n_runs > 0.85
    assert covered["words"] / n_runs < 0.7


def test_pairing_and_error_of_the_normaliser():
    rng = np.random.default_rng(0)
    level = -20 + 5 * rng.standard_normal(4000)
    scores = {"a": level + 0.05, "b": level}
    x = words(4000)
    table = compare_models({k: Fixed(v) for k, v in scores.items()}, None, x)
    assert table.difference("a", "b").low > 0  # paired: the level's spread cancels
    first, second = table.rows
    assert (first["model"], second["model"]) == ("a", "b")
    assert first["low"] < second["nats"] < first["high"]
    noisy = compare_models({"a": Fixed(scores["a"], stderr=0.1), "b": Fixed(level)}, None, x)
    found = noisy.difference("a", "b")
    assert found.low < 0 < found.high
    assert found.high - found.low == pytest.approx(2 * 1.96 * 0.1, rel=0.15)
    swapped = table.difference("b", "a")
    assert swapped.value == pytest.approx(-0.05)
    assert swapped.high < 0


def test_fits_and_reads_as_a_table():
    x = words(900)
    vae = MeanFieldVAE(1, encoder="mlp", decoder="linear", n_epochs=1, progress=False)
    models = {
        "independent": IndependentModel(),
        "mixture of 2": BernoulliMixture(2, max_iter=20),
        "linear VAE": ScoredVAE(vae, "quadrature"),
    }
    table = compare_models(models, x[:600], x[600:], groups=np.arange(300) // 10, seed=1)
    text = repr(table)
    assert text.count("\n") == 4
    assert all(name in text for name in models)
    assert "30 groups" in text
    rows = {row["model"]: row for row in table.rows}
    assert [row["nats"] for row in table.rows] == sorted(row["nats"] for row in table.rows)
    assert rows["independent"]["n_parameters"] == 5
    assert rows["mixture of 2"]["n_parameters"] == 11
    prior = sum(p.numel() for p in vae.module_.prior.parameters())
    assert rows["linear VAE"]["n_parameters"] == 10 + prior
    assert all(row["fit_seconds"] > 0 for row in table.rows)
    expected = -models["independent"].score_samples(x[600:]).mean()
    assert rows["independent"]["nats"] == pytest.approx(expected, rel=1e-12)
    again = compare_models(models, None, x[600:], groups=np.arange(300) // 10, seed=1)
    seconds = {row["model"]: row.pop("fit_seconds") for row in again.rows}
    assert again.rows == [{k: row[k] for k in row if k != "fit_seconds"} for row in table.rows]
    assert seconds["independent"] is None
    assert seconds["linear VAE"] > 0


def test_bad_input():
    x, good = words(50), {"a": IndependentModel()}
    with pytest.raises(TypeError, match="mapping"):
        compare_models([IndependentModel()], x, x)
    with pytest.raises(TypeError, match="no method"):
        compare_models({"a": object()}, x, x)
    with pytest.raises(ValueError, match="groups must have shape"):
        compare_models(good, x, x, groups=np.zeros(3))
    with pytest.raises(ValueError, match="two different"):
        compare_models(good, x, x, groups=np.zeros(50))
    with pytest.raises(ValueError, match="must have shape"):
        compare_models(good, x, words(10, 4))
    with pytest.raises(ValueError, match="finite"):
        compare_models({"a": Fixed(np.full(50, np.nan))}, None, x)
    with pytest.raises(ValueError, match="name"):
        compare_models(good, x, x).difference("a", "b")
    with pytest.raises(TypeError, match="MeanFieldVAE"):
        ScoredVAE("vae")
    with pytest.raises(ValueError, match="not fitted"):
        ScoredVAE(MeanFieldVAE(1)).n_parameters  # noqa: B018
