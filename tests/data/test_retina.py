"""The recording: figures of the published file, splits, checksums, the surrogate."""

import os
from pathlib import Path

import numpy as np
import pooch
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfvae.compare import BernoulliMixture, IndependentModel
from mfvae.data import RetinaWords, load_retina
from mfvae.data import retina as retina_module

FILE = "bint_fishmovie32_100.mat"


def recording():
    """Where the file lies that `load_retina` reads."""
    folder = Path(os.environ.get("MFVAE_DATA", "nowhere")) / "retina"
    return folder / FILE if (folder / FILE).exists() else retina_module.retina_cache() / FILE


@pytest.fixture(scope="module")
def retina():
    words = load_retina()
    if words.is_surrogate:
        pytest.skip("the retina recording is not at hand (set MFVAE_DATA or run `make data`)")
    return words


@pytest.fixture
def nowhere(monkeypatch, tmp_path):
    """No recording anywhere: neither MFVAE_DATA nor a cache."""
    monkeypatch.delenv("MFVAE_DATA", raising=False)
    monkeypatch.setattr(retina_module, "retina_cache", lambda: tmp_path / "cache" / "retina")
    return tmp_path


def test_published_figures(retina):
    words = retina.flat()
    count = words.sum(axis=1, dtype=np.int64)
    assert words.shape == (283041, 160)
    assert words.dtype == np.uint8
    assert words.mean() == pytest.approx(0.0358, abs=5e-5)
    assert count.mean() == pytest.approx(5.73, abs=5e-3)
    assert (count == 0).mean() == pytest.approx(0.2101, abs=5e-5)
    assert count.var() == pytest.approx(38.1, abs=0.05)
    assert count.max() == 45
    assert len(np.unique(np.packbits(words, axis=1), axis=0)) == 147790
    model = IndependentModel().fit(words)
    assert -model.score_samples(words).mean() == pytest.approx(22.935, abs=5e-4)
    p = model.probabilities_
    assert np.prod(1 - p) == pytest.approx(0.0027, abs=5e-5)
    assert (p * (1 - p)).sum() == pytest.approx(5.39, abs=5e-3)


def test_reference_split(retina):
    train, test = retina.split("bins", seed=0)
    words = retina.words.reshape(-1, 160)
    expected = np.random.default_rng(0).permutation(len(words))[: len(words) // 10]
    np.testing.assert_array_equal(test, words[expected])
    assert len(train) + len(test) == len(words)
    np.testing.assert_array_equal(
        words.sum(axis=0, dtype=int), train.sum(axis=0, dtype=int) + test.sum(axis=0, dtype=int)
    )
    model = IndependentModel().fit(train)
    assert -model.score_samples(test).mean() == pytest.approx(22.777, abs=5e-4)


def test_trial_major_order_against_the_file(retina):
    import scipy.io

    spikes = scipy.io.loadmat(recording())["bint"]
    np.testing.assert_array_equal(retina.flat(), spikes.transpose(0, 2, 1).reshape(-1, 160))


def test_mixture_of_two_on_the_reference_split(retina):
    train, test = retina.split("bins", seed=0)
    mixture = BernoulliMixture(2).fit(train)
    assert -mixture.score_samples(test).mean() == pytest.approx(20.54, abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize(("by", "low", "high"), [("bins", 16.2, 16.74), ("trials", 16.2, 16.8)])
def test_mixture_of_seventy(retina, by, low, high):
    train, test = retina.split(by, seed=0)
    mixture = BernoulliMixture(70).fit(train)
    assert low < -mixture.score_samples(test).mean() < high


def small(n_trials=20, n_bins=30, n_cells=4):
    """Words that spell out trial, bin: every row distinct enough to be followed."""
    rows = np.arange(n_trials * n_bins)
    words = (rows[:, None] >> np.arange(10)) & 1
    return RetinaWords(words.reshape(n_trials, n_bins, 10), "test", "0" * 64)


@settings(deadline=None, derandomize=True, max_examples=25)
@given(
    by=st.sampled_from(["bins", "trials", "movie"]),
    test=st.floats(0.1, 0.9),
    seed=st.integers(0, 2**32),
)
def test_splits_are_partitions(by, test, seed):
    words = small()
    train, held_out = words.split_rows(by, test, seed)
    together = np.concatenate([train, held_out])
    np.testing.assert_array_equal(np.sort(together), np.arange(600))
    if by == "trials":
        assert not set(train // 30) & set(held_out // 30)
        assert set(held_out % 30) == set(range(30))
    if by == "movie":
        assert (train % 30).max() < (held_out % 30).min()
    again = words.split_rows(by, test, seed)[1]
    np.testing.assert_array_equal(held_out, again)
    np.testing.assert_array_equal(words.split(by, test, seed)[1], words.flat()[held_out])


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"by": "cells"}, ValueError),
        ({"by": 3}, TypeError),
        ({"test": 0.0}, ValueError),
        ({"test": 1.0}, ValueError),
        ({"test": float("nan")}, ValueError),
        ({"test": "half"}, TypeError),
        ({"test": 0.001, "by": "trials"}, ValueError),
        ({"seed": -1}, ValueError),
        ({"seed": 0.5}, TypeError),
    ],
)
def test_bad_splits(arguments, error):
    with pytest.raises(error):
        small().split(**arguments)


@pytest.mark.parametrize(
    "words",
    [np.zeros((2, 3)), np.zeros((0, 3, 4), int), np.full((1, 2, 3), 2), np.zeros((1, 2, 3))],
)
def test_bad_words(words):
    with pytest.raises(ValueError, match="words"):
        RetinaWords(words, "test", "0")


