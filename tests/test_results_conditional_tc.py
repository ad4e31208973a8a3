"""The sweep behind the chapter on total correlation: it keeps its word, and can be repeated."""

from __future__ import annotations

import importlib
import json
from types import ModuleType

import numpy as np
import pytest


@pytest.fixture(scope="module")
def sweep() -> ModuleType:
    return importlib.import_module("conditional_tc")


@pytest.fixture(scope="module")
def stored(sweep) -> dict:
    content = json.loads(sweep.OUTPUT.read_text())
    assert content["configuration"] == json.loads(json.dumps(sweep.configuration()))
    rows = {(row["system"], row["n_latents"]): row for row in content["rows"]}
    assert list(rows) == sweep.ROWS
    return rows


def test_a_small_row_is_complete(sweep, monkeypatch) -> None:
    monkeypatch.setattr(sweep, "N_EPOCHS", 1)
    row = sweep.compute_row("hopfield", 3, n_training=40, n_test=80, n_epochs=1)
    n_temperatures = len(row["temperature"])
    assert np.shape(row["nats"]) == np.shape(row["gap"]) == (n_temperatures, 2)
    assert len(row["lower"]) == len(row["saturated"]) == n_temperatures
    assert len(row["two_point_thousandths"]) == 64 * 63 // 2


def test_lower_limits_are_below_the_exact_gaps(stored) -> None:
    for row in stored.values():
        gap, stderr = np.array(row["gap"]).T
        assert np.all(np.array(row["lower"]) <= gap + stderr)


@pytest.mark.parametrize("key", [("curie-weiss", 1), ("hopfield", 3), ("maier-saupe", 5)])
def test_mean_field_systems_have_nothing_left(stored, key) -> None:
    nats = np.array(stored[key]["nats"])[:, 0]
    assert np.all(np.abs(nats) <= 0.2)


@pytest.mark.parametrize("n_latents", [1, 2, 4, 8])
def test_ising_keeps_correlation_that_peaks_above_the_transition(stored, n_latents) -> None:
    row = stored["ising", n_latents]
    nats, stderr = np.array(row["nats"]).T
    gap, gap_stderr = np.array(row["gap"]).T
    assert np.all(np.array(row["lower"]) > 0)
    critical = row["temperature"][2]
    assert critical == pytest.approx(2.2692, abs=1e-4)
    peak = np.argmax(nats)
    assert row["temperature"][peak] > critical
    assert nats[peak] - nats[2] > 5 * np.hypot(stderr[peak], stderr[2])
    assert np.all(nats <= gap + 5.5 * gap_stderr)


def test_one_latent_too_few_shows(stored) -> None:
    nats, stderr = np.array(stored["hopfield", 2]["nats"]).T
    assert np.all(nats[:6] > 5 * stderr[:6])  # at twice T_c even the gap is only 0.15


@pytest.mark.slow
def test_a_stored_row_can_be_computed_again(sweep, stored) -> None:
    row, again = stored["hopfield", 2], sweep.compute_row("hopfield", 2)
    before, after = np.array(row["nats"]), np.array(again["nats"])
    # The same seeds: what differs between machines is rounding, and where it leads training.
    margin = 0.15 * before[:, 0] + 5.5 * np.hypot(before[:, 1], after[:, 1])
    assert np.all(np.abs(before[:, 0] - after[:, 0]) < margin)
    # The model with the right number of latents is outside that margin.
    assert np.all(before[:3, 0] - np.array(stored["hopfield", 3]["nats"])[:3, 0] > margin[:3])
