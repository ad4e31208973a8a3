"""What samples say without a decoder: how many patterns, which subspace, couplings, single bits.

Above the edge of the noise, every pattern of a Hopfield model adds one eigenvalue to the
correlation matrix of the spins, to lowest order in α = P/N between ``1/(1 - β(1 ± √α)²)``. The
rest lies below 1, since the trace is N: a spiked model whose bulk has an edge where eigenvalues
follow ``λ_j ≈ a - b (j - 1/4)^{2/3}`` (square-root edge; Johnstone 2001, Ann. Stat. 29, 295).

Couplings and bits are found by pseudo-likelihood, logistic regressions of every spin on the others
(Besag 1975; Ravikumar, Wainwright & Lafferty 2010, Ann. Stat. 38, 1287; Aurell & Ekeberg 2012,
PRL 108, 090201): on N - 1 free couplings, or on the overlaps of P patterns that are nearly known.
"""

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from mfvae._validation import check_number, check_spins

__all__ = [
    "correlation_spectrum",
    "estimate_n_patterns",
    "polish_patterns",
    "pseudo_likelihood_couplings",
]

_ABOVE_EDGE = 8.0  # in units of b: 4 to 5 standard deviations of the Tracy-Widom law
_BLOCK = 8192
_N_SWEEPS = 5
_RIDGE = 1e-6  # of the Hessian's trace, against overlaps that never vary


