"""Binning a reader's own spike times."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfvae.data import words_from_spikes


def one_trial(spikes, **window):
    """Words (n_bins, n_cells) of one trial."""
    return words_from_spikes([spikes], **window).words[0]


@settings(deadline=None, derandomize=True, max_examples=50)
@given(
    seed=st.integers(0, 10_000),
    n_cells=st.integers(1, 6),
    n_bins=st.integers(1, 40),
    bin_width=st.sampled_from([0.001, 0.005, 0.02, 0.1, 1.0, 3.7]),
    start=st.floats(-5, 5),
)
def test_words_give_back_the_spikes_of_their_bins(seed, n_cells, n_bins, bin_width, start):
    rng = np.random.default_rng(seed)
    truth = (rng.random((n_bins, n_cells)) < 0.3).astype(np.uint8)
    spikes = []
    for cell in range(n_cells):
        bins = np.repeat(np.flatnonzero(truth[:, cell]), rng.integers(1, 3))
        spikes.append(
            rng.permutation(start + bin_width * (bins + rng.uniform(0.01, 0.99, len(bins))))
        )
    stop = start + n_bins * bin_width
    np.testing.assert_array_equal(
        one_trial(spikes, start=start, stop=stop, bin_width=bin_width), truth
    )


def test_edges_and_outsiders():
    words = one_trial([[-0.01, 0.0, 0.06, 0.1, 7.0]], stop=0.1, bin_width=0.02)
    assert words[:, 0].tolist() == [1, 0, 0, 1, 0]  # 0.06 = 3 bins; 0.1 is past the end
    assert one_trial([[0.05]], stop=0.059, bin_width=0.02).shape == (2, 1)  # cut short: left out
    assert one_trial([[]], stop=19.06, bin_width=0.02).shape == (953, 1)


@pytest.mark.parametrize(
    ("spikes", "arguments", "error"),
    [
        ([[0.1]], {"stop": -1.0, "bin_width": 0.1}, ValueError),
        ([[0.1]], {"stop": 1.0, "bin_width": 2.0}, ValueError),
        ([[0.1]], {"stop": 1.0, "bin_width": -0.1}, ValueError),
        ([[0.1]], {"stop": np.nan, "bin_width": 0.1}, ValueError),
        ([[np.nan]], {"stop": 1.0, "bin_width": 0.1}, ValueError),
        ([["a"]], {"stop": 1.0, "bin_width": 0.1}, TypeError),
        ([], {"stop": 1.0, "bin_width": 0.1}, ValueError),
        (3.0, {"stop": 1.0, "bin_width": 0.1}, TypeError),
    ],
)
def test_bad_input(spikes, arguments, error):
    with pytest.raises(error):
        one_trial(spikes, **arguments)


def test_own_recording_splits():
    rng = np.random.default_rng(1)
    trials = [[np.sort(rng.uniform(0, 2, 30)) for _ in range(5)] for _ in range(10)]
    words = words_from_spikes(trials, stop=2.0, bin_width=0.01, source="mine")
    assert words.words.shape == (10, 200, 5)
    assert (words.bin_width, words.source, words.is_surrogate) == (0.01, "mine", False)
    train, test = words.split("trials", test=0.2)
    assert (len(train), len(test)) == (1600, 400)
    with pytest.raises(ValueError, match="same number of cells"):
        words_from_spikes([[[0.1]], [[0.1], [0.2]]], stop=1.0)
    with pytest.raises(ValueError, match="at least one trial"):
        words_from_spikes([], stop=1.0)
