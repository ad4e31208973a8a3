"""From what a reader hands in to words that a model may see, with a word about every trap."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse, stats

from mfvae._validation import check_path
from mfvae.data.diagnostics import autocorrelation_time
from mfvae.data.spikes import words_from_spikes

__all__ = ["Words", "clean", "read_words"]

FALSE_ALARM = 1e-3  # of a whole family of tests
DUPLICATE = 0.97  # correlation coefficient above which two cells count as one
FEW = 10  # a cell with fewer spikes, or silences, is near-dead
_LARGEST_DENSE = 2**31  # bytes
N_BLOCKS = 200
MOST_ROWS = {"train": 10**9, "validate": 4000, "test": 10_000}  # errors fall slowly, costs rise


@dataclass
class Words:
    """Clean words and what was found on the way.

    Attributes:
        words: uint8 (n_words, n_kept), 1 for the larger letter.
        letters: The two letters of the data.
        names: Name of every kept cell.
        kept: Columns of the reader's array that are in ``words``.
        blocks: int (n_words,): rows of one block stand or fall together.
        time: Integrated autocorrelation time, in words; 1/2 is independent.
        n_effective: Words divided by twice that time.
        warnings: Sentences, each about one trap.
        facts: Numbers for the page.
    """

    words: np.ndarray
    letters: tuple[int, int]
    names: list[str]
    kept: np.ndarray
    blocks: np.ndarray
    time: float
    n_effective: float
    warnings: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

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
    ['1 dead cells never change and are left out: 5']
    """
    X, names = _as_array(X)
    if X.ndim == 3:
        groups = np.repeat(np.arange(len(X)), X.shape[1]) if groups is None else groups
        X = X.reshape(-1, X.shape[2])
    if X.ndim != 2:
        raise ValueError(f"X must be (n_words, n_cells) or (trials, bins, cells), got {X.shape}")
    values = np.unique(X[: min(len(X), 5000)])
    values = np.unique(X) if len(values) <= 2 else values
    if not (np.isin(values, (0, 1)).all() or np.isin(values, (-1, 1)).all()):
        raise ValueError(
            f"X must hold two letters, -1/+1 or 0/1, found {values[:6].tolist()}…: of counts take "
            "X > 0, of spike times words by mfvae.data.words_from_spikes"
        )
    letters = (-1, 1) if -1 in values else (0, 1)
    words = (X == 1).astype(np.uint8)
    n, n_cells = words.shape
    if n < 20 or n_cells < 3:
        raise ValueError(f"X must hold at least 20 words of 3 cells, got shape {X.shape}")
    names = names or [str(i) for i in range(n_cells)]
    warn: list[str] = []
    if n < n_cells:
        warn.append(
            f"transposed? {n} words of {n_cells} cells: rows must be words (bins of time), "
            "columns cells; hand in X.T if it is the other way round"
        )
    ones = words.sum(axis=0, dtype=np.int64)
    few = np.minimum(ones, n - ones)
    dead = few == 0
    if dead.any():
        warn.append(f"{dead.sum()} dead cells never change and are left out: {_list(names, dead)}")
    near = (few > 0) & (few < FEW)
    if near.any():
        which = _list(names, near)
        warn.append(f"{near.sum()} near-dead cells change in fewer than {FEW} words: {which}")
    kept = np.flatnonzero(~dead)
    twins = _twins(words[:, kept])
    if twins:
        pairs = ", ".join(f"{names[kept[j]]} of {names[kept[i]]}" for i, j in twins[:8])
        warn.append(f"{len(twins)} duplicated cells are left out: {pairs}")
        kept = np.delete(kept, [j for _, j in twins])
    if len(kept) < 3:
        raise ValueError(f"X has {len(kept)} cells that change and are not doubled; 3 are needed")
    words = np.ascontiguousarray(words[:, kept])
    if groups is not None:
        groups = np.asarray(groups)
        if groups.shape != (n,) or len(np.unique(groups)) < 2:
            raise ValueError(f"groups must be {n} labels of at least two kinds, got {groups.shape}")
        groups = np.unique(groups, return_inverse=True)[1]
    time = _memory(words) if ordered else 0.5
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
            f"({_list([names[i] for i in kept], moving)}); the time itself then acts as a latent"
        )
    if n_effective < 300:
        warn.append(f"too few independent words: {n_effective:.0f}")
    facts = {"n_words": n, "n_cells": n_cells, "n_dead": int(dead.sum())}
    facts |= {"n_duplicated": len(twins), "n_near_dead": int(near.sum())}
    kept_names = [names[i] for i in kept]
    return Words(words, letters, kept_names, kept, blocks, time, n_effective, warn, facts)


def _as_array(X: Any) -> tuple[np.ndarray, list[str] | None]:
    if isinstance(X, np.ma.MaskedArray):
        raise TypeError("X is a masked array: fill or drop the masked words, no model sees a mask")
    if sparse.issparse(X):
        if np.prod(X.shape, dtype=float) > _LARGEST_DENSE:
            raise ValueError(f"X is sparse of shape {X.shape}: dense it would take more than 2 GiB")
        X = X.toarray()
    names = None
    if hasattr(X, "columns") and hasattr(X, "to_numpy"):
        names, X = [str(name) for name in X.columns], X.to_numpy()
    X = np.asarray(X)
    if X.dtype == object or X.dtype.kind not in "biuf":
        raise TypeError(f"X must hold numbers, got dtype {X.dtype}")
    if X.dtype.kind == "f" and not np.isfinite(X).all():
        raise ValueError("X must be finite, found NaN or infinity: drop those words")
    return X, names


