"""Flipped bits, truncations and planted pickles, read through every door."""

from __future__ import annotations

import os
import pickle
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from _disturb import scratch
from _works import X, fingerprint, saved, small_vae, store

import mfvae
from mfvae import MeanFieldVAE
from mfvae.data import EquilibriumSamples
from mfvae.data.store import CorruptStoreError
from mfvae.systems import CurieWeiss
from mfvae.vae.storage import content_hash

__all__ = ["flips"]


class Planted:
    """Executed, it makes the folder ``executed``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self):
        return os.makedirs, (str(self.folder / "executed"),)


def _doors(folder: Path) -> dict[str, tuple[list[Path], Callable[[], Any]]]:
    """Return for every door the files behind it, and how it reads them."""
    model, run, half = folder / "model.pt", folder / "run", folder / "half"
    saved(0).save(model)
    os.environ["MFVAE_CACHE"] = str(folder / "cache")
    options = {"n_epochs": 2}
    small_vae(checkpoint_path=run, **options).fit(X)

    class StopError(Exception):
        pass

    epochs = []

    def redraw(epoch: int):
        epochs.append(epoch)
        if len(epochs) == 2:
            raise StopError
        return X[:90], None

    def fit_half() -> str:
        return fingerprint(small_vae(checkpoint_path=half, **options).fit(X, redraw=redraw))

    try:
        fit_half()
    except StopError:
        epochs[:] = [0, 0]
    store(folder)

    def cached() -> list[str]:
        x = mfvae.sample_cached(CurieWeiss(9), [0.9, 1.1], 40, seed=0)
        return [content_hash(x), fingerprint(mfvae.fit_cached(small_vae(n_epochs=1), X[:32]))]

    cached()

    def opened() -> EquilibriumSamples:
        return EquilibriumSamples.open(folder / "store")

    def drawn(samples: EquilibriumSamples) -> str:
        return content_hash(*samples.arrays(), samples.diagnostics.table)

    files = sorted(f for f in (folder / "store").rglob("*") if f.is_file())
    return {
        "saved model": ([model], lambda: fingerprint(MeanFieldVAE.load(model))),
        "checkpoints, finished": (
            sorted(run.glob("*.*")),
            lambda: fingerprint(small_vae(checkpoint_path=run, **options).fit(X)),
        ),
        "checkpoints, half way": (sorted(half.glob("*.*")), fit_half),
        "caches": (sorted((folder / "cache").iterdir()), cached),
        "store, arrays": (files, lambda: content_hash(*opened().arrays())),
        "store, open": (files, lambda: content_hash(opened().diagnostics.table)),
        "store, resume": (files, lambda: drawn(opened().resume(progress=False))),
        "store, create": (files, lambda: store(folder)),
        "store, verify": (files, lambda: opened().verify()),
        "store, split": (files, lambda: content_hash(*opened().split(0.5)[1].arrays())),
        "store, repair": (files, lambda: drawn(opened().repair(progress=False))),
    }


def _damaged(content: bytes, rng: np.random.Generator, folder: Path) -> tuple[str, bytes]:
    kind = rng.choice(["flip", "cut", "zeros", "pickle"], p=[0.85, 0.05, 0.05, 0.05])
    position = int(rng.integers(len(content)))
    changed = bytearray(content)
    if kind == "flip":
        changed[position] ^= 1 << int(rng.integers(8))
    elif kind == "cut":
        changed = changed[:position]
    elif kind == "zeros":
        changed[position : position + 512] = bytes(len(changed[position : position + 512]))
    else:
        changed = pickle.dumps(Planted(folder), protocol=int(rng.integers(6)))
    return kind, bytes(changed)


def flips(n: int, seed: int) -> dict[str, Any]:
    """Damage one file at a time and read: an error that names it, or the same result."""
    rng = np.random.default_rng(seed)
    names = ("trials", "flips", "refused", "same", "pickles", "executed", "obscure", "wrong")
    figures, examples = dict.fromkeys(names, 0), []
    with scratch() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        doors = _doors(folder)
        whole = folder.with_name(folder.name + "-whole")
        shutil.copytree(folder, whole)
        expected = {name: read() for name, (_, read) in doors.items()}
        for half in whole.glob("half"):  # that finished it
            _restore(half, folder / "half")
        weights = np.array([1.0 if name != "caches" else 0.5 for name in doors])
        while figures["flips"] < n:
            name = str(rng.choice(list(doors), p=weights / weights.sum()))
            files, read = doors[name]
            file = files[int(rng.integers(len(files)))]
            content = file.read_bytes()
            kind, changed = _damaged(content, rng, folder)
            file.write_bytes(changed)
            figures["trials"] += 1
            figures["flips"] += kind == "flip"
            figures["pickles"] += kind == "pickle"
            untouched = changed == content
            verdict, told = _verdict(read, expected.get(name), untouched)
            figures[verdict] += verdict in figures
            if (folder / "executed").exists():
                figures["executed"] += 1
                (folder / "executed").rmdir()
            if verdict in ("wrong", "obscure"):
                examples.append(f"{name}, {file.relative_to(folder)}, {kind}: {told[:500]}")
            for part in ("model.pt", "run", "half", "cache", "store"):
                if part == file.relative_to(folder).parts[0]:
                    _restore(whole / part, folder / part)
        shutil.rmtree(whole)
    return figures | {"examples": examples[:5]}


def _verdict(read: Callable[[], Any], expected: Any, untouched: bool) -> tuple[str, str]:
    try:
        result = read()
    except (CorruptStoreError, ValueError, FileExistsError, FileNotFoundError) as error:
        named = any(word in str(error) for word in ("model.pt", "/run", "/half", "/store"))
        return ("refused" if named else "obscure"), f"{type(error).__name__}: {error}"
    except Exception as error:
        if untouched:
            return "same", ""
        return "obscure", f"{type(error).__name__}: {error}"
    return ("same" if result == expected else "wrong"), f"returned {result!r}"


def _restore(whole: Path, part: Path) -> None:
    if whole.is_file():
        shutil.copy(whole, part)
    else:
        shutil.rmtree(part)
        shutil.copytree(whole, part)
