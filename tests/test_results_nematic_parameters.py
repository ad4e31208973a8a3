"""The sweep behind the comparison of parametrisations: small rows, and what is stored."""

from __future__ import annotations

import importlib
import json

import numpy as np
import pytest
from _seeds import tolerance
from _sweep import stored_rows


@pytest.fixture(scope="module")
def sweep():
    return importlib.import_module("nematic_parameters")


def test_a_small_row_is_complete(sweep) -> None:
    options = {
        **sweep.CONFIGURATION["options"],
        "n_epochs": 1,
        "prior_options": {"n_components": 4},
    }
    row = sweep.compute_row(
        "bingham-rotation", "mlp", n_sites=16, n_training=200, n_test=64, options=options
    )
    assert np.shape(row["gap"]) == (7, 2)
    assert np.all(np.array(row["gap"])[:, 0] > 0)
    assert len(row["r2"]) == 5
    assert row["training_cpu_seconds"] > 0


def test_stored_rows_belong_to_the_script(sweep) -> None:
    stored = json.loads(sweep.OUTPUT.read_text())
    assert stored["configuration"] == json.loads(json.dumps(sweep.CONFIGURATION))
    assert [tuple(row[name] for name in sweep.NAMES) for row in stored["rows"]] == sweep.ROWS


@pytest.mark.slow
def test_a_stored_row_can_be_computed_again(sweep) -> None:
    rows = {row["decoder"] + row["likelihood"]: row for row in stored_rows(sweep.OUTPUT)}
    again = np.array(sweep.compute_row("bingham", "linear")["gap"])
    before = np.array(rows["linearbingham"]["gap"])
    far = tolerance("nematic_parameters", "gap", likelihood="bingham", decoder="linear")
    assert np.all(np.abs(again - before)[:, 0] < far)
    # The other parametrisation is outside that margin.
    rotation = np.array(rows["mlpbingham-rotation"]["gap"])
    assert np.any(np.abs(again - rotation)[:, 0] > far)
