"""Total correlation of Ising lattices as they grow: neural estimates beside exact values.

Three questions a size. What do the estimates find of the total correlation itself, which is known
exactly, has no peak and exceeds what so many samples can resolve? What is left given the latents of
a network trained on all temperatures together, between a lower limit and the exact gap? And where
is the peak of what is left given the magnetisation? That is exact but for averages over one number
a configuration,

    TC(x | M) = N E h((1 + M/N) / 2) - H(x) + H(M),   h the entropy of a coin, H(x) Kaufman's,

and goes with N to N [h((1 + m₀)/2) - s(T)], m₀ Onsager's magnetisation: a peak at T_c itself.
Estimators and settings are those of ``conditional_tc.py``. Every seed has its own data, network and
estimator. Rows go to ``tc_sizes.json`` in the package; those that are there are skipped.

    python book/results/tc_sizes.py                           # all that is missing (hours)
    python book/results/tc_sizes.py --length 8 16 --given magnetization
    python book/results/tc_sizes.py --show                    # where the peaks are
"""

from __future__ import annotations

import warnings
from typing import Any

import conditional_tc as chapter
import numpy as np
from _sweep import RESULTS, from_chapter, sweep_command
from scipy.special import xlog1py, xlogy

import mfvae
from mfvae.measure import SaturationWarning, total_correlation
from mfvae.systems import Ising2D

(peak,) = from_chapter("total-correlation", "peak")

OUTPUT = RESULTS / "tc_sizes.json"
NAMES = ("length", "given", "seed")
FILTERS = {name: name for name in NAMES}
CRITICAL = float(Ising2D.CRITICAL_TEMPERATURE)
N_SEEDS, N_CHAINS = 5, 64
#: Temperatures over T_c and configurations at each, by what is given; of networks, the latents.
GIVEN: dict[str, dict[str, Any]] = {
    "magnetization": {
        "reduced": [0.9, 0.95, *(round(1 + 0.02 * i, 2) for i in range(16)), 1.4, 1.5, 2.0],
        "n_samples": 64_000,
    },
    "nothing": {"reduced": [0.85, 1.0, 1.2, 1.5, 2.0, 3.0, 4.0], "n_samples": 20_000},
    **{
        f"{d} latents": {
            "reduced": [0.85, 0.95, 1.0, 1.05, 1.1, 1.15, 1.2, 1.3, 1.5, 2.0],
            "n_samples": chapter.N_TEST,
            "n_latents": d,
        }
        for d in (1, 4, 16)
    },
}
#: The cheapest first, then what the question is about; a seed is done for all before the next.
CELLS = [
    *[(length, "magnetization") for length in (8, 16, 24, 32, 48, 64)],
    *[(length, f"{d} latents") for length, d in ((8, 1), (16, 1), (8, 4), (16, 4), (16, 16))],
    *[(length, "nothing") for length in (8, 16)],
]
LATE = [(24, "1 latents"), (24, "nothing")]
ROWS = [(*cell, s) for s in range(N_SEEDS) for cell in CELLS]
ROWS += [(*cell, s) for s in range(N_SEEDS) for cell in LATE]


