"""Both sides of ``gap ≥ I(A;B) - R`` for every network that a chapter or a sweep trains.

Runs the code of one chapter (or all rows of a sweep) after another, with an eye on what is drawn
and on what is trained. A network whose training data are recognised as draws from a system of
`mfvae.systems` is measured against the exact law of every such system and temperature, on fresh
configurations; for other data the cut is estimated from the data, and the gap from below by the
difference between importance-weighted likelihood and ELBO. Writes ``trained_networks.json`` in
the package; rows that are there already are skipped, ``--again`` computes them anew.

    python book/results/trained_networks.py                        # everything that is missing
    python book/results/trained_networks.py --source curie-weiss
"""

from __future__ import annotations

import importlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np
from _sweep import RESULTS, sweep_command

import mfvae
from mfvae import MeanFieldVAE
from mfvae.measure import capacity_demand, exact_gap
from mfvae.measure.demand import cut_information
from mfvae.systems import CurieWeiss, Estimate, Hopfield, Ising2D, MaierSaupe, System

OUTPUT = RESULTS / "trained_networks.json"
NAMES = ("source",)
FILTERS = {"source": "source"}
BOOK = Path(__file__).resolve().parents[1]
CHAPTERS = (
    "first-recording",
    "curie-weiss",
    "bricks",
    "hopfield",
    "ising-curie-weiss",
    "maier-saupe",
    "capacity",
    "rate-gap",
    "total-correlation",
    "retina",
    "beta-vae",
    "beyond-bernoulli",
)
#: Which rows of a sweep are watched: of repetitions with other seeds the first, of stored patterns
#: those with an exact law, and no rivals that are not trained networks.
SWEEPS: dict[str, Callable[[tuple], bool]] = {
    "conditional_tc": lambda row: True,
    "prior_cost": lambda row: True,
    "nematic_parameters": lambda row: True,
    "hopfield_decoding": lambda row: (
        row[-1] == "linear decoder" and (row[0] == "ising" or row[2] == 1)
    ),
    "beta_sweep": lambda row: row[-1] == 0,
}
ROWS = [(source,) for source in (*CHAPTERS, *SWEEPS)]
N_TEST, N_DATA, N_IMPORTANCE = 1_024, 4_096, 64
#: A law is named if at least this share of the training rows was drawn from it, and the data
#: are known if the laws named make up at least the other share.
SMALLEST_SHARE, KNOWN_SHARE = 0.005, 0.9


def fingerprints(x: np.ndarray) -> list[int]:
    """Return one number for each configuration, the same for any dtype."""
    x = np.ascontiguousarray(np.asarray(x).reshape(len(x), -1), dtype=np.float32)
    return [hash(row.tobytes()) for row in x]


def name_of_law(system: System, temperature: float) -> str:
    """Return a text by which a system at a temperature is known."""
    return json.dumps([system.configuration(), float(temperature)])


class Witness:
    """What is drawn and what is trained while the block of ``watching`` runs.

    Attributes
    ----------
    networks : list of (MeanFieldVAE, numpy.ndarray)
        Every network that was trained or fetched from the cache, in order, with its data.
    """

    def __init__(self) -> None:
        self.laws: list[tuple[System, float]] = []
        self.networks: list[tuple[MeanFieldVAE, np.ndarray]] = []
        self._drawn: dict[int, int] = {}
        self._index: dict[str, int] = {}

    def saw_draws(self, system: System, temperatures: Any, x: np.ndarray) -> None:
        """Remember which law every configuration came from."""
        single = np.ndim(temperatures) == 0
        parts = zip(np.atleast_1d(temperatures), [x] if single else x, strict=True)
        for temperature, part in parts:
            key = name_of_law(system, temperature)
            if key not in self._index:
                self._index[key] = len(self.laws)
                self.laws.append((system, float(temperature)))
            width = system.n_sites * (3 if isinstance(system, MaierSaupe) else 1)
            for fingerprint in fingerprints(part.reshape(-1, width)):
                self._drawn.setdefault(fingerprint, self._index[key])

    def saw_network(self, vae: MeanFieldVAE, x: np.ndarray) -> None:
        """Remember a network, once."""
        if all(vae is not other for other, _ in self.networks):
            self.networks.append((vae, np.asarray(x)))

    def laws_of(self, x: np.ndarray) -> list[tuple[System, float]] | None:
        """Return the laws that the rows of ``x`` were drawn from, or None if unknown."""
        found = Counter(self._drawn.get(fingerprint) for fingerprint in fingerprints(x))
        named = {
            law: count
            for law, count in found.items()
            if law is not None and count >= SMALLEST_SHARE * len(x)
        }
        if sum(named.values()) < KNOWN_SHARE * len(x):
            return None
        return [self.laws[law] for law in sorted(named)]


