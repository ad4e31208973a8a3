"""Each kernel beside a plain twin of a few lines: the same law, sweep by sweep.

Kernel and twin start from the same states and make the same number of moves; means of independent
chains are compared by Welch's statistic, which must stay below 6.5 (2 · 8e-11 for each of some
thirty comparisons: false alarms below 1e-8 a run), while a twin a few percent off must exceed it.
"""

from __future__ import annotations

import numpy as np
import pytest

from mfvae.systems.hopfield import replica_temperatures
from mfvae.systems.kernels import bingham, hopfield, maier_saupe, wolff
from mfvae.systems.kernels.lanes import LANES
from mfvae.systems.kernels.random import lane_states, scalar_states

LIMIT = 6.5


def distance(first: np.ndarray, second: np.ndarray) -> float:
    """Largest difference of column means of independent rows, in standard errors."""
    first, second = (np.asarray(part, float).reshape(len(part), -1) for part in (first, second))
    error = np.sqrt(first.var(axis=0, ddof=1) / len(first) + second.var(axis=0) / len(second))
    return float(np.max(np.abs(first.mean(axis=0) - second.mean(axis=0)) / error))


# ------------------------------------------------------------------ Ising


def plain_metropolis(spins: np.ndarray, kappa: float, rng: np.random.Generator) -> None:
    """One sweep of random single spins of a lattice of -1 and +1, in place."""
    length = len(spins)
    for i, j in rng.integers(0, length, (length * length, 2)):
        field = spins[i - 1, j] + spins[(i + 1) % length, j]
        field += spins[i, j - 1] + spins[i, (j + 1) % length]
        if rng.random() < np.exp(-2 * kappa * spins[i, j] * field):
            spins[i, j] *= -1


def plain_wolff(spins: np.ndarray, kappa: float, rng: np.random.Generator) -> None:
    """Flip one cluster of a lattice of -1 and +1, in place."""
    length = len(spins)
    start = tuple(rng.integers(0, length, 2))
    old, cluster = spins[start], [start]
    spins[start] = -old
    for i, j in cluster:
        for other in ((i - 1) % length, j), ((i + 1) % length, j), (i, j - 1), (i, j + 1):
            other = other[0], other[1] % length
            if spins[other] == old and rng.random() < -np.expm1(-2 * kappa):
                spins[other] = -old
                cluster.append(other)


def ising_after(move: str, kappa: float, n_chains: int = 1500, n_moves: int = 4) -> np.ndarray:
    """Bonds and squared magnetisation after a few moves of kernel or twin from all spins up."""
    length, found = 5, []
    for k in range(n_chains):
        if move.startswith("plain"):
            rng, lattice = np.random.default_rng((1, k)), np.ones((length, length), int)
            for _ in range(n_moves):
                {"plain wolff": plain_wolff, "plain metropolis": plain_metropolis}[move](
                    lattice, kappa, rng
                )
        else:
            spins, state = np.ones(length**2, np.uint8), scalar_states(np.random.SeedSequence(k), 1)
            table = wolff.neighbour_table(length)
            if move == "wolff":
                queue = np.empty(length**2 + 1, np.uint32)
                bond = wolff.bond_threshold(kappa)
                wolff.wolff_clusters(spins, queue, state[0], table, bond, n_moves)
            else:
                flips = wolff.flip_thresholds(kappa)
                wolff.metropolis_sweeps(spins, state[0], table, flips, n_moves)
            lattice = 2 * spins.reshape(length, length).astype(int) - 1
        bonds = lattice * (np.roll(lattice, 1, 0) + np.roll(lattice, 1, 1))
        found.append([bonds.sum(), lattice.sum() ** 2])
    return np.array(found)


@pytest.mark.parametrize("move", ["wolff", "metropolis"])
def test_ising_moves_have_the_law_of_their_twins(move: str) -> None:
    kernel = ising_after(move, 0.35)
    assert distance(kernel, ising_after(f"plain {move}", 0.35)) < LIMIT
    assert distance(kernel, ising_after(f"plain {move}", 0.45)) > LIMIT


# ------------------------------------------------------------------ Hopfield


def plain_block_gibbs(
    spins: np.ndarray, patterns: np.ndarray, beta: float, rng: np.random.Generator
) -> np.ndarray:
    """Draw the fields given rows of spins -1, +1, then the spins given the fields."""
    n_sites, n_patterns = patterns.shape
    noise = rng.standard_normal((len(spins), n_patterns)) / np.sqrt(beta * n_sites)
    field = (spins @ patterns) / n_sites + noise
    up = rng.random(spins.shape) < 1 / (1 + np.exp(-2 * beta * field @ patterns.T))
    return np.where(up, 1, -1)