def given_magnetization(
    system: Ising2D, temperature: float, n_samples: int, seed: np.random.SeedSequence
) -> tuple[float, float]:
    """Return TC(x | M), nats, and its standard error from the spread of the chains."""
    n = system.n_sites
    x = system.sample_chains([temperature], N_CHAINS, n_samples // N_CHAINS, seed=seed)[0]
    up = (n + x.sum(axis=-1, dtype=np.int64)) // 2  # (n_chains, n_records)
    counts = np.bincount(up.ravel(), minlength=n + 1).astype(float)
    counts += counts[::-1]  # M and -M are equally likely
    law, p = counts / counts.sum(), np.arange(n + 1) / n
    coins = -(xlogy(p, p) + xlog1py(1 - p, -p))
    own = n * coins[up] - np.log(law[up])
    # The plug-in entropy of a histogram is low by half its degrees of freedom over the counts.
    bias = (np.count_nonzero(law) / 2 - 1) / (2 * up.size)
    means = own.mean(axis=1)
    nats = means.mean() + bias - float(system.entropy(temperature))
    return float(nats), float(means.std(ddof=1) / N_CHAINS**0.5)


def estimated(found: Any) -> dict[str, Any]:
    """Return an estimate at every temperature, as the file keeps it."""
    each = found.by_condition.values()
    return {
        "nats": [[round(v.nats.value, 4), round(v.nats.stderr, 4)] for v in each],
        "lower": [round(v.lower, 4) for v in each],
        "saturated": [v.saturated for v in each],
    }


def given_latents(
    system: Ising2D,
    temperatures: np.ndarray,
    n_latents: int,
    n_samples: int,
    seeds: list[np.random.SeedSequence],
    n_training: int = chapter.N_TRAINING,
    **options: Any,
) -> dict[str, Any]:
    """Train one network on all temperatures and estimate what is left; and the exact gap."""
    training, network, test, bounds, ratios = seeds
    own = chapter.SYSTEMS["ising"]["options"] | {"prior": "spline"} | options
    for key in ("encoder_options", "decoder_options"):
        own[key] = {k: tuple(v) if isinstance(v, list) else v for k, v in own[key].items()}
    state = int(network.generate_state(1)[0])
    vae = mfvae.MeanFieldVAE(n_latents, **own, device="cpu", progress=False, random_state=state)
    x = system.sample(temperatures, n_training, seed=training)
    vae.fit(x.reshape(-1, system.n_sites), conditions=np.repeat(temperatures, n_training))
    x = system.sample(temperatures, n_samples, seed=test)
    rows, conditions = x.reshape(-1, system.n_sites), np.repeat(temperatures, n_samples)
    draws = {"n_importance": chapter.N_IMPORTANCE, "seed": bounds}
    elbo = vae.score_samples(rows, conditions, method="elbo", **draws)
    gaps = []
    for temperature, part, bound in zip(
        temperatures, x, elbo.reshape(len(temperatures), -1), strict=True
    ):
        blocks = np.array_split(system.log_prob(part, temperature) - bound, chapter.N_BLOCKS)
        blocks = np.array([block.mean() for block in blocks])
        gaps.append([blocks.mean(), blocks.std(ddof=1) / chapter.N_BLOCKS**0.5])
    lattice = (system.length, system.length)
    found = total_correlation(
        vae, rows, conditions, seed=ratios, lattice_shape=lattice, n_epochs=chapter.N_EPOCHS
    )
    return {
        **estimated(found),
        "gap": np.round(gaps, 4).tolist(),
        "training_seconds": round(vae.training_seconds_, 1),
    }


def compute_row(
    length: int,
    given: str,
    seed: int,
    *,
    n_samples: int | None = None,
    reduced: list[float] | None = None,
    **smaller: Any,
) -> dict[str, Any]:
    """Measure one row; the keyword arguments may shrink it."""
    settings, system = GIVEN[given], Ising2D(length)
    temperatures = np.round(np.array(reduced or settings["reduced"]) * CRITICAL, 4)
    n_samples = n_samples or settings["n_samples"]
    seeds = np.random.SeedSequence([length, list(GIVEN).index(given), seed])
    row = {
        "temperature": temperatures.tolist(),
        "exact": [round(float(system.total_correlation(t)), 4) for t in temperatures],
    }
    with warnings.catch_warnings():  # what it says is in the row
        warnings.simplefilter("ignore", SaturationWarning)
        if given == "magnetization":
            parts = zip(temperatures, seeds.spawn(len(temperatures)), strict=True)
            nats = [given_magnetization(system, t, n_samples, own) for t, own in parts]
            return row | {"nats": np.round(nats, 4).tolist()}
        if given == "nothing":
            each = []
            for t in temperatures:  # one at a time, as in the chapter
                draw, own = seeds.spawn(2)
                x = system.sample(t, n_samples, seed=draw)
                one = {"lattice_shape": (length, length), "n_epochs": chapter.N_EPOCHS, **smaller}
                conditions = np.full(len(x), t)
                each.append(estimated(total_correlation(None, x, conditions, seed=own, **one)))
            return row | {key: [one[key][0] for one in each] for key in each[0]}
        d = settings["n_latents"]
        return row | given_latents(system, temperatures, d, n_samples, seeds.spawn(5), **smaller)


def show(rows: list[dict[str, Any]]) -> None:
    """Print height and place of every peak, over seeds, and what is found of the exact value."""
    cells: dict[tuple, list[dict[str, Any]]] = {}
    for row in rows:
        cells.setdefault((row["length"], row["given"]), []).append(row)
    print("\npeaks: T/T_c and nats, mean over seeds with standard error (nan: one seed)")
    for (length, given), own in sorted(cells.items(), key=lambda cell: (cell[0][1], cell[0][0])):
        curves = {"estimate": [np.array(r["nats"])[:, 0] for r in own]}
        if "gap" in own[0]:
            curves["lower limit"] = [r["lower"] for r in own]
            curves["gap"] = [np.array(r["gap"])[:, 0] for r in own]
        saturated = [sum(r.get("saturated", [])) for r in own]
        print(f"L = {length}, given {given}: {len(own)} seeds, saturated temperatures {saturated}")
        if given == "nothing":
            ratio = np.mean(curves["estimate"], axis=0) / own[0]["exact"]
            for t, exact, part in zip(own[0]["temperature"], own[0]["exact"], ratio, strict=True):
                print(f"    T/T_c {t / CRITICAL:5.2f}  exact {exact:8.2f}  found of it {part:.3f}")
            continue
        for name, curve in curves.items():
            places = [peak(own[0]["temperature"], one) / CRITICAL for one in curve]
            numbers = []
            for values in (places, [max(one) for one in curve]):
                error = np.std(values, ddof=1) / len(own) ** 0.5 if len(own) > 1 else np.nan
                numbers.append(f"{np.mean(values):.3f} ± {error:.3f}")
            print(f"    {name:<12} at {numbers[0]}, {numbers[1]} nats")


def configuration() -> dict[str, Any]:
    """Return what the rows share."""
    return {
        "given": GIVEN,
        "n_chains": N_CHAINS,
        "n_training": chapter.N_TRAINING,
        "n_importance": chapter.N_IMPORTANCE,
        "n_blocks": chapter.N_BLOCKS,
        "n_epochs": chapter.N_EPOCHS,
        "options": chapter.SYSTEMS["ising"]["options"],
    }


def main(arguments: list[str] | None = None) -> None:
    """Compute the rows asked for and write each as soon as it is there."""
    sweep_command(globals(), arguments)


if __name__ == "__main__":
    main()
