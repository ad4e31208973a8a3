"""Binary patterns out of a mixture of them: finite-alphabet separation and ICA.

A matrix whose columns span, up to noise, the same space as P patterns of -1 and +1 determines them
up to order and signs. Π being the projector on the span, the patterns are sign vectors x for which
the residual ``1 - |Πx|²/N`` is smallest; ``x ← sign(Πx)`` cannot raise it (alternating projections:
Talwar, Viberg & Paulraj 1996, IEEE Trans. Signal Process. 44, 1184).
"""

import functools
import warnings
from dataclasses import dataclass, field

import numpy as np
from sklearn.decomposition import FastICA
from sklearn.exceptions import ConvergenceWarning

from mfvae._validation import check_choice, check_count, check_finite_array, check_seed

__all__ = ["PatternRecovery", "unmix"]

_GAP = 0.8  # a pattern must lie clearly nearer to the span than the best vector left out
_DUPLICATE = 0.8  # two sign vectors with a larger overlap count as one
_INDEPENDENT = 0.1  # least squared sine between a new pattern and the span of those before it
_NULL = 0.6  # of the null residual: sign waves of a smooth mode reach 0.65 to 1 of it
_STABLE = 0.95
_N_RESTARTS = 3
_N_ROUNDS = 30


@dataclass(frozen=True)
class PatternRecovery:
    """Patterns read off a subspace, with what can be said of them without a reference.

    Attributes:
        patterns: Spins -1 and +1, int8 (n_sites, n_patterns), nearest to the span first.
        residuals: ``1 - |Πx|²/N``, float64 (n_patterns,): 0 in the span, 1 orthogonal to it.
        stability: Mean over the other restarts of the largest absolute overlap with one of their
            patterns, float64 (n_patterns,).
        runner_up: Smallest residual among the other sign vectors found, 1 if there is none. Where
            the span holds no patterns it is no larger than the residuals.
        null_residual: Residual that sign vectors do not reach in a random span of this size: five
            standard deviations below the mean of the smallest that the binary search finds.
        dimension: Dimension of the span; fewer patterns than this were found if some are missing.
        spectrum: Squared singular values of what was unmixed, largest first.
        jacobian_variation, span_variation: For decoders: see `mfvae.decode.recover_patterns`.
    """

    patterns: np.ndarray
    residuals: np.ndarray
    stability: np.ndarray
    runner_up: float
    null_residual: float
    dimension: int
    spectrum: np.ndarray = field(repr=False)
    jacobian_variation: float | None = None
    span_variation: float | None = None

    n_patterns = property(lambda self: self.patterns.shape[1], doc="Number of patterns.")

    @property
    def repeated(self) -> np.ndarray:
        """Which patterns are, up to the sign, nearly one that comes before, bool (n_patterns,)."""
        overlaps = np.abs(self.patterns.T.astype(float) @ self.patterns) / len(self.patterns)
        return np.triu(overlaps, 1).max(axis=0, initial=0.0) > _DUPLICATE

    @property
    def scores(self) -> np.ndarray:
        """Stability times one minus the residual over ``min(runner_up, null_residual)``,
        (n_patterns,): near 1 for an exact pattern, at most 0 for none or one that is repeated."""
        scale = max(min(self.runner_up, self.null_residual), np.finfo(float).tiny)
        scores = self.stability * (1 - self.residuals / scale)
        return np.where(self.repeated, np.minimum(scores, 0.0), scores)

    @property
    def reliable(self) -> np.ndarray:
        """Which can be trusted, bool (n_patterns,): residual below 0.6 of ``null_residual`` and
        0.8 of ``runner_up``, stability above 0.95, not repeated."""
        nearest = min(_NULL * self.null_residual, _GAP * self.runner_up)
        return (self.residuals < nearest) & (self.stability > _STABLE) & ~self.repeated

    @property
    def is_reliable(self) -> bool:
        """Whether as many patterns as dimensions were found and all of them can be trusted."""
        return self.n_patterns == self.dimension > 0 and bool(np.all(self.reliable))


