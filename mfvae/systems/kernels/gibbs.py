"""Gibbs sweeps of words: p(x) ∝ exp(h·x + x·J·x/2 + V(K)), x of letters 0 and 1, K their sum."""

import math

import numpy as np

from mfvae.systems.kernels.random import uniform
from mfvae.systems.kernels.running import compiled, in_threads


def gibbs_sweeps(x, field, couplings, states, n_sweeps, potential=None):
    """Sweep every chain through its cells ``n_sweeps`` times, in place.

    Words x are uint8 ``(n_chains, n_cells)``; h and J float64, the latter symmetric with zero
    diagonal; ``states`` from `scalar_states`, one for each chain; V, ``(n_cells + 1,)``, or none.
    """
    step = np.zeros(len(field)) if potential is None else np.diff(potential)
    blocks = [slice(i, i + 16) for i in range(0, len(x), 16)]
    in_threads(lambda b: _sweep_chains(x[b], field, couplings, step, states[b], n_sweeps), blocks)


@compiled
def _sweep_chains(x, field, couplings, step, states, n_sweeps):
    for chain, state in zip(x, states):  # noqa: B905 - Numba's zip knows no `strict`
        local = field.copy()
        count = 0
        for i in range(len(chain)):
            if chain[i]:
                local += couplings[i]
                count += 1
        for _ in range(n_sweeps):
            for i in range(len(chain)):
                field_of_cell = local[i] + step[count - chain[i]]
                on = uniform(state) * (1.0 + math.exp(-field_of_cell)) < 1.0
                if on != (chain[i] == 1):
                    sign = 1.0 if on else -1.0
                    chain[i] = 1 if on else 0
                    count += 1 if on else -1
                    for j in range(len(chain)):
                        local[j] += sign * couplings[i, j]
