"""What every test shares: quiet threads, no display, a cache of its own, no global randomness."""

from __future__ import annotations

import os
import sys
from pathlib import Path

# The scripts of the long sweeps, the campaign of faults, and what tests share: imported by name.
sys.path.insert(0, str(Path(__file__).parents[1] / "book" / "results"))
sys.path.insert(0, str(Path(__file__).parent / "faults"))
sys.path.insert(0, str(Path(__file__).parent / "helpers"))

# Before NumPy, torch and Numba are imported: the workers of `make test -n 2` share two cores.
if "PYTEST_XDIST_WORKER" in os.environ:
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ.setdefault(variable, "1")
os.environ.setdefault("MPLBACKEND", "Agg")

import numpy as np
import pytest


@pytest.fixture(scope="session", autouse=True)
def cache_of_its_own(tmp_path_factory):
    """Keep trained models and samples of the tests out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MFVAE_CACHE", str(tmp_path_factory.mktemp("mfvae-cache")))
        yield


@pytest.fixture(autouse=True)
def global_random_state_untouched():
    """Fail a test that seeds or draws from NumPy's global generator."""
    before = np.random.get_state(legacy=False)["state"]  # noqa: NPY002
    yield
    after = np.random.get_state(legacy=False)["state"]  # noqa: NPY002
    untouched = before["pos"] == after["pos"] and np.array_equal(before["key"], after["key"])
    assert untouched, "the test used NumPy's global random state"
