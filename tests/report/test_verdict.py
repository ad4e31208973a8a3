"""Intervals, screening and what is left, against what is known exactly."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from mfvae.report.ladder import Fit, Ladder
from mfvae.report.screening import Moments, residuals, screen
from mfvae.report.verdict import judge, paired
from mfvae.report.words import clean


def test_paired_intervals_cover_also_where_rows_come_in_blocks() -> None:
    rng = np.random.default_rng(0)
    blocks = np.repeat(np.arange(40), 25)
    n, covered, naive = 2000, 0, 0
    for _ in range(n):
        shared = 0.3 * rng.standard_normal(40)[blocks]
        a = 0.1 + shared + 0.5 * rng.standard_normal(1000)
        interval = paired(a, np.zeros(1000), blocks, level=0.95)
        covered += interval.low <= 0.1 <= interval.high
        wrong = paired(a, np.zeros(1000), np.arange(1000), level=0.95)
        naive += wrong.low <= 0.1 <= wrong.high
    low, high = binom.ppf([5e-7, 1 - 5e-7], n, 0.95)
    assert low <= covered <= high
    assert naive < low  # planted: rows taken as independent


def planted_triples(n: int = 4000, noise: float = 0.1) -> np.ndarray:
    rng = np.random.default_rng(3)
    x = (rng.random((n, 18)) < 0.5).astype(np.uint8)
    x[:, 2] = x[:, 0] ^ x[:, 1] ^ (rng.random(n) < noise)
    return x


def test_screen_is_silent_on_independent_cells() -> None:
    x = (np.random.default_rng(5).random((4000, 18)) < 0.5).astype(np.uint8)
    seen = screen(clean(x), np.random.SeedSequence(0))
    assert seen["n_above"] == 0
    assert seen["n_triples_seen"] == 0
    assert abs(sum(seen["count_law_independent"]) - 1) < 1e-12


def test_screen_sees_a_triple_that_no_pair_shows() -> None:
    seen = screen(clean(planted_triples()), np.random.SeedSequence(0))
    assert seen["n_above"] == 0
    assert seen["n_triples_seen"] == 1
    assert seen["largest_triple"] == "0, 1, 2"


def test_screen_counts_a_planted_direction() -> None:
    rng = np.random.default_rng(6)
    x = rng.random((4000, 30)) < 1 / (1 + np.exp(-1.2 * rng.standard_normal((4000, 1))))
    assert screen(clean(x.astype(np.uint8)), np.random.SeedSequence(0))["n_above"] == 1


def test_third_cumulants_are_those_of_the_words() -> None:
    x = planted_triples(500)
    found = Moments(x)
    y = (x - x.mean(axis=0)) / x.std(axis=0)
    exact = [(y[:, i] * y[:, j] * y[:, k]).mean() for i, j, k in found.where]
    assert np.abs(found.third - exact).max() < 1e-5
    i, j = np.triu_indices(18, 1)
    assert np.abs(found.pairs - (y.T @ y / 500)[i, j]).max() < 1e-5


def test_residuals_are_worth_less_than_the_truth_and_not_nothing() -> None:
    noise = 0.1
    exact = np.log(2) + noise * np.log(noise) + (1 - noise) * np.log(1 - noise)
    data = Moments(planted_triples(noise=noise))
    fresh = (np.random.default_rng(7).random((8000, 18)) < 0.5).astype(np.uint8)
    left = residuals(data, Moments(fresh, data), 1.0, fair)
    assert left["n_triples"] == 1
    assert 0.7 * exact < left["triples_nats"] < exact
    assert left["pairs_nats"] == 0
    same = residuals(data, Moments(planted_triples(noise=noise)[::-1], data), 1.0, fair)
    assert same["n_triples"] == same["pairs_nats"] == 0


def fair(n: int) -> np.ndarray:
    return (np.random.default_rng(8).random((n, 18)) < 0.5).astype(np.uint8)


def test_many_weak_pairs_are_worth_their_nats() -> None:
    """Nine pairs that no single test need see: the nats are those of the exact law."""
    rng, c, n = np.random.default_rng(9), 0.12, 4000
    first = (rng.random((n, 9)) < 0.5).astype(np.uint8)
    other = first ^ (rng.random((n, 9)) < (1 - c) / 2)
    data = Moments(np.concatenate([first, other], axis=1))
    exact = 9 * ((1 + c) * np.log1p(c) + (1 - c) * np.log1p(-c)) / 2
    left = residuals(data, Moments(fair(20000), data), 1.0, fair)
    # The chance level has a spread of some N/4n = 0.001, of which three are taken off.
    assert 0.5 * exact < left["pairs_nats"] < 1.3 * exact
    none = residuals(Moments(fair(n)), Moments(fair(20000)[::-1], data), 1.0, fair)
    assert none["pairs_nats"] < 0.1 * exact


def test_a_cell_that_hardly_fires_lacks_no_pairs() -> None:
    """Three spikes of one cell, none in the model's samples: not 250,000 nats, as it once was."""
    words = fair(4000)
    words[:, 0] = 0
    words[[5, 50, 500], 0] = 1

    def silent(n: int) -> np.ndarray:
        return fair(n) * (np.arange(18) > 0).astype(np.uint8)

    data = Moments(words)
    left = residuals(data, Moments(silent(20_000), data), 1.0, silent)
    assert left["pairs_nats"] < 0.02
    words[:, 2] = words[:, 1]  # two cells alike are seen beside it
    data = Moments(words)
    doubled = residuals(data, Moments(silent(20_000), data), 1.0, silent)
    assert 0.4 < doubled["pairs_nats"] < np.log(2)


