"""Demand estimated from data: conditional entropies by regression, a cut from below."""

from __future__ import annotations

import numpy as np
from scipy.special import xlogy
from sklearn.linear_model import LogisticRegression

from mfvae.measure._jackknife import blocks_of, jackknife, jackknife_of_means
from mfvae.systems.base import Estimate

__all__ = ["conditional_cross_entropy", "cut_information", "two_letters"]

_N_FOLDS, _N_BLOCKS, _N_BINS, _MIN_ROWS = 5, 32, 12, 100


def two_letters(x: np.ndarray) -> np.ndarray:
    """Two-letter data as booleans, True for the larger letter."""
    if len(x) < _MIN_ROWS or x.shape[1] < 2:
        raise ValueError(f"x must have at least {_MIN_ROWS} rows of 2 sites, got shape {x.shape}")
    if not (np.all((x == 1) | (x == -1)) or np.all((x == 1) | (x == 0))):
        raise ValueError("x must hold spins -1 and +1, or words of 0 and 1")
    return x == 1


def conditional_cross_entropy(x: np.ndarray, entropy_of: np.ndarray | None = None) -> Estimate:
    """Held-out ``Σ_i E[-ln q_i(x_i | x_{-i})]`` of logistic regressions, or H minus it.

    An upper estimate of ``Σ_i H(x_i | x_{-i})``. With ``entropy_of`` (n_samples,), nats, the mean
    of ``entropy_of`` minus it, row by row, so that common fluctuations cancel.

    Folds are runs of consecutive rows, so that correlated neighbours are on one side; the standard
    error comes from blocks of rows.
    """
    up = two_letters(x)
    centred = up - up.mean(axis=0)
    loss = np.zeros(len(up))
    for test in np.array_split(np.arange(len(up)), _N_FOLDS):
        train = np.ones(len(up), dtype=bool)
        train[test] = False
        for i in range(up.shape[1]):
            others = np.delete(centred, i, axis=1)
            if up[train, i].all() or not up[train, i].any():  # Laplace's rule
                p = (up[train, i].sum() + 1) / (train.sum() + 2)
                loss[test] -= np.log(np.where(up[test, i], p, 1 - p))
                continue
            model = LogisticRegression(C=1.0, tol=1e-5, max_iter=1000)
            model.fit(others[train], up[train, i])
            logit = model.decision_function(others[test])
            loss[test] += np.logaddexp(0, np.where(up[test, i], -logit, logit))
    rows = loss if entropy_of is None else entropy_of - loss
    return jackknife_of_means(rows[:, None], lambda mean: mean[..., 0], _N_BLOCKS)


def cut_information(x: np.ndarray, first: np.ndarray) -> Estimate:
    """Mutual information of the binned leading canonical pair of two sets of sites, nats.

    ``x`` is (n_samples, n_features), numbers of any kind, and ``first`` says which features are on
    one side. A lower estimate of I(x_A; x_B) by the data processing inequality. The pair is found
    on every other block of rows and the information evaluated on the rest, with the bias of the
    plug-in removed to first order (Miller 1955).
    """
    x = x.astype(np.float64)
    blocks = blocks_of(np.arange(len(x)), 2 * _N_BLOCKS)
    fit, test = (np.concatenate(blocks[start::2]) for start in (0, 1))
    scores = []
    x -= x[fit].mean(axis=0)
    sides = (x[:, first], x[:, ~first])
    whiten = []
    for side in sides:
        values, vectors = np.linalg.eigh(side[fit].T @ side[fit] / len(fit))
        # A ridge: with as many sites as rows the leading pair would be noise.
        whiten.append(vectors / np.sqrt(np.maximum(values, 0) + 0.05 * values.mean() + 1e-9))
    cross = (sides[0][fit] @ whiten[0]).T @ (sides[1][fit] @ whiten[1]) / len(fit)
    left, _, right = np.linalg.svd(cross)
    for side, white, direction in zip(sides, whiten, (left[:, 0], right[0]), strict=True):
        score = side @ (white @ direction)
        edges = np.unique(np.quantile(score[fit], np.arange(1, _N_BINS) / _N_BINS))
        scores.append(np.searchsorted(edges, score[test]))
    code = scores[0] * _N_BINS + scores[1]
    parts = np.array_split(code, _N_BLOCKS)
    counts = np.array([np.bincount(part, minlength=_N_BINS**2) for part in parts])
    return jackknife(counts, _table_information)


def _table_information(counts: np.ndarray) -> np.ndarray:
    table = counts.reshape(*counts.shape[:-1], _N_BINS, _N_BINS)
    total = table.sum(axis=(-2, -1))
    entropies = []
    for marginal in (table.sum(axis=-1), table.sum(axis=-2), counts):
        p = marginal / total[..., None]
        seen = np.count_nonzero(marginal, axis=-1)
        entropies.append(-xlogy(p, p).sum(axis=-1) + (seen - 1) / (2 * total))
    return entropies[0] + entropies[1] - entropies[2]
