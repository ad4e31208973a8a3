"""Hopfield block Gibbs: against float32 NumPy, and against its products and random numbers alone.

Run as ``python benchmarks/bench_hopfield.py``, one thread but for the last table. All times are
medians over rounds in which the contestants alternate, in nanoseconds for one sweep of one chain.

The limit of a sweep that is written as matrix algebra is the time of its two products (s ξ and
m ξᵀ, by the BLAS of NumPy, 256 chains at once) and of its N uniform and P normal random numbers;
it is given with NumPy's generator and with the faster one of the package. The package needs
neither product in full: the local fields are sums over tables of four patterns, the overlaps are
counted in bits. What remains is listed stage by stage.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable

import numpy as np
from numba import njit
from threadpoolctl import threadpool_limits

from mfvae.systems import Hopfield
from mfvae.systems.kernels import hopfield as gibbs
from mfvae.systems.kernels.lanes import LANES, store
from mfvae.systems.kernels.random import load_state, next_words, normals, store_state

TEMPERATURE = 1.8  # disordered for every size below: a ladder of one temperature, as in NumPy
FASTER_THAN_NUMPY = 5.0
OF_THE_LIMIT = 0.6


def numpy_gibbs(system: Hopfield, n_chains: int, n_sweeps: int, seed: int) -> np.ndarray:
    """Block Gibbs of many chains in float32 NumPy, work arrays reused; spins (n_chains, N)."""
    rng = np.random.Generator(np.random.SFC64(seed))
    n_sites, n_patterns = system.patterns.shape
    patterns = system.patterns.astype(np.float32)
    transposed = np.ascontiguousarray(patterns.T)
    beta = np.float32(1 / TEMPERATURE)
    width = np.float32(2 * np.sqrt(beta / n_sites))
    spins = np.where(rng.random((n_chains, n_sites)) < 0.5, -1, 1).astype(np.float32)
    field = np.empty((n_chains, n_patterns), np.float32)
    noise = np.empty_like(field)
    local, uniform = np.empty_like(spins), np.empty_like(spins)
    for _ in range(n_sweeps):
        np.matmul(spins, patterns, out=field)
        rng.standard_normal(dtype=np.float32, out=noise)
        field *= 2 * beta / n_sites
        noise *= width
        field += noise
        np.matmul(field, transposed, out=local)
        np.negative(local, out=local)
        np.exp(local, out=local)
        rng.random(dtype=np.float32, out=uniform)
        local += 1
        local *= uniform  # u (1 + e^-x) < 1
        np.subtract(1, local, out=local)
        np.copysign(1, local, out=spins)
    return spins


def per_sweep(work: Callable[[], object], n_sweeps: int, n_chains: int) -> float:
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) / (n_sweeps * n_chains) * 1e9


def medians(contestants: dict[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    times = {name: [] for name in contestants}
    for contestant in contestants.values():
        contestant()  # compiles, warms up
    for _ in range(rounds):
        for name, contestant in contestants.items():
            times[name].append(contestant())
    return {name: statistics.median(values) for name, values in times.items()}


def mfvae_time(system: Hopfield, n_sweeps: int, n_chains: int = 256, **kwargs) -> float:
    def work() -> np.ndarray:
        return system.sample_chains(TEMPERATURE, n_chains, 1, burn_in=n_sweeps, seed=0, **kwargs)

    return per_sweep(work, n_sweeps, n_chains)


@njit
def random_numbers(n_sweeps, n_sites, n_patterns, state, sink, pairs):
    for _ in range(n_sweeps):
        s = load_state(state)
        for _ in range(n_sites):
            words, s = next_words(s)
            store(sink, 0, words)
        for _ in range((n_patterns + 1) // 2):
            first, s = next_words(s)
            second, s = next_words(s)
            left, right = normals(first, second)
            store(pairs, 0, left)
            store(pairs, LANES, right)
        store_state(state, s)


def products_time(system: Hopfield, n_chains: int = 256, repeats: int = 20) -> float:
    """The two matrix products of a sweep by BLAS, float32."""
    rng = np.random.default_rng(0)
    patterns = system.patterns.astype(np.float32)
    transposed = np.ascontiguousarray(patterns.T)
    spins = rng.choice([-1, 1], (n_chains, system.n_sites)).astype(np.float32)
    field = np.empty((n_chains, system.n_patterns), np.float32)
    local = np.empty_like(spins)

    def work() -> None:
        for _ in range(repeats):
            np.matmul(spins, patterns, out=field)
            np.matmul(field, transposed, out=local)

    return per_sweep(work, repeats, n_chains)


def numpy_random_time(system: Hopfield, n_chains: int = 256, repeats: int = 20) -> float:
    rng = np.random.Generator(np.random.SFC64(0))
    uniform = np.empty((n_chains, system.n_sites), np.float32)
    normal = np.empty((n_chains, system.n_patterns), np.float32)

    def work() -> None:
        for _ in range(repeats):
            rng.random(dtype=np.float32, out=uniform)
            rng.standard_normal(dtype=np.float32, out=normal)

    return per_sweep(work, repeats, n_chains)


def lane_random_time(system: Hopfield, n_sweeps: int = 500) -> float:
    state = np.random.SeedSequence(0).generate_state(4 * LANES)
    sinks = np.zeros(LANES, np.uint32), np.zeros(2 * LANES, np.float32)
    arguments = (n_sweeps, system.n_sites, system.n_patterns, state, *sinks)
    return per_sweep(lambda: random_numbers(*arguments), n_sweeps, LANES)


@njit
def repeat_draw_field(n, beta, n_sites, wrong, state, field):
    for _ in range(n):
        gibbs.draw_field(beta, n_sites, wrong, state, field)


@njit
def repeat_tabulate(n, field, table):
    for _ in range(n):
        gibbs.tabulate(field, table)


@njit
def repeat_draw_spins(n, n_sites, rows, table, thresholds, state, spins):
    for _ in range(n):
        gibbs.draw_spins(n_sites, rows, table, thresholds, state, spins)


@njit
def repeat_count(n, pattern_bits, spins, wrong):
    for _ in range(n):
        gibbs.count_wrong(pattern_bits, spins, wrong)


def stages(system: Hopfield, rounds: int, n: int = 300) -> dict[str, float]:
    """Nanoseconds a sweep and chain of every stage, for more than four patterns."""
    n_sites, n_patterns = system.patterns.shape
    n_groups = -(-n_patterns // gibbs.GROUP)
    rows = gibbs.table_rows(system.patterns)
    bits = np.ascontiguousarray(gibbs.pack_spins(system.patterns.T))
    state = np.random.SeedSequence(0).generate_state(4 * LANES)
    spins = np.random.SeedSequence(1).generate_state(bits.shape[1] * LANES)
    wrong = np.full(n_patterns * LANES, n_sites // 2, np.uint32)
    field = np.zeros(n_groups * gibbs.GROUP * LANES, np.float32)
    table = np.zeros(n_groups * 2**gibbs.GROUP * LANES, np.float32)
    thresholds = np.zeros(2**gibbs.GROUP * LANES, np.uint32)
    work = {
        "field": (repeat_draw_field, 1.0, n_sites, wrong, state, field),
        "tables": (repeat_tabulate, field, table),
        "spins": (repeat_draw_spins, n_sites, rows, table, thresholds, state, spins),
        "overlaps": (repeat_count, bits, spins, wrong),
    }
    return medians(
        {
            name: lambda f=f, a=a: per_sweep(lambda: f(n, *a), n, LANES)
            for name, (f, *a) in work.items()
        },
        rounds,
    )


def agreement(system: Hopfield) -> None:
    """Both versions sample the same law: mean energies within six standard errors."""
    ours = system.energy(system.sample_chains(TEMPERATURE, 4096, 1, burn_in=60, seed=1)[0, :, 0])
    theirs = system.energy(numpy_gibbs(system, 4096, 60, seed=2).astype(np.int8))
    error = np.sqrt((ours.var() + theirs.var()) / 4096)
    z = (ours.mean() - theirs.mean()) / error
    print(
        f"mean energies {ours.mean():.3f} and {theirs.mean():.3f}, {z:+.1f} standard errors apart"
    )
    if abs(z) > 6:
        raise SystemExit("the two versions do not sample the same law")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    missed = 0

    system = Hopfield.random(256, 4, seed=0)
    print("N = 256, P = 4: nanoseconds a sweep and chain")
    agreement(system)
    contestants = {"mfvae": lambda: mfvae_time(system, 2000)}
    for n_chains in (16, 64, 256):
        contestants[f"NumPy, {n_chains} chains"] = lambda n=n_chains: per_sweep(
            lambda: numpy_gibbs(system, n, 20_000 // n, seed=0), 20_000 // n, n
        )
    times = medians(contestants, rounds)
    for name, value in times.items():
        print(f"  {name:18s} {value:8.1f}")
    ratio = min(value for name, value in times.items() if name != "mfvae") / times["mfvae"]
    print(f"  ratio to the fastest NumPy {ratio:.1f}, wanted {FASTER_THAN_NUMPY}")
    missed += ratio < FASTER_THAN_NUMPY

    system = Hopfield.random(1024, 64, seed=0)
    print("\nN = 1024, P = 64: nanoseconds a sweep and chain")
    times = medians(
        {
            "mfvae": lambda: mfvae_time(system, 500),
            "products, BLAS": lambda: products_time(system),
            "random, NumPy": lambda: numpy_random_time(system),
            "random, mfvae": lambda: lane_random_time(system),
        },
        rounds,
    )
    for name, value in times.items():
        print(f"  {name:18s} {value:8.1f}")
    for generator in ("NumPy", "mfvae"):
        limit = times["products, BLAS"] + times[f"random, {generator}"]
        share = limit / times["mfvae"]
        print(f"  limit with the generator of {generator}: {limit:.0f}, {share:.0%} of it reached")
    print(f"  wanted {OF_THE_LIMIT:.0%} of the stricter one")
    missed += share < OF_THE_LIMIT
    print("  where the time goes:", end=" ")
    print(", ".join(f"{name} {value:.0f}" for name, value in stages(system, rounds).items()))

    print("\ncost against N and P: nanoseconds a sweep and chain (picoseconds over N P)")
    print("     N " + "".join(f"{'P = ' + str(p):>16s}" for p in (1, 4, 8, 16, 32, 64)))
    for n_sites in (256, 512, 1024, 2048):
        row = []
        for n_patterns in (1, 4, 8, 16, 32, 64):
            one = Hopfield.random(n_sites, n_patterns, seed=0)
            n_sweeps = 30_000_000 // (n_sites * (n_patterns + 8))
            value = medians({"": lambda s=one, n=n_sweeps: mfvae_time(s, n, 64)}, 3)[""]
            row.append(f"{value:8.0f} ({value / n_sites / n_patterns * 1e3:4.0f})")
        print(f"{n_sites:6d} " + "".join(f"{cell:>16s}" for cell in row))

    print("\nstrong scaling: N = 256, P = 16, 512 chains of one record over a ladder from T = 0.6")
    print("threads  seconds  speed-up")
    system = Hopfield.random(256, 16, seed=0)
    first = None
    for n_threads in [2**k for k in range((os.cpu_count() or 1).bit_length())]:
        seconds = medians(
            {
                "": lambda n=n_threads: per_sweep(
                    lambda: system.sample_chains(0.6, 512, 1, seed=0, n_threads=n), 1, 1
                )
            },
            rounds,
        )[""]
        first = first or seconds
        print(f"{n_threads:7d}  {seconds / 1e9:7.3f}  {first / seconds:8.2f}")
    return 1 if missed else 0


if __name__ == "__main__":
    with threadpool_limits(1):  # the products of NumPy
        raise SystemExit(main())
