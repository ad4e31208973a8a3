"""The ladder of models, each fitted until it has stopped rising, kept as it ends."""

from __future__ import annotations

import copy
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import torch
from joblib import Parallel, delayed
from threadpoolctl import threadpool_limits

from mfvae import compare
from mfvae.vae.estimator import MeanFieldVAE
from mfvae.vae.polish import polish

__all__ = ["FEW", "Fit", "Ladder", "polish_on", "tolerated"]

Task = tuple[str, int, str, Any]  # kind, size, name, model: what `fit_and_score` takes first

RUNGS = (1, 2, 3, 4, 6, 8, 12, 16)  # more are not few
COMPONENTS = (2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 24)
STILL_RISING = 0.05  # nats a word that a longer run must not bring
STEP_UP = 0.02  # nats a word, below which a larger model is no better
FEW = 4000  # words, below which the third that is held out is missed in the parameters
LEAST_TO_SHARE = 400_000  # letters to train on, below which workers start up for too little


def tolerated(gain: float) -> float:
    """Return the nats a word that a model may be behind the best one, whose gain is given."""
    return max(0.05, 0.015 * gain)


def pairs_of(values: Sequence[int]) -> list[Sequence[int]]:
    """Return consecutive pairs, the last perhaps alone."""
    return [values[i : i + 2] for i in range(0, len(values), 2)]


@dataclass
class Fit:
    """One model of the ladder: what it is, and ln p of held-out words in nats."""

    name: str
    kind: str
    size: int  #: Latents, components or hidden units.
    model: Any = field(repr=False)
    level: float  #: Mean over the words to validate on.
    test: np.ndarray  #: float64 (n_words,), of the words to test on.
    n_parameters: int
    seconds: float
    stderr: float  #: An error that all words share, that of ln Z.
    trained: bool  #: False where a longer run would bring more than 0.05 nats a word.


def one_thread() -> ExitStack:
    """Return a context of one thread, of BLAS and of torch, whose own BLAS no limit reaches."""
    limits = ExitStack()
    limits.callback(torch.set_num_threads, torch.get_num_threads())
    limits.enter_context(threadpool_limits(1))
    torch.set_num_threads(1)
    return limits


def polish_on(vae: MeanFieldVAE, parts: dict[str, np.ndarray]) -> None:
    """Train a VAE on, up the importance-weighted bound, on one thread as all of the ladder."""
    sets = [vae.as_tensors(parts[part], None) for part in ("train", "validate")]
    with one_thread():
        polish(vae.module_, *sets, vae.get_params() | {"polish_steps": 700})


