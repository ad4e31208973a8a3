"""The sweep over scenes: what is left out, what the controls keep, what a row says."""

import importlib
import json

import numpy as np
import pytest

import mfvae
from mfvae.compare import IndependentModel
from mfvae.data import RetinaWords


@pytest.fixture(scope="module")
def sweep():
    return importlib.import_module("retina_scenes")


def toy(scenes: np.ndarray, together: float) -> RetinaWords:
    """A recording of 60 showings: rates (180, 8) of the movie, and bursts of all cells together."""
    rng = np.random.default_rng(1)
    rates = np.clip(scenes + together * (rng.random((60, 180, 1)) < 0.3), 0.02, 0.98)
    return RetinaWords((rng.random((60, 180, 8)) < rates).astype(np.uint8), "toy", "0" * 64)


@pytest.fixture(scope="module")
def small():
    """One whose movie drives every cell in its own way."""
    return toy(np.repeat(np.random.default_rng(0).random((30, 8)) ** 3, 6, axis=0), 0.5)


def correlations(words: np.ndarray) -> np.ndarray:
    """Correlation of every pair of cells over all words, and within bins, over showings."""
    pairs = np.triu_indices(words.shape[2], 1)
    noise = words - words.mean(axis=0)
    flat = (part.reshape(-1, words.shape[2]) for part in (words, noise))
    return np.array([np.corrcoef(part, rowvar=False)[pairs] for part in flat])


def test_every_scene_is_left_out_once(sweep) -> None:
    n_bins = 953
    scene = sweep.scene_of(n_bins)
    assert set(np.bincount(scene)) == {31, 32}
    away = [sweep.left_out(n_bins, group) for group in range(sweep.N_GROUPS)]
    np.testing.assert_array_equal(np.concatenate(away), np.arange(n_bins))
    assert all(len(np.unique(scene[bins])) == 3 for bins in away)


def test_shuffling_keeps_what_the_movie_does_and_nothing_else(sweep, small) -> None:
    shuffled = sweep.changed(small.words, "shuffled")
    np.testing.assert_array_equal(shuffled.mean(axis=0), small.words.mean(axis=0))
    before, after = correlations(small.words), correlations(shuffled)
    sigma = 60**-0.5 * 180**-0.5
    assert np.all(np.abs(after[1]) < 6 * sigma)
    assert np.all(before[1] > 12 * sigma)  # there was something to kill
    assert np.abs(after[0]).max() > 12 * sigma  # and the movie's own correlations are there


def test_shifting_keeps_every_cell_and_takes_the_others_away(sweep, small) -> None:
    shifted = sweep.changed(small.words, "shifted")
    scattered = sweep.changed(small.words, "scattered")
    for words in (shifted, scattered):
        np.testing.assert_array_equal(words.sum(axis=1), small.words.sum(axis=1))
    # One lag for all showings turns the mean response; another in each one flattens it.
    means = small.words.mean(axis=0), shifted.mean(axis=0), scattered.mean(axis=0)
    for cell in range(8):
        turned = [np.roll(means[0][:, cell], -lag) for lag in range(180)]
        assert any(np.array_equal(means[1][:, cell], one) for one in turned)
        assert means[2][:, cell].std() < 0.6 * means[0][:, cell].std()
    sigma = 60**-0.5 * 180**-0.5
    assert np.all(np.abs(correlations(scattered)) < 6 * sigma)
    # Negative control: with one lag the accidents of thirty scenes stay, noise correlations go.
    assert np.abs(correlations(shifted)[0]).max() > 6 * sigma
    assert np.all(np.abs(correlations(shifted)[1]) < 6 * sigma)
    with pytest.raises(ValueError, match="data must be recorded"):
        sweep.changed(small.words, "mixed")


def test_a_row_gains_over_independent_cells_on_scenes_it_left_out(sweep, small) -> None:
    row = sweep.compute_row("recorded", "tree", 2, 4, 0, retina=small)
    away = sweep.left_out(180, 4)
    train = np.delete(small.words[::2], away, axis=1).reshape(-1, 8)
    test = small.words[:: sweep.SCORED, away].reshape(-1, 8)
    assert (row["n_train"], row["n_showings"]) == (len(train), 20)
    alone = IndependentModel().fit(train).score_samples(test)
    gain = sweep.build("tree").fit(train).score_samples(test) - alone
    assert row["gain"] == pytest.approx(gain.mean(), abs=1e-5)
    assert row["independent_nats"] == pytest.approx(-alone.mean(), abs=1e-5)
    assert row["scene_bins"] == [6, 6, 6]
    scenes = gain.reshape(20, 3, 6).mean(axis=(0, 2))
    np.testing.assert_allclose(sweep.scene_gains(row), scenes, atol=1e-3)


def test_what_is_noise_alone_is_gained_until_a_control_takes_it_away(sweep) -> None:
    still = toy(np.full((180, 8), 0.05), 0.6)  # a movie that shows nothing
    gains = {
        data: sweep.compute_row(data, "tree", 1, 4, 0, retina=still)["gain"]
        for data in ("recorded", *sweep.CONTROLS)
    }
    assert gains["recorded"] > 0.2
    assert all(abs(gains[data]) < 0.02 for data in sweep.CONTROLS)


def test_kept_rows_belong_to_the_sweep_and_to_their_scenes(sweep) -> None:
    kept = mfvae.load_results("retina_scenes")
    shared, keys = kept["configuration"], [tuple(r[k] for k in sweep.NAMES) for r in kept["rows"]]
    assert len(set(keys)) == len(keys)
    assert set(keys) <= set(sweep.ROWS)
    scored = (sweep.N_SCENES, sweep.N_GROUPS, sweep.SCORED, sweep.N_IMPORTANCE)
    assert scored == tuple(shared[k] for k in ("n_scenes", "n_groups", "scored", "n_importance"))
    for row in kept["rows"]:
        away = sweep.left_out(shared["n_bins"], row["group"])
        assert sum(row["scene_bins"]) == len(row["gain_sums"]) == len(away)
        assert row["settings"] == json.loads(json.dumps(sweep.MODELS[row["model"]][1]))
        mean = np.sum(row["gain_sums"]) / row["n_showings"] / len(away)
        assert row["gain"] == pytest.approx(mean, abs=1e-3)


def test_keys_are_those_of_models_and_the_table_is_printed(sweep, small, capsys) -> None:
    assert len(set(sweep.ROWS)) == len(sweep.ROWS)
    assert {model for _, model, *_ in sweep.ROWS} <= set(sweep.MODELS)
    names = dict(zip(sweep.NAMES, sweep.ROWS[0], strict=True))
    rows = [
        {**names, "group": g, **sweep.compute_row(*sweep.ROWS[0][:3], g, 0, retina=small)}
        for g in (0, 1)
    ]
    sweep.show(rows)
    assert "of 6" in capsys.readouterr().out
