"""The ladder of models, each fitted until it has stopped rising, kept as it ends."""

from __future__ import annotations

import copy
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mfvae import compare
from mfvae.vae.estimator import MeanFieldVAE
from mfvae.vae.polish import polish

__all__ = ["Fit", "Ladder", "tolerated"]

RUNGS = (1, 2, 3, 4, 6, 8, 12, 16)  # more are not few
COMPONENTS = (2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 24)
STILL_RISING = 0.05  # nats a word that a longer run must not bring
STEP_UP = 0.02  # nats a word, below which a larger model is no better


def tolerated(gain: float) -> float:
    """Return the nats a word that a model may be behind the best one, whose gain is given."""
    return max(0.05, 0.015 * gain)


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


@dataclass
class Ladder:
    """Models of one set of words, cheapest first."""

    parts: dict[str, np.ndarray]  #: Words to "train", "validate" and "test" on, uint8.
    folder: Path | None  #: Where models are kept as they end, without pickles.
    seeds: list[int]  #: Of mixtures and VAEs, of their second runs, of pairwise models, of RBMs.
    quick: bool  #: One run a VAE, shorter rivals, no RBM and no likelihood climb.
    n_seen: int  #: Directions that the screen saw; without any the ladder ends at one latent.
    fits: list[Fit] = field(default_factory=list)

    @property
    def rungs(self) -> list[int]:
        """Numbers of latents, a third of the cells at most."""
        return [d for d in RUNGS if d <= max(4, self.parts["train"].shape[1] // 3)]

    def climb(self) -> Iterator[str]:
        """Fit all models, yield the name of each when it is done."""
        yield self._add("independent", 0, "independent", compare.IndependentModel())
        best = base = self.fits[0].level
        before, stalled = -np.inf, 0
        for k in [k for k in COMPONENTS if 20 * k <= len(self.parts["train"])]:
            mixture = compare.BernoulliMixture(k, n_init=6, random_state=self.seeds[0])
            yield self._add("mixture", k, f"mixture of {k}", mixture)
            if self.fits[-1].level - before < STEP_UP:
                break
            before = self.fits[-1].level
        for d in self.rungs:
            yield from self._vae(d)
            before, best = best, max(best, self.best("vae").level)
            stalled = stalled + 1 if best - before < STEP_UP else 0
            if stalled == 2 or (stalled and d > self.n_seen):
                break
        if not self.n_seen:
            return
        options = {"n_steps": 300, "n_chains": 500, "learning_rate": 0.02, "ridge": 20.0}
        options |= {"n_annealing_chains": 200, "n_annealing_steps": 600 if self.quick else 1500}
        for method in ("pseudo-likelihood",) if self.quick else ("pseudo-likelihood", "both"):
            name = f"pairwise, {method.replace('both', 'likelihood')}"
            seed = self.seeds[2]
            model = compare.PairwiseMaximumEntropy(method=method, random_state=seed, **options)
            yield self._add("pairwise", 2, name, model)
        rival = self.best("mixture", "pairwise").level
        while True:  # rungs that were left out below the first that is not behind
            top, sizes = self.best("vae").level, {f.size for f in self.fits if f.kind == "vae"}
            least = top - tolerated(top - base)
            enough = min(d for d in sizes if self.best("vae", size=d).level >= least)
            below = max((d for d in sizes if d < enough), default=0)
            if enough - below < 2 or top - least < rival - top:  # or a rival settles it
                break
            yield from self._vae((enough + below) // 2)
        yield from self._vae(min(2, enough), deep=True)
        n, before = max(8, -(-250_000 // len(self.parts["train"]))), -np.inf
        for n_epochs in () if self.quick else (n, 2 * n, 4 * n):  # one that has stopped rising
            self.fits = [fit for fit in self.fits if fit.kind != "rbm"]
            options = {"n_annealing_chains": 200, "n_annealing_steps": 1500, "n_epochs": n_epochs}
            model = compare.RestrictedBoltzmannMachine(32, random_state=self.seeds[3], **options)
            yield self._add("rbm", 32, f"RBM, 32 hidden, {n_epochs} epochs", model)
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
        vae = copy.deepcopy(fit.model)
        sets = [vae.as_tensors(self.parts[part], None) for part in ("train", "validate")]
        steps = partial(polish, vae.module_, *sets, vae.get_params() | {"polish_steps": 400})
        self._add("vae", fit.size, f"{fit.name}, polished", vae, steps)
        return self.fits[-1]

    def _add(self, kind: str, size: int, name: str, model: Any, fit: Any = None) -> str:
        """Fit a model, or take what an earlier run left, and score it; return its name."""
        path = self.folder and self.folder / name.replace(" ", "-").replace(",", "")
        is_vae = isinstance(model, MeanFieldVAE)
        options = {"validation": (self.parts["validate"], None)} if is_vae else {}
        try:
            model = type(model).load(path)
        except Exception:  # no folder, not there, or damaged
            started = time.perf_counter()
            with warnings.catch_warnings():  # traps in the words are the report's to tell
                warnings.simplefilter("ignore", UserWarning)
                fit() if fit else model.fit(self.parts["train"], **options)
            if not is_vae:  # which keeps its own time
                model.seconds_ = time.perf_counter() - started
            if path:
                model.save(path)
        trained, scored, seconds = True, model, getattr(model, "seconds_", 0.0)
        if is_vae:
            losses = model.history_["validation_loss"]  # in one cycle the last fifth gains most
            tail = -(-len(losses) // 5)
            trained = min(losses[:-tail]) - min(losses[-tail:]) < 5 * STILL_RISING
            scored, seconds = compare.ScoredVAE(model, n_importance=128), model.training_seconds_
        held_out, test = (scored.score_samples(self.parts[part]) for part in ("validate", "test"))
        facts = scored.n_parameters, float(seconds), float(getattr(model, "log_prob_stderr", 0.0))
        self.fits.append(Fit(name, kind, size, model, held_out.mean(), test, *facts, trained))
        return name

    def _vae(self, d: int, *, deep: bool = False) -> Iterator[str]:
        n_train = len(self.parts["train"])
        n_steps = 600 if self.quick or n_train < 8000 else 1000 if n_train < 50_000 else 3000
        options = {"encoder": "mlp", "encoder_options": {"widths": (128,)}, "decoder": "linear"}
        options |= {"prior": "mixture", "prior_options": {"n_components": 16}, "device": "cpu"}
        options |= {"n_epochs": min(200, max(5, -(-n_steps // -(-n_train // 256))))}
        options |= {"learning_rate": 2e-2, "progress": False}  # all this won on planted laws
        if deep:
            options |= {"learning_rate": 5e-3, "decoder": "mlp"}
            options |= {"decoder_options": {"widths": (64,)}}
        for number, seed in enumerate(self.seeds[: 1 if self.quick or deep else 2]):
            kind, name = ("deep", "deep VAE") if deep else ("vae", "VAE")
            vae = MeanFieldVAE(d, random_state=seed, **options)
            yield self._add(kind, d, f"{name}, {d} latents, seed {number}", vae)