def fit_and_score(
    kind: str,
    size: int,
    name: str,
    model: Any,
    parts: dict[str, np.ndarray],
    folder: Path | None,
    n_importance: int,
) -> Fit:
    """Train a model, or train it on, or load it, and score it; bits do not depend on where."""
    is_vae, started = isinstance(model, MeanFieldVAE), time.perf_counter()
    path = folder and folder / name.replace(" ", "-").replace(",", "")
    with one_thread(), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # traps in the words are the report's to tell
        try:
            model = type(model).load(path)
        except Exception:  # no folder, not there, or damaged
            if hasattr(model, "module_"):
                polish_on(model, parts)
            else:
                options = {"validation": (parts["validate"], None)} if is_vae else {}
                model.fit(parts["train"], **options)
                model.seconds_ = time.perf_counter() - started
            if path:
                model.save(path)
        trained, scored, seconds = True, model, getattr(model, "seconds_", 0.0)
        if is_vae:
            losses = model.history_["validation_loss"]  # in one cycle the last fifth gains most
            tail = -(-len(losses) // 5)
            trained = min(losses[:-tail]) - min(losses[-tail:]) < 5 * STILL_RISING
            scored = compare.ScoredVAE(model, n_importance=n_importance)
            seconds = model.training_seconds_
        held_out, test = (scored.score_samples(parts[part]) for part in ("validate", "test"))
    facts = scored.n_parameters, float(seconds), float(getattr(model, "log_prob_stderr", 0.0))
    return Fit(name, kind, size, model, held_out.mean(), test, *facts, trained)


@dataclass
class Ladder:
    """Models of one set of words, cheapest first."""

    parts: dict[str, np.ndarray]  #: Words to "train", "validate" and "test" on, uint8.
    folder: Path | None  #: Where models are kept as they end, without pickles.
    seeds: list[int]  #: Of mixtures and VAEs, of their second runs, of pairwise models, of RBMs.
    quick: bool  #: One run a VAE until the first is no better, shorter and fewer rivals.
    n_seen: int  #: Directions that the screen saw; without any the ladder ends at two latents.
    n_jobs: int | None = -1  #: Of joblib.
    fits: list[Fit] = field(default_factory=list)

    @property
    def rungs(self) -> list[int]:
        """Numbers of latents, a third of the cells at most."""
        return [d for d in RUNGS if d <= max(4, self.parts["train"].shape[1] // 3)]

    def climb(self) -> Iterator[str]:
        """Fit all models, yield the name of each when it is done.

        Two rungs at a time, on however many workers, so that the models do not depend on these.
        """
        yield from self._add(("independent", 0, "independent", compare.IndependentModel()))
        best = base = self.fits[0].level
        stalled = 0
        mixture = partial(compare.BernoulliMixture, n_init=6, random_state=self.seeds[0])
        for pair in pairs_of([k for k in COMPONENTS if 20 * k <= len(self.parts["train"])]):
            yield from self._add(*(("mixture", k, f"mixture of {k}", mixture(k)) for k in pair))
            if min(np.diff([fit.level for fit in self.fits[-len(pair) - 1 :]])) < STEP_UP:
                break
        rivals = self._rivals() if self.n_seen else []
        for pair in pairs_of(self.rungs):
            yield from self._add(*rivals, *(task for d in pair for task in self._vae(d)))
            rivals = []
            for d in pair:
                before, best = best, max(best, self.best("vae", size=d).level)
                stalled = stalled + 1 if best - before < STEP_UP else 0
            if stalled >= 2 or (stalled and (self.quick or d > self.n_seen)):
                break
        if not self.n_seen:
            return
        rival = self.best("mixture", "pairwise").level
        while True:  # rungs that were left out below the first that is not behind
            top, sizes = self.best("vae").level, {f.size for f in self.fits if f.kind == "vae"}
            least = top - tolerated(top - base)
            enough = min(d for d in sizes if self.best("vae", size=d).level >= least)
            below = max((d for d in sizes if d < enough), default=0)
            if enough - below < 2 or top - least < rival - top:  # or a rival settles it
                break
            yield from self._add(*self._vae((enough + below) // 2))
        n, before = max(8, -(-250_000 // len(self.parts["train"]))), -np.inf
        for n_epochs in () if self.quick else (n, 2 * n, 4 * n):  # one that has stopped rising
            self.fits = [fit for fit in self.fits if fit.kind != "rbm"]
            options = {"n_annealing_chains": 200, "n_annealing_steps": 1500, "n_epochs": n_epochs}
            model = compare.RestrictedBoltzmannMachine(32, random_state=self.seeds[3], **options)
            yield from self._add(("rbm", 32, f"RBM, 32 hidden, {n_epochs} epochs", model))
            self.fits[-1].trained = self.fits[-1].level - before < STILL_RISING
            if self.fits[-1].trained:
                break
            before = self.fits[-1].level

    def best(self, *kinds: str, size: int | None = None) -> Fit:
        """Return the fit of some kinds, and of a size if given, with the best validation words."""
        some = [f for f in self.fits if f.kind in kinds and size in (None, f.size)]
        return max(some, key=lambda f: f.level)

    def polished(self, fit: Fit) -> Fit:
        """Add a VAE of the ladder after some steps on the importance-weighted bound."""
        list(self._add(("vae", fit.size, f"{fit.name}, polished", copy.deepcopy(fit.model))))
        return self.fits[-1]

    def _add(self, *tasks: Task) -> Iterator[str]:
        """Fit models side by side, yield the name of each when it is done."""
        given = self.parts, self.folder, 64 if self.quick else 128  # latents a word that score it
        work = (delayed(fit_and_score)(*task, *given) for task in tasks)
        n_jobs = 1 if self.parts["train"].size < LEAST_TO_SHARE else self.n_jobs
        with warnings.catch_warnings():  # joblib renews a worker that has grown: nothing is lost
            warnings.filterwarnings("ignore", "A worker stopped while some jobs", UserWarning)
            for fit in Parallel(n_jobs=n_jobs, return_as="generator")(work):
                self.fits.append(fit)
                yield fit.name

    def _rivals(self) -> list[Task]:
        options = {"random_state": self.seeds[2], "n_steps": 300, "n_chains": 500, "ridge": 20.0}
        options |= {"learning_rate": 0.02, "n_annealing_chains": 200}
        options |= {"n_annealing_steps": 600 if self.quick else 1500}
        methods = ("pseudo-likelihood", "both")[: 1 if self.quick else 2]
        models = [compare.PairwiseMaximumEntropy(method=m, **options) for m in methods]
        names = [f"pairwise, {m.replace('both', 'likelihood')}" for m in methods]
        deep = [] if self.quick else self._vae(2, deep=True)
        return [*zip(repeat("pairwise"), repeat(2), names, models), *deep]

    def _vae(self, d: int, *, deep: bool = False) -> list[Task]:
        n_train = len(self.parts["train"])  # what follows won on planted laws
        n_steps = 600 if self.quick or n_train < 8000 else 1000 if n_train < 50_000 else 3000
        options = {"encoder": "mlp", "encoder_options": {"widths": (128,)}, "decoder": "linear"}
        options |= {"prior": "mixture", "prior_options": {"n_components": 16}, "device": "cpu"}
        options |= {"n_epochs": min(200, max(5, -(-n_steps // -(-n_train // 256))))}
        options |= {"learning_rate": 5e-3 if deep else 2e-2, "progress": False}
        if deep:
            options |= {"decoder": "mlp", "decoder_options": {"widths": (64,)}}
        kind, name = ("deep", "deep VAE") if deep else ("vae", "VAE")
        return [
            (kind, d, f"{name}, {d} latents, seed {k}", MeanFieldVAE(d, random_state=s, **options))
            for k, s in enumerate(self.seeds[: 1 if self.quick or deep else 2])
        ]