def unmix(
    mixed: np.ndarray,
    n_patterns: int | None = None,
    method: str = "binary",
    seed: int | np.random.SeedSequence = 0,
) -> PatternRecovery:
    """Return the sign vectors nearest to the column span of a matrix.

    Of three independent searches, between which stability is measured, "binary" keeps the vectors
    nearest to the span, "ica" the search that agrees most with the others.

    Args:
        mixed: Columns ``(n_sites, k)`` that span the patterns: a decoder's Jacobian, eigenvectors
            of a covariance; of more columns than patterns, the leading left singular vectors do.
        n_patterns: Number P of patterns, at most k, the rank and n_sites - 1; None takes k.
        method: "binary": descent ``x ← sign(Πx)`` and single flips from random starts, with
            deflation by what was found; "ica": signs of independent components (FastICA).

    >>> rng = np.random.default_rng(0)
    >>> patterns = rng.choice([-1, 1], size=(128, 3))
    >>> found = unmix(patterns @ rng.standard_normal((3, 3)))
    >>> (abs(found.patterns.T @ patterns) == 128).sum(axis=0).tolist(), found.is_reliable
    ([1, 1, 1], True)
    """
    mixed = check_finite_array(mixed, "mixed", ndim=2)
    n_sites, n_columns = mixed.shape
    check_choice(method, "method", ("binary", "ica"))
    n_patterns = n_columns if n_patterns is None else n_patterns
    n_patterns = check_count(n_patterns, "n_patterns", maximum=min(n_columns, n_sites - 1))
    left, singular, _ = np.linalg.svd(mixed, full_matrices=False)
    if singular[n_patterns - 1] <= 1e-10 * singular[0]:
        raise ValueError(f"mixed has rank below n_patterns = {n_patterns}")
    basis = left[:, :n_patterns]
    rngs = np.random.default_rng(check_seed(seed)).spawn(_N_RESTARTS)
    if method == "ica":
        options = {"whiten": "unit-variance", "max_iter": 1000, "tol": 1e-5}
        with warnings.catch_warnings():  # what does not converge shows in the stability
            warnings.simplefilter("ignore", ConvergenceWarning)
            icas = [FastICA(random_state=int(rng.integers(2**31)), **options) for rng in rngs]
            runs = [_signs(ica.fit_transform(basis * np.sqrt(n_sites))) for ica in icas]
        chosen = runs[int(np.argmax([_agreement(run, runs).mean() for run in runs]))]
        runner_up = 1.0
    else:
        pools = [_search(basis, rng) for rng in rngs]
        runs = [pool[:, _select(pool, basis)] for pool in pools]
        pool = _distinct(np.concatenate(pools, axis=1), basis)
        index = _select(pool, basis)
        chosen = pool[:, index]
        runner_up = float(_residuals(np.delete(pool, index, axis=1), basis).min(initial=1.0))
    residuals = _residuals(chosen, basis)
    order = np.argsort(residuals, kind="stable")
    chosen, residuals = chosen[:, order], residuals[order]
    return PatternRecovery(
        patterns=chosen.astype(np.int8),
        residuals=residuals,
        stability=_agreement(chosen, runs),
        runner_up=runner_up,
        null_residual=_null_residual(n_sites, n_patterns),
        dimension=n_patterns,
        spectrum=singular**2,
    )


@functools.lru_cache(maxsize=256)
def _null_residual(n_sites: int, n_patterns: int) -> float:
    """Return the residual that sign vectors do not reach in eight random spans (fixed seed)."""
    smallest = []
    for rng in np.random.default_rng([n_sites, n_patterns]).spawn(8):
        basis = np.linalg.qr(rng.standard_normal((n_sites, n_patterns)))[0]
        x = _descend(basis, _signs(basis @ rng.standard_normal((n_patterns, 256))))
        smallest.append(_residuals(x, basis).min())
    return float(max(np.mean(smallest) - 5 * np.std(smallest, ddof=1), 0.0))


