"""The sweeps whose results the book quotes: each kept number obeys what must hold of it."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from types import ModuleType

import numpy as np
import pytest
from _seeds import tolerance

import mfvae

SIGMAS = 5.5


def load(name: str) -> ModuleType:
    return importlib.import_module(name)


@pytest.fixture(scope="module")
def ising_gap() -> ModuleType:
    return load("ising_gap")


@pytest.fixture(scope="module")
def sweep() -> dict:
    return mfvae.load_results("ising_gap")


def find(sweep: dict, *key: object) -> dict:
    rows = [r for r in sweep["rows"] if r["seed"] == 0]
    return {(r["system"], r["n_latents"], r["variant"]): r for r in rows}[key]


def test_the_sweep_was_made_with_the_present_configuration(ising_gap, sweep) -> None:
    now = json.loads(json.dumps(ising_gap.configuration()))
    for key in ("dual_total_correlation", "entropy", "energy"):
        np.testing.assert_allclose(now.pop(key), sweep["configuration"][key], atol=0.06)
    kept = {k: v for k, v in sweep["configuration"].items() if k in now}
    assert kept == now


def test_rows_have_a_label_and_finite_numbers(ising_gap, sweep) -> None:
    keys = [(*(r[name] for name in ising_gap.NAMES), r["seed"]) for r in sweep["rows"]]
    assert len(set(keys)) == len(keys)
    assert {key[:-1] for key in keys} <= set(ising_gap.ROWS)
    for row in sweep["rows"]:
        assert row["seconds"] > row["training_seconds"] > 0
        assert all(row[label] for label in ("code", "machine"))
        assert np.all(np.isfinite(row["validation_loss"]))


def violations(rows: list[dict], demand: list[float]) -> list[float]:
    """Return by how many standard errors each row has R + gap below D (positive: below)."""
    result = []
    for row in rows:
        (gap, gap_error), (rate, rate_error) = row["elbo_gap"], row["rate"]
        error = np.sqrt(gap_error**2 + rate_error**2 + demand[1] ** 2)
        result.append((demand[0] - rate - gap) / error)
    return result


def test_no_ising_row_violates_the_message_passing_bound(sweep) -> None:
    rows = [row for row in sweep["rows"] if row["system"] == "ising"]
    demand = sweep["configuration"]["dual_total_correlation"]
    assert max(violations(rows, demand)) < SIGMAS
    # Negative control: the numbers of the magnet would be impossible for the Ising model.
    magnet = find(sweep, "curie-weiss", 1, "base")
    assert min(violations([magnet], demand)) > SIGMAS


def test_the_importance_weighted_gap_is_not_the_larger_one(sweep) -> None:
    for row in sweep["rows"]:
        (elbo, elbo_error), (iwae, iwae_error) = row["elbo_gap"], row["iwae_gap"]
        assert iwae < elbo + SIGMAS * np.hypot(elbo_error, iwae_error)


def test_the_held_out_loss_above_the_entropy_is_the_gap(sweep) -> None:
    """Both average the same quantity, the loss over 4,000 correlated rows: σ is about 0.4."""
    entropy = sweep["configuration"]["entropy"]
    for row in sweep["rows"]:
        if row["system"] == "ising":
            assert min(row["validation_loss"]) - entropy == pytest.approx(
                row["elbo_gap"][0], abs=2.2
            )


def test_the_sweep_keeps_the_rows_that_are_there(ising_gap, tmp_path) -> None:
    path, kept = tmp_path / "copy.json", ising_gap.OUTPUT.read_text()
    path.write_text(kept)
    command = [sys.executable, ising_gap.__file__, "--output", path]
    command += ["--system", "curie-weiss"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    assert "there already: curie-weiss 1 base" in done.stdout
    assert path.read_text() == kept


def test_a_small_row_is_repeatable(ising_gap) -> None:
    counts = {"n_training": 300, "n_validation": 100, "n_test": 128, "n_generated": 128}
    first, second = (ising_gap.compute_row("ising", 2, "base", 4, **counts) for _ in range(2))
    for row in (first, second):
        for key in ("training_seconds", "processor_seconds"):
            del row[key]
    assert first == second
    assert first["elbo_gap"][0] > 0


@pytest.mark.slow
def test_one_row_of_the_ising_sweep_computed_again(ising_gap, sweep) -> None:
    again = ising_gap.compute_row("ising", 1, "base")
    kept = find(sweep, "ising", 1, "base")
    other = find(sweep, "ising", 4, "base")
    for key in ("elbo_gap", "rate"):
        far = tolerance("ising_gap", key, system="ising", n_latents=1, variant="base")
        assert abs(again[key][0] - kept[key][0]) < far
        assert abs(again[key][0] - other[key][0]) > far  # negative control: the row of d = 4
