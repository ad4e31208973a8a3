"""Wolff clusters of the 2D Ising model: flipped spins per second against mcising and peapods.

Run as ``python benchmarks/bench_wolff.py``; the peers live in an environment of their own:

    python -m venv .venv-bench && .venv-bench/bin/pip install -r benchmarks/requirements.txt

Every contestant runs at T_c on one thread, after equilibration, in its own process; the rounds of
the contestants alternate and medians are compared. What is counted is the same for all, spins
flipped by clusters:

- mfvae and mcising return the number themselves;
- peapods always sweeps by Metropolis as well, so that the time of sweeps alone is subtracted, and
  reports no cluster sizes: their mean is N⟨m²⟩, an identity of the Wolff algorithm in equilibrium.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

LENGTHS = (32, 64, 128)
CRITICAL = 2.269185314213022
TARGET = 1.5


def measure_mfvae(length: int, n_clusters: int) -> float:
    import numpy as np

    from mfvae.systems.kernels import random, wolff

    spins = np.ones(length**2, np.uint8)
    queue = np.empty(length**2 + 1, np.uint32)
    state = random.scalar_states(np.random.SeedSequence(time.time_ns()), 1)[0]
    arguments = (wolff.neighbour_table(length), wolff.bond_threshold(1 / CRITICAL))
    wolff.wolff_clusters(spins, queue, state, *arguments, 2000)
    start = time.perf_counter()
    flipped = wolff.wolff_clusters(spins, queue, state, *arguments, n_clusters)
    return int(flipped) / (time.perf_counter() - start)


def measure_mcising(length: int, n_clusters: int) -> float:
    from mcising._core import IsingSimulation

    seed = time.time_ns() % 2**32
    simulation = IsingSimulation(length, 1.0, 0.0, 0.0, 0.0, seed, "wolff")
    simulation.sweep(2000, temperature=CRITICAL)
    start = time.perf_counter()
    flipped, _, _ = simulation.sweep(n_clusters, temperature=CRITICAL)
    return flipped / (time.perf_counter() - start)


def measure_peapods(length: int, n_clusters: int) -> float:
    import numpy as np
    from peapods import Ising

    model = Ising((length, length), temperatures=np.array([CRITICAL]))
    clusters = {"cluster_update_interval": 1, "cluster_mode": "wolff"}
    model.sample(2000, sequential=True, **clusters)
    start = time.perf_counter()
    model.sample(n_clusters, sequential=True, warmup_ratio=0.0, **clusters)
    seconds = time.perf_counter() - start
    flipped = n_clusters * length**2 * float(model.mags2[0])
    start = time.perf_counter()
    model.sample(n_clusters, sequential=True, warmup_ratio=0.0)
    return flipped / (seconds - (time.perf_counter() - start))


MEASURES = {"mfvae": measure_mfvae, "mcising": measure_mcising, "peapods": measure_peapods}


def in_process(python: Path, name: str, length: int, n_clusters: int) -> float:
    """Run one measurement in a process of its own, on one thread: flipped spins per second."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "RAYON_NUM_THREADS"), "1")
    command = [python, __file__, "--measure", name, str(length), str(n_clusters)]
    result = subprocess.run(
        command, check=True, capture_output=True, text=True, env={**os.environ, **threads}
    )
    return json.loads(result.stdout)


def where_the_time_goes(length: int, n_clusters: int) -> None:
    """Compare the kernel with its random numbers alone, one 64-bit word a flipped spin."""
    import numpy as np
    from numba import njit

    from mfvae.systems.kernels import random

    step = random.next_bits

    @njit
    def numbers(state, n):
        s = state[0], state[1], state[2], state[3]
        total = np.uint64(0)
        for _ in range(n):
            bits, s = step(s)
            total ^= bits
        return total

    state = random.scalar_states(np.random.SeedSequence(1), 1)[0]
    numbers(state, 10)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        numbers(state, 20_000_000)
        times.append((time.perf_counter() - start) / 20_000_000)
    random = statistics.median(times)
    flip = 1 / statistics.median(measure_mfvae(length, n_clusters) for _ in range(5))
    print(f"L = {length}: {flip * 1e9:.2f} ns a flipped spin, {random * 1e9:.2f} of them random")
    print("numbers; the rest is four neighbours: index, spin, compare, write, advance.")


def strong_scaling(length: int) -> None:
    """The same 64 chains on 1, 2, … threads, records and burn-in included."""
    import numba

    from mfvae.systems import Ising2D

    system, first = Ising2D(length), None
    system.sample_chains(CRITICAL, 2, 2, seed=0)
    print(f"\nL = {length}, 64 chains of 200 records by sample_chains, strong scaling")
    print("threads  seconds  speed-up")
    for n_threads in [2**k for k in range(numba.config.NUMBA_NUM_THREADS.bit_length())]:
        numba.set_num_threads(n_threads)
        times = []
        for seed in range(5):
            start = time.perf_counter()
            system.sample_chains(CRITICAL, 64, 200, seed=seed)
            times.append(time.perf_counter() - start)
        seconds = statistics.median(times)
        first = first or seconds
        print(f"{n_threads:7d}  {seconds:7.3f}  {first / seconds:8.2f}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--peers", default=".venv-bench/bin/python", help="their interpreter")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--clusters", type=int, default=30_000, help="at L = 32; ∝ 1/L² above")
    parser.add_argument("--measure", nargs=3, metavar=("NAME", "LENGTH", "CLUSTERS"))
    arguments = parser.parse_args()
    if arguments.measure:
        name, length, n_clusters = arguments.measure
        print(json.dumps(MEASURES[name](int(length), int(n_clusters))))
        return 0
    peers = Path(arguments.peers)
    if not peers.exists():
        print(f"no interpreter at {peers}: make the peers' environment first (see {__file__})")
        return 2

    missed = []
    print(f"Wolff at T_c, million flipped spins per second, medians of {arguments.rounds} rounds")
    print("   L    mfvae  mcising  peapods   ratio to the faster peer")
    for length in LENGTHS:
        n_clusters = arguments.clusters * 32**2 // length**2
        rates = {name: [] for name in MEASURES}
        for _ in range(arguments.rounds):
            for name, values in rates.items():
                python = Path(sys.executable) if name == "mfvae" else peers
                values.append(in_process(python, name, length, n_clusters))
        median = {name: statistics.median(values) / 1e6 for name, values in rates.items()}
        ratio = median["mfvae"] / max(median["mcising"], median["peapods"])
        verdict = "" if ratio >= TARGET else f"  below {TARGET}"
        row = "  ".join(f"{median[name]:7.1f}" for name in MEASURES)
        print(f"{length:4d}  {row}   {ratio:.2f}{verdict}", flush=True)
        if ratio < TARGET:
            missed.append(length)
    where_the_time_goes(LENGTHS[0], arguments.clusters)
    strong_scaling(LENGTHS[1])
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
