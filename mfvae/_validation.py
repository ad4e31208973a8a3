"""One place for checking what a user hands in.

Every function returns its argument in canonical form or raises ``TypeError`` (wrong kind
of object) or ``ValueError`` (right kind, wrong value), naming the argument, what it was,
and what is expected. The last few look for traps in rows of two letters, and warn.
"""

from __future__ import annotations

import numbers
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from mfvae.vae.estimator import MeanFieldVAE

FEW = 10  # a column with fewer ones, or zeros, and fewer than one in a hundred, is near-dead
DUPLICATE = 0.97  # correlation coefficient above which two columns count as one


def check_count(value: object, name: str, *, minimum: int = 1, maximum: int = 2**31 - 1) -> int:
    """Return ``value`` as an int between ``minimum`` and ``maximum`` (bools are refused)."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} must be an integer, got {type(value).__name__}: {value!r}")
    if value < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {value}")
    if value > maximum:
        raise ValueError(f"{name} must be at most {maximum}, got {value}")
    return int(value)


def check_number(
    value: object,
    name: str,
    *,
    minimum: float = -np.inf,
    maximum: float = np.inf,
    positive: bool = False,
) -> float:
    """Return ``value`` as a finite float in ``[minimum, maximum]``, above 0 if ``positive``."""
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a real number, got {type(value).__name__}: {value!r}")
    number = float(value)
    if not np.isfinite(number):
        raise ValueError(f"{name} must be finite, got {number}")
    if positive and number <= 0:
        raise ValueError(f"{name} must be positive, got {number}")
    if not minimum <= number <= maximum:
        raise ValueError(f"{name} must lie in [{minimum}, {maximum}], got {number}")
    return number


def check_temperature(value: object, name: str = "temperature") -> float:
    """Return one temperature in units of J/k_B: a positive float whose powers are floats, too."""
    return check_number(value, name, minimum=1e-100, maximum=1e100, positive=True)


def check_temperatures(value: object, name: str = "temperature") -> tuple[np.ndarray, bool]:
    """Return temperatures as a float64 vector, and whether a single number was given."""
    if not isinstance(value, (list, tuple)) and np.ndim(value) == 0:
        return np.array([check_temperature(value, name)]), True
    temperatures = check_finite_array(value, name, ndim=1)
    for one in temperatures:
        check_temperature(one, name)
    return temperatures, False


def check_fraction(value: object, name: str) -> float:
    """Return ``value`` as a float strictly between 0 and 1."""
    number = check_number(value, name)
    if not 0 < number < 1:
        raise ValueError(f"{name} must lie strictly between 0 and 1, got {number}")
    return number


def check_lattice_shape(value: object, n_sites: int) -> tuple[int, int]:
    """Return ``(rows, columns)`` of a lattice of ``n_sites`` sites."""
    if not isinstance(value, (list, tuple)):
        raise TypeError(f"lattice_shape must be (rows, columns), got {value!r}")
    shape = tuple(check_count(length, "lattice_shape") for length in value)
    if len(shape) != 2 or shape[0] * shape[1] != n_sites:
        raise ValueError(f"lattice_shape must be (rows, columns): {shape} does not hold {n_sites}")
    return shape


def check_path(value: object, name: str = "path") -> Path:
    """Return ``value``, a string or a path, as a Path."""
    if not isinstance(value, (str, os.PathLike)) or "\0" in os.fspath(value) or value == "":
        raise TypeError(f"{name} must be a path, got {type(value).__name__}: {value!r}")
    return Path(value)


def check_choice(value: object, name: str, choices: tuple[str, ...]) -> str:
    """Return ``value`` if it is one of the strings in ``choices``."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be one of {choices}, got {type(value).__name__}: {value!r}")
    if value not in choices:
        raise ValueError(f"{name} must be one of {choices}, got {value!r}")
    return value