@pytest.mark.parametrize("n_patterns", [3, 9, 14])
def test_hopfield_sweep_has_the_law_of_its_twin(n_patterns: int) -> None:
    rng = np.random.default_rng(2)
    patterns = rng.choice([-1, 1], (45, n_patterns))
    n_chains, beta = 8000, 1.1
    seed = np.random.SeedSequence(5)

    def overlaps(beta: float) -> np.ndarray:
        spins = np.tile(patterns[:, 0], (n_chains, 1))
        for _ in range(2):
            spins = plain_block_gibbs(spins, patterns, beta, rng)
        return spins @ patterns

    shape = LANES * n_patterns * (n_chains // (LANES * n_patterns)), 1
    levels = replica_temperatures(np.array([1 / beta, 4.0]), 45, n_patterns)
    place = np.array([0, len(levels) - 1])
    x, _ = hopfield.run(patterns, levels, place, shape, (2, 1), seed, "patterns")
    # Chain i starts in pattern i mod P; records are reversed as a whole with probability 1/2.
    spins = x[0, ::n_patterns, 0].astype(int)
    kernel = np.abs(spins @ patterns)
    assert distance(kernel, np.abs(overlaps(beta))) < LIMIT
    assert distance(kernel, np.abs(overlaps(1.1 * beta))) > LIMIT


# ------------------------------------------------------------------ directors


def plain_bingham(matrix: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Rejection from uniform directions: density exp(nᵀAn) against its maximum."""
    kept = np.empty((0, 3))
    while len(kept) < n:
        x = rng.standard_normal((4 * n, 3))
        x /= np.linalg.norm(x, axis=1, keepdims=True)
        height = np.exp(np.einsum("ia,ab,ib->i", x, matrix, x) - np.linalg.eigvalsh(matrix)[-1])
        kept = np.concatenate([kept, x[rng.random(len(x)) < height]])
    return kept[:n]


def second_and_fourth(x: np.ndarray) -> np.ndarray:
    square = (x[:, :, None] * x[:, None, :]).reshape(len(x), 9)[:, [0, 1, 2, 4, 5, 8]]
    return np.concatenate([square, square**2], axis=1)


def test_bingham_draws_have_the_law_of_their_twin() -> None:
    matrix = np.array([[2.0, 0.7, -0.4], [0.7, -1.5, 0.9], [-0.4, 0.9, 0.5]])
    values, vectors = np.linalg.eigh(matrix)
    out = np.empty((1, 200_000, 3), np.float32)
    state = lane_states(np.random.SeedSequence(6), 1)[0]
    bingham.sample_bingham(values[None], vectors[None], state, out)
    kernel = second_and_fourth(out[0].astype(float))
    rng = np.random.default_rng(7)
    assert distance(kernel, second_and_fourth(plain_bingham(matrix, 200_000, rng))) < LIMIT
    assert distance(kernel, second_and_fourth(plain_bingham(1.05 * matrix, 200_000, rng))) > LIMIT


def plain_nematic_sweep(x: np.ndarray, temperature: float, rng: np.random.Generator) -> np.ndarray:
    """Draw the tensor given directors ``(n_sites, 3)``, then the directors given the tensor."""
    n_sites, a = len(x), 1.5 / temperature
    noise = rng.standard_normal((3, 3)) / np.sqrt(a * n_sites)
    noise = (noise + noise.T) / 2  # variance 1 on the diagonal, 1/2 beside it
    noise -= np.trace(noise) / 3 * np.eye(3)
    tensor = x.T @ x / n_sites - np.eye(3) / 3 + noise
    return plain_bingham(a * tensor, n_sites, rng)


def test_maier_saupe_ladder_has_the_law_of_its_twin() -> None:
    n_sites, temperature, n_chains = 24, 0.24, 2000

    def order(x: np.ndarray) -> np.ndarray:
        q = x.T @ x / n_sites - np.eye(3) / 3
        return np.array([np.sum(q**2), np.trace(q @ q @ q)])

    def plain(temperature: float) -> np.ndarray:
        rng, found = np.random.default_rng(9), []
        for _ in range(n_chains):
            x = np.tile([0.0, 0.0, 1.0], (n_sites, 1))
            for _ in range(2):
                x = plain_nematic_sweep(x, temperature, rng)
            found.append(order(x))
        return np.array(found)

    kernel, out = [], np.empty((1, 1, n_sites, 3), np.float32)
    for k in range(n_chains):
        seed = np.random.SeedSequence((8, k))
        states = scalar_states(seed, 1)[0], lane_states(seed.spawn(1)[0], 1)[0]
        ladder = np.array([temperature]), np.array([0])
        maier_saupe.run_ladder(*ladder, 1, 1, True, *states, out)
        kernel.append(order(out[0, 0].astype(float)))
    assert distance(np.array(kernel), plain(temperature)) < LIMIT
    assert distance(np.array(kernel), plain(1.1 * temperature)) > LIMIT
