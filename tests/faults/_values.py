"""What the fuzzer hands in: plausible arguments by name, and a pool of hostile ones."""

from __future__ import annotations

import functools
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _works import small_vae

import mfvae
from mfvae import compare, data, decode, systems

__all__ = ["CONSTRUCTED", "HOSTILE", "arguments_for", "instance_of"]

RNG = np.random.default_rng(0)
SPINS = systems.CurieWeiss(9).sample(1.0, 120, seed=0)
WORDS = (SPINS > 0).astype(np.uint8)
DIRECTORS = systems.MaierSaupe(6).sample(0.2, 20, seed=0)
GRID = [0.9, 1.1]


def _masked() -> np.ma.MaskedArray:
    return np.ma.masked_array(np.ones((20, 9)), mask=np.eye(20, 9))


#: Made anew for every call: what a call may do to them must show.
HOSTILE: dict[str, Any] = {
    name: (lambda value=value: value)
    for name, value in {
        "None": None, "True": True, "False": False, "0": 0, "-1": -1, "1": 1, "2": 2, "3": 3,
        "7": 7, "2**31": 2**31, "10**12": 10**12, "2**63": 2**63, "-2**63": -(2**63),
        "2**70": 2**70, "0.0": 0.0, "-0.0": -0.0, "0.5": 0.5, "1.5": 1.5, "-2.5": -2.5,
        "nan": float("nan"), "inf": float("inf"), "-inf": float("-inf"), "1e300": 1e300,
        "1e-300": 1e-300, "-1e300": -1e300, "5e-324": 5e-324, "complex": 1 + 2j, "str": "abc",
        "empty str": "", "auto": "auto", "bytes": b"abc", "nul": "a\0b", "tuple": (1, 2),
        "empty tuple": (), "nested": (1, (2, 3)), "object": object(), "type": int,
        "function": len, "range": range(3), "ellipsis": ..., "float32": np.float32(0.5),
        "int8": np.int8(3), "uint64": np.uint64(2**63), "bool_": np.bool_(True),
        "float128": np.longdouble(0.5), "nat": np.datetime64("NaT"), "masked": np.ma.masked,
    }.items()
}  # fmt: skip
HOSTILE |= {
    "list": lambda: [1, 2],
    "empty list": list,
    "ragged": lambda: [[1, 2], [3]],
    "dict": lambda: {"a": 1},
    "empty dict": dict,
    "set": lambda: {1, 2},
    "array 0-d": lambda: np.array(0.5),
    "array 0-d int": lambda: np.array(3),
    "array empty": lambda: np.zeros((0,)),
    "array no rows": lambda: np.zeros((0, 9)),
    "array no columns": lambda: np.zeros((9, 0)),
    "array (1,)": lambda: np.ones(1),
    "array (3,)": lambda: np.array([0.5, 1.0, 2.0]),
    "array (2, 2)": lambda: np.eye(2),
    "array zeros": lambda: np.zeros((20, 9)),
    "array ones": lambda: np.ones((20, 9)),
    "array ones int8": lambda: np.ones((20, 9), dtype=np.int8),
    "array one row": lambda: SPINS[:1].copy(),
    "array other width": lambda: np.ones((20, 8), dtype=np.int8),
    "array float": lambda: np.linspace(-2, 2, 180).reshape(20, 9),
    "array huge": lambda: np.full((20, 9), 1e300),
    "array tiny": lambda: np.full((20, 9), 1e-300),
    "array nan": lambda: np.where(np.eye(20, 9) > 0, np.nan, 1.0),
    "array inf": lambda: np.where(np.eye(20, 9) > 0, np.inf, 1.0),
    "array complex": lambda: np.ones((20, 9), dtype=complex),
    "array object": lambda: np.array([[1, "a"], [None, 2]], dtype=object),
    "array str": lambda: np.array([["a", "b"]]),
    "array bool": lambda: SPINS > 0,
    "array masked": _masked,
    "array 3-d": lambda: np.ones((4, 3, 9)),
    "array 5-d": lambda: np.ones((1, 1, 1, 1, 1)),
    "array fortran": lambda: np.asfortranarray(SPINS.astype(float)),
    "array strided": lambda: SPINS[::-2, ::-1],
    "array read-only": lambda: _read_only(SPINS),
    "array big-endian": lambda: SPINS.astype(">f8"),
    "array 1e9 conditions": lambda: np.full(120, 1e9),
    "tensor": lambda: torch.ones(20, 9),
    "spins": lambda: SPINS.copy(),
    "words": lambda: WORDS.copy(),
    "directors": lambda: DIRECTORS.copy(),
    "zero directors": lambda: np.zeros((20, 6, 3)),
    "path": lambda: Path("/dev/null/file"),  # whoever writes
    "folder": lambda: Path(tempfile.gettempdir()),
    "system": lambda: systems.CurieWeiss(9),
    "other system": lambda: systems.MaierSaupe(6),
    "untrained": lambda: mfvae.MeanFieldVAE(n_epochs=1, progress=False),
    "trained": lambda: vae(),
    "seeds": lambda: np.random.SeedSequence(3),
}


