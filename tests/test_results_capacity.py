"""The sweeps of the capacity chapter: tables obey the theorem, rows belong to their scripts."""

from __future__ import annotations

import importlib
import json
from types import ModuleType

import numpy as np
import pytest
from _seeds import tolerance
from scipy.stats import linregress

import mfvae
from mfvae.measure import capacity_supply, capacity_verdict
from mfvae.systems import Estimate

SIGMAS = 5.5


def load(name: str) -> ModuleType:
    return importlib.import_module(name)


def rows_of(module: ModuleType) -> list[dict]:
    stored = json.loads(module.OUTPUT.read_text())
    assert stored["configuration"] == json.loads(json.dumps(module.configuration()))
    return stored["rows"]


@pytest.fixture(scope="module")
def table() -> ModuleType:
    return load("capacity_table")


@pytest.fixture(scope="module")
def scaling() -> ModuleType:
    return load("latent_scaling")


@pytest.mark.parametrize("name", ["capacity_table", "latent_scaling"])
def test_stored_rows_belong_to_the_script(name: str) -> None:
    module = load(name)
    rows = rows_of(module)
    assert [tuple(row[key] for key in module.NAMES) for row in rows] == module.ROWS
    assert all(row["code"] and row["machine"] and row["seconds"] > 0 for row in rows)


def test_no_stored_row_violates_the_theorem(table) -> None:
    bounded = [row for row in rows_of(table) if row["gap_bound"] is not None]
    assert len(bounded) > 20
    for row in bounded:
        (bound, bound_error), (gap, error) = row["gap_bound"], row["gap"]
        assert gap > bound - SIGMAS * np.hypot(bound_error, error)
        noise = SIGMAS * np.hypot(row["best_cut"][1], bound_error) + 2e-4  # two samples of the cut
        assert row["rate"][0] == pytest.approx(row["best_cut"][0] - bound, abs=noise)
    for row in rows_of(load("latent_scaling")):
        for (cut, _), (rate, spread), (gap, error) in zip(
            row["best_cut"], row["rate"], row["gap"], strict=True
        ):
            assert gap > cut - rate - SIGMAS * np.hypot(spread, error)
    # Negative control: with the gaps of the magnet the Ising rows would be impossible.
    magnet = max(row["gap"][0] for row in bounded if row["system"] == "curie-weiss")
    assert any(row["gap_bound"][0] > magnet + 1 for row in bounded if row["system"] == "ising")


def test_no_verdict_from_before_training_is_contradicted(table) -> None:
    ising = mfvae.load_results("ising_gap")
    demand = Estimate(*ising["configuration"]["dual_total_correlation"])
    cells = [(row["verdict"], row["gap"][0]) for row in rows_of(table)]
    for row in ising["rows"]:
        if row["system"] == "ising":
            verdict = capacity_verdict(demand, capacity_supply(256, row["n_latents"]))
            cells.append((verdict, row["elbo_gap"][0]))
            assert (verdict == "cannot fit") == (row["n_latents"] <= 4)
    refused = [gap for verdict, gap in cells if verdict == "cannot fit"]
    assert len(refused) >= 8
    assert min(refused) > 0.5
    assert sum(gap < 0.25 for verdict, gap in cells if verdict == "may fit") >= 10


def test_the_scaling_exponents(scaling) -> None:
    rows = rows_of(scaling)
    for temperature, predicted in ((0.6, -1.0), (1.0, -0.5), (1.5, 0.0)):
        group = [row for row in rows if row["temperature"] == temperature]
        log_n = np.log([row["n_sites"] for row in group])
        exact = np.polyfit(log_n, np.log([row["exact_ratio"] for row in group]), 1)[0]
        assert exact == pytest.approx(predicted, abs=0.02)
        fit = linregress(log_n, np.log([row["ratio"] for row in group]).mean(axis=1))
        # Ratios shift by up to 4 % with the training; over a factor of 64 in size, 0.02 a slope.
        assert fit.slope == pytest.approx(exact, abs=0.02)
        assert abs(fit.slope - exact) < 4 * fit.stderr
        others = [p for p in (-1.0, -0.5, 0.0) if p != predicted]
        assert min(abs(fit.slope - p) for p in others) > 0.4  # negative control


def test_a_small_row_of_each_is_complete(table, scaling) -> None:
    counts = {"n_training": 200, "n_test": 128, "n_epochs": 1}
    for key in (("curie-weiss", 1.0, 16, 1), ("hopfield", 0.6, 16, 2), ("ising", 2.6, 16, 1)):
        row = table.compute_row(*key, **counts)
        assert set(row) <= set(rows_of(table)[0])
        assert row["gap"][0] > row["gap_bound"][0] - SIGMAS * np.hypot(*[row["gap"][1]] * 2)
    row = scaling.compute_row(1.5, 16, n_seeds=1, **counts)
    assert row["exact_ratio"] == pytest.approx(scaling.exact_ratio(1.5, 16), abs=1e-6)
    assert len(row["ratio"]) == len(row["gap"]) == len(row["rate"]) == len(row["best_cut"]) == 1


def test_the_exact_ratio_is_that_of_the_field(scaling) -> None:
    """Far above the transition spins are free: Var(M)/N = 1/(1 - β) + O(1/N)."""
    assert scaling.exact_ratio(1.5, 10**5) == pytest.approx(1 - 1 / 1.5, abs=1e-4)
    assert scaling.exact_ratio(20.0, 10**5) == pytest.approx(1 - 1 / 20, abs=1e-4)


@pytest.mark.slow
def test_stored_rows_can_be_computed_again(table, scaling) -> None:
    key = ("curie-weiss", 1.0, 256, 1)
    (row,) = (r for r in rows_of(table) if tuple(r[n] for n in table.NAMES) == key)
    again, cell = table.compute_row(*key), dict(zip(table.NAMES, key, strict=True))
    far = {name: tolerance("capacity_table", name, **cell) for name in ("gap", "rate")}
    assert all(abs(again[name][0] - row[name][0]) < far[name] for name in far)
    assert far["rate"] < 0.1 * row["rate"][0]  # ten per cent would be seen
    (row,) = (r for r in rows_of(scaling) if (r["temperature"], r["n_sites"]) == (1.0, 256))
    again = scaling.compute_row(1.0, 256)
    np.testing.assert_allclose(again["ratio"], row["ratio"], rtol=0.1)
