"""The Bingham distribution on the sphere: normaliser, moments, exact draws."""

from functools import cached_property

import numpy as np

from mfvae._validation import check_count, check_directors, check_finite_array, check_seed
from mfvae.systems._bingham_quadrature import integrate_bingham
from mfvae.systems.kernels.bingham import diagonalize, sample_bingham
from mfvae.systems.kernels.random import lane_states
from mfvae.systems.kernels.running import in_threads

__all__ = ["Bingham", "draw_rows"]

_BLOCK = 65536  # draws for each state of the generators


class Bingham:
    """The law ``p(n) = exp(nᵀAn) / Z(A)`` of a director n on the unit sphere.

    The base measure is the surface measure, of total 4π. Adding a multiple of the identity to
    A changes Z but not the law. Bingham, Annals of Statistics 2:1201 (1974); draws: Kent, Ganeiber
    & Mardia, arXiv:1310.8110 (2013).

    ``A`` is a symmetric matrix ``(3, 3)``, or a batch ``(..., 3, 3)``, else ValueError.

    >>> law = Bingham(np.diag([0.0, 0.0, 5.0]))
    >>> n = law.sample(1000, seed=0)
    >>> n.shape, bool(abs((n[:, 2] ** 2).mean() - law.moment()[2, 2]) < 0.05)
    ((1000, 3), True)
    """

    def __init__(self, A: np.ndarray) -> None:
        matrices = check_finite_array(A, "A")
        if matrices.shape[-2:] != (3, 3):
            raise ValueError(f"A must have shape (..., 3, 3), got {matrices.shape}")
        transposed = np.swapaxes(matrices, -1, -2)
        if np.max(np.abs(matrices - transposed)) > 1e-6 * max(1.0, np.max(np.abs(matrices))):
            raise ValueError("A must be symmetric: A[i, j] and A[j, i] differ")
        self.A = 0.5 * (matrices + transposed)
        # The signs of the eigenvectors, and so the bits of draws, are those of Jacobi rotations.
        diagonal = self.A.reshape(-1, 3, 3).copy()
        frames = np.empty_like(diagonal)
        diagonalize(diagonal, frames)
        values = np.diagonal(diagonal, axis1=1, axis2=2)
        order = np.argsort(values, axis=1, kind="stable")
        values = np.take_along_axis(values, order, axis=1)
        frames = np.take_along_axis(frames, order[:, None], axis=2)
        self._eigenvalues = values.reshape(self.A.shape[:-1])
        self._frames = frames.reshape(self.A.shape)

    @cached_property
    def _integrals(self) -> tuple[np.ndarray, np.ndarray]:
        """ln Z and the mean squares along the eigenvectors; not needed for draws."""
        return integrate_bingham(self._eigenvalues)

    def __repr__(self) -> str:
        return f"Bingham({self.A.tolist()!r})"

    def log_normalizer(self) -> float | np.ndarray:
        """Return ``ln Z``, nats: a float, or float64 of the batch shape; ``ln 4π`` for A = 0.

        By quadrature; relative error of Z below 1e-10 for eigenvalues up to 1e3.
        """
        return self._integrals[0][()]

    def moment(self) -> np.ndarray:
        """Return ``E[nnᵀ]``, the gradient of ``ln Z``, float64 ``(..., 3, 3)``."""
        return np.einsum("...ik,...k,...jk->...ij", self._frames, self._integrals[1], self._frames)

    def log_prob(self, n: np.ndarray) -> np.ndarray:
        """Return the log density of directors with respect to the surface measure, nats.

        ``n`` are unit vectors: ``(m, 3)`` or ``(3,)`` for one matrix, ``(..., m, 3)`` for a batch,
        else ValueError. The result is float64, of this shape without its last axis.
        """
        n = check_directors(n, "n")
        if not (batch := self.A.shape[:-2]):
            return np.einsum("...i,ij,...j->...", n, self.A, n) - self._integrals[0]
        if n.ndim != len(batch) + 2 or n.shape[: len(batch)] != batch:
            raise ValueError(f"n must have shape {(*batch, 'm', 3)}, got {n.shape}")
        quadratic = np.einsum("...mi,...ij,...mj->...m", n, self.A, n)
        return quadratic - self._integrals[0][..., None]

    def sample(self, n: int, *, seed: int | np.random.SeedSequence) -> np.ndarray:
        """Draw n independent directors, float32 ``(n, 3)`` or for a batch ``(..., n, 3)``.

        By rejection from an angular central Gaussian envelope, in float32. Same seed, same bits.
        """
        n, frames = check_count(n, "n"), self._frames.reshape(-1, 3, 3)
        out = np.empty((len(frames), n, 3), dtype=np.float32)
        draw_rows(self._eigenvalues.reshape(-1, 3), frames, check_seed(seed), out)
        return out.reshape(*self.A.shape[:-2], n, 3)


def draw_rows(
    eigenvalues: np.ndarray, frames: np.ndarray, seed: np.random.SeedSequence, out: np.ndarray
) -> None:
    """Fill ``out`` as `sample_bingham` does, in threads, a generator for each block of draws."""
    n = out.shape[1]
    n_each = max(1, _BLOCK // n)
    groups = [slice(row, row + n_each) for row in range(0, len(out), n_each)]
    blocks = [(rows, slice(i, i + _BLOCK)) for rows in groups for i in range(0, n, _BLOCK)]
    states = lane_states(seed, len(blocks))

    def draw(i: int) -> None:
        rows, draws = blocks[i]
        sample_bingham(eigenvalues[rows], frames[rows], states[i], out[rows, draws])

    in_threads(draw, range(len(blocks)))
