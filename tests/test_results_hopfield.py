"""The sweep behind the Hopfield chapter: rows are complete, belong to the script, and repeat."""

from __future__ import annotations

import importlib
from types import ModuleType

import numpy as np
import pytest

import mfvae


@pytest.fixture(scope="module")
def sweep() -> ModuleType:
    return importlib.import_module("hopfield_decoding")


@pytest.fixture(scope="module")
def rows(sweep) -> dict[tuple, dict]:
    stored = mfvae.load_results("hopfield_decoding")["rows"]
    return {tuple(row[name] for name in sweep.NAMES): row for row in stored}


@pytest.mark.parametrize("span", ["covariance", "pseudo-likelihood", "linear decoder"])
def test_a_small_row_is_complete(sweep, span) -> None:
    row = sweep.compute_row("hopfield", 32, 2, 1.0, 600, 0, span, n_steps=4)
    for method in ("binary", "ica"):
        assert 0.5 <= row[method]["bit_accuracy"] <= 1
        assert 0 <= row[method]["residual"][0] <= row[method]["residual"][1]
        assert row[method]["stability"][1] <= row[method]["stability"][0] <= 1
    assert row["polished"]["bit_accuracy"] >= 0.5
    if span != "linear decoder":
        spread = row["ica"]["over_seeds"]
        assert len(spread["residual"]) == len(spread["bit_accuracy"]) == sweep.N_UNMIXINGS
        assert min(spread["residual"]) >= 0
        assert max(spread["bit_accuracy"]) <= 1
    assert row["span_cpu_seconds"] >= 0


@pytest.mark.parametrize("name", ["independent", "ising"])
def test_controls_have_no_reference(sweep, name) -> None:
    row = sweep.compute_row(name, 64, 2, 2.3, 400, 0, "covariance")
    assert "bit_accuracy" not in row["binary"]
    assert "polished" not in row
    assert not row["binary"]["is_reliable"]


def test_what_binary_unmixing_finds_lies_no_farther_than_what_ica_finds(rows) -> None:
    compared = [row for row in rows.values() if row["ica"]["is_reliable"]]
    assert compared  # unreliable components may repeat the nearest pattern
    for row in compared:
        assert row["binary"]["residual"][0] <= row["ica"]["residual"][0] + 1e-4


def test_reliable_recoveries_are_right_and_controls_are_not_reliable(rows) -> None:
    for key, row in rows.items():
        for method in ("binary", "ica"):
            if key[0] != "hopfield":
                assert not row[method]["is_reliable"]
            elif row[method]["is_reliable"]:
                assert row[method]["bit_accuracy"] > 0.95
    # A check that could fail: not everything is called unreliable.
    assert any(row["binary"]["is_reliable"] for row in rows.values())


@pytest.mark.slow
def test_stored_rows_can_be_computed_again(sweep, rows) -> None:
    simple = ("hopfield", 256, 32, 1.4, 40_000, 1, "covariance")
    again, kept = sweep.compute_row(*simple), rows[simple]
    # Beyond the bound FastICA ends where the last bits of the machine send it, as another seed
    # would: the spread over seeds that the row keeps is the tolerance, narrow enough to tell it
    # from the binary unmixing, which repeats.
    for key in ("bit_accuracy", "residual"):
        assert again["binary"][key] == pytest.approx(kept["binary"][key], abs=1e-3)
        binary, ica = (np.atleast_1d(again[method][key])[0] for method in ("binary", "ica"))
        values = np.array([*kept["ica"]["over_seeds"][key], np.atleast_1d(kept["ica"][key])[0]])
        tolerance = 6 * values.std(ddof=1)
        assert np.abs([ica, *again["ica"]["over_seeds"][key]] - values.mean()).max() < tolerance
        assert abs(binary - values.mean()) > tolerance
    trained = ("hopfield", 256, 8, 1.0, 40_000, 0, "linear decoder")
    again = sweep.compute_row(*trained)["binary"]
    assert again["bit_accuracy"] == rows[trained]["binary"]["bit_accuracy"] == 1.0
    # Training amplifies the rounding of machines.
    np.testing.assert_allclose(again["residual"], rows[trained]["binary"]["residual"], rtol=0.5)
