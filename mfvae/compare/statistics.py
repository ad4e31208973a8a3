"""Do a model's words look like the data's? Counts, overlaps, covariances, triplets, patterns."""

from collections.abc import Mapping
from itertools import combinations

import numpy as np

from mfvae._validation import check_seed, check_two_letters
from mfvae.measure.observables import jensen_shannon, overlap_law, spike_count_law

__all__ = ["StatisticsTable", "compare_statistics"]

N_ACTIVE = 40  # most active cells of the data, among which triplets and patterns are drawn
N_TRIPLETS, N_PATTERN_CELLS, N_PATTERN_SETS = 1000, 10, 20


class StatisticsTable(dict):
    """A dict of statistics for every model, as ``compare_statistics`` says; its text is a table."""

    def __repr__(self) -> str:
        cells = f"JS {N_PATTERN_CELLS} cells"
        heads = "JS P(K)", "JS P(q)", "pairs r", "slope", "triplets r", cells
        rows, width = [("model", *heads)], max(5, *map(len, self))
        for name, row in self.items():
            digits = (5, 5, 3, 3, 3, 5)
            rows.append((name, *(f"{x:.{n}f}" for x, n in zip(row.values(), digits, strict=True))))
        form = "{:<{}}  {:>9}  {:>9}  {:>8}  {:>6}  {:>10}  {:>12}"
        return "\n".join(form.format(name, width, *cells) for name, *cells in rows)


def compare_statistics(
    samples: Mapping[str, np.ndarray], test: np.ndarray, *, seed: int | np.random.SeedSequence = 0
) -> StatisticsTable:
    """Return how far samples of models are from data, statistic by statistic.

    For every model: ``spike_count`` and ``overlap``, Jensen-Shannon divergences of P(K) and P(q),
    nats; ``covariance`` and ``triplet``, correlations with the data's pair covariances and with the
    third joint cumulants of a thousand triplets; ``covariance_slope``, the model's covariances
    regressed on the data's; ``patterns``, the mean Jensen-Shannon divergence, nats, of words of ten
    cells. Triplets and sets of ten are random ones of the forty most active cells of the data.

    Args:
        samples: Words drawn from each model, (n_words, n_cells), of 0 and 1 or of spins; other
            words of the data among them show what the size of the sample alone does.
        test: The data, (n_test, n_cells), of at least three cells.
        seed: Which triplets and sets.
    """
    if not isinstance(samples, Mapping) or not samples:
        raise TypeError("samples must be a mapping of names to words, with at least one")
    test = check_two_letters(test, "test").astype(np.uint8)
    n_cells = test.shape[1]
    if n_cells < 3:
        raise ValueError(f"test must have at least 3 cells, got shape {test.shape}")
    checked = {name: check_two_letters(x, name, n_cells) for name, x in samples.items()}
    samples = {name: up.astype(np.uint8) for name, up in checked.items()}
    rng = np.random.default_rng(check_seed(seed))
    active = np.argsort(-test.sum(axis=0, dtype=np.int64), kind="stable")[:N_ACTIVE]
    triplets = np.array(list(combinations(active, 3)))
    n_triplets = min(N_TRIPLETS, len(triplets))
    triplets = triplets[rng.choice(len(triplets), n_triplets, replace=False)]
    n_subset = min(N_PATTERN_CELLS, len(active))
    subsets = [rng.choice(active, n_subset, replace=False) for _ in range(N_PATTERN_SETS)]
    pairs = np.triu_indices(n_cells, 1)
    covariance = np.cov(test, rowvar=False, bias=True)[pairs]
    triplet, spread = _third_cumulants(test, triplets), covariance.std()
    counts, overlaps = spike_count_law(test), overlap_law(test)
    table = StatisticsTable()
    for name, x in samples.items():
        mine = np.cov(x, rowvar=False, bias=True)[pairs]
        apart = [float(jensen_shannon(_law(test[:, s]), _law(x[:, s]))) for s in subsets]
        table[name] = {
            "spike_count": float(jensen_shannon(counts, spike_count_law(x))),
            "overlap": float(jensen_shannon(overlaps, overlap_law(x))),
            "covariance": _correlation(mine, covariance),
            "covariance_slope": float(np.polyfit(covariance, mine, 1)[0]) if spread else 0.0,
            "triplet": _correlation(_third_cumulants(x, triplets), triplet),
            "patterns": float(np.mean(apart)),
        }
    return table


def _third_cumulants(words: np.ndarray, triplets: np.ndarray) -> np.ndarray:
    """``⟨(x_i - ⟨x_i⟩)(x_j - ⟨x_j⟩)(x_k - ⟨x_k⟩)⟩`` of triplets of cells, a row each."""
    x = np.ascontiguousarray((words - words.mean(axis=0)).T.astype(np.float32))
    return np.array([np.mean(x[i] * x[j] * x[k], dtype=np.float64) for i, j, k in triplets])


def _law(words: np.ndarray) -> np.ndarray:
    """Return the relative frequencies of all words of a few cells, (2^n,)."""
    index = words @ (1 << np.arange(words.shape[1]))
    return np.bincount(index, minlength=2 ** words.shape[1]) / len(words)


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Return Pearson's correlation, 0 where one side does not vary."""
    return float(np.corrcoef(a, b)[0, 1]) if a.std() and b.std() else 0.0