@contextmanager
def watching() -> Iterator[Witness]:
    """Wrap the samplers and ``fit`` of the package for the length of a block."""
    witness = Witness()
    undo: list[tuple[Any, str, Any]] = []

    def wrap(owner: Any, name: str, build: Callable[[Any], Any]) -> None:
        original = getattr(owner, name)
        undo.append((owner, name, original))
        setattr(owner, name, wraps(original)(build(original)))

    def drawing(original: Callable) -> Callable:
        def draw(system: System, temperatures: Any, *args: Any, **options: Any) -> np.ndarray:
            x = original(system, temperatures, *args, **options)
            witness.saw_draws(system, temperatures, x)
            return x

        return draw

    def fitting(original: Callable) -> Callable:
        def fit(vae: MeanFieldVAE, X: np.ndarray, *args: Any, **options: Any) -> MeanFieldVAE:
            fitted = original(vae, X, *args, **options)
            witness.saw_network(fitted, X)
            return fitted

        return fit

    for kind in (CurieWeiss, Hopfield, Ising2D, MaierSaupe):
        wrap(kind, "sample", drawing)
        wrap(kind, "sample_chains", drawing)
    wrap(mfvae, "sample_cached", drawing)
    wrap(mfvae, "fit_cached", fitting)
    wrap(MeanFieldVAE, "fit", fitting)
    try:
        yield witness
    finally:
        for owner, name, original in reversed(undo):
            setattr(owner, name, original)


def run_chapter(name: str) -> None:
    """Execute the code cells of a chapter, in its folder, showing nothing."""
    import jupytext
    import matplotlib.pyplot
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.utils.capture import capture_output

    matplotlib.use("Agg")
    notebook = jupytext.read(BOOK / f"{name}.md", fmt="md:myst")
    here = Path.cwd()
    shell = InteractiveShell()
    try:
        os.chdir(BOOK)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                with capture_output():
                    result = shell.run_cell(cell.source)
                matplotlib.pyplot.close("all")
                if "raises-exception" not in cell.metadata.get("tags", []):
                    result.raise_error()
    finally:
        os.chdir(here)


def run_sweep_rows(name: str) -> None:
    """Compute the rows of a sweep that are watched and forget what they say."""
    module = importlib.import_module(name)
    for row in filter(SWEEPS[name], module.ROWS):
        module.compute_row(*row)


def describe(system: System) -> str:
    """Return the system's name as the chapters write it."""
    names = {CurieWeiss: "Curie–Weiss", Ising2D: "Ising", MaierSaupe: "Maier–Saupe"}
    if isinstance(system, Hopfield):
        return f"Hopfield, P = {system.n_patterns}"
    return names[type(system)]


def numbers(estimate: Estimate) -> list[float]:
    """Return value and standard error, rounded, for the file."""
    return [round(estimate.value, 4), round(estimate.stderr, 4)]


