"""Binary patterns out of a mixture of them: finite-alphabet separation and ICA.

A matrix ``mixed`` (n_sites, k) whose columns span, up to noise, the same space as P patterns of
-1 and +1 determines them up to order and signs. Π being the projector on the span, the patterns
are sign vectors x for which the residual ``1 - |Πx|²/N`` is smallest; ``x ← sign(Πx)`` cannot
raise it (Talwar, Viberg & Paulraj 1996, IEEE Trans. Signal Process. 44, 1184, for the alternating
projections; the descent from many starts and the deflation are this module's).
"""

from __future__ import annotations

import functools
import warnings
from dataclasses import dataclass, field

import numpy as np
from sklearn.decomposition import FastICA
from sklearn.exceptions import ConvergenceWarning

from mfvae._validation import check_choice, check_count, check_finite_array, check_seed
from mfvae.decode._sign_search import (
    DUPLICATE,
    GAP,
    descend,
    distinct,
    residuals_of,
    search,
    select,
    signs,
)

__all__ = ["PatternRecovery", "null_residual", "unmix"]

_NULL = 0.6  # of the null residual: sign waves of a smooth mode reach 0.65 to 1 of it
_STABLE = 0.95


@dataclass(frozen=True)
class PatternRecovery:
    """Patterns read off a subspace, with what can be said of them without a reference.

    Attributes:
        patterns (ndarray, int8 (n_sites, n_patterns)): Spins -1 and +1, nearest to the span first;
            signs and order are arbitrary.
        residuals (ndarray, float64 (n_patterns,)): ``1 - |Πx|²/N``: squared distance to the span, 0
            (in it) to 1 (orthogonal to it).
        stability (ndarray, float64 (n_patterns,)): Mean over the other restarts of the largest
            absolute overlap with one of their patterns.
        runner_up (float): Smallest residual among the sign vectors found that are not among the
            patterns; 1 if there is none. Where the span holds no patterns it is no larger than the
            residuals.
        null_residual (float): Residual below which none is expected of a random span of this size
            (`null_residual`).
        dimension (int): Dimension of the span; fewer patterns than this were found if some are
            missing.
        spectrum (ndarray, float64): Squared singular values of what was unmixed, largest first.
        jacobian_variation, span_variation (float or None): For decoders: see
            `mfvae.decode.recover_patterns`.
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

    @property
    def n_patterns(self) -> int:
        """Number of patterns."""
        return self.patterns.shape[1]

    @property
    def repeated(self) -> np.ndarray:
        """Which patterns are, up to the sign, nearly one that comes before, bool (n_patterns,)."""
        overlaps = np.abs(self.patterns.T.astype(float) @ self.patterns) / len(self.patterns)
        return np.triu(overlaps, 1).max(axis=0, initial=0.0) > DUPLICATE

    @property
    def scores(self) -> np.ndarray:
        """Stability times one minus the residual in units of the smaller of ``runner_up`` and
        ``null_residual``, (n_patterns,): near 1 for an exact pattern, 0 or below for none, and
        at most 0 for one that is repeated."""
        scale = max(min(self.runner_up, self.null_residual), np.finfo(float).tiny)
        scores = self.stability * (1 - self.residuals / scale)
        return np.where(self.repeated, np.minimum(scores, 0.0), scores)

    @property
    def reliable(self) -> np.ndarray:
        """Which patterns can be trusted, bool (n_patterns,): residual below 0.6 of
        ``null_residual`` and 0.8 of ``runner_up``, stability above 0.95, not repeated."""
        nearest = min(_NULL * self.null_residual, GAP * self.runner_up)
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
    *,
    n_restarts: int = 3,
    n_starts: int | None = None,
    n_rounds: int = 30,
) -> PatternRecovery:
    """Find the sign vectors nearest to the column span of a matrix.

    Args:
        mixed (array_like, shape (n_sites, k)): Columns that span the patterns: a decoder's
            Jacobian, eigenvectors of a covariance. More columns than patterns are cut to the
            leading left singular vectors.
        n_patterns (int or None): Number P of patterns, at most k and below n_sites; None takes k.
        method ({"binary", "ica"}): Descent ``x ← sign(Πx)`` and single flips from random starts,
            with deflation by what was found; or signs of independent components (FastICA, unit
            variance, tanh).
        seed (int or numpy.random.SeedSequence): Source of the starts.
        n_restarts (int): Independent searches, at least 2, between which stability is measured;
            "binary" keeps the vectors nearest to the span over all of them, "ica" the restart that
            agrees most with the others.
        n_starts, n_rounds (int): Starts side by side (None: sixteen a pattern, 64 to 768), and
            rounds at most, of each binary search.

    Returns:
        PatternRecovery

    Raises:
        TypeError, ValueError: For a matrix that is not finite, has rank below P, or bad counts.

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
    limit = min(n_columns, n_sites - 1)
    n_patterns = check_count(n_patterns, "n_patterns", maximum=limit)
    check_count(n_restarts, "n_restarts", minimum=2)
    n_starts = int(np.clip(16 * n_patterns, 64, 768)) if n_starts is None else n_starts
    check_count(n_starts, "n_starts")
    check_count(n_rounds, "n_rounds")
    left, singular, _ = np.linalg.svd(mixed, full_matrices=False)
    if singular[n_patterns - 1] <= 1e-10 * singular[0]:
        raise ValueError(f"mixed has rank below n_patterns = {n_patterns}")
    basis = left[:, :n_patterns]
    rngs = [np.random.default_rng(child) for child in check_seed(seed).spawn(n_restarts)]
    if method == "ica":
        runs = [_independent_components(basis, rng) for rng in rngs]
        agreements = [_agreement(run, runs[:i] + runs[i + 1 :]) for i, run in enumerate(runs)]
        chosen = runs[int(np.argmax([agreement.mean() for agreement in agreements]))]
        runner_up = 1.0
    else:
        pools = [search(basis, rng, n_starts, n_rounds) for rng in rngs]
        runs = [pool[:, select(pool, basis)] for pool in pools]
        pool = distinct(np.concatenate(pools, axis=1), basis)
        index = select(pool, basis)
        chosen = pool[:, index]
        rest = np.delete(pool, index, axis=1)
        runner_up = float(residuals_of(rest, basis).min(initial=1.0))
    residuals = residuals_of(chosen, basis)
    order = np.argsort(residuals, kind="stable")
    chosen, residuals = chosen[:, order], residuals[order]
    return PatternRecovery(
        patterns=chosen.astype(np.int8),
        residuals=residuals,
        stability=_agreement(chosen, runs, includes_itself=True),
        runner_up=runner_up,
        null_residual=null_residual(n_sites, n_patterns),
        dimension=n_patterns,
        spectrum=singular**2,
    )


