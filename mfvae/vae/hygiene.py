"""Traps in rows of two letters before a training, and in what came of it."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mfvae.vae.evidence import bound
from mfvae.vae.model import LatentVariableModel

__all__ = [
    "Columns",
    "check_columns",
    "check_gain",
    "check_rows",
    "first_names",
    "slow_series",
    "standardized",
]

FEW = 10  # a column with fewer ones, or zeros, and fewer than one in a hundred, is near-dead
DUPLICATE = 0.97  # correlation coefficient above which two columns count as one


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
    z = standardized(x[:: max(1, n // 50_000)])
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


@torch.no_grad()
def check_gain(
    model: LatentVariableModel, x: Tensor, held_out: Tensor, conditions: Tensor, *, seed: int
) -> None:
    """Warn if held-out rows are no more probable than under the sites' own laws in x."""
    rows, generator = held_out[:500], model.generator(seed, 6)
    marginal = model.likelihood.marginal_parameters(x).expand(len(rows), -1, -1)
    gain = bound(model, rows, conditions[:500], 8, generator, method="iwae")
    gain = gain - model.likelihood.log_prob(marginal, rows)
    mean, error = float(gain.mean()), float(gain.std(correction=0)) / len(gain) ** 0.5
    if mean <= 0 or mean + 2 * error < 0.05:
        warnings.warn(
            f"no better than independent sites: held-out rows gain {mean:.3f} ± {error:.3f} nats; "
            "train for more n_steps, or nothing is there to learn",
            stacklevel=4,
        )
