"""Sites that products of three tie where no pair does, and what such a group shares."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

__all__ = ["log_ratio_within", "tied_groups", "tied_triples"]

_TIED, _MAX_TESTED, _MAX_VALUES = 6.0, 8192, 200  # σ; rows and columns that are searched
_LARGEST_GROUP = 6  # sites of two letters whose joint law is counted


def tied_triples(u: Tensor) -> Tensor:
    """Return the triples of columns whose product is not zero on average, int64 (n, 3), best first.

    Sums over rows (n_samples, n_values) are held against √n, as for independent columns of mean 0
    and variance 1, and against the root of their own sum of squares, which a few coincidences of
    rare letters do not pass. Among more than 200 columns none are sought: it would take long.
    """
    u = u[:: -(-len(u) // _MAX_TESTED)]
    found, scores = [torch.empty((0, 3), dtype=torch.int64)], [torch.empty(0)]
    for i in range(u.shape[1] - 2 if u.shape[1] <= _MAX_VALUES else 0):
        rest, weighted = u[:, i + 1 :], u[:, i + 1 :] * u[:, i : i + 1]
        squares = ((weighted**2).T @ rest**2).clamp_min(len(u))
        score = torch.triu((weighted.T @ rest).abs() / squares.sqrt(), diagonal=1)
        j, k = torch.nonzero(score > _TIED).T
        found.append(torch.stack([torch.full_like(j, i), j + i + 1, k + i + 1], dim=1))
        scores.append(score[j, k])
    return torch.cat(found)[torch.argsort(torch.cat(scores), descending=True, stable=True)]


def tied_groups(X: np.ndarray, members: tuple[np.ndarray, ...]) -> np.ndarray:
    """The group of each site: those of two letters whose products of three tie them, else alone.

    ``TC(x) = Σ_G TC(x_G) + KL(p ‖ Π_G p(x_G))``: the first part is counted, the network has the
    second, and ln(p/q) of twenty ties does not add up to more than its samples can resolve.
    """
    apart = np.arange(X.shape[1])
    if X.ndim == 3 or len(np.unique(X)) != 2:
        return apart
    u = np.empty(X.shape, dtype=np.float32)
    for rows in members:
        u[rows] = X[rows] - X[rows].mean(axis=0)
    u /= np.maximum(u.std(axis=0), 1e-6)
    for triple in tied_triples(torch.from_numpy(u)).numpy():
        together = np.isin(apart, apart[triple])
        if together.sum() <= _LARGEST_GROUP:
            apart[together] = apart[triple].min()
    return apart


def log_ratio_within(
    values: list[Tensor], members: tuple[np.ndarray, ...], folds: np.ndarray, apart: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """``Σ_G ln p(x_G) / Π p(x_i)``, counted in other folds, and its mean weight less one.

    At each of two samples, the first of which is counted, (2, n_samples); the weight is the mean
    of p/q over independent sites, with their frequencies in the fold itself, (n_samples,).
    """
    gain, excess = np.zeros((2, len(folds))), np.zeros(len(folds))
    for name in np.flatnonzero(np.bincount(apart) > 1):
        sites = np.flatnonzero(apart == name)
        letters = np.stack([value[:, sites, 0].numpy() for value in values])
        up = letters > (letters.min() + letters.max()) / 2
        codes, n_cells = up @ 2 ** np.arange(len(sites)), 2 ** len(sites)
        cells = np.arange(n_cells)[:, None] >> np.arange(len(sites)) & 1
        for rows in members:
            for fold in np.unique(folds):
                test, train = rows[folds[rows] == fold], rows[folds[rows] != fold]
                p = np.bincount(codes[0, train], minlength=n_cells) + 0.5
                p /= p.sum()
                alone, here = p @ cells, up[0, test].mean(axis=0)
                log_ratio = np.log(p) - np.log(np.where(cells, alone, 1 - alone)).sum(axis=1)
                gain[:, test] += log_ratio[codes[:, test]]
                q = np.where(cells, here, 1 - here).prod(axis=1)
                excess[test] += q @ np.exp(log_ratio) - 1
    return gain, excess
