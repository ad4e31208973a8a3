"""From what a reader hands in to words that a model may see, with a word about every trap."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse, stats

from mfvae._validation import check_columns, check_path, first_names, slow_series
from mfvae.data.diagnostics import autocorrelation_time
from mfvae.data.spikes import words_from_spikes

__all__ = ["FALSE_ALARM", "Words", "clean", "read_words"]

FALSE_ALARM = 1e-3  # of a whole family of tests
LARGEST_DENSE = 2**31  # bytes
N_BLOCKS = 200
MOST_ROWS = {"train": 10**9, "validate": 4000, "test": 10_000}  # errors fall slowly, costs rise


@dataclass
class Words:
    """Clean words and what was found on the way."""

    words: np.ndarray  #: uint8 (n_words, n_kept), 1 for the larger letter.
    letters: tuple[int, int]  #: The two letters of the data.
    names: list[str]  #: Name of every kept cell.
    kept: np.ndarray  #: Columns of the reader's array that are in ``words``.
    blocks: np.ndarray  #: int (n_words,): rows of one block stand or fall together.
    time: float  #: Integrated autocorrelation time, in words; 1/2 is independent.
    n_effective: float  #: Words divided by twice that time.
    warnings: list[str]  #: Sentences, each about one trap.
    shape: tuple[int, int]  #: Words and cells before any cell was left out.

    def split(self, seed: np.random.SeedSequence) -> dict[str, np.ndarray]:
        """Return rows to "train", "validate" and "test" on: whole blocks, drawn at random."""
        labels = np.unique(self.blocks)
        order = np.random.default_rng(seed).permutation(len(labels))
        tenth = max(1, len(labels) // 10)
        test = max(2, len(labels) // (4 if len(self.words) < 8000 else 6))
        part = np.full(len(labels), 0)
        part[order[:tenth]], part[order[tenth : tenth + test]] = 1, 2
        where = part[np.searchsorted(labels, self.blocks)]
        rows = {}
        for index, (name, most) in enumerate(MOST_ROWS.items()):
            found = np.flatnonzero(where == index)
            rows[name] = found[:: max(1, -(-len(found) // most))]
        return rows


def clean(X: Any, groups: Any = None, *, ordered: bool = True, seed: Any = 0) -> Words:
    """Return the words in ``X`` without dead and doubled cells, in blocks.

    Args:
        X: (n_words, n_cells) or (n_trials, n_bins, n_cells) of two letters, -1/+1 or 0/1: an array,
            a data frame, or a sparse matrix.
        groups: (n_words,) labels of rows that belong together; trials where X has three axes.
        ordered: Whether rows stand in the order of time.
        seed: Of the blocks, where rows have no order.

    Raises:
        TypeError: For a masked array, or what holds no numbers.
        ValueError: For missing values, more than two letters, fewer than three live cells or
            twenty words, or a sparse matrix too large to be made dense.

    >>> words = (np.random.default_rng(0).random((400, 8)) < 0.3).astype(np.uint8)
    >>> words[:, 5] = 0
    >>> clean(words).warnings
    ['1 dead columns never change: 5']
    """
    X, names = _as_array(X)
    if X.ndim == 3:
        groups = np.repeat(np.arange(len(X)), X.shape[1]) if groups is None else groups
        X = X.reshape(-1, X.shape[2])
    if X.ndim != 2:
        raise ValueError(f"X must be (n_words, n_cells) or (trials, bins, cells), got {X.shape}")
    values = np.unique(X[:5000])
    values = np.unique(X) if len(values) <= 2 else values
    if not (np.isin(values, (0, 1)).all() or np.isin(values, (-1, 1)).all()):
        raise ValueError(
            f"X must hold two letters, -1/+1 or 0/1, found {values[:6].tolist()}…: of counts take "
            "X > 0, of spike times words by mfvae.data.words_from_spikes"
        )
    words = (X == 1).astype(np.uint8)
    n, n_cells = words.shape
    if n < 20 or n_cells < 3:
        raise ValueError(f"X must hold at least 20 words of 3 cells, got shape {X.shape}")
    names = names or [str(i) for i in range(n_cells)]
    columns = check_columns(words, names)
    left_out = {j for _, j in columns.doubles} | set(np.flatnonzero(columns.dead))
    kept = np.array([i for i in range(n_cells) if i not in left_out])
    if len(kept) < 3:
        raise ValueError(f"X has {len(kept)} cells that change and are not doubled; 3 are needed")
    words, names, warn = words[:, kept].copy(), [names[i] for i in kept], columns.warnings
    if groups is not None:
        groups = np.asarray(groups)
        if groups.shape != (n,) or len(np.unique(groups)) < 2:
            raise ValueError(f"groups must be {n} labels of at least two kinds, got {groups.shape}")
        groups = np.unique(groups, return_inverse=True)[1]
    time = max(autocorrelation_time(s[None]) for s in slow_series(words)) if ordered else 0.5
    time = time if time > 0.75 else 0.5  # of independent rows it is 0.5 up to a few percent
    n_effective = n / (2 * time)
    if time > 1:
        warn.append(
            f"correlated rows: the autocorrelation time is {time:.1f} words, so {n} words are "
            f"worth {n_effective:.0f}; blocks, not rows, are held out and give the errors"
        )
    if groups is not None and (len(np.unique(groups)) >= 20 or not ordered):
        blocks = groups
    elif ordered:
        n_blocks = int(np.clip(n / (20 * time), 10, N_BLOCKS))
        blocks = np.arange(n) * n_blocks // n
    else:
        blocks = np.random.default_rng(seed).permutation(n) % min(N_BLOCKS, n)
    if ordered and (moving := _drifting(words, blocks)).any():
        warn.append(
            f"drift: the rates of {moving.sum()} cells rise or fall through the recording "
            f"({first_names(names, moving)}); the time itself then acts as a latent"
        )
    if n_effective < 300:
        warn.append(f"too few independent words: {n_effective:.0f}")
    letters = (-1, 1) if -1 in values else (0, 1)
    return Words(words, letters, names, kept, blocks, time, n_effective, warn, (n, n_cells))


def _as_array(X: Any) -> tuple[np.ndarray, list[str] | None]:
    if isinstance(X, np.ma.MaskedArray):
        raise TypeError("X is a masked array: fill or drop the masked words, no model sees a mask")
    if sparse.issparse(X):
        if np.prod(X.shape, dtype=float) > LARGEST_DENSE:
            raise ValueError(f"X is sparse of shape {X.shape}: dense it would take more than 2 GiB")
        X = X.toarray()
    names = None
    if hasattr(X, "columns") and hasattr(X, "to_numpy"):
        names, X = [str(name) for name in X.columns], X.to_numpy()
    X = np.asarray(X)
    if X.dtype.kind not in "biuf":
        raise TypeError(f"X must hold numbers, got dtype {X.dtype}")
    if X.dtype.kind == "f" and not np.isfinite(X).all():
        raise ValueError("X must be finite, found NaN or infinity: drop those words")
    return X, names


def _drifting(words: np.ndarray, blocks: np.ndarray) -> np.ndarray:
    """Return which cells' rates have a trend over the blocks, bool (n_cells,)."""
    labels, start = np.unique(blocks, return_index=True)
    if len(labels) < 8:
        return np.zeros(words.shape[1], dtype=bool)
    means = np.array([words[blocks == label].mean(axis=0) for label in labels])
    t, y = stats.zscore(start.astype(float)), means - means.mean(axis=0)
    slope = t @ y / len(t)
    rest = np.sqrt(((y - np.outer(t, slope)) ** 2).sum(axis=0) / (len(t) - 2) / len(t))
    limit = stats.t.isf(FALSE_ALARM / 2 / words.shape[1], len(t) - 2)
    return np.abs(slope) > limit * np.maximum(rest, 1e-12)