def correlation_spectrum(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return eigenvalues and eigenvectors of the correlation matrix of spins, largest first.

    They are float64 (n_sites,), of sum ``n_sites``, and orthonormal columns (n_sites, n_sites); the
    first P are the simple method's span, input for `unmix`. Means of the spins -1 and +1, ``X``
    ``(n_samples, n_sites)``, are not subtracted: those of the model have none.
    """
    x = check_spins(X, name="X")
    moment = np.zeros((x.shape[1], x.shape[1]))
    for start in range(0, len(x), _BLOCK):  # sums of so many units are exact in float32
        block = x[start : start + _BLOCK].astype(np.float32)
        moment += block.T @ block
    values, vectors = np.linalg.eigh(moment / len(x))
    return values[::-1], vectors[:, ::-1]


def estimate_n_patterns(X: np.ndarray) -> int:
    """Return the number of eigenvalues above the edge of the bulk, 0 to ``n_sites // 2``.

    For every k the edge law of this module is fitted to the eigenvalues after the k-th, a sixth
    of them; the largest k is returned whose eigenvalue lies more than 8 b above what the law
    predicts. The fit allows for correlated samples and for a bulk that is not white. It needs a
    gap: deep in the condensed phase, where each sample shows one pattern only, there may be none.

    ``X`` are spins -1 and +1, ``(n_samples, n_sites)``, at least 16 sites.

    >>> from mfvae.systems import Hopfield
    >>> estimate_n_patterns(Hopfield.random(64, 2, seed=0).sample(1.2, 4000, seed=1))
    2
    """
    eigenvalues, _ = correlation_spectrum(X)
    n = len(eigenvalues)
    if n < 16:
        raise ValueError(f"X must have at least 16 sites, got {n}")
    n_patterns = 0
    for k in range(n // 2):
        following = eigenvalues[k + 1 : k + 1 + max(8, (n - k) // 6)]
        # Zeros of the Airy function: where the j-th eigenvalue stands, in units of b.
        depth = (1.5 * np.pi * (np.arange(1, len(following) + 2) - 0.25)) ** (2 / 3)
        slope, edge = np.polyfit(-depth[1:], following, 1)
        if eigenvalues[k] - (edge - slope * depth[0]) > _ABOVE_EDGE * max(slope, 1e-12):
            n_patterns = k + 1
    return n_patterns


def pseudo_likelihood_couplings(X: np.ndarray, *, ridge: float = 1e-4) -> np.ndarray:
    """Return K = βJ of the pairwise model, float64 (n_sites, n_sites), by pseudo-likelihood.

    Maximises the mean over samples of ``Σ_i ln σ(2 s_i Σ_j K_ij s_j)`` less ``ridge Σ_{i<j} K_ij²``
    over symmetric K with a zero diagonal, by L-BFGS: concave, so the maximum is the only one.
    RuntimeError if 500 iterations do not suffice. ``X`` are spins -1 and +1 of one temperature,
    ``(n_samples, n_sites)``.
    """
    s = check_spins(X, name="X").astype(np.float32)
    ridge = check_number(ridge, "ridge", minimum=0.0)
    n_samples, n_sites = s.shape
    values, axes = (part[..., ::-1] for part in correlation_spectrum(X))
    # Couplings between the principal axes in units of their spread, or the ridge: without these
    # the iterations are as slow as the ordered phase, or a lack of samples, is anisotropic.
    units = (axes / np.sqrt(np.maximum(values, max(1e-3, ridge)))) @ axes.T

    def couplings_of(packed: np.ndarray) -> np.ndarray:
        theta = packed.reshape(n_sites, n_sites)
        couplings = units @ (theta + theta.T) @ units / 2
        np.fill_diagonal(couplings, 0.0)
        return couplings

    def loss(packed: np.ndarray) -> tuple[float, np.ndarray]:
        exact, value, gradient = couplings_of(packed), 0.0, np.zeros((n_sites, n_sites))
        for start in range(0, n_samples, _BLOCK):
            block = s[start : start + _BLOCK]
            argument = 2 * block * (block @ exact.astype(np.float32))
            value += float(np.logaddexp(np.float32(0), -argument).sum(dtype=np.float64))
            gradient -= 2 * ((block * expit(-argument)).T @ block)
        value = value / n_samples + ridge * np.sum(exact**2) / 2
        gradient = (gradient + gradient.T) / (2 * n_samples) + ridge * exact
        np.fill_diagonal(gradient, 0.0)
        return value, (units @ gradient @ units).ravel()

    options = {"maxiter": 500, "gtol": 1e-4, "ftol": 1e-10, "maxcor": 20}
    result = minimize(loss, np.zeros(n_sites**2), jac=True, method="L-BFGS-B", options=options)
    # Float32 sums end the line search first where the tolerance is below their rounding.
    if not result.success and np.abs(result.jac).max() > 1e-3:
        raise RuntimeError(f"pseudo-likelihood not maximised: {result.message}")
    return couplings_of(result.x)


def polish_patterns(patterns: np.ndarray, X: np.ndarray) -> np.ndarray:
    """Return patterns whose bits agree with the samples, site by site: int8 (n_sites, n_patterns).

    A spin follows ``P(s_i | others) = σ(2β s_i ξ_i·m)`` with m the overlaps of all other spins. If
    most bits are right, m is known well, and the row ξ_i is the vector of signs of a logistic
    regression on P overlaps. At most five sweeps over all sites.

    ``patterns`` are spins -1 and +1, mostly right, or a PatternRecovery; ``X`` spins in equilibrium
    at one temperature, ``(n_samples, n_sites)``.

    >>> from mfvae.systems import Hopfield
    >>> system = Hopfield.random(128, 3, seed=0)
    >>> wrong = system.patterns.copy()
    >>> wrong[:5] *= -1
    >>> polished = polish_patterns(wrong, system.sample(1.0, 4000, seed=1))
    >>> bool((polished == system.patterns).all())
    True
    """
    current = check_spins(getattr(patterns, "patterns", patterns), name="patterns")
    spins = check_spins(X, len(current), name="X").astype(np.float32)
    columns, weights = np.ascontiguousarray(spins.T), np.zeros(current.shape)
    for _ in range(_N_SWEEPS):
        xi = current.astype(np.float32)
        overlaps = spins @ xi / len(xi)
        for i, (s, row) in enumerate(zip(columns, xi, strict=True)):
            others = overlaps - s[:, None] * (row / len(xi))
            for _ in range(8):  # damped Newton steps up the mean of ln σ(2 s w·m)
                mean = np.tanh(others @ weights[i].astype(np.float32))
                gradient = others.T @ (s - mean)
                hessian = ((others * (1 - mean**2)[:, None]).T @ others).astype(np.float64)
                hessian += np.eye(len(hessian)) * (_RIDGE * np.trace(hessian) + 1e-12)
                step = np.linalg.solve(hessian, gradient)
                step *= min(1.0, 2.0 / max(np.abs(others[::97] @ step).max(), 1e-12))
                weights[i] += step
                if np.abs(step).max() < 0.01 * max(np.abs(weights[i]).max(), 1e-12):
                    break
        following = np.where(weights >= 0, 1, -1).astype(np.int8)
        if np.array_equal(following, current):
            break
        current = following
    return current.copy()
