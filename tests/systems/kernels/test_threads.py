"""Sampling in threads must leave torch's alone."""

from __future__ import annotations

import subprocess
import sys

import numba
from numba import config

from mfvae.systems.kernels.running import thread_count

SCRIPT = """
import os, sys
os.environ["NUMBA_NUM_THREADS"] = "2"
import numba
from numba.np.ufunc import parallel
from mfvae.systems import Ising2D
Ising2D(4).sample(2.0, 4, seed=0)
if sys.argv[1] == "numba":
    numba.get_num_threads()
print(parallel._is_initialized)
"""


def started_pool(how: str) -> bool:
    command = [sys.executable, "-c", SCRIPT, how]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    return done.stdout.strip() == "True"


def test_sampling_does_not_start_numbas_openmp_threads() -> None:
    assert not started_pool("sample")
    assert started_pool("numba")  # negative control


def test_thread_count_follows_numba() -> None:
    assert 1 <= thread_count() <= config.NUMBA_NUM_THREADS
    before = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        assert thread_count() == 1
    finally:
        numba.set_num_threads(before)
