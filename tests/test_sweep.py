"""A sweep keeps what it has, drops what is not comparable, and never leaves half a file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from _sweep import run_sweep, stored_rows, sweep_command

ORDER = [("a", 1), ("a", 2), ("b", 1)]
NAMES = ("system", "n_latents")


def test_rows_are_computed_once_in_the_order_of_the_sweep(tmp_path: Path) -> None:
    computed = []

    def row(system: str, n_latents: int) -> dict:
        computed.append((system, n_latents))
        return {"gap": 0.5}

    path = tmp_path / "sweep.json"
    run_sweep(path, {"n": (1, 2)}, ORDER, row, names=NAMES, wanted=lambda key: key[0] == "b")
    rows = run_sweep(path, {"n": (1, 2)}, ORDER, row, names=NAMES)
    assert computed == [("b", 1), ("a", 1), ("a", 2)]
    assert [(r["system"], r["n_latents"]) for r in rows] == ORDER
    assert all(r["gap"] == 0.5 and r["seconds"] >= 0 and r["code"] and r["machine"] for r in rows)
    run_sweep(path, {"n": (1, 2)}, ORDER, row, names=NAMES, again=True)
    assert len(computed) == 6
    # Rows of another configuration do not count.
    assert stored_rows(path, {"n": [3]}) == []
    run_sweep(path, {"n": [3]}, ORDER[:1], row, names=NAMES)
    assert len(json.loads(path.read_text())["rows"]) == 1
    assert not list(tmp_path.glob("*.partial"))


def test_a_row_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "sweep.json"
    run_sweep(path, {}, ORDER, lambda *_: {"gap": 1.0}, names=NAMES, wanted=lambda k: k[1] == 2)
    before = path.read_bytes()
    with pytest.raises(KeyboardInterrupt):
        run_sweep(path, {}, ORDER, _interrupted, names=NAMES)
    assert path.read_bytes() == before


def _interrupted(*key: object) -> dict:
    raise KeyboardInterrupt


def test_the_command_line_picks_rows(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = tmp_path / "sweep.json"

    script = {
        "__doc__": "A sweep.\n\nMore.",
        "OUTPUT": tmp_path / "unused.json",
        "ROWS": ORDER,
        "NAMES": NAMES,
        "FILTERS": {"system": "system", "latents": "n_latents"},
        "configuration": dict,
        "compute_row": lambda *_: {"gap": 1.0},
    }

    def command(*arguments: str) -> list[tuple]:
        sweep_command(script, [*arguments, "--output", str(path)])
        return [(row["system"], row["n_latents"]) for row in stored_rows(path)]

    assert command("--system", "a", "--latents", "2") == [("a", 2)]
    assert command("--latents", "1") == [("a", 1), ("a", 2), ("b", 1)]
    path.unlink()
    assert command() == ORDER
    assert list(tmp_path.glob("*.json")) == [path]
    with pytest.raises(SystemExit):
        command("--system", "c")
    assert "invalid choice" in capsys.readouterr().err


def test_two_sweeps_into_one_file_keep_each_others_rows(tmp_path: Path) -> None:
    path = tmp_path / "sweep.json"

    def row(system: str, n_latents: int) -> dict:
        if n_latents == 2:  # Another process writes its rows while this one is computed.
            others = [key for key in ORDER if key[1] == 1]
            run_sweep(path, {}, others, lambda *_: {"gap": 2.0}, names=NAMES)
        return {"gap": 1.0}

    rows = run_sweep(path, {}, ORDER, row, names=NAMES, wanted=lambda key: key[1] == 2)
    assert [row["gap"] for row in rows] == [2.0, 1.0, 2.0]


SCRIPT = """
'A sweep whose rows share what one function keeps.'
import functools
from pathlib import Path
from _sweep import sweep_command

OUTPUT, ROWS, NAMES, FILTERS = Path("unused.json"), [("a",), ("b",)], ("system",), {}
configuration = dict

@functools.cache
def length(system):
    return len(system)

def compute_row(system):
    return {"length": length(system)}

if __name__ == "__main__":
    sweep_command(globals())
"""


@pytest.mark.slow  # three processes that import torch
def test_a_script_computes_rows_side_by_side(tmp_path: Path) -> None:
    (tmp_path / "one_sweep.py").write_text(SCRIPT)
    command = [sys.executable, "one_sweep.py", "--jobs", "2", "--output", "rows.json"]
    paths = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    subprocess.run(command, cwd=tmp_path, env=paths, check=True)
    rows = stored_rows(tmp_path / "rows.json")
    assert [(row["system"], row["length"]) for row in rows] == [("a", 1), ("b", 1)]