@functools.lru_cache(maxsize=256)
def null_residual(n_sites: int, n_patterns: int) -> float:
    """Return the residual that sign vectors do not reach in a random span.

    Five standard deviations below the mean, over eight uniformly random subspaces (fixed seed),
    of the smallest residual that the binary search of `unmix` finds. For one pattern the mean is
    close to 1 - 2/π, that of the signs of a Gaussian vector.

    Args:
        n_sites, n_patterns (int): Dimension N of the vectors and P of the span, P < N.

    Returns:
        float: Between 0 and 1.

    Raises:
        TypeError, ValueError: For bad counts.

    >>> null_residual(256, 2) > null_residual(256, 8)
    True
    """
    check_count(n_sites, "n_sites", minimum=2)
    check_count(n_patterns, "n_patterns", maximum=n_sites - 1)
    smallest = []
    for child in np.random.SeedSequence([n_sites, n_patterns]).spawn(8):
        rng = np.random.default_rng(child)
        basis = np.linalg.qr(rng.standard_normal((n_sites, n_patterns)))[0]
        x = descend(basis, signs(basis @ rng.standard_normal((n_patterns, 256))))
        smallest.append(residuals_of(x, basis).min())
    return float(max(np.mean(smallest) - 5 * np.std(smallest, ddof=1), 0.0))


def _agreement(
    x: np.ndarray, others: list[np.ndarray], *, includes_itself: bool = False
) -> np.ndarray:
    """Return the mean over restarts of the best overlap of each column of x, (P,).

    With its own restart among the others, the one of the best agreement is left out.
    """
    best = np.array([np.abs(x.T @ other).max(axis=1, initial=0.0) for other in others]) / len(x)
    if includes_itself:
        return (best.sum(axis=0) - best.max(axis=0)) / (len(others) - 1)
    return best.mean(axis=0)


def _independent_components(basis: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    ica = FastICA(
        whiten="unit-variance", max_iter=1000, tol=1e-5, random_state=int(rng.integers(2**31))
    )
    with warnings.catch_warnings():
        # A restart that does not converge shows in the stability.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return signs(ica.fit_transform(basis * np.sqrt(len(basis))))
