"""The table of sweeps counts what is kept and what is missing; replicates have their own file."""

from __future__ import annotations

import importlib
import json

import pytest
from _sweep import RESULTS

import mfvae


@pytest.fixture(scope="module")
def table():
    return importlib.import_module("_table")


def write(path, rows) -> None:
    path.write_text(json.dumps({"configuration": {}, "rows": rows}))


def script(path, **more):
    rows = [("a", 1), ("a", 2)]
    own = {"OUTPUT": path, "NAMES": ("system", "n_latents"), "ROWS": rows, "FILTERS": {}}
    return {**own, "compute_row": lambda system, n, *, seed=0: {"gap": n + seed}, **more}


def test_further_seeds_and_draws_go_to_a_file_of_their_own(table, tmp_path) -> None:
    sweep = importlib.import_module("_sweep")
    path = tmp_path / "toy.json"
    own = script(path, __doc__="A sweep.", FURTHER=range(1, 3), configuration=dict)
    sweep.sweep_command(own, [])
    before = path.read_bytes()
    sweep.sweep_command(own, ["--further", "--seed", "2"])
    rows = sweep.stored_rows(tmp_path / "toy_further.json")
    assert [(row["n_latents"], row["seed"], row["gap"]) for row in rows] == [(1, 2, 3), (2, 2, 4)]
    assert path.read_bytes() == before
    listed = sweep.further({**own, "FURTHER": [("a", 3)]})
    assert (listed["ROWS"], listed["NAMES"]) == ([("a", 3)], own["NAMES"])
    some = sweep.further({**own, "REPEATED": [("a", 2)]})
    assert some["ROWS"] == [("a", 2, 1), ("a", 2, 2)]


def test_a_line_counts_repetitions_and_what_is_missing(table, tmp_path) -> None:
    own = script(tmp_path / "toy.json", FURTHER=range(1, 5))
    kept = [{"system": "a", "n_latents": d, "seconds": 3600.0 * d} for d in (1, 2)]
    write(tmp_path / "toy.json", kept)
    found = table.line("toy", own, tmp_path)
    # Of rows that take more than twenty minutes three are wanted.
    assert (found.n_rows, found.hours, found.n_cells) == (2, 3.0, 2)
    assert (found.fewest, found.most, found.wanted) == (1, 1, 5)
    assert found.hours_missing == pytest.approx(2 * 1 + 2 * 2)
    assert found.command == "python book/results/toy.py --further"
    for row in kept:
        row["seconds"] /= 3600
    write(tmp_path / "toy.json", kept)
    more = [{**row, "seed": s} for row in kept for s in range(1, 4)]
    write(tmp_path / "toy_further.json", more)
    found = table.line("toy", own, tmp_path)
    assert (found.fewest, found.most) == (4, 4)
    assert found.hours_missing == pytest.approx((1 + 2) / 3600)
    write(tmp_path / "toy_further.json", more + [{**row, "seed": 4} for row in kept])
    found = table.line("toy", own, tmp_path)
    assert (found.fewest, found.hours_missing, found.command) == (5, 0.0, "")


def test_every_sweep_can_be_brought_to_what_is_wanted(table) -> None:
    lines = {one.name: one for one in table.table()}
    assert lines["prior_cost"].n_rows >= 6
    for name in lines.keys() - table.NO_INTERVAL.keys():
        module = vars(importlib.import_module(name))
        more = table.further(module) if "FURTHER" in module else module
        names = [key for key in module["NAMES"] if key != lines[name].replicate]
        plan = table.planned(module, more, names)
        short = [cell for cell, n in plan.items() if n < lines[name].wanted]
        # One row of a deep network that is not thinned is the check of those that are.
        assert len(short) == (name == "retina_scenes"), (name, short)
        assert not set(more["ROWS"]) & set(module["ROWS"]) or more is module


KEPT = (
    "beta_sweep",
    "capacity_table",
    "conditional_tc",
    "crossover",
    "hopfield_decoding",
    "hopfield_phases",
    "ising_gap",
    "latent_scaling",
    "lebwohl_lasher",
    "lebwohl_transition",
    "nematic_parameters",
    "papers_recipe",
    "prior_cost",
    "tabular_optimum",
    "tc_sizes",
    "trained_networks",
)


@pytest.mark.parametrize("name", KEPT)
def test_stored_rows_belong_to_the_script(name: str) -> None:
    module = importlib.import_module(name)
    stored = json.loads(module.OUTPUT.read_text())
    assert stored["configuration"] == json.loads(json.dumps(module.configuration()))
    keys = [tuple(row[entry] for entry in module.NAMES) for row in stored["rows"]]
    assert len(set(keys)) == len(keys) > 0
    assert set(keys) <= set(module.ROWS)
    assert len(set(module.ROWS)) == len(module.ROWS)


@pytest.mark.parametrize("name", [n for n in KEPT if (RESULTS / f"{n}_further.json").exists()])
def test_stored_repetitions_belong_to_the_script(table, name: str) -> None:
    module, stored = vars(importlib.import_module(name)), mfvae.load_results(f"{name}_further")
    more = table.further(module)
    assert stored["configuration"] == json.loads(json.dumps(module["configuration"]()))
    keys = [tuple(row[entry] for entry in more["NAMES"]) for row in stored["rows"]]
    assert len(set(keys)) == len(keys) > 0
    assert set(keys) <= set(more["ROWS"])
