"""Kernels kept on disk: an edit of any file of the room is noticed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[3] / "mfvae"
SCRIPT = """
import numpy as np
from mfvae.systems.kernels import random, wolff
state = np.arange(1, 5, dtype=np.uint64)
print(random.draw_bits(state), sum(wolff.metropolis_sweeps.stats.cache_hits.values()))
spins = np.ones(16, np.uint8)
table, thresholds = wolff.neighbour_table(4), wolff.flip_thresholds(0.3)
wolff.metropolis_sweeps(spins, state, table, thresholds, 1)
print(sum(wolff.metropolis_sweeps.stats.cache_hits.values()), "".join(map(str, spins)))
"""


def run(folder: Path) -> list[str]:
    environment = os.environ | {"PYTHONPATH": str(folder), "NUMBA_CACHE_DIR": str(folder / "kept")}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        capture_output=True,
        text=True,
        check=True,
        cwd=folder,
        env=environment,
        timeout=300,
    )
    return done.stdout.split()


@pytest.mark.parametrize("inlined", ["random.py"])
def test_an_edit_of_what_a_kernel_inlines_recompiles_it(tmp_path: Path, inlined: str) -> None:
    shutil.copytree(PACKAGE, tmp_path / "mfvae", ignore=shutil.ignore_patterns("__pycache__"))
    first = run(tmp_path)
    again = run(tmp_path)
    assert first[2] == "0"
    assert again[2] == "1"  # taken from disk
    assert first[3] == again[3]
    source = tmp_path / "mfvae" / "systems" / "kernels" / inlined
    text = source.read_text()
    assert "_xoshiro(64, 23, 17, 45)" in text
    source.write_text(text.replace("_xoshiro(64, 23, 17, 45)", "_xoshiro(64, 24, 17, 45)"))
    edited = run(tmp_path)
    assert edited[2] == "0"  # compiled anew, though its own file is the same
    assert edited[0] != first[0]
    assert edited[3] != first[3]
