"""Block Gibbs sampling of the Maier-Saupe model with replica exchange.

A sweep draws the Hubbard-Stratonovich tensor, ``A ~ Normal(ΣQ/N, 1/(aN))`` in each of its five
components, then all directors given A, Bingham draws with matrix ``aA``.
"""

import math

import numpy as np

from mfvae.systems.kernels.bingham import eigen_symmetric, sample_bingham
from mfvae.systems.kernels.random import normal, uniform
from mfvae.systems.kernels.running import compiled


@compiled
def random_frames(state, n_frames):
    """Return rotations drawn uniformly (Haar), from unit quaternions: float64 (n_frames, 3, 3)."""
    frames = np.empty((n_frames, 3, 3))
    for frame in frames:
        w, x, y, z = normal(state), normal(state), normal(state), normal(state)
        scale = 2.0 / (w * w + x * x + y * y + z * z)
        frame[0, 0] = 1.0 - scale * (y * y + z * z)
        frame[1, 1] = 1.0 - scale * (x * x + z * z)
        frame[2, 2] = 1.0 - scale * (x * x + y * y)
        frame[0, 1], frame[1, 0] = scale * (x * y - w * z), scale * (x * y + w * z)
        frame[0, 2], frame[2, 0] = scale * (x * z + w * y), scale * (x * z - w * y)
        frame[1, 2], frame[2, 1] = scale * (y * z - w * x), scale * (y * z + w * x)
    return frames


@compiled
def run_ladder(temperatures, place, burn_in, thinning, ordered, state, lanes, out):
    """Run one ladder of replicas and fill ``out``, float32 (n_wanted, n_records, n_sites, 3).

    ``place`` says which row of ``out`` records each of the sorted ``temperatures``, -1 for none.
    The chain starts from parallel directors where ``ordered``, otherwise from ΣQ = 0.
    """
    n, (_, n_records, n_sites, _) = len(temperatures), out.shape
    q, square = np.zeros((n, 3, 3)), np.empty(n)
    if ordered:
        q[:] = np.diag(np.array([-1.0, -1.0, 2.0])) / 3.0
    values, frames, tensor = np.empty((1, 3)), np.empty((1, 3, 3)), np.empty((3, 3))
    sites = np.empty((1, n_sites, 3), np.float32)
    for sweep in range(burn_in + 1 + (n_records - 1) * thinning):
        after = sweep - burn_in
        for k in range(n):
            coupling = 1.5 / temperatures[k]
            width = 1.0 / math.sqrt(coupling * n_sites)
            half = math.sqrt(0.5) * width
            g0, g1 = normal(state) * width / math.sqrt(6.0), normal(state) * half
            tensor[0, 0] = q[k, 0, 0] + (g1 - g0)
            tensor[1, 1] = q[k, 1, 1] - (g1 + g0)
            tensor[2, 2] = q[k, 2, 2] + 2.0 * g0
            tensor[0, 1] = tensor[1, 0] = q[k, 0, 1] + normal(state) * half
            tensor[0, 2] = tensor[2, 0] = q[k, 0, 2] + normal(state) * half
            tensor[1, 2] = tensor[2, 1] = q[k, 1, 2] + normal(state) * half
            eigen_symmetric(tensor, frames[0])
            for i in range(3):
                values[0, i] = coupling * tensor[i, i]
            record = after >= 0 and after % thinning == 0 and place[k] >= 0
            if record:
                # The energy does not change under a common rotation: one drawn uniformly is
                # a move of its own, which spares the records the director's slow wandering.
                turn, frame = random_frames(state, 1)[0], frames[0].copy()
                for i in range(3):
                    frames[0, i] = turn[i, 0] * frame[0] + turn[i, 1] * frame[1]
                    frames[0, i] += turn[i, 2] * frame[2]
            sample_bingham(values, frames, lanes, sites)
            if record:
                out[place[k], after // thinning] = sites[0]
            xx = yy = zz = xy = xz = yz = 0.0
            for site in sites[0]:
                x, y, z = np.float64(site[0]), np.float64(site[1]), np.float64(site[2])
                xx += x * x
                yy += y * y
                zz += z * z
                xy += x * y
                xz += x * z
                yz += y * z
            third = (xx + yy + zz) / 3.0
            q[k, 0, 0], q[k, 0, 1], q[k, 0, 2] = xx - third, xy, xz
            q[k, 1, 0], q[k, 1, 1], q[k, 1, 2] = xy, yy - third, yz
            q[k, 2, 0], q[k, 2, 1], q[k, 2, 2] = xz, yz, zz - third
            q[k] /= n_sites
            square[k] = np.sum(q[k] ** 2)
        for k in range(n - 1):
            inverse = 1.0 / temperatures[k] - 1.0 / temperatures[k + 1]
            exponent = 0.75 * n_sites * inverse * (square[k + 1] - square[k])
            if uniform(state) < math.exp(min(0.0, exponent)):
                square[k], square[k + 1] = square[k + 1], square[k]
                tensor[:] = q[k]
                q[k], q[k + 1] = q[k + 1], tensor
