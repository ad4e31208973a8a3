"""From what a reader hands in to words that a model may see, with a word about every trap."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse, stats
from scipy.io import loadmat

from mfvae._validation import (
    check_columns,
    check_finite_array,
    check_path,
    first_names,
    slow_series,
)
from mfvae.data.diagnostics import autocorrelation_time
from mfvae.data.spikes import words_from_spikes

__all__ = ["FALSE_ALARM", "Words", "clean", "read_words"]

FALSE_ALARM = 1e-3  # of a whole family of tests
N_BLOCKS = 200
MOST_ROWS = {"train": 10**9, "validate": 4000, "test": 10_000}  # errors fall slowly, costs rise


@dataclass
class Words:
    """Clean words and what was found on the way."""

    words: np.ndarray  #: uint8 (n_words, n_kept), 1 for the larger letter.
    letters: tuple[int, int]  #: The two letters of the data.
    names: list[str]  #: Name of every kept cell.
    kept: np.ndarray  #: Columns of the reader's array that are in ``words``.
    blocks: np.ndarray  #: int (n_words,), from 0: rows of one block stand or fall together.
    time: float  #: Integrated autocorrelation time, in words; 1/2 is independent.
    n_effective: float  #: Words divided by twice that time.
    warnings: list[str]  #: Sentences, each about one trap.
    shape: tuple[int, int]  #: Words and cells before any cell was left out.

    def split(self, seed: np.random.SeedSequence) -> dict[str, np.ndarray]:
        """Return rows to "train", "validate" and "test" on: whole blocks, drawn at random."""
        n = int(self.blocks.max()) + 1
        order = np.random.default_rng(seed).permutation(n)
        tenth, test = max(1, n // 10), max(2, n // (4 if len(self.words) < 8000 else 6))
        part = np.zeros(n, dtype=int)
        part[order[:tenth]], part[order[tenth : tenth + test]] = 1, 2
        rows = {}
        for index, (name, most) in enumerate(MOST_ROWS.items()):
            found = np.flatnonzero(part[self.blocks] == index)
            rows[name] = found[:: max(1, -(-len(found) // most))]
        return rows


def clean(X: Any, groups: Any = None, *, ordered: bool = True, seed: Any = 0) -> Words:
    """Return the words in ``X`` without dead and doubled cells, in blocks.

    Arguments are those of `mfvae.report`; ``seed`` is that of the blocks where rows have no order.

    Raises:
        TypeError: For what holds no numbers.
        ValueError: For masked or missing values, more than two letters, fewer than three live cells
            or twenty words, or a sparse matrix too large to be made dense.

    >>> words = (np.random.default_rng(0).random((400, 8)) < 0.3).astype(np.uint8)
    >>> words[:, 5] = 0
    >>> clean(words).warnings
    ['1 dead columns never change: 5']
    """
    if sparse.issparse(X):
        if np.prod(X.shape, dtype=float) > 2**31:
            raise ValueError(f"X is sparse of shape {X.shape}: dense it would take more than 2 GiB")
        X = X.toarray()
    names = [str(name) for name in getattr(X, "columns", ())]
    X = check_finite_array(X, "X", dtype=None)
    if X.ndim == 3:
        groups = np.repeat(np.arange(len(X)), X.shape[1]) if groups is None else groups
        X = X.reshape(-1, X.shape[2])
    if X.ndim != 2:
        raise ValueError(f"X must be (n_words, n_cells) or (trials, bins, cells), got {X.shape}")
    ones = X == 1
    if not (np.all(ones | (X == 0)) or np.all(ones | (X == -1))):
        raise ValueError(
            f"X must hold two letters, -1/+1 or 0/1, found {np.unique(X)[:6].tolist()}…: of counts "
            "take X > 0, of spike times words by mfvae.data.words_from_spikes"
        )
    words, letters = ones.astype(np.uint8), (-1, 1) if (X == -1).any() else (0, 1)
    n, n_cells = words.shape
    names = names or [str(i) for i in range(n_cells)]
    columns = check_columns(words, names)
    left_out = {j for _, j in columns.doubles} | set(np.flatnonzero(columns.dead))
    kept = np.array([i for i in range(n_cells) if i not in left_out])
    if n < 20 or len(kept) < 3:
        wanted = "at least 20 words of 3 cells that change and are not doubled"
        raise ValueError(f"X must hold {wanted}, got {n} of {len(kept)}")
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
    labels, first = np.unique(blocks, return_index=True)
    if ordered and len(labels) >= 8:  # is a cell's rate correlated with time?
        means, free = [words[blocks == label].mean(axis=0) for label in labels], len(labels) - 2
        with np.errstate(invalid="ignore", divide="ignore"):
            r = np.abs(np.corrcoef(first, np.transpose(means))[0, 1:])
            chance = 2 * len(names) * stats.t.sf(r * np.sqrt(free / (1 - r**2)), free)
        if (moving := chance < FALSE_ALARM).any():
            warn.append(
                f"drift: the rates of {moving.sum()} cells rise or fall through the recording "
                f"({first_names(names, moving)}); the time itself then acts as a latent"
            )
    if n_effective < 300:
        warn.append(f"too few independent words: {n_effective:.0f}")
    return Words(words, letters, names, kept, blocks, time, n_effective, warn, (n, n_cells))


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
    kind, X = path.suffix.lower(), None
    if kind == ".npy":
        X = np.load(path, allow_pickle=False)
    elif kind in (".npz", ".mat"):
        arrays = np.load(path, allow_pickle=False) if kind == ".npz" else loadmat(path)
        arrays = {k: v for k, v in arrays.items() if isinstance(v, np.ndarray)}
        fit = [k for k, v in arrays.items() if v.ndim in (2, 3) and v.dtype.kind in "biuf"]
        if not fit or (key is not None and key not in fit):
            raise ValueError(f"{path.name}: no array {key or 'of words'} among {sorted(arrays)}")
        X = arrays[key or max(fit, key=lambda k: arrays[k].size)]
    elif kind in (".csv", ".tsv", ".txt"):
        separator = {".csv": ",", ".tsv": "\t"}.get(kind)
        try:
            X = np.loadtxt(path, delimiter=separator, ndmin=2)
        except ValueError:  # the first line holds names
            X = np.loadtxt(path, delimiter=separator, ndmin=2, skiprows=1)
    elif kind == ".parquet":
        import pandas

        X = pandas.read_parquet(path)
    elif kind != ".nwb":
        raise ValueError(f"cannot read {path.name}: npy, npz, mat, csv, tsv, txt, parquet, nwb")
    elif bin_width is None:
        raise ValueError("an nwb file holds spike times: give --bin, in seconds")
    else:
        try:
            from pynwb import NWBHDF5IO
        except ImportError:
            raise ValueError("an nwb file needs the package pynwb") from None
        with NWBHDF5IO(str(path), "r") as file:
            units = file.read().units
            cells = [np.asarray(units["spike_times"][i]) for i in range(len(units))]
    if bin_width is None:
        return X
    if X is not None:
        X = np.asarray(X)
        if X.ndim != 2 or X.shape[1] != 2:
            raise ValueError(f"spike times must be two columns, seconds and cell, got {X.shape}")
        cells = [X[X[:, 1] == cell, 0] for cell in np.unique(X[:, 1])]
    times, w = np.concatenate(cells), bin_width
    options = {"start": float(times.min()), "stop": float(times.max()) + w, "bin_width": w}
    return words_from_spikes([cells], **options).words[0]
