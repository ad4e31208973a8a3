"""Bingham draws: effective samples per second against pyrecest and geosss, in one run.

Run as ``python benchmarks/bench_bingham.py``; the peers live in an environment of their own:

    python -m venv .venv-bench && .venv-bench/bin/pip install -r benchmarks/requirements.txt

Two questions. *Many draws of one law*, and *one draw from each of many laws*, which is what
a decoder with Bingham sites asks for. Every contestant runs in a process of its own, the
rounds alternate, medians are compared. Rejection samplers (ours; ``geosss.rand.sample_bingham``,
the same algorithm in NumPy) give independent draws, a million a call; Markov chains (geosss's
slice sampler, pyrecest's only sampler) count their draws divided by the integrated
autocorrelation time of the squared component along the largest eigenvalue. All draws of a rate
are checked against the exact second moment. Ours are float32, the peers' float64.
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

LAWS = {
    "weak": (0.0, 0.5, 1.0),
    "biaxial": (0.0, 3.0, 8.0),
    "girdle": (0.0, 20.0, 20.0),
    "peaked": (0.0, 0.0, 200.0),
}
TARGET = 50


def effective_fraction(squares) -> float:
    """Return 1 / (integrated autocorrelation time), with Sokal's window of 5 times."""
    import numpy as np

    deviation = squares - squares.mean()
    power = np.abs(np.fft.rfft(deviation, 2 * len(deviation))) ** 2
    correlation = np.fft.irfft(power)[: len(deviation)]
    times = 2 * np.cumsum(correlation / correlation[0]) - 1
    window = int(np.argmax(np.arange(len(times)) >= 5 * times))
    return min(1.0, 1 / float(times[window]))


def median_call(draw):
    """Return the median time of calls that fill a second or so, and the last result.

    The first calls, in which code is loaded and memory is taken from the system, do not count.
    """
    times = []
    for call in range(200):
        start = time.perf_counter()
        n = draw(call)
        times.append(time.perf_counter() - start)
        if call >= 6 and sum(times) > 1.0:
            break
    return statistics.median(times[3:]), n


def measure_mfvae(name: str, eigenvalues: tuple, n_draws: int):
    import numpy as np

    from mfvae.systems import Bingham

    if name == "many":
        rng = np.random.default_rng(0)
        rotations = np.linalg.qr(rng.normal(size=(n_draws, 3, 3)))[0]
        matrices = np.einsum("nik,k,njk->nij", rotations, np.array(eigenvalues), rotations)
        Bingham(matrices[:10]).sample(1, seed=0)
        start = time.perf_counter()
        n = Bingham(matrices).sample(1, seed=1)[:, 0]
        seconds = time.perf_counter() - start
        return seconds, np.einsum("ni,ni->n", n, rotations[:, :, 2]) ** 2, 1.0
    law, seed = Bingham(np.diag(eigenvalues)), time.time_ns()
    seconds, n = median_call(lambda call: law.sample(n_draws, seed=seed + call))
    return seconds, n[:, 2].astype(np.float64) ** 2, 1.0


def measure_geosss(name: str, eigenvalues: tuple, n_draws: int):
    import numpy as np
    from geosss.rand import sample_bingham

    if name == "many":
        rng = np.random.default_rng(0)
        rotations = np.linalg.qr(rng.normal(size=(n_draws, 3, 3)))[0]
        matrices = np.einsum("nik,k,njk->nij", rotations, np.array(eigenvalues), rotations)
        start = time.perf_counter()
        n = np.array([sample_bingham(A, 1)[0] for A in matrices])
        seconds = time.perf_counter() - start
        return seconds, np.einsum("ni,ni->n", n, rotations[:, :, 2]) ** 2, 1.0
    A = np.diag(eigenvalues)
    seconds, n = median_call(lambda call: sample_bingham(A, n_draws))
    return seconds, n[:, 2] ** 2, 1.0


def measure_geosss_slice(name: str, eigenvalues: tuple, n_draws: int):
    import numpy as np
    from geosss.distributions import Bingham
    from geosss.mcmc import ShrinkageSphericalSliceSampler

    initial = np.array([0.6, 0.0, 0.8])
    sampler = ShrinkageSphericalSliceSampler(Bingham(np.diag(eigenvalues)), initial, seed=1)
    start = time.perf_counter()
    n = np.asarray(sampler.sample(n_draws, burnin=100))
    seconds = time.perf_counter() - start
    squares = n[:, 2] ** 2
    return seconds, squares, effective_fraction(squares)


