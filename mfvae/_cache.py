"""Nothing is drawn or trained twice: samples and models kept by content.

The key of an entry is a hash of everything it follows from: the configuration, the data and
the source code behind it. Samples follow from `mfvae.systems`, trained models from that and
`mfvae.vae` (a module imports only from those before it). A changed package therefore never
meets an old result. Entries live in the folder ``MFVAE_CACHE``, or the user's cache; deleting it
costs time only.
"""

from __future__ import annotations

import functools
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pooch

from mfvae.vae.estimator import MeanFieldVAE
from mfvae.vae.storage import content_hash, plain, replace_file

__all__ = ["fit_cached", "sample_cached"]


@functools.cache
def _code_hash(rooms: tuple[str, ...]) -> str:
    """Return one hash of the modules shared by all and of the given rooms of the package."""
    package = Path(__file__).parent
    patterns = ["_*.py", *(f"{room}/**/*.py" for room in rooms)]
    sources = [source for pattern in patterns for source in package.glob(pattern)]
    texts = {str(source.relative_to(package)): source.read_text() for source in sources}
    return content_hash(text=json.dumps(texts, sort_keys=True))


def _path(name: str, rooms: tuple[str, ...], configuration: dict[str, Any], *arrays: Any) -> Path:
    """Return where an entry is kept, in a folder that is made if need be."""
    folder = Path(os.environ.get("MFVAE_CACHE") or pooch.os_cache("mfvae") / "results")
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps([configuration, _code_hash(rooms)], sort_keys=True, default=plain)
    return folder / name.format(content_hash(*arrays, text=text)[:32])


def sample_cached(
    system: Any, temperature: Any, n_samples: int, *, seed: int, **options: Any
) -> np.ndarray:
    """Return ``system.sample(temperature, n_samples, seed=seed, **options)``, drawn once."""
    configuration = {
        "system": system.configuration(),
        "temperature": np.asarray(temperature, dtype=float).tolist(),
        "n_samples": n_samples,
        "seed": seed,
        "options": options,
    }
    path = _path(f"{type(system).__name__}-{{}}.npz", ("systems",), configuration)
    if path.exists():
        try:
            with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as archive:
                return archive["x"]
        except Exception:  # damaged, in whichever of a zip archive's many ways
            path.unlink(missing_ok=True)
    x = system.sample(temperature, n_samples, seed=seed, **options)
    replace_file(path, lambda stream: np.savez_compressed(stream, x=x))
    return x


def fit_cached(
    vae: MeanFieldVAE,
    X: np.ndarray,
    *,
    conditions: np.ndarray | None = None,
    validation: float | tuple | None = None,
) -> MeanFieldVAE:
    """Return ``vae.fit(X, …)``, trained once for these parameters, data and code.

    Args:
        vae: An untrained model; its ``training_seconds_`` afterwards is what training took when it
            was done.
        X, conditions, validation: As in ``MeanFieldVAE.fit``.

    >>> import mfvae
    >>> x = mfvae.systems.CurieWeiss(16).sample(1.5, 200, seed=0)
    >>> vae = mfvae.fit_cached(mfvae.MeanFieldVAE(1, n_epochs=1, progress=False), x)
    >>> vae.transform(x).shape
    (200, 1)
    """
    given = isinstance(validation, tuple)
    parameters = vae.get_params()
    for shown_only in ("progress", "checkpoint_path"):
        del parameters[shown_only]
    configuration = {"parameters": parameters, "validation": "given" if given else validation}
    arrays = (X, conditions, *(validation if given else (None, None)))
    path = _path("vae-{}.pt", ("systems", "vae"), configuration, *arrays)
    try:
        trained = MeanFieldVAE.load(path)
    except (FileNotFoundError, ValueError):  # ValueError: damaged
        vae.fit(X, conditions=conditions, validation=validation).save(path)
        return vae
    vars(vae).update({name: value for name, value in vars(trained).items() if name[-1] == "_"})
    return vae