def check_finite_array(
    value: object,
    name: str,
    *,
    ndim: int | None = None,
    shape: tuple[int | None, ...] | None = None,
    dtype: type | None = np.float64,
) -> np.ndarray:
    """Return ``value`` as a non-empty array of finite real numbers.

    It has ``ndim`` axes, or is of a ``shape`` in which None stands for any length.
    """
    if value is None or isinstance(value, (str, bytes, dict)):
        raise TypeError(f"{name} must be an array of numbers, got {type(value).__name__}")
    if any(map(np.ma.is_masked, value if isinstance(value, (list, tuple)) else (value,))):
        raise ValueError(f"{name} must not be masked: the values behind a mask would count")
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name} must be a rectangular array of numbers: {error}") from None
    if array.dtype == object or array.dtype.kind not in "biuf":
        raise TypeError(f"{name} must hold real numbers, got dtype {array.dtype}")
    ndim = len(shape) if shape else ndim
    if ndim is not None and array.ndim != ndim:
        raise ValueError(f"{name} must have {ndim} axes, got shape {array.shape}")
    if shape and any(n and n != got for n, got in zip(shape, array.shape, strict=True)):
        wanted = str(shape).replace("None", "n")
        raise ValueError(f"{name} must have shape {wanted}, got {array.shape}")
    if array.size == 0:
        raise ValueError(f"{name} must not be empty, got shape {array.shape}")
    if array.dtype.kind == "f" and not np.all(np.isfinite(array)):
        raise ValueError(f"{name} must be finite, found NaN or infinity")
    return np.asarray(array, dtype=dtype)


def check_spins(value: object, n_sites: int | None = None, name: str = "x") -> np.ndarray:
    """Return configurations of spins as int8 ``(n_samples, n_sites)`` with values -1 and +1."""
    array = check_finite_array(value, name, shape=(None, n_sites), dtype=None)
    if array.dtype.kind == "b" or not np.all((array == 1) | (array == -1)):
        raise ValueError(f"{name} must hold spins -1 and +1 only")
    return array.astype(np.int8, copy=False)


def check_two_letters(value: object, name: str = "x", n_sites: int | None = None) -> np.ndarray:
    """Return spins -1, +1 or words of 0, 1 as bool ``(n_samples, n_sites)``, True for +1 or 1."""
    array = check_finite_array(value, name, shape=(None, n_sites), dtype=None)
    up = array == 1
    if not (np.all(up | (array == -1)) or np.all(up | (array == 0))):
        raise ValueError(f"{name} must hold spins -1 and +1, or words of 0 and 1")
    return up


def check_directors(value: object, name: str = "x", *, ndim: int | None = None) -> np.ndarray:
    """Return unit vectors ``(..., 3)`` as float64; lengths may be off by 1e-3 (float32 data)."""
    array = check_finite_array(value, name, ndim=ndim)
    if array.ndim == 0 or array.shape[-1] != 3:
        raise ValueError(f"{name} must have a last axis of length 3, got shape {array.shape}")
    if np.max(np.abs(np.einsum("...k,...k->...", array, array) - 1.0)) > 2e-3:
        raise ValueError(f"{name} must hold unit vectors; normalise them first")
    return array


def check_conditions(value: object, n_samples: int, n_expected: int | None = None) -> np.ndarray:
    """Return conditions as float64 ``(n_samples, n_conditions)``; None has no columns.

    With ``n_expected`` the number of columns must be that of a trained model.
    """
    if value is None:
        if n_expected:
            raise ValueError(f"conditions must be given, {n_expected} as in training")
        return np.zeros((n_samples, 0))
    array = check_finite_array(value, "conditions")
    array = array[:, None] if array.ndim == 1 else array
    if array.ndim != 2 or len(array) != n_samples:
        wanted = f"({n_samples},) or ({n_samples}, n_conditions)"
        raise ValueError(f"conditions must have shape {wanted}, got {np.shape(value)}")
    if n_expected is not None and array.shape[1] != n_expected:
        raise ValueError(f"conditions must have {n_expected} column(s), got {array.shape[1]}")
    return array


def check_trained(vae: object, name: str = "vae") -> MeanFieldVAE:
    """Return ``vae``, a trained MeanFieldVAE; NotFittedError (scikit-learn) if it is untrained."""
    from sklearn.utils.validation import check_is_fitted

    from mfvae.vae.estimator import MeanFieldVAE

    if not isinstance(vae, MeanFieldVAE):
        raise TypeError(f"{name} must be a MeanFieldVAE, got {type(vae).__name__}")
    check_is_fitted(vae, "module_", msg=f"{name}, a %(name)s, is not fitted yet: call fit first")
    return vae


def check_seed(seed: object, name: str = "seed") -> np.random.SeedSequence:
    """Return a fresh ``SeedSequence`` for ``seed``, an int >= 0 or a ``SeedSequence``.

    A ``SeedSequence`` is copied with its spawn counter at zero: spawning from the copy neither
    changes the caller's object nor depends on its history, and the same seed gives the same bits.
    """
    if isinstance(seed, np.random.SeedSequence):
        kept = {name: getattr(seed, name) for name in ("entropy", "spawn_key", "pool_size")}
        return np.random.SeedSequence(**kept)
    if isinstance(seed, (bool, np.bool_)) or not isinstance(seed, numbers.Integral):
        raise TypeError(f"{name} must be an integer or numpy.random.SeedSequence, got {seed!r}")
    if seed < 0:
        raise ValueError(f"{name} must not be negative, got {seed}")
    return np.random.SeedSequence(int(seed))


