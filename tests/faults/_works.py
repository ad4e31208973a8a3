"""What is done while it is disturbed: each work leaves something on disk and can be repeated."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from _sweep import run_sweep

import mfvae
import mfvae.report.ladder
import mfvae.report.page
import mfvae.vae.training
from mfvae import MeanFieldVAE
from mfvae.data import EquilibriumSamples
from mfvae.systems import CurieWeiss
from mfvae.vae.storage import content_hash

__all__ = ["WORKS", "Work", "fingerprint", "folder_sha256", "small_vae"]

X = CurieWeiss(9).sample(0.9, 100, seed=0)
WORDS = (np.random.default_rng(0).random((300, 5)) < 0.3).astype(np.uint8)


class Work(NamedTuple):
    """``run(folder)`` returns a fingerprint of its result; ``prepare(folder)`` comes before."""

    run: Callable[[Path], Any]
    prepare: Callable[[Path], None] = lambda folder: None
    refusals: tuple[str, ...] = ()  # what the second of two at once may be told


def small_vae(**options: Any) -> MeanFieldVAE:
    given = {"encoder_options": {"widths": (8,)}, "decoder": "linear", "n_epochs": 3}
    given |= {"prior": "normal", "batch_size": 64, "progress": False, "device": "cpu"}
    return MeanFieldVAE(1, **{**given, **options})


def fingerprint(vae: MeanFieldVAE) -> str:
    """Return a hash of weights and losses."""
    text = json.dumps([vae.history_["loss"], vae.history_["epoch"]])
    return content_hash(*vae.module_.state_dict().values(), text=text)


def folder_sha256(folder: Path) -> str:
    """Return the SHA-256 of names and contents of all files, in sorted order."""
    digest = hashlib.sha256()
    for file in sorted(p for p in folder.rglob("*") if p.is_file()):
        digest.update(str(file.relative_to(folder)).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def fit(folder: Path, **options: Any) -> str:
    """Fit and keep the end of every epoch; with ``patience``, as users do, of some."""
    mfvae.vae.training.WRITING = 0.05 if "patience" in options else 1.0
    return fingerprint(small_vae(checkpoint_path=folder / "run", **options).fit(X))


PATIENT = {"n_epochs": 12, "patience": 2, "learning_rate": 1e-9, "schedule": "constant"}


def fit_elsewhere(folder: Path) -> str:
    """As ``fit``, with the temporaries on another file system where there is one."""
    import tempfile

    tempfile.tempdir = "/dev/shm" if os.path.isdir("/dev/shm") else None
    return fit(folder)


def store(folder: Path) -> str:
    samples = EquilibriumSamples.create(
        folder / "store", CurieWeiss(9), [0.9, 1.1], 200, seed=1, n_chains=8,
        exist_ok=True, progress=False,
    )  # fmt: skip
    samples.verify()
    assert not (folder / "store.partial").exists() or os.environ.get("MFVAE_AT_ONCE")
    return folder_sha256(folder / "store")


def saved(seed: int) -> MeanFieldVAE:
    if seed not in _SAVED:
        _SAVED[seed] = small_vae(n_epochs=1, random_state=seed).fit(X)
    return _SAVED[seed]


_SAVED: dict[int, MeanFieldVAE] = {}


def save(folder: Path) -> str:
    """Save over an older model; at any moment there must be a whole one."""
    path = folder / "model.pt"
    assert fingerprint(MeanFieldVAE.load(path)) in {fingerprint(saved(s)) for s in (0, 1)}
    saved(1).save(path)
    return fingerprint(MeanFieldVAE.load(path))


def save_first(folder: Path) -> None:
    saved(0).save(folder / "model.pt")
    saved(1)


def caches(folder: Path) -> list[str]:
    os.environ["MFVAE_CACHE"] = str(folder / "cache")
    x = mfvae.sample_cached(CurieWeiss(9), [0.9, 1.1], 40, seed=0)
    return [content_hash(x), fingerprint(mfvae.fit_cached(small_vae(n_epochs=1), X))]


def sweep(folder: Path, own: Callable[[tuple], bool] = lambda key: True) -> list:
    order = [(name, number) for name in "ab" for number in range(4)]
    rows = run_sweep(
        folder / "rows.json", {"kept": 1}, order, lambda name, number: {"y": 2.0 * number},
        names=("name", "number"), wanted=own,
    )  # fmt: skip
    return [(row["name"], row["number"], row["y"]) for row in rows]


def report(folder: Path) -> str:
    """A report with short trainings and without pictures, which take most of the time."""
    MeanFieldVAE.fit, mfvae.report.ladder.polish = _fit_shortly, _polish_shortly
    mfvae.report.page.figures = lambda report: []
    found = mfvae.report(WORDS, quick=True, folder=folder / "stages", progress=False)
    found.to_html(folder / "report.html")
    found.to_json(folder / "report.json")
    kept = found.to_dict()
    for row in kept["models"]:
        row.pop("seconds", None)
    with contextlib.suppress(KeyError):
        kept.pop("time")
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


_FIT = MeanFieldVAE.fit


def _fit_shortly(vae: MeanFieldVAE, *words: np.ndarray, **options: Any) -> MeanFieldVAE:
    return _FIT(vae.set_params(n_epochs=2), *words, **options)


_POLISH = mfvae.report.ladder.polish


def _polish_shortly(*parts: Any) -> None:
    _POLISH(*parts[:-1], parts[-1] | {"polish_steps": 10})


WORKS = {
    "store": Work(store, refusals=("another process is drawing", "cannot write the store")),
    "fit": Work(fit, refusals=("another fit is at work",)),
    "fit with patience": Work(
        lambda folder: fit(folder, **PATIENT), refusals=("another fit is at work",)
    ),
    "fit, temporaries elsewhere": Work(fit_elsewhere, refusals=("another fit is at work",)),
    "save": Work(save, save_first),
    "caches": Work(caches),
    "sweep": Work(sweep),
    "report": Work(report),
}