def read_words(path: str | Path, *, bin_width: float | None = None, key: str | None = None) -> Any:
    """Return the words in a file: npy, npz, mat, csv, tsv, txt, parquet or nwb.

    Args:
        path: npz and mat files may hold several arrays, of which ``key`` names one, by default
            the largest of two or three axes.
        bin_width: Seconds; with it the file holds spike times, two columns: seconds and cell.
        key: Name of the array.

    Raises:
        ValueError: For another kind of file, or one without such an array.
    """
    path = check_path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no file at {path}")
    kind = path.suffix.lower()
    if kind == ".npy":
        X: Any = np.load(path, allow_pickle=False)
    elif kind in (".npz", ".mat"):
        X = _largest(path, key)
    elif kind in (".csv", ".tsv", ".txt"):
        separator = {".csv": ",", ".tsv": "\t"}.get(kind)
        try:
            X = np.loadtxt(path, delimiter=separator, ndmin=2)
        except ValueError:  # the first line holds names
            X = np.loadtxt(path, delimiter=separator, ndmin=2, skiprows=1)
    elif kind == ".parquet":
        import pandas

        X = pandas.read_parquet(path)
    elif kind == ".nwb":
        if bin_width is None:
            raise ValueError("an nwb file holds spike times: give --bin, in seconds")
        try:
            from pynwb import NWBHDF5IO
        except ImportError:
            raise ValueError("an nwb file needs the package pynwb") from None
        with NWBHDF5IO(str(path), "r") as file:
            units = file.read().units
            cells = [np.asarray(units["spike_times"][i]) for i in range(len(units))]
        return _binned(cells, bin_width)
    else:
        raise ValueError(
            f"cannot read {kind or 'a file without a suffix'}: npy, npz, mat, csv, parquet, nwb"
        )
    if bin_width is None:
        return X
    X = np.asarray(X)
    if X.ndim != 2 or X.shape[1] != 2:
        raise ValueError(f"spike times must be two columns, seconds and cell, got shape {X.shape}")
    return _binned([X[X[:, 1] == cell, 0] for cell in np.unique(X[:, 1])], bin_width)


def _largest(path: Path, key: str | None) -> np.ndarray:
    if path.suffix.lower() == ".npz":
        with np.load(path, allow_pickle=False) as archive:
            arrays = dict(archive)
    else:
        from scipy.io import loadmat

        arrays = {k: v for k, v in loadmat(path).items() if isinstance(v, np.ndarray)}
    fit = {k: v for k, v in arrays.items() if v.ndim in (2, 3) and v.dtype.kind in "biuf"}
    if not fit or (key is not None and key not in fit):
        raise ValueError(f"{path.name} has no array {key or 'of words'}; it has {sorted(arrays)}")
    return fit[key or max(fit, key=lambda k: fit[k].size)]


def _binned(cells: list[np.ndarray], bin_width: float) -> np.ndarray:
    start = min(float(np.min(c)) for c in cells if len(c))
    stop = max(float(np.max(c)) for c in cells if len(c)) + bin_width
    return words_from_spikes([cells], start=start, stop=stop, bin_width=bin_width).words[0]