def measure_pyrecest(name: str, eigenvalues: tuple, n_draws: int):
    import numpy as np
    from pyrecest.distributions import BinghamDistribution

    law = BinghamDistribution(np.array(eigenvalues) - max(eigenvalues), np.eye(3))
    law.sample(2)
    start = time.perf_counter()
    n = np.asarray(law.sample(n_draws))
    seconds = time.perf_counter() - start
    squares = n[:, 2] ** 2
    return seconds, squares, effective_fraction(squares)


MEASURES = {
    "mfvae": (measure_mfvae, 1_000_000),
    "geosss": (measure_geosss, 1_000_000),
    "geosss slice": (measure_geosss_slice, 20_000),
    "pyrecest": (measure_pyrecest, 2_000),
}
MANY = {"mfvae": 400_000, "geosss": 3_000}


def measure(contestant: str, name: str, eigenvalues: tuple, n_draws: int) -> dict[str, float]:
    seconds, squares, fraction = MEASURES[contestant][0](name, eigenvalues, n_draws)
    effective = n_draws * fraction
    return {
        "rate": effective / seconds,
        "mean": float(squares.mean()),
        "error": float(squares.std() / effective**0.5),
    }


def in_process(python: Path, threads: int, *arguments) -> dict[str, float]:
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
    result = subprocess.run(
        [python, __file__, "--measure", json.dumps(arguments)],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, **dict.fromkeys(names, str(threads))},
    )
    return json.loads(result.stdout.splitlines()[-1])


def where_the_time_goes() -> None:
    """Compare a draw with the number of proposals it takes."""
    import numpy as np

    from mfvae.systems.kernels.bingham import sample_bingham
    from mfvae.systems.kernels.random import lane_states

    print("\nour kernel on one thread: proposals per draw, ns per proposal")
    out, state = np.empty((1, 1_000_000, 3), np.float32), lane_states(np.random.SeedSequence(1), 1)
    for name, eigenvalues in LAWS.items():
        arguments = (np.array([eigenvalues]), np.eye(3)[None], state[0], out)
        times = []
        for _ in range(7):
            start = time.perf_counter()
            proposals = sample_bingham(*arguments)
            times.append(time.perf_counter() - start)
        seconds = statistics.median(times)
        print(f"{name:>8}  {proposals / 1e6:.3f}  {seconds / proposals * 1e9:.2f}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--peers", default=".venv-bench/bin/python", help="their interpreter")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--measure")
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(*json.loads(options.measure))))
        return 0
    peers = Path(options.peers)
    if not peers.exists():
        print(f"no interpreter at {peers}: make the peers' environment first (see {__file__})")
        return 2

    import numpy as np

    from mfvae.systems import Bingham

    ours, every = Path(sys.executable), os.cpu_count() or 1
    contestants = [("mfvae", ours, 1), ("mfvae", ours, every)]
    contestants += [(name, peers, 1) for name in MEASURES if name != "mfvae"]
    titles = ["mfvae, 1 thread", f"{every} threads", *[name for name, _, _ in contestants[2:]]]
    print(f"million effective draws per second, medians of {options.rounds} rounds")
    print(f"{'':>8}  " + "  ".join(f"{t:>15}" for t in titles) + "   ratio: 1 thread, all")
    missed = False  # the target is meant for this machine's threads together
    rows = [(name, values, False) for name, values in LAWS.items()]
    rows.append(("many", LAWS["biaxial"], True))
    for name, eigenvalues, many in rows:
        exact = Bingham(np.diag(eigenvalues)).moment()[2, 2]
        rates: list[list[float]] = [[] for _ in contestants]
        for _ in range(options.rounds):
            for values, (contestant, python, threads) in zip(rates, contestants, strict=True):
                if many and contestant not in MANY:
                    continue
                n_draws = MANY[contestant] if many else MEASURES[contestant][1]
                result = in_process(python, threads, contestant, name, eigenvalues, n_draws)
                deviation = abs(result["mean"] - exact) / result["error"]
                if deviation > 6:
                    print(f"{name}: {contestant} is {deviation:.1f} standard errors off")
                values.append(result["rate"] / 1e6)
        median = [statistics.median(values) if values else float("nan") for values in rates]
        best = max(m for m in median[2:] if m == m)
        cells = "  ".join(f"{m:15.4g}" for m in median)
        print(f"{name:>8}  {cells}   {median[0] / best:.0f}, {median[1] / best:.0f}", flush=True)
        missed = missed or max(median[:2]) < TARGET * best
    where_the_time_goes()
    if missed:
        print(f"\nbelow {TARGET} times the faster peer in at least one row")
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