def test_interval_prints() -> None:
    assert str(paired(np.ones(10), np.zeros(10), np.arange(10))) == "1.00 [1.00, 1.00]"
    with pytest.raises(AttributeError):
        paired(np.ones(10), np.zeros(10), np.arange(10)).other  # noqa: B018


class Sampler:
    """A model that only samples: chains of equal neighbours, ``coupling`` apart."""

    def __init__(self, coupling: float) -> None:
        self.coupling = coupling

    def sample(self, n: int, seed: np.random.SeedSequence) -> np.ndarray:
        rng = np.random.default_rng(seed)
        same = rng.random((n, 30)) < 1 / (1 + np.exp(-2 * self.coupling))
        same[:, 0] = rng.random(n) < 0.5
        return (np.cumprod(np.where(same, 1, -1), axis=1) > 0).astype(np.uint8)


class StandInLadder(Ladder):
    """A ladder whose fits are given."""

    def polished(self, fit: Fit) -> Fit:
        return fit


@pytest.mark.parametrize(
    ("coupling", "code"), [(0.0, "mean-field"), (0.075, "undecided"), (0.2, "not-mean-field")]
)
def test_no_mean_field_verdict_beside_a_larger_limit(coupling: float, code: str) -> None:
    """Pairs that the VAE's samples lack are missing, also where no rival gains from them."""
    words = clean(Sampler(coupling).sample(10_000, np.random.SeedSequence(1)), ordered=False)
    rows = {"test": np.arange(2_000)}
    likes = {"independent": (0, 0.0), "pairwise": (2, 0.99), "vae": (1, 1.0), "mixture": (2, 0.5)}
    scatter = 0.1 * np.random.default_rng(2).standard_normal(2_000)
    facts = {"n_parameters": 1, "seconds": 0.0, "stderr": 0.0, "trained": True}
    fits = [
        Fit(kind, kind, size, Sampler(0.0), gain, gain + scatter, **facts)
        for kind, (size, gain) in likes.items()
    ]
    ladder = StandInLadder({"train": words.words}, None, [0] * 4, True, 1, fits=fits)
    seen = {"n_above": 1, "n_triples_seen": 0, "detectable": 0.1, "largest_triple": None}
    told, _, facts = judge(ladder, words, seen, rows, np.random.SeedSequence(3))
    limit = told["missing"]["lower_limit"]
    assert told["code"] == code, told
    assert (limit <= facts["margin"]) == (code == "mean-field")
    assert (limit > 2 * facts["margin"]) == (code == "not-mean-field")
    vae = next(row for row in told["models"] if row["kind"] == "vae")
    assert told["gain"].low == vae["gain_low"]
    # Learning N weights from n words costs N/2n nats a word, which the law has.
    assert told["gain"].high == pytest.approx(vae["gain_high"] + 30 / (2 * 10_000))
