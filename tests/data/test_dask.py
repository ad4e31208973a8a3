"""On a Dask cluster of two processes: the same bits as serially, also when one is killed."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import cloudpickle
import joblib
import numpy as np
import pytest
from _sweep import run_sweep
from _works import folder_sha256

import mfvae
from mfvae.data import EquilibriumSamples
from mfvae.systems import CurieWeiss, Ising2D

distributed = pytest.importorskip("distributed")
pytestmark = [
    pytest.mark.slow,
    # distributed 2026.8: sockets and files of workers that were killed are closed by the collector
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::mfvae.data.NotEquilibratedWarning"),
]

TEMPERATURES = np.array([1.5, 2.3, 3.0])


@pytest.fixture(scope="module")
def cluster() -> Iterator[distributed.Client]:
    """A cluster of two processes with a thread each, which get what this file defines by value."""
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        assert len(client.scheduler_info()["workers"]) == 2
        yield client
    cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


@contextlib.contextmanager
def on_both(client: distributed.Client) -> Iterator[None]:
    """Share work among both processes: with one, not yet replaced, joblib would work in ours."""
    client.wait_for_workers(2, timeout=60)
    with joblib.parallel_config(backend="dask"):
        yield


class DeadlyIsing(Ising2D):
    """Kills the first process that draws a chunk, if a file called ``flag`` is there."""

    def __init__(self, length: int, flag: str) -> None:
        super().__init__(length)
        self.flag, self.owner = flag, os.getpid()

    def configuration(self) -> dict:
        return Ising2D(self.length).configuration()

    def sample_chains(self, temperature, n_records, n_chains, **options):
        chains = super().sample_chains(temperature, n_records, n_chains, **options)
        _kill_once(self.flag, self.owner)  # the store asks for one chain here, to learn its shape
        return chains


def _kill_once(flag: str, owner: int) -> None:
    """Kill this process, unless it is the owner, if the file is there, which is gone afterwards."""
    if os.getpid() == owner:
        return
    with contextlib.suppress(FileNotFoundError):
        Path(flag).unlink()
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_store_has_the_same_bits_wherever_it_is_drawn(
    tmp_path: Path, cluster: distributed.Client
) -> None:
    create = EquilibriumSamples.create
    options = {"n_samples": 400, "seed": 3, "n_chains": 24, "progress": False}
    create(tmp_path / "serial", Ising2D(8), TEMPERATURES, **options)
    expected = folder_sha256(tmp_path / "serial")
    flag = tmp_path / "kill"
    with on_both(cluster):
        create(tmp_path / "dask", Ising2D(8), TEMPERATURES, n_jobs=-1, **options)
    assert folder_sha256(tmp_path / "dask") == expected
    flag.touch()
    with on_both(cluster):
        deadly = DeadlyIsing(8, str(flag))
        create(tmp_path / "killed", deadly, TEMPERATURES, n_jobs=-1, **options)
    assert not flag.exists()  # somebody died
    assert folder_sha256(tmp_path / "killed") == expected


def measure(size: int, seed: int, flag: str, owner: int) -> dict[str, float]:
    """Return a row: the mean magnetisation of a few Curie-Weiss samples."""
    x = CurieWeiss(size).sample(1.0, 200, seed=seed)
    if (size, seed) == (32, 1):
        _kill_once(flag, owner)
    return {"magnetisation": float(np.abs(x.mean(axis=1)).mean())}


def test_a_sweep_has_the_same_rows_wherever_it_runs(
    tmp_path: Path, cluster: distributed.Client
) -> None:
    order = [(size, seed) for size in (16, 32) for seed in (0, 1, 2)]
    flag, owner = tmp_path / "kill", os.getpid()

    def rows(name: str, flag: str = "no such file", **options) -> list[dict]:
        found = run_sweep(
            tmp_path / name,
            {"temperature": 1.0},
            order,
            lambda size, seed: measure(size, seed, flag, owner),
            names=("size", "seed"),
            **options,
        )
        return [{k: r[k] for k in ("size", "seed", "magnetisation")} for r in found]

    expected = rows("serial.json")
    assert [(row["size"], row["seed"]) for row in expected] == order
    assert rows("processes.json", n_jobs=2) == expected
    flag.touch()
    with on_both(cluster):
        assert rows("dask.json", str(flag), n_jobs=-1) == expected
    assert not flag.exists()


def test_a_report_is_the_same_wherever_its_models_are_fitted(
    cluster: distributed.Client, monkeypatch
) -> None:
    monkeypatch.setattr("mfvae.report.ladder.LEAST_TO_SHARE", 0)
    latent = np.random.default_rng(0).standard_normal(1200)
    fields = 1.2 * latent[:, None] - 1
    words = (np.random.default_rng(1).random((1200, 16)) < 1 / (1 + np.exp(-fields))).astype(
        np.uint8
    )

    def found() -> dict:
        options = {"ordered": False, "quick": True, "progress": False, "n_jobs": -1}
        told = mfvae.report(words, **options).to_dict()
        for row in told["models"]:
            del row["seconds"]
        return told

    expected = found()
    assert expected["n_latents"] == 1
    with on_both(cluster):
        assert found() == expected
