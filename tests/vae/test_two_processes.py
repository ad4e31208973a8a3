"""Two processes (gloo) train one model: the losses of one process, also resumed after a kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.slow

SCRIPT = """
import json, os, sys, warnings
import torch
import mfvae
from mfvae.systems import CurieWeiss

torch.set_num_threads(1)
n_processes, n_epochs, seed, folder, output = sys.argv[1:]
together = {"strategy": "ddp", "devices": int(n_processes), "accelerator": "cpu"}
vae = mfvae.MeanFieldVAE(
    1, n_epochs=int(n_epochs), polish_steps=0, random_state=int(seed), progress=False,
    checkpoint_path=None if folder == "-" else folder,
    trainer_options=None if n_processes == "1" else together,
)
x = CurieWeiss(64).sample(1.0, 5003, seed=0)  # no batch but the last is even
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    vae.fit(x)
if os.environ.get("LOCAL_RANK", "0") == "0":
    with open(output, "w") as stream:
        json.dump([vae.history_[k] for k in ("loss", "validation_loss")]
                  + [vae.score_samples(x[:50]).tolist()], stream)
"""


def start(folder: Path, *arguments: object) -> subprocess.Popen:
    """Start the script in a process group of its own."""
    (folder / "script.py").write_text(SCRIPT)
    command = [sys.executable, str(folder / "script.py"), *map(str, arguments)]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
    return subprocess.Popen(
        command, cwd=folder, env=environment, start_new_session=True, stderr=subprocess.PIPE
    )


def run(folder: Path, *arguments: object) -> list[np.ndarray]:
    process = start(folder, *arguments)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors.decode()
    return [np.array(values) for values in json.loads(Path(arguments[-1]).read_text())]


def test_two_processes_train_as_one_does(tmp_path: Path) -> None:
    one = run(tmp_path, 1, 6, 0, "-", tmp_path / "one.json")
    two = run(tmp_path, 2, 6, 0, "-", tmp_path / "two.json")
    other = run(tmp_path, 1, 6, 1, "-", tmp_path / "other.json")
    # An epoch of one-row differences between shares of a batch: the same but for rounding, ...
    assert abs(one[1][0] - two[1][0]) < 1e-5 * one[1][0] < abs(one[1][0] - other[1][0])
    # ... which later epochs amplify, by far less than another seed does.
    assert abs(one[1][-1] - two[1][-1]) < 0.3 * abs(one[1][-1] - other[1][-1])


def test_two_processes_go_on_after_a_kill(tmp_path: Path) -> None:
    expected = run(tmp_path, 2, 40, 0, "-", tmp_path / "expected.json")
    folder = tmp_path / "run"
    process = start(tmp_path, 2, 40, 0, folder, tmp_path / "killed.json")
    while not (folder / "last.ckpt").exists():
        assert process.poll() is None, process.communicate()[1].decode()
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (tmp_path / "killed.json").exists()
    found = run(tmp_path, 2, 40, 0, folder, tmp_path / "found.json")
    for here, there in zip(expected, found, strict=True):
        np.testing.assert_allclose(here, there, rtol=1e-6)
