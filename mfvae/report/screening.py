"""What can be seen before any model: spectrum, spike counts and triples, each with its null."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import stats

from mfvae.report.words import FALSE_ALARM, Words
from mfvae.vae.hygiene import standardized

__all__ = ["Moments", "residuals", "screen"]

MOST_ROWS = 20_000  # for triples: errors fall slowly, costs rise
_N_NULL = 12
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
    for _ in range(_N_NULL):
        y = np.empty_like(x)
        for i, shift in enumerate(rng.integers(n, size=n_cells)):
            y[:, i] = np.roll(x[:, i], shift)
        largest.append(float(np.linalg.eigvalsh(y.T @ y / n)[-1]))
    edge = float(np.mean(largest) + 4 * np.std(largest, ddof=1))
    count = clean.words.sum(axis=1, dtype=np.int64)
    p = clean.words.mean(axis=0)
    law = _poisson_binomial(p)
    variance, alone = float(count.var()), float((p * (1 - p)).sum())
    own = Moments(clean.words)
    # A spike l of the true spectrum shows beyond the edge if (1 + l)(1 + g/l) > edge, g = N/n.
    g = n_cells / clean.n_effective
    b = edge - 1 - g
    spike = max(np.sqrt(g), (b + np.sqrt(max(b * b - 4 * g, 0.0))) / 2)
    third = own.z3(None, 2 * clean.time)
    seen = np.abs(third) > own.limit3
    return {
        "spectrum": spectrum.tolist(),
        "edge": edge,
        "n_above": int((spectrum > edge).sum()),
        "count_law": (np.bincount(count, minlength=n_cells + 1) / n).tolist(),
        "count_law_independent": law.tolist(),
        "count_variance_ratio": variance / alone,
        "detectable": float(spike - np.log1p(spike)),
        "n_triples": len(third),
        "n_triples_seen": int(seen.sum()),
        "largest_triple": own.name3(int(np.argmax(np.abs(third))), clean.names)
        if len(third)
        else "",
        "third_z": float(np.abs(third).max(initial=0.0)),
    }


def _poisson_binomial(p: np.ndarray) -> np.ndarray:
    """Return the law of the number of ones of independent cells, (n_cells + 1,)."""
    law = np.zeros(len(p) + 1)
    law[0] = 1.0
    for q in p:
        law[1:] = law[1:] * (1 - q) + law[:-1] * q
        law[0] *= 1 - q
    return law


class Moments:
    """Pair covariances and third cumulants of words in units of the cells' spread, with variances.

    Triples are those of which the rarest word (all three cells in their rare letter) is expected
    ten times, where the normal law of a mean may be trusted.
    """

    def __init__(
        self, words: np.ndarray, like: Moments | None = None, *, third: bool = True
    ) -> None:
        words = words[:: max(1, -(-len(words) // MOST_ROWS))]
        self.n, n_cells = words.shape
        x = words.astype(np.float32) - words.mean(axis=0, dtype=np.float64).astype(np.float32)
        spread = np.maximum(x.std(axis=0), 1e-6)
        self.spread = spread if like is None else like.spread
        x /= self.spread
        i, j = np.triu_indices(n_cells, 1)
        self.covariance = (x.T @ x / self.n).astype(np.float64)
        self.pairs = self.covariance[i, j]
        if like is None:
            square = x * x
            self.pair_variance = (square.T @ square / self.n)[i, j] - self.pairs**2
            rare = np.minimum(words.mean(axis=0), 1 - words.mean(axis=0)) * self.n ** (1 / 3)
            self.good = rare
        cumulants, variance, self.where = [], [], []
        good = self.good if like is None else like.good
        for a in range(n_cells - 2 if third else 0):
            rest = x[:, a + 1 :]
            b, c = np.triu_indices(rest.shape[1], 1)
            use = good[a] * good[a + 1 + b] * good[a + 1 + c] > LEAST_COUNT
            b, c = b[use], c[use]
            if not len(b):
                continue
            weighted = x[:, a, None] * rest
            cumulants.append((weighted.T @ rest / self.n)[b, c])
            if like is None:
                self.where.append(np.column_stack([np.full(len(b), a), a + 1 + b, a + 1 + c]))
                variance.append(((weighted * weighted).T @ square[:, a + 1 :] / self.n)[b, c])
        self.third = np.concatenate(cumulants or [np.zeros(0)]).astype(np.float64)
        if like is None:
            self.third_variance = np.concatenate(variance or [np.zeros(0)]) - self.third**2
            self.where = np.concatenate(self.where or [np.zeros((0, 3), dtype=int)])
        self.n_cells = n_cells

    @property
    def limit2(self) -> float:
        """|z| that no pair passes but with the family-wise false-alarm rate."""
        return float(stats.norm.isf(FALSE_ALARM / 2 / max(1, len(self.pairs))))

    @property
    def limit3(self) -> float:
        """The same for triples, doubled in its error rate's logarithm: their tails are heavier."""
        return float(stats.norm.isf((FALSE_ALARM / 2 / max(1, len(self.third))) ** 1.3))

    def z2(self, model: Moments, inflation: float) -> np.ndarray:
        """Return pairs of data less model in standard errors; rows of data count 1/inflation."""
        error = self.pair_variance * (inflation / self.n + 1 / model.n)
        return (self.pairs - model.pairs) / np.sqrt(np.maximum(error, 1e-12))

    def z3(self, model: Moments | None, inflation: float) -> np.ndarray:
        """Return third cumulants of data, less the model's, in standard errors."""
        error = self.third_variance * (inflation / self.n + (0 if model is None else 1 / model.n))
        offset = 0.0 if model is None else model.third
        return (self.third - offset) / np.sqrt(np.maximum(error, 1e-12))

    def name3(self, index: int, names: list[str]) -> str:
        """Return the names of a triple's cells."""
        return ", ".join(names[i] for i in self.where[index])


