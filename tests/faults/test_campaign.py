"""A few trials of every kind of fault, and planted faults that the campaign must notice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import _children
import _damage
import _disturb
import _downloads
import _fuzz
import _works
import campaign
import numpy as np
import pytest
from joblib import Parallel, delayed

import mfvae

pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
FEW = ["body without end", "head a byte at a time", "zip that unpacks to 100 MB", "wrong content"]


@pytest.mark.parametrize(("name", "n"), [("store", 2), ("fit with patience", 2), ("sweep", 3)])
def test_a_few_kills(name: str, n: int) -> None:
    figures = _disturb.kills(name, n, seed=1)
    assert (figures["wrong"], figures["left over"]) == (0, 0), figures
    assert figures["kills"] >= n


@pytest.mark.slow
def test_a_child_can_have_workers_where_its_parent_had_some(monkeypatch) -> None:
    def work() -> list[int]:
        return Parallel(n_jobs=2)(delayed(abs)(k) for k in (-1, 1))

    monkeypatch.setattr(_children, "PATIENCE", 10.0)
    assert work() == [1, 1]
    assert _children.forked(work).value[0] == [1, 1]
    # negative control: as the parent's own workers are asked, nobody answers
    monkeypatch.setattr(_children, "get_reusable_executor", Mock())
    assert work() == [1, 1]
    assert _children.forked(work).end == "hung"


def test_a_few_at_once() -> None:
    figures = _disturb.together(2, 3, seed=2)
    assert figures["wrong"] == 0, figures


def test_a_few_flips() -> None:
    figures = _damage.flips(20, seed=3)
    assert [figures[k] for k in ("wrong", "obscure", "executed")] == [0, 0, 0], figures


def test_a_few_full_disks() -> None:
    assert _disturb.full_and_read_only(6, seed=4)["wrong"] == 0


def test_a_few_hostile_servers() -> None:
    figures = _downloads.downloads(FEW, timeout=0.5)
    assert (figures["refused"], figures["wrong"], figures["too long"]) == (len(FEW), 0, 0), figures


def test_a_few_hostile_arguments() -> None:
    code = "import json, _fuzz; print(json.dumps(_fuzz.fuzz(8, 0.1, 5, 'CurieWeiss.s')))"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, sys.path))}
    # In a process of its own: a fork of one whose other tests left threads behind can hang.
    command = [sys.executable, "-W", "ignore", "-c", code]
    figures = json.loads(subprocess.check_output(command, env=environment, timeout=300))
    assert figures["calls"] >= 20
    for end in ("undocumented", "NaN", "mutated", "hung", "crashed"):
        assert figures[end] == 0, figures


# ------------------------------------------------------------------- planted faults


def careless(folder: Path) -> str:
    """Write a file in two steps, and take whatever is there for the whole."""
    path = folder / "file"
    if not path.exists():
        with open(path, "w") as stream:
            stream.write("first ")
            stream.flush()
            (folder / "between").mkdir(exist_ok=True)
            time.sleep(0.02)
            stream.write("second")
    return path.read_text()


def test_a_file_written_in_place_is_noticed(monkeypatch) -> None:
    monkeypatch.setitem(_works.WORKS, "planted", _works.Work(careless))
    assert _disturb.kills("planted", 12, seed=1)["wrong"] > 0


def test_a_reader_without_checksums_is_noticed(monkeypatch) -> None:
    monkeypatch.setattr(
        _damage,
        "_doors",
        lambda folder: (
            {"planted": ([folder / "model.pt"], (folder / "model.pt").read_bytes)}
            if (folder / "model.pt").write_bytes(bytes(1000))
            else {}
        ),
    )
    assert _damage.flips(5, seed=1)["wrong"] >= 5


@pytest.mark.parametrize("end", ["NaN", "mutated", "undocumented", "crashed", "hung"])
def test_a_careless_function_is_noticed(monkeypatch, end: str) -> None:
    def planted(x: np.ndarray) -> float:
        if end == "mutated" and isinstance(x, np.ndarray):
            x.setflags(write=True)
            x.flat[:1] = 7
        if end == "hung":
            time.sleep(5)
        if end == "crashed":
            import os

            os.abort()
        if end == "undocumented":
            raise KeyError("x")
        return float("nan") if end == "NaN" else 0.0

    target = _fuzz.Target("CurieWeiss", "planted", planted)
    monkeypatch.setattr(_fuzz, "targets", lambda: [target])
    if end == "hung":
        monkeypatch.setattr(_fuzz, "HANG", 0.5)
    assert _fuzz.fuzz(2, 5.0, seed=1)[end] > 0


def test_a_server_without_limits_is_noticed(monkeypatch) -> None:
    monkeypatch.setattr(_downloads.retina, "MOST_BYTES", 10**12)
    assert _downloads.downloads(["body without end"], timeout=1.0)["too much"] == 1


# --------------------------------------------------------------------- the kept figures


BAD = ("wrong", "left over", "obscure", "executed", "kept", "too long", "too much")
BAD += ("undocumented", "NaN", "mutated", "hung", "crashed")
LEAST = {("killed", name): ("kills", n) for name, n in campaign.KILLS.items()} | {
    ("at once", "two"): ("rounds", 100),
    ("at once", "four"): ("rounds", 100),
    ("no room", "full disks, read-only folders"): ("trials", 150),
    ("damaged", "models, caches, checkpoints, stores"): ("flips", 2_000),
    ("hostile", "servers"): ("trials", 30),
    ("hostile", "arguments"): ("calls", 50_000),
}


def shortcomings(kept: dict[tuple[str, str], dict[str, Any]]) -> list[str]:
    """Return what went wrong in a campaign, and what there was too little of."""
    found = [f"{kind}: {f[b]} {b}" for kind, f in kept.items() for b in BAD if f.get(b)]
    for kind, (name, least) in LEAST.items():
        if (n := kept.get(kind, {}).get(name, 0)) < least:
            found.append(f"{kind}: {n} {name}, wanted {least}")
    arguments = kept[("hostile", "arguments")]
    if arguments["named"] < 0.95 * arguments["refused"]:
        found.append(f"{arguments['named']} of {arguments['refused']} refusals name the argument")
    return found


def test_the_kept_figures_are_good() -> None:
    assert set(LEAST) == set(campaign.KINDS)
    kept = campaign.table(mfvae.load_results("faults")["rows"])
    assert shortcomings(kept) == []
    for kind, name, value in [
        (("killed", "store"), "wrong", 1),
        (("at once", "four"), "rounds", 99),
        (("hostile", "arguments"), "named", 10_000),
        (("hostile", "servers"), "too long", 1),
    ]:
        assert len(shortcomings(kept | {kind: kept[kind] | {name: value}})) == 1


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", campaign.KINDS, ids=lambda kind: "-".join(kind))
def test_a_tenth_of_the_campaign(kind: tuple[str, str]) -> None:
    row = campaign.compute_row(*kind, part=0)
    bad = ("wrong", "obscure", "executed", "undocumented", "NaN", "mutated", "hung", "crashed")
    assert {b: row["figures"][b] for b in bad if row["figures"].get(b)} == {}, row
