"""The sweep over beta: a small row is complete, its parts are right, and a row can be repeated."""

from __future__ import annotations

import importlib
import json
from types import ModuleType

import numpy as np
import pytest

from mfvae.systems import Ising2D

TINY = {"length": 8, "n_training": 300, "n_test": 90, "n_generated": 50, "n_epochs": 2}


@pytest.fixture(scope="module")
def sweep() -> ModuleType:
    return importlib.import_module("beta_sweep")


def test_a_small_row_of_three_phases_is_complete(sweep) -> None:
    row = json.loads(
        json.dumps(sweep.compute_row("three-phases", "paper", "bernoulli", 2, 0, **TINY))
    )
    for phase in ("FM", "AFM"):
        assert len(row[phase]["correlations"]) == 2
        assert np.abs(row[phase]["correlations"]).max() <= 1
    assert abs(row["cosine"]) <= 1
    assert sum(row["generated"].values()) == pytest.approx(1)
    assert len(row["isometry"]["ratios"]) == 10
    assert row["rate"] > 0
    assert row["elbo"] < 0
    assert len(row["shown"]["latents"]) == len(row["shown"]["label"]) == 90
    assert sweep.unpack(row["pictures"], 64).shape == (16, 64)


@pytest.mark.parametrize("likelihood", ["tempered", "bernoulli"])
def test_a_small_row_of_one_phase_is_complete(sweep, likelihood: str) -> None:
    row = json.loads(json.dumps(sweep.compute_row("PM", "dense", likelihood, 2, 0, **TINY)))
    energy, stderr, deviation = row["samples"]["energy"]
    assert abs(energy) < 2
    assert deviation > stderr > 0
    assert (row["mean_beta"] == 1) == (likelihood == "bernoulli")
    exact = [float(Ising2D(8).internal_energy(t)) / 64 for t in np.linspace(3, 6, 7)]
    assert row["exact_energy"] == pytest.approx(np.mean(exact), abs=1e-5)


def test_regions_are_told_apart(sweep) -> None:
    system = Ising2D(4)
    chessboard = np.where(np.indices((4, 4)).sum(axis=0).ravel() % 2, -1.0, 1.0)
    halves = np.where(np.arange(16) < 8, 0.9, -0.9)  # a wall: neither ordered nor disordered
    means = np.stack([np.full(16, 0.9), np.full(16, -0.9), chessboard, -chessboard, np.zeros(16)])
    found = sweep.regions_of(np.vstack([0.95 * means, halves]), system)
    assert [sweep.REGIONS[k] for k in found] == list(sweep.REGIONS)
    signed = sweep.signed_phases(
        np.array([0, 0, 1, 1, 2]), np.array([1, -1, 0, 0, 0]), np.array([0, 0, 1, -1, 1])
    )
    assert signed.tolist() == [0, 1, 2, 3, 4]


def test_pictures_survive_packing(sweep) -> None:
    means = np.random.default_rng(0).uniform(-1, 1, (3, 64))
    np.testing.assert_allclose(sweep.unpack(sweep.pack(means), 64), means, atol=1 / 15 + 1e-12)


def test_stored_rows_belong_to_the_script(sweep) -> None:
    stored = json.loads(sweep.OUTPUT.read_text())
    assert stored["configuration"] == json.loads(json.dumps(sweep.configuration()))
    keys = [tuple(row[name] for name in sweep.NAMES) for row in stored["rows"]]
    assert keys == [key for key in sweep.ROWS if key in set(keys)]
    # What the chapters quote is there for five seeds.
    needed = [
        ("three-phases", "dense", "bernoulli", b, s) for b in (1, 10, 100, 2000) for s in range(5)
    ]
    assert set(needed) <= set(keys)


def _of_beta(rows: list[dict], beta: float) -> list[dict]:
    shared = {"data": "three-phases", "variant": "dense", "beta": beta}
    return [row for row in rows if shared.items() <= row.items()]


@pytest.mark.slow
def test_a_stored_row_can_be_computed_again(sweep) -> None:
    rows = json.loads(sweep.OUTPUT.read_text())["rows"]
    before = _of_beta(rows, 100)[0]
    again = sweep.compute_row("three-phases", "dense", "bernoulli", 100, 0)
    # The same seeds: machines differ by rounding, which training amplifies. So the seeds of the
    # same beta say how far two trainings may be apart; those of beta = 10 are further away.
    assert again["rate"] == pytest.approx(before["rate"], abs=0.25)
    assert again["elbo"] == pytest.approx(before["elbo"], abs=12)
    for phase in ("FM", "AFM"):
        assert np.abs(again[phase]["correlations"]).max() > 0.98
    assert min(again["generated"][name] for name in sweep.REGIONS[:5]) > 0.02
    others = _of_beta(rows, 10)
    assert min(abs(row["rate"] - again["rate"]) for row in others) > 0.5
