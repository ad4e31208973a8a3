"""What can be seen before any model: spectrum, spike counts and triples, each with its null."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import stats

from mfvae._validation import standardized
from mfvae.report.words import FALSE_ALARM, Words

__all__ = ["Moments", "residuals", "screen"]

MOST_ROWS = 20_000  # for triples: errors fall slowly, costs rise
LEAST_COUNT = 10.0  # expected words with all three cells in their rare letter


def screen(clean: Words, seed: np.random.SeedSequence) -> dict[str, Any]:
    """Return spectrum and null edge, spike-count law and triples of the words, as plain data.

    The edge is the largest eigenvalue of the correlation matrix after every column was shifted
    round by a random amount, which keeps rates and memory and nothing shared; mean over twelve
    shifts plus four standard deviations.
    """
    x, rng = standardized(clean.words), np.random.default_rng(seed)
    n, n_cells = x.shape
    spectrum = np.linalg.eigvalsh(x.T @ x / n)[::-1].astype(float)
    largest = []
    for _ in range(12):
        y = np.stack([np.roll(x[:, i], k) for i, k in enumerate(rng.integers(n, size=n_cells))])
        largest.append(float(np.linalg.eigvalsh(y @ y.T / n)[-1]))
    edge = float(np.mean(largest) + 4 * np.std(largest, ddof=1))
    count, law = clean.words.sum(axis=1, dtype=np.int64), np.ones(1)
    for p in clean.words.mean(axis=0):
        law = np.convolve(law, [1 - p, p])
    # A spike l of the true spectrum shows beyond the edge if (1 + l)(1 + g/l) > edge, g = N/n.
    g = n_cells / clean.n_effective
    b = edge - 1 - g
    spike = max(np.sqrt(g), (b + np.sqrt(max(b * b - 4 * g, 0.0))) / 2)
    own = Moments(clean.words)
    z = np.abs(own.z_third(None, 2 * clean.time))
    clearest = own.where[np.argmax(z)] if len(z) else ()
    return {
        "spectrum": spectrum.tolist(),
        "edge": edge,
        "n_above": int((spectrum > edge).sum()),
        "count_law": (np.bincount(count, minlength=n_cells + 1) / n).tolist(),
        "count_law_independent": law.tolist(),
        "detectable": float(spike - np.log1p(spike)),
        "n_triples_seen": int((z > own.limit).sum()),
        "largest_triple": ", ".join(clean.names[i] for i in clearest),
    }


class Moments:
    """Pair covariances and third cumulants of words in units of the cells' spread.

    Triples ``where``, (n_triples, 3), are those of which the rarest word (all three cells in their
    rare letter) is expected ten times, where the normal law of a mean may be trusted; with ``like``
    they and the units are those of other words. ``limit`` is what no triple's |z| passes but at
    the family-wise rate of false alarms, in which normal tails are made heavier.
    """

    def __init__(self, words: np.ndarray, like: Moments | None = None, third: bool = True) -> None:
        words = words[:: max(1, -(-len(words) // MOST_ROWS))]
        self.n, n_cells = words.shape
        rate = words.mean(axis=0, dtype=np.float64)
        x = words.astype(np.float32) - rate.astype(np.float32)
        self.spread = np.maximum(x.std(axis=0), 1e-6) if like is None else like.spread
        x /= self.spread
        self.covariance = (x.T @ x / self.n).astype(np.float64)
        rare = np.minimum(rate, 1 - rate) * self.n ** (1 / 3)
        self.rare = rare if like is None else like.rare
        found, variance, where, square = [np.zeros(0)], [np.zeros(0)], [], x * x
        for a in range(n_cells - 2 if third else 0):
            b, c = np.triu_indices(n_cells - a - 1, 1)
            use = self.rare[a] * self.rare[a + 1 + b] * self.rare[a + 1 + c] > LEAST_COUNT
            b, c, rest = b[use], c[use], x[:, a + 1 :]
            if not len(b):
                continue
            found.append(((x[:, a, None] * rest).T @ rest)[b, c] / self.n)
            if like is None:
                weighted = square[:, a, None] * square[:, a + 1 :]
                variance.append((weighted.T @ square[:, a + 1 :])[b, c] / self.n)
                where.append(np.column_stack([np.full(len(b), a), a + 1 + b, a + 1 + c]))
        self.third = np.concatenate(found).astype(np.float64)
        if like is None:
            self.variance = np.concatenate(variance) - self.third**2
            self.where = np.concatenate(where or [np.zeros((0, 3), dtype=int)])
            level = (FALSE_ALARM / 2 / max(1, len(self.third))) ** 1.3
            self.limit = float(stats.norm.isf(level))

    @property
    def pairs(self) -> np.ndarray:
        """Covariances of all pairs, (n_pairs,)."""
        return self.covariance[np.triu_indices(len(self.covariance), 1)]

    def z_third(self, model: Moments | None, inflation: float) -> np.ndarray:
        """Return third cumulants less the model's in standard errors; rows count 1/inflation."""
        error = self.variance * (inflation / self.n + (0 if model is None else 1 / model.n))
        offset = 0.0 if model is None else model.third
        return (self.third - offset) / np.sqrt(np.maximum(error, 1e-12))


def residuals(
    data: Moments, model: Moments, inflation: float, draw: Callable | None = None
) -> dict[str, Any]:
    """Return what pairs and triples of the data a model's samples lack, and nats it is worth.

    Pairs together, as Gaussian covariances C of data and model M: ``tr((M⁻¹ (C - M))²) / 4`` nats
    to leading order, less what as many independent words of the model itself (from ``draw``; None
    leaves pairs out) show by chance, mean plus three standard deviations over eight sets. Cells
    with fewer than ten independent events are left out: no expansion holds for them. Triples:
    off by c in units of the spread is worth some c²/2 nats; summed over a set in which no cell
    appears twice, those beyond the family-wise level only, each c less two standard errors.
    """
    frequent = data.rare * data.n ** (2 / 3) > LEAST_COUNT * inflation
    some = np.ix_(frequent, frequent)
    lower = np.linalg.cholesky(model.covariance[some] + 1e-3 * np.eye(frequent.sum()))

    def nats(other: Moments) -> float:
        half = np.linalg.solve(lower, (other.covariance - model.covariance)[some])
        return float((np.linalg.solve(lower, half.T) ** 2).sum() / 4)

    off, z = data.third - model.third, data.z_third(model, inflation)
    beyond = np.flatnonzero(np.abs(z) > data.limit)
    used, total = np.zeros(len(frequent), dtype=bool), 0.0
    for k in beyond[np.argsort(-np.abs(z[beyond]), kind="stable")]:
        if not used[data.where[k]].any():
            used[data.where[k]] = True
            total += float((np.abs(off[k]) * (1 - 2 / np.abs(z[k]))) ** 2) / 2
    out = {"triples_nats": total, "n_triples": len(beyond)}
    if draw is not None:
        sets = np.split(draw(8 * max(20, int(data.n / inflation))), 8)
        chance = [nats(Moments(words, data, third=False)) for words in sets]
        excess = nats(data) - np.mean(chance) - 3 * np.std(chance, ddof=1)
        out["pairs_nats"] = max(0.0, float(excess))
    return out