def _agreement(x: np.ndarray, runs: list[np.ndarray]) -> np.ndarray:
    """Return the mean over the restarts but x's own of the best overlap of each column of x."""
    best = np.array([np.abs(x.T @ run).max(axis=1, initial=0.0) for run in runs]) / len(x)
    return (best.sum(axis=0) - best.max(axis=0)) / (len(runs) - 1)


def _signs(a: np.ndarray) -> np.ndarray:
    """Return the signs of an array as float32, +1 for zero."""
    return (a >= 0).astype(np.float32) * 2 - 1


def _residuals(x: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """Return ``1 - |Πx|²/N`` of the columns of x, Π projecting on the orthonormal basis."""
    return 1 - np.sum((basis.T @ x) ** 2, axis=0, dtype=np.float64) / len(basis)


def _search(basis: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return distinct sign vectors near the span, nearest first, from many starts.

    Later rounds start in what the best vectors so far leave of the span: basins are larger there.
    """
    n_patterns = basis.shape[1]
    n_starts = int(np.clip(16 * n_patterns, 64, 768))
    pool = np.zeros((len(basis), 0), dtype=np.float32)
    chosen, settled, before = np.zeros(0, dtype=int), 0, np.inf
    for _ in range(_N_ROUNDS):
        # Everything found but a random number of the worst, which may be wrong.
        n_deflated = min(len(chosen), n_patterns - 1)
        n_deflated -= int(rng.integers(0, n_deflated // 2 + 1))
        frame, _ = np.linalg.qr(basis.T @ pool[:, chosen[:n_deflated]], mode="complete")
        free = basis @ frame[:, n_deflated:]
        x = _signs(free @ rng.standard_normal((free.shape[1], n_starts)))
        if n_deflated:
            x = _descend(free, x)
        pool = _distinct(np.concatenate([pool, _descend(basis, x)], axis=1), basis)
        chosen = _select(pool, basis)
        residuals = _residuals(pool, basis)
        total = residuals[chosen].sum() + n_patterns - len(chosen)
        settled, before = settled + 1 if total >= before - 1e-9 else 0, total
        left_out = np.delete(residuals, chosen).min(initial=1.0)
        clear = len(chosen) == n_patterns and residuals[chosen].max() < _GAP * left_out
        if settled >= (2 if clear else 8):
            break
    return pool


def _descend(basis: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Iterate x ← sign(Πx), then flip single signs while that lowers the residual."""
    basis = basis.astype(np.float32)
    for _ in range(100):
        following = _signs(basis @ (basis.T @ x))
        if np.array_equal(following, x):
            break
        x = following
    projector = basis @ basis.T
    rows, image, own = x.T.copy(), (projector @ x).T.copy(), np.diag(projector)
    moving = np.arange(len(rows))  # the others are at a minimum and stay there
    for _ in range(4 * len(x)):
        gain = own - rows[moving] * image[moving]  # a quarter of what |Πx|² gains by a flip
        site = gain.argmax(axis=1)
        going = gain[np.arange(len(moving)), site] > 1e-5
        moving, site = moving[going], site[going]
        if not len(moving):
            break
        image[moving] -= 2 * projector[site] * rows[moving, site][:, None]
        rows[moving, site] *= -1
    return rows.T


def _distinct(x: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """Return columns in the order of their residuals, near duplicates left out."""
    x = x[:, np.argsort(_residuals(x, basis), kind="stable")]
    close = np.abs(x.T @ x) > _DUPLICATE * len(x)
    kept: list[int] = []
    for j, near in enumerate(close):
        if not near[kept].any():
            kept.append(j)
    return x[:, kept[: 4 * basis.shape[1]]]


def _select(pool: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """Return indices of the first P columns that are linearly independent in the span."""
    inside = basis.T @ pool
    inside = inside / np.maximum(np.linalg.norm(inside, axis=0), 1e-12)
    chosen: list[int] = []
    frame = np.zeros((basis.shape[1], 0))
    for j, column in enumerate(inside.T):
        rest = column - frame @ (frame.T @ column)
        if rest @ rest > _INDEPENDENT:
            chosen.append(j)
            frame = np.column_stack([frame, rest / np.linalg.norm(rest)])
    return np.array(chosen, dtype=int)
