"""Nothing is drawn or trained twice: samples and models kept by content.

The key of an entry is a hash of everything it follows from: the configuration, the data, the
versions of the libraries and the source code behind it. Samples follow from `mfvae.systems`,
trained models from that and `mfvae.vae` (a module imports only from those before it), both from a
class of the user's own: its methods count, functions that these call do not. Entries live in the
folder ``MFVAE_CACHE``, or the user's cache; deleting it costs time only.
"""

import contextlib
import functools
import json
import os
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from types import CodeType
from typing import Any

import numpy as np
import pooch

from mfvae._validation import check_temperatures
from mfvae.vae.estimator import MeanFieldVAE
from mfvae.vae.storage import content_hash, plain, replace_file

__all__ = ["fit_cached", "sample_cached"]

_KNOWN = ("abc", "builtins", "mfvae", "sklearn")  # their classes are known by their versions
_LIBRARIES = ("lightning", "nflows", "numba", "numpy", "scikit-learn", "scipy", "torch")


@functools.cache
def _code_hash(rooms: tuple[str, ...]) -> str:
    """Return one hash of the modules shared by all and of the given rooms of the package."""
    package = Path(__file__).parent
    patterns = ["_*.py", *(f"{room}/**/*.py" for room in rooms)]
    sources = [source for pattern in patterns for source in package.glob(pattern)]
    texts = {str(source.relative_to(package)): source.read_text() for source in sources}
    versions = {name: version(name) for name in _LIBRARIES}
    return content_hash(text=json.dumps([texts, versions], sort_keys=True))


def _own_code(value: Any) -> Any:
    """Return what the methods of a class outside the package do, without names of places."""
    if isinstance(value, type):
        own = [kind for kind in value.__mro__ if kind.__module__.split(".")[0] not in _KNOWN]
        entries = [entry for kind in own for entry in sorted(vars(kind).items())]
        return [[k, _own_code(v)] for k, v in entries if k[:2] != "__" or callable(v)]
    for inside in ("__func__", "fget", "__code__"):  # class methods, properties, functions
        value = getattr(value, inside, value)
    if isinstance(value, CodeType):
        return [value.co_code.hex(), value.co_names, [_own_code(c) for c in value.co_consts]]
    return value if isinstance(value, (bool, int, float, str, tuple)) else type(value).__name__


def _path(name: str, rooms: tuple[str, ...], maker: Any, about: Any, *arrays: Any) -> Path:
    """Return where the entry of what ``maker``, of the package or a user's own, makes is kept."""
    folder = Path(os.environ.get("MFVAE_CACHE") or pooch.os_cache("mfvae") / "results")
    key = [about, _code_hash(rooms), _own_code(type(maker))]
    text = json.dumps(key, sort_keys=True, default=plain)
    return folder / name.format(content_hash(*arrays, text=text)[:32])


def _keep(path: Path, write: Callable[[], None]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write()
    except OSError as error:
        warnings.warn(f"the result cannot be kept in {path.parent}: {error}", stacklevel=3)


def sample_cached(
    system: Any, temperature: Any, n_samples: int, *, seed: int, **options: Any
) -> np.ndarray:
    """Return ``system.sample(temperature, n_samples, seed=seed, **options)``, drawn once."""
    if not hasattr(system, "configuration"):
        raise TypeError(f"system must have a method configuration: {type(system).__name__}")
    temperatures, single = check_temperatures(temperature)
    about = [system.configuration(), temperatures.tolist(), single, n_samples, seed, options]
    path = _path(f"{type(system).__name__}-{{}}.npz", ("systems",), system, about)
    if path.is_file():
        # Damaged, in whichever of a zip archive's many ways: it is drawn again.
        with (
            contextlib.suppress(Exception),
            open(path, "rb") as stream,
            np.load(stream, allow_pickle=False) as archive,
        ):
            return archive["x"]
    x = system.sample(temperature, n_samples, seed=seed, **options)
    _keep(path, lambda: replace_file(path, lambda stream: np.savez_compressed(stream, x=x)))
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
    if not isinstance(vae, MeanFieldVAE):
        raise TypeError(f"vae must be a MeanFieldVAE, got {type(vae).__name__}")
    given = isinstance(validation, tuple)
    about = vae.get_params() | {"validation": "given" if given else validation}
    for shown_only in ("progress", "checkpoint_path"):
        del about[shown_only]
    arrays = (X, conditions, *(validation if given else (None, None)))
    arrays = [None if array is None else np.asanyarray(array) for array in arrays]
    path = _path("vae-{}.pt", ("systems", "vae"), vae, about, *arrays)
    try:
        trained = MeanFieldVAE.load(path)
    except (OSError, ValueError):  # not there, or damaged
        vae.fit(X, conditions=conditions, validation=validation)
        _keep(path, lambda: vae.save(path))
        return vae
    vars(vae).update({name: value for name, value in vars(trained).items() if name[-1] == "_"})
    return vae
