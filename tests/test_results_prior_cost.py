"""The sweep behind the chapter on the bricks: it resumes, keeps its word, and can be repeated."""

from __future__ import annotations

import importlib
import json
from types import ModuleType

import numpy as np
import pytest
from _seeds import tolerance


def keys(row: dict) -> tuple[str, str]:
    return row["system"], row["prior"]


@pytest.fixture(scope="module")
def sweep() -> ModuleType:
    return importlib.import_module("prior_cost")


def test_a_row_asked_for_is_computed_and_others_are_not(sweep, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(sweep, "compute_row", lambda system, prior: {"elbo_gap": [[0.5, 0.1]]})
    output = tmp_path / "out.json"
    sweep.main(["--system", "hopfield", "--prior", "mixture", "--output", str(output)])
    assert [keys(row) for row in json.loads(output.read_text())["rows"]] == [
        ("hopfield", "mixture")
    ]
    sweep.main(["--output", str(output)])
    assert [keys(row) for row in json.loads(output.read_text())["rows"]] == sweep.ROWS


def test_a_small_row_is_complete(sweep) -> None:
    sizes = {"n_sites": 16, "n_training": 40, "n_test": 64, "n_epochs": 1}
    row = sweep.compute_row("hopfield", "spline", **sizes)
    for method in ("elbo", "iwae"):
        gap = np.array(row[f"{method}_gap"])
        assert gap.shape == (7, 2)
        assert np.all(gap[:, 1] > 0)
    assert row["training_seconds"] > 0


def test_stored_rows_belong_to_the_script(sweep) -> None:
    stored = json.loads(sweep.OUTPUT.read_text())
    assert stored["configuration"] == sweep.configuration()
    assert [keys(row) for row in stored["rows"]] == sweep.ROWS


@pytest.mark.slow
def test_a_stored_row_can_be_computed_again(sweep) -> None:
    stored = json.loads(sweep.OUTPUT.read_text())["rows"]
    (row,) = (r for r in stored if keys(r) == ("hopfield", "mixture"))
    again = np.array(sweep.compute_row("hopfield", "mixture")["elbo_gap"])
    before = np.array(row["elbo_gap"])
    far = tolerance("prior_cost", "elbo_gap", system="hopfield", prior="mixture")
    assert np.all(np.abs(again - before)[:, 0] < far)
    # The factorised prior at the lowest temperature is far outside that margin.
    (spline,) = (r for r in stored if keys(r) == ("hopfield", "spline"))
    assert abs(again[0, 0] - spline["elbo_gap"][0][0]) > far[0]