def mean_of(values: np.ndarray) -> list[float]:
    """Return the mean of one number a configuration, with its standard error."""
    return numbers(Estimate(values.mean(), stderr=values.std() / len(values) ** 0.5))


def rate_of(vae: MeanFieldVAE, x: np.ndarray, condition: float | None) -> list[float]:
    """Return E[ln q(z|x) - ln p(z)], one draw of z a configuration."""
    mean, deviation = vae.encode(x, None if condition is None else np.full(len(x), condition))
    noise = np.random.default_rng(0).standard_normal(mean.shape)
    log_own = -(noise**2 + np.log(2 * np.pi * deviation.astype(float) ** 2)).sum(axis=1) / 2
    return mean_of(log_own - vae.log_prior(mean + deviation * noise, condition))


def against_laws(vae: MeanFieldVAE, laws: list[tuple[System, float]]) -> list[dict[str, Any]]:
    """Return both sides of the theorem for each law, on fresh configurations."""
    cells = []
    for seed, (system, temperature) in enumerate(laws, start=10_000):
        x = system.sample(temperature, N_TEST, seed=seed)
        condition = temperature if vae.n_conditions_ else None
        (gap,) = exact_gap(vae, system, temperature, N_TEST, seed=seed, n_importance=8)
        cells.append(
            {
                "system": describe(system),
                "n_sites": system.n_sites,
                "temperature": temperature,
                "cut": best_cut(system, temperature),
                "rate": rate_of(vae, x, condition),
                "gap": numbers(gap),
            }
        )
    return cells


_cuts: dict[str, list[float]] = {}


def best_cut(system: System, temperature: float) -> list[float]:
    """Return the largest known mutual information across a cut, computed once for each law."""
    key = name_of_law(system, temperature)
    if key not in _cuts:
        _cuts[key] = numbers(capacity_demand(system, temperature).best_cut)
    return _cuts[key]


def against_data(vae: MeanFieldVAE, x: np.ndarray) -> list[dict[str, Any]]:
    """Return the bound from the data themselves, and the gap from below."""
    rows = np.random.default_rng(0).permutation(len(x))[:N_DATA]
    categorical = vae.likelihood == "categorical"
    features = (np.eye(x.max() + 1)[x[rows]] if categorical else x[rows]).reshape(len(rows), -1)
    cut = cut_information(features, np.arange(features.shape[1]) < features.shape[1] // 2)
    tighter, looser = (
        vae.score_samples(x[rows], method=method, n_importance=N_IMPORTANCE)
        for method in ("iwae", "elbo")
    )
    return [
        {
            "system": "data",
            "n_sites": x.shape[1],
            "temperature": None,
            "cut": numbers(cut),
            "rate": rate_of(vae, x[rows], None),
            "gap_at_least": mean_of(tighter - looser),
        }
    ]


def compute_row(source: str) -> dict[str, Any]:
    """Run one chapter or sweep and measure the networks it trains."""
    with watching() as witness:
        (run_chapter if source in CHAPTERS else run_sweep_rows)(source)
    networks = []
    for vae, x in witness.networks:
        laws = witness.laws_of(x)
        solvable = laws is not None and all(has_exact_law(system) for system, _ in laws)
        cells = against_laws(vae, laws) if solvable else against_data(vae, x)
        networks.append({"n_latents": vae.n_latents, "cells": cells})
        print(source, networks[-1], flush=True)
    return {"networks": networks}


def has_exact_law(system: System) -> bool:
    """Say whether the cut and ln p of a system are known."""
    return not isinstance(system, Hopfield) or system.n_patterns <= 3


def configuration() -> dict[str, Any]:
    """Return what the rows share."""
    return {"n_test": N_TEST, "n_data": N_DATA, "n_importance": N_IMPORTANCE}


def main(arguments: list[str] | None = None) -> None:
    """Compute the rows asked for and write each as soon as it is there."""
    sweep_command(globals(), arguments)


if __name__ == "__main__":
    main()