def _list(names: list[str], mask: np.ndarray) -> str:
    chosen = [names[i] for i in np.flatnonzero(mask)]
    return ", ".join(chosen[:8]) + (" …" if len(chosen) > 8 else "")


def _twins(words: np.ndarray) -> list[tuple[int, int]]:
    """Return pairs (kept, left out) of cells that are one, up to the sign."""
    with np.errstate(invalid="ignore"):
        r = np.abs(np.corrcoef(words[:: max(1, len(words) // 50000)], rowvar=False))
    found: dict[int, int] = {}
    for i, j in np.argwhere(np.triu(np.nan_to_num(r), 1) > DUPLICATE):
        if i not in found and j not in found:
            found[int(j)] = int(i)
    return [(i, j) for j, i in found.items()]


def standardized(words: np.ndarray) -> np.ndarray:
    """Return centred columns of unit variance, float32; constant columns are zero."""
    x = words.astype(np.float32) - words.mean(axis=0, dtype=np.float64).astype(np.float32)
    return x / np.maximum(x.std(axis=0), 1e-6)


def _memory(words: np.ndarray) -> float:
    """Return the longest autocorrelation time, among K(t) and the three leading directions."""
    x = standardized(words)
    directions = np.linalg.eigh(x.T @ x / len(x))[1][:, -3:]
    series = np.column_stack([words.sum(axis=1), x @ directions])
    times = [autocorrelation_time(s[None].astype(np.float64)) for s in series.T]
    # Independent rows give 0.5 up to a few percent.
    return max(0.5, max(times)) if max(times) > 0.75 else 0.5


def _drifting(words: np.ndarray, blocks: np.ndarray) -> np.ndarray:
    """Return which cells' rates have a trend over the blocks, bool (n_cells,)."""
    labels, start, size = np.unique(blocks, return_index=True, return_counts=True)
    if len(labels) < 8:
        return np.zeros(words.shape[1], dtype=bool)
    order, first = np.argsort(blocks, kind="stable"), np.r_[0, np.cumsum(size)[:-1]]
    sums = np.add.reduceat(words[order], first, axis=0, dtype=np.float64)
    means = sums / size[:, None]
    t = stats.zscore(start.astype(float))
    y = means - means.mean(axis=0)
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
        if kind == ".npz":
            with np.load(path, allow_pickle=False) as archive:
                arrays = dict(archive)
        else:
            from scipy.io import loadmat

            arrays = {k: v for k, v in loadmat(path).items() if isinstance(v, np.ndarray)}
        fit = {k: v for k, v in arrays.items() if v.ndim in (2, 3) and v.dtype.kind in "biuf"}
        if not fit or (key is not None and key not in fit):
            raise ValueError(
                f"{path.name} has no array {key or 'of words'}; it has {sorted(arrays)}"
            )
        X = fit[key or max(fit, key=lambda k: fit[k].size)]
    elif kind in (".csv", ".tsv", ".txt"):
        separator = {".csv": ",", ".tsv": "\t"}.get(kind)
        with path.open() as lines:
            first = lines.readline().strip().split(separator)
        try:
            [float(cell) for cell in first]
            named = False
        except ValueError:
            named = True
        X = np.loadtxt(path, delimiter=separator, skiprows=int(named), ndmin=2)
    elif kind == ".parquet":
        import pandas

        X = pandas.read_parquet(path)
    elif kind == ".nwb":
        return _from_nwb(path, bin_width)
    else:
        raise ValueError(
            f"cannot read {kind or 'a file without a suffix'}: npy, npz, mat, csv, parquet, nwb"
        )
    if bin_width is None:
        return X
    X = np.asarray(X)
    if X.ndim != 2 or X.shape[1] != 2:
        raise ValueError(f"spike times must be two columns, seconds and cell, got shape {X.shape}")
    cells = [X[X[:, 1] == cell, 0] for cell in np.unique(X[:, 1])]
    return _binned(cells, bin_width)


def _binned(cells: list[np.ndarray], bin_width: float) -> np.ndarray:
    start = min(float(np.min(c)) for c in cells if len(c))
    stop = max(float(np.max(c)) for c in cells if len(c)) + bin_width
    return words_from_spikes([cells], start=start, stop=stop, bin_width=bin_width).words[0]


def _from_nwb(path: Path, bin_width: float | None) -> np.ndarray:
    if bin_width is None:
        raise ValueError("an nwb file holds spike times: give --bin, in seconds")
    try:
        from pynwb import NWBHDF5IO
    except ImportError:
        raise ValueError("an nwb file needs the package pynwb") from None
    with NWBHDF5IO(str(path), "r") as file:
        units = file.read().units
        return _binned([np.asarray(units["spike_times"][i]) for i in range(len(units))], bin_width)