def test_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing\.mat"):
        load_retina(tmp_path / "nothing.mat")
    with pytest.raises(FileNotFoundError, match="bint_fishmovie32_100"):
        load_retina(tmp_path)


def test_wrong_file_names_both_checksums(nowhere, monkeypatch):
    folder = nowhere / "data" / "retina"
    folder.mkdir(parents=True)
    file = folder / "bint_fishmovie32_100.mat"
    file.write_bytes(b"not a recording" * 100_000)
    monkeypatch.setenv("MFVAE_DATA", str(nowhere / "data"))
    for path in (None, file, folder, nowhere / "data"):
        with pytest.raises(ValueError, match="50fa85a05950") as caught:
            load_retina(path)
        assert pooch.file_hash(file) in str(caught.value)
        assert "another file" in str(caught.value)


def test_truncated_file(retina, tmp_path):
    content = recording().read_bytes()
    (tmp_path / "short.mat").write_bytes(content[:-1000])
    with pytest.raises(ValueError, match=r"cut short.*1335936 bytes.*1336936 bytes"):
        load_retina(tmp_path / "short.mat")


def test_search_order(retina, nowhere, monkeypatch):
    assert load_retina().is_surrogate  # nowhere to be found
    cached = nowhere / "cache" / "retina"
    cached.mkdir(parents=True)
    (cached / "bint_fishmovie32_100.mat").write_bytes(b"x")
    with pytest.raises(ValueError, match="cache"):
        load_retina()  # the cache is looked at, and a wrong file there is not passed over
    other = nowhere / "env"
    (other / "retina").mkdir(parents=True)
    (other / "retina" / "bint_fishmovie32_100.mat").write_bytes(b"y")
    monkeypatch.setenv("MFVAE_DATA", str(other))
    with pytest.raises(ValueError, match="env"):
        load_retina()  # the environment comes before the cache


def test_surrogate_is_labelled_and_repeatable(nowhere):
    first, second = load_retina(), load_retina()
    assert first.is_surrogate
    assert "SURROGATE" in first.source
    assert first.words.shape == (297, 953, 160)
    assert first.words.dtype == np.uint8
    np.testing.assert_array_equal(first.words, second.words)
    assert first.sha256 == second.sha256 != load_retina(seed=1).sha256


@pytest.fixture(scope="module")
def surrogate():
    return retina_module.sample_surrogate(seed=0)


def count_statistics(words):
    """Moments of the spike count: what the surrogate is to have in common with the recording."""
    count = words.sum(axis=2, dtype=float)
    centred, own = count - count.mean(), count - count.mean(axis=0)
    n_trials = len(words)
    return {
        "rate": words.mean(),
        "silence": np.mean(count == 0),
        "variance": count.var(),
        "share of the cells' own": own.var() * n_trials / (n_trials - 1) / count.var(),
        "correlation of neighbouring bins": (centred[:, 1:] * centred[:, :-1]).mean() / count.var(),
    }


# the recording's, and how far the surrogate may be from them
RECORDED = {
    "rate": (0.0358, 0.0005),
    "silence": (0.2101, 0.01),
    "variance": (38.06, 1.0),
    "share of the cells' own": (0.114, 0.015),
    "correlation of neighbouring bins": (0.871, 0.02),
}


def test_figures_beside_the_surrogate_are_those_of_the_recording(retina):
    for name, value in count_statistics(retina.words).items():
        assert value == pytest.approx(RECORDED[name][0], abs=5e-4 * max(1, value)), name


def test_surrogate_has_the_counts_and_the_memory_of_the_recording(surrogate):
    def wrong(words):
        found = count_statistics(words)
        return {n for n, (value, within) in RECORDED.items() if abs(found[n] - value) > within}

    assert not wrong(surrogate)
    # negative controls: bins out of order forget the movie, cells out of order their silence
    rng = np.random.default_rng(0)
    assert wrong(surrogate[:, rng.permutation(953)]) == {"correlation of neighbouring bins"}
    apart = np.stack([rng.permutation(cell.ravel()) for cell in surrogate.transpose(2, 0, 1)], 1)
    assert {"silence", "variance"} <= wrong(apart.reshape(surrogate.shape))


def test_surrogate_has_the_pair_covariances_of_the_recording(retina, surrogate):
    pairs = np.triu_indices(160, 1)
    recorded, drawn = (
        np.cov(words.reshape(-1, 160).T.astype(np.float32))[pairs]
        for words in (retina.words, surrogate)
    )
    assert np.corrcoef(recorded, drawn)[0, 1] > 0.98
    assert 0.9 < np.polyfit(recorded, drawn, 1)[0] < 1.02


def test_surrogate_draws_follow_its_rates(surrogate):
    with np.load(retina_module.SURROGATE) as stored:
        assert {n: stored[n].shape for n in stored} == {"logits": (953, 160), "spread": (953,)}
        rates = 1 / (1 + np.exp(10.0 - stored["logits"] / 12))
    assert retina_module.SURROGATE.stat().st_size < 300_000
    # the shared gain adds less than a half to a variance; its mean is kept to second order
    means = rates.mean(axis=0)
    within = 6 * 1.2 * np.sqrt((rates * (1 - rates)).sum(axis=0) / 297) / 953 + 0.03 * means
    found = surrogate.mean(axis=(0, 1))
    assert np.all(np.abs(found - means) < within)
    assert np.any(np.abs(found - np.roll(means, 1)) > within)  # negative control: other cells'
    own = surrogate.sum(axis=2) - surrogate.sum(axis=2).mean(axis=0)
    after = (own[:, 1:] * own[:, :-1]).mean() / own.var()
    assert abs(after) < 6 / np.sqrt(own[:, 1:].size)  # showings have no memory of their own