def residuals(
    data: Moments, model: Moments, draw: Callable[[int], np.ndarray] | None, inflation: float
) -> dict[str, Any]:
    """Return what pairs and triples of the data a model's samples lack, and nats it is worth.

    Pairs together, as Gaussian covariances C of data and model M: ``tr((M⁻¹ (C - M))²) / 4`` nats
    to leading order, less what as many independent words of the model itself (from ``draw``; None
    leaves pairs out) show by chance, mean plus three standard deviations over eight sets. Triples:
    off by c in units of the spread is worth some c²/2 nats; summed over a set in which no cell
    appears twice, those beyond the family-wise level only, each c less two standard errors.
    """
    lower = np.linalg.cholesky(model.covariance + 1e-3 * np.eye(data.n_cells))

    def nats(other: Moments) -> float:
        half = np.linalg.solve(lower, other.covariance - model.covariance)
        return float((np.linalg.solve(lower, half.T) ** 2).sum() / 4)

    out = {"n_pairs": int((np.abs(data.z2(model, inflation)) > data.limit2).sum())}
    if draw is not None:
        sets = np.split(draw(8 * max(20, int(data.n / inflation))), 8)
        chance = [nats(Moments(words, data, third=False)) for words in sets]
        excess = nats(data) - np.mean(chance) - 3 * np.std(chance, ddof=1)
        out["pairs_nats"] = max(0.0, float(excess))
    off, z = data.third - model.third, data.z3(model, inflation)
    beyond = np.flatnonzero(np.abs(z) > data.limit3)
    used, total = np.zeros(data.n_cells, dtype=bool), 0.0
    for k in beyond[np.argsort(-np.abs(z[beyond]), kind="stable")]:
        if not used[data.where[k]].any():
            used[data.where[k]] = True
            total += float((np.abs(off[k]) * (1 - 2 / np.abs(z[k]))) ** 2) / 2
    return out | {"triples_nats": total, "n_triples": len(beyond)}