class Columns(NamedTuple):
    """Constant columns, pairs (column, its double) and a sentence about each trap."""

    dead: np.ndarray
    doubles: list[tuple[int, int]]
    warnings: list[str]


def check_columns(x: np.ndarray, names: list[str], *, least: float = DUPLICATE) -> Columns:
    """Return what is wrong with the columns of x, uint8 (n_rows, n_columns) of 0 and 1.

    Columns are doubles where they correlate by more than ``least``, up to the sign.
    """
    n, texts = len(x), []
    if x.shape[1] >= max(50, 2 * n):
        texts.append(
            f"transposed? {n} rows of {x.shape[1]} columns: rows must be words (bins of time), "
            "columns cells; hand in X.T if it is the other way round"
        )
    ones = x.sum(axis=0, dtype=np.int64)
    few = np.minimum(ones, n - ones)
    dead, near = few == 0, (few > 0) & (few < min(FEW, n / 100))
    if dead.any():
        texts.append(f"{dead.sum()} dead columns never change: {first_names(names, dead)}")
    if near.any():
        which = first_names(names, near)
        texts.append(f"{near.sum()} near-dead columns hardly ever change: {which}")
    doubles: dict[int, int] = {}
    # As many rows as tell columns apart, in about a second however many columns there are.
    most = min(50_000, max(2_000, 3 * 10**10 // x.shape[1] ** 2))
    z = standardized(x[:: max(1, n // most)])
    for i, j in np.argwhere(np.triu(np.abs(z.T @ z) > least * len(z), 1)):
        if i not in doubles and j not in doubles:
            doubles[int(j)] = int(i)
    if doubles:
        pairs = ", ".join(f"{names[j]} of {names[i]}" for j, i in list(doubles.items())[:8])
        texts.append(f"{len(doubles)} duplicated columns: {pairs}")
    return Columns(dead, [(i, j) for j, i in doubles.items()], texts)


def first_names(names: list[str], mask: np.ndarray) -> str:
    """Return the names that a mask chooses, eight at most."""
    chosen = [names[i] for i in np.flatnonzero(mask)]
    return ", ".join(chosen[:8]) + (" …" if len(chosen) > 8 else "")


def standardized(x: np.ndarray) -> np.ndarray:
    """Return centred columns of unit variance, float32; constant columns are zero."""
    centred = x.astype(np.float32) - x.mean(axis=0, dtype=np.float64).astype(np.float32)
    return centred / np.maximum(centred.std(axis=0), 1e-6)


def slow_series(x: np.ndarray) -> np.ndarray:
    """Return in what memory of the rows would show: sum and three leading directions, (4, n).

    Directions are those of the first 500 columns, without near-dead ones, two ones of which may
    stand side by side by chance.
    """
    ones = x[:, :500].sum(axis=0, dtype=np.int64)
    z = standardized(x[:, :500] * (np.minimum(ones, len(x) - ones) >= FEW))
    directions = np.linalg.eigh(z.T @ z / len(z))[1][:, -3:]
    return np.concatenate([x.sum(axis=1, dtype=np.float64)[None], (z @ directions).T])


def check_rows(x: np.ndarray, n_latents: int, *, in_time: bool) -> None:
    """Warn of the traps in rows that a model is to be trained on, x of two letters as bool.

    Only copies count as doubles here: sites of a cold magnet are nearly that. Rows ``in_time`` are
    correlated where a slow series has more than a third of its variance in common with its next
    row's, which makes two rows less than one.
    """
    if len(x) < 10 * (n_latents + 1):  # nor can anything else be seen
        text = f"too few rows: {len(x)} for {n_latents + 1} weights of every column"
        warnings.warn(text, stacklevel=3)
        return
    texts = check_columns(x, [str(i) for i in range(x.shape[1])], least=0.999).warnings
    if in_time:
        series = slow_series(x[:50_000])
        series -= series.mean(axis=1, keepdims=True)
        shared = (series[:, 1:] * series[:, :-1]).sum(axis=1) / ((series**2).sum(axis=1) + 1e-12)
        if shared.max() > max(1 / 3, 6 / series.shape[1] ** 0.5):
            texts.append(
                f"correlated rows: each shares {shared.max():.0%} with the next, so rows held out "
                "at random tell little; give validation=(X, conditions) of another time or chain"
            )
    for text in texts:
        warnings.warn(text, stacklevel=3)