def _read_only(array: np.ndarray) -> np.ndarray:
    array = array.copy()
    array.flags.writeable = False
    return array


@functools.cache
def vae() -> mfvae.MeanFieldVAE:
    conditions = np.repeat(GRID, len(SPINS) // 2)
    return small_vae(n_epochs=2).fit(SPINS, conditions=conditions)


@functools.cache
def unconditional(n_latents: int = 1) -> mfvae.MeanFieldVAE:
    return small_vae(n_epochs=2).set_params(n_latents=n_latents).fit(SPINS)


@functools.cache
def directors_vae() -> mfvae.MeanFieldVAE:
    options = {"likelihood": "bingham", "n_epochs": 1, "progress": False, "prior": "normal"}
    return mfvae.MeanFieldVAE(5, **options).fit(DIRECTORS)


@functools.cache
def fitted(name: str) -> Any:
    cheap = {"n_annealing_chains": 5, "n_annealing_steps": 5}
    model = {
        "BernoulliMixture": lambda: compare.BernoulliMixture(2, n_init=1, max_iter=5),
        "IndependentModel": compare.IndependentModel,
        "PairwiseMaximumEntropy": lambda: compare.PairwiseMaximumEntropy(
            n_steps=5, n_chains=10, **cheap
        ),
        "RestrictedBoltzmannMachine": lambda: compare.RestrictedBoltzmannMachine(
            2, n_epochs=1, **cheap
        ),
    }[name]()
    return model.fit(WORDS)


@functools.cache
def store() -> data.EquilibriumSamples:
    path = Path(tempfile.mkdtemp(prefix="mfvae-faults-")) / "store"
    options = {"seed": 0, "n_chains": 8, "progress": False}
    return data.EquilibriumSamples.create(path, systems.CurieWeiss(9), GRID, 200, **options)


@functools.cache
def recording() -> data.RetinaWords:
    return data.RetinaWords(WORDS.reshape(6, 20, 9), "planted", "0" * 64)


@functools.cache
def saved() -> Path:
    path = Path(tempfile.mkdtemp(prefix="mfvae-faults-")) / "model.pt"
    vae().save(path)
    return path


@functools.cache
def _words_file() -> Path:
    path = saved().with_name("words.csv")
    np.savetxt(path, WORDS, fmt="%d", delimiter=",")
    return path


CONSTRUCTED: dict[str, Any] = {
    "MeanFieldVAE": vae,
    "CurieWeiss": lambda: systems.CurieWeiss(9),
    "Ising2D": lambda: systems.Ising2D(3),
    "Hopfield": lambda: systems.Hopfield.random(9, 2, seed=1),
    "MaierSaupe": lambda: systems.MaierSaupe(6),
    "Bingham": lambda: systems.Bingham(np.diag([1.0, 0.5, -1.5])),
    "EquilibriumSamples": store,
    "RetinaWords": recording,
    "GeneralizedHopfield": lambda: decode.GeneralizedHopfield.from_vae(unconditional()),
    "ScoredVAE": lambda: compare.ScoredVAE(unconditional(), n_importance=4),
    **{name: functools.partial(fitted, name) for name in (
        "BernoulliMixture", "IndependentModel", "PairwiseMaximumEntropy",
        "RestrictedBoltzmannMachine",
    )},
}  # fmt: skip


def instance_of(kind: type) -> Any:
    """Return an instance whose methods can be called, or None."""
    make = CONSTRUCTED.get(kind.__name__)
    return None if make is None else make()


def _x(owner: str) -> np.ndarray:
    if owner in ("MaierSaupe",):
        return DIRECTORS
    words = ("BernoulliMixture", "IndependentModel", "PairwiseMaximumEntropy", "ScoredVAE")
    return WORDS if owner in (*words, "RestrictedBoltzmannMachine") else SPINS


def arguments_for(owner: str, name: str) -> dict[str, Any]:
    """Return plausible values of the arguments of one callable, by their names."""
    x = _x(owner)
    values: dict[str, Any] = {
        "x": x, "X": x, "s": x, "words": WORDS, "train": WORDS, "test": WORDS, "y": None,
        "conditions": np.repeat(GRID, len(SPINS) // 2), "condition": 1.0, "z": np.zeros((5, 1)),
        "temperature": 1.0, "temperatures": GRID, "n_samples": 4, "n": 4, "n_chains": 8,
        "n_records": 3, "burn_in": 2, "thinning": 1, "seed": 0, "sites": np.arange(4),
        "n_sites": 9, "length": 3, "n_patterns": 2, "patterns": np.sign(RNG.normal(size=(9, 2))),
        "system": systems.CurieWeiss(9), "vae": unconditional(), "source": systems.CurieWeiss(9),
        "series": RNG.normal(size=(4, 30)), "tensor": np.diag([1.0, 0.5, -1.5]),
        "components": np.arange(5.0), "A": np.diag([1.0, 0.5, -1.5]), "m": np.linspace(-1, 1, 5),
        "values": RNG.normal(size=200), "p": np.full(4, 0.25), "q": np.array([0.1, 0.2, 0.3, 0.4]),
        "demand": 1.0, "supply": 2.0, "n_latents": 1, "recovered": np.sign(RNG.normal(size=(9, 2))),
        "reference": np.sign(RNG.normal(size=(9, 2))), "mixed": RNG.normal(size=(9, 2)),
        "n_hidden": 2, "trials": [[[0.01], [0.03]], [[], [0.01]]], "stop": 0.04,
        "path": saved(), "progress": False, "course": 1, "paper": 2, "circumference": 4,
        "samples": {"model": WORDS}, "models": {"independent": fitted("IndependentModel")},
        "validation": 0.25, "configuration": systems.CurieWeiss(9).configuration(),
        "u": np.zeros((3, 1)), "field": np.zeros(9), "n_points": 10, "value": 1.0,
        "n_bootstrap": 100, "n_importance": 4, "n_blocks": 8, "url": "http://127.0.0.1:9/none",
        "timeout": 1.0, "n_epochs": 1, "n_components": 2,
    }  # fmt: skip
    own: dict[tuple[str, str], dict[str, Any]] = {
        ("mfvae", "load_results"): {"name": "prior_cost"},
        ("mfvae.data", "mean_over_seeds"): {"rows": [{"gap": [1.0, 0.1]}] * 2, "key": "gap"},
        ("mfvae", "fit_cached"): {"vae": small_vae(n_epochs=1), "conditions": None},
        ("MeanFieldVAE", "__init__"): {"progress": False},
        ("MeanFieldVAE", "save"): {"path": saved().with_name("other.pt")},
        ("MeanFieldVAE", "fit"): {"conditions": None},
        ("MeanFieldVAE", "sample"): {"condition": 1.0},
        ("Bingham", "__init__"): {},
        ("Bingham", "log_prob"): {"n": DIRECTORS[:, 0]},
        ("Hopfield", "overlap_law"): {"pattern": 0},
        ("EquilibriumSamples", "create"): {
            "path": store().path.with_name(f"new-{os.getpid()}"), "n_samples": 40, "n_jobs": 1,
        },
        ("EquilibriumSamples", "open"): {"path": store().path, "system": None},
        ("EquilibriumSamples", "__init__"): {"path": store().path, "system": None},
        ("EquilibriumSamples", "resume"): {"n_jobs": 1},
        ("EquilibriumSamples", "repair"): {"n_jobs": 1},
        ("RetinaWords", "__init__"): {"words": WORDS.reshape(6, 20, 9), "source": "", "sha256": ""},
        ("RetinaWords", "split"): {"test": 0.25, "by": "bins"},
        ("RetinaWords", "split_rows"): {"test": 0.25, "by": "bins"},
        ("mfvae.data", "load_retina"): {"path": "/nonexistent"},
        ("mfvae.data", "words_from_spikes"): {"start": 0.0, "bin_width": 0.02, "source": "own"},
        ("mfvae.data", "download_retina"): {"folder": saved().parent},
        ("mfvae.measure", "capacity"): {"conditions": None, "system": None},
        ("mfvae.measure", "elbo_surgery"): {"conditions": None},
        ("mfvae.measure", "exact_gap"): {"temperatures": 1.0, "vae": unconditional()},
        ("mfvae.measure", "total_correlation"): {"conditions": None, "lattice_shape": (3, 3)},
        ("mfvae.measure", "order_parameter_moments"): {"temperature": 1.0},
        ("mfvae.decode", "recover_patterns"): {"vae": unconditional(2), "condition": None},
        ("mfvae.decode", "estimate_n_patterns"): {"X": np.sign(RNG.normal(size=(80, 16)))},
        ("ScoredVAE", "score_samples"): {"X": SPINS},
        ("ScoredVAE", "fit"): {"X": SPINS},
        ("MaierSaupe", "dual_total_correlation"): {"n_samples": 10},
        ("mfvae.decode", "regress_order_tensor"): {
            "vae": directors_vae(), "X": DIRECTORS, "conditions": None,
            "test": (DIRECTORS, None), "method": "ridge",
        },
        ("GeneralizedHopfield", "__init__"): {
            "prior": None, "condition": None, "patterns": np.eye(9, 1),
        },
        ("GeneralizedHopfield", "from_vae"): {"condition": None},
        ("mfvae.report", "read_words"): {"path": _words_file()},
        ("mfvae.compare", "compare_models"): {"train": None},
        ("PairwiseMaximumEntropy", "__init__"): {"n_chains": 10},
    }  # fmt: skip
    values |= own.get((owner, name), {})
    made = CONSTRUCTED[owner]() if owner in CONSTRUCTED else None
    if name == "from_configuration" and made is not None:
        values["configuration"] = made.configuration()
    elif name in ("load", "save") and owner != "MeanFieldVAE":
        values["path"] = saved().with_name(f"{owner}.npz")
        made.save(values["path"])
    return values
