"""Nothing is drawn or trained twice: samples and models kept by content.

The key of an entry is a hash of everything it follows from: the configuration, the data and
the source code behind it. Samples follow from `mfvae.systems`, trained models from that and
`mfvae.vae` (a module imports only from those before it), other arrays from the whole package. A
changed package therefore never meets an old result.
Entries live in the folder ``MFVAE_CACHE``, or the user's cache; deleting it costs time only.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mfvae.vae.estimator import MeanFieldVAE
from mfvae.vae.storage import replace_file

__all__ = ["cache_folder", "cached_arrays", "fit_cached", "sample_cached"]


def cache_folder() -> Path:
    """Return the folder of kept results, made if need be."""
    given = os.environ.get("MFVAE_CACHE")
    if given:
        folder = Path(given)
    else:
        import pooch

        folder = Path(pooch.os_cache("mfvae")) / "results"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@functools.cache
def _code_hash(rooms: tuple[str, ...]) -> str:
    """Return one hash of the modules shared by all and of the given rooms of the package."""
    package = Path(__file__).parent
    sources = list(package.glob("_*.py"))
    for room in rooms:
        sources += (package / room).rglob("*.py")
    digest = hashlib.sha256()
    for source in sorted(set(sources)):
        digest.update(str(source.relative_to(package)).encode() + b"\0" + source.read_bytes())
    return digest.hexdigest()


def _plain(value: Any) -> Any:
    # The text of a long array leaves out its middle, so it cannot stand for the array.
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else repr(value)


def _key(rooms: tuple[str, ...], configuration: dict[str, Any], *arrays: np.ndarray | None) -> str:
    text = json.dumps([configuration, _code_hash(rooms)], sort_keys=True, default=_plain)
    digest = hashlib.sha256(text.encode())
    for array in arrays:
        if array is None:
            digest.update(b"none")
        else:
            array = np.ascontiguousarray(array)
            digest.update(f"{array.dtype}{array.shape}".encode())
            digest.update(array.data if array.size else b"")
    return digest.hexdigest()[:32]


def cached_arrays(
    name: str, configuration: dict[str, Any], compute: Callable[[], dict[str, np.ndarray]]
) -> dict[str, np.ndarray]:
    """Return the arrays of ``compute()``, from the cache if they are there.

    Args:
        name (str): Beginning of the file's name, for people who look into the folder.
        configuration (dict): Everything ``compute`` depends on besides the code of this package, as
            plain data.
        compute (callable): Returns a dict of arrays.

    Returns:
        dict of numpy.ndarray: What ``compute`` returned, now or earlier.
    """
    return _kept(f"{name}-{_key(('.',), configuration)}", compute)


def _kept(name: str, compute: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    path = cache_folder() / f"{name}.npz"
    if path.exists():
        try:
            with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as archive:
                return {key: archive[key] for key in archive.files}
        except Exception:  # damaged, in whichever of a zip archive's many ways
            path.unlink(missing_ok=True)
    arrays = compute()
    replace_file(path, lambda stream: np.savez_compressed(stream, **arrays))
    return arrays


def sample_cached(
    system: Any, temperature: Any, n_samples: int, *, seed: int, **options: Any
) -> np.ndarray:
    """Return ``system.sample(temperature, n_samples, seed=seed, **options)``, drawn once.

    Args:
        system (System): Any system of `mfvae.systems`.
        temperature, n_samples, seed, options: As in its ``sample``.

    Returns:
        numpy.ndarray: The configurations.
    """
    configuration = {
        "system": system.configuration(),
        "temperature": np.asarray(temperature, dtype=float).tolist(),
        "n_samples": n_samples,
        "seed": seed,
        "options": options,
    }
    draw = functools.partial(system.sample, temperature, n_samples, seed=seed, **options)
    name = f"{type(system).__name__}-{_key(('systems',), configuration)}"
    return _kept(name, lambda: {"x": draw()})["x"]


def fit_cached(
    vae: MeanFieldVAE,
    X: np.ndarray,
    *,
    conditions: np.ndarray | None = None,
    validation: float | tuple | None = None,
) -> MeanFieldVAE:
    """Return ``vae.fit(X, …)``, trained once for these parameters, data and code.

    Args:
        vae (MeanFieldVAE): An untrained model; its ``training_seconds_`` afterwards is what
            training took when it was done.
        X, conditions, validation: As in ``MeanFieldVAE.fit``.

    Returns:
        MeanFieldVAE: ``vae``, trained.

    >>> import mfvae
    >>> x = mfvae.systems.CurieWeiss(16).sample(1.5, 200, seed=0)
    >>> vae = mfvae.fit_cached(mfvae.MeanFieldVAE(1, n_epochs=1, progress=False), x)
    >>> vae.transform(x).shape
    (200, 1)
    """
    pair = validation if isinstance(validation, tuple) else (None, None)
    parameters = vae.get_params()
    for shown_only in ("progress", "checkpoint_path"):
        del parameters[shown_only]
    configuration = {
        "parameters": parameters,
        "validation": "given" if isinstance(validation, tuple) else validation,
    }
    path = (
        cache_folder() / f"vae-{_key(('systems', 'vae'), configuration, X, conditions, *pair)}.pt"
    )
    if path.exists():
        try:
            trained = MeanFieldVAE.load(path)
        except ValueError:
            path.unlink(missing_ok=True)  # damaged: trained again below
        else:
            for name, value in vars(trained).items():
                if name.endswith("_"):
                    setattr(vae, name, value)
            return vae
    vae.fit(X, conditions=conditions, validation=validation)
    vae.save(path)
    return vae
