"""The ladder of models, each fitted until it has stopped rising, kept as it ends."""

from __future__ import annotations

import copy
import json
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mfvae.compare import (
    BernoulliMixture,
    IndependentModel,
    PairwiseMaximumEntropy,
    RestrictedBoltzmannMachine,
)
from mfvae.vae.estimator import MeanFieldVAE
from mfvae.vae.polish import polish
from mfvae.vae.storage import replace_file

__all__ = ["RUNGS", "Fit", "Ladder"]

RUNGS = (1, 2, 3, 4, 6, 8)
COMPONENTS = (2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 24)
STILL_RISING = 0.05  # nats a word that a longer run must not bring
STEP_UP = 0.02  # nats a word, below which a larger model is no better


@dataclass
class Fit:
    """One model of the ladder: what it is, and ln p of the held-out words in nats."""

    name: str
    kind: str
    size: int  #: Latents, components or hidden units.
    n_parameters: int
    validate: np.ndarray  #: float64 (n_words,), as is ``test``.
    test: np.ndarray
    stderr: float = 0.0  #: An error that all words share, that of ln Z.
    trained: bool = True  #: False where a longer run would bring more than 0.05 nats a word.
    seconds: float = 0.0
    model: Any = field(default=None, repr=False)


class Ladder:
    """Models of one set of words, cheapest first.

    Args:
        words: uint8 (n_words, n_cells); rows["train"], ["validate"], ["test"] index them.
        folder: Where scores and VAEs are kept as they end, without pickles, or None.
        seed: Of all models.
        quick: One seed, shorter rivals, no RBM and no likelihood climb.
        n_seen: Directions that the screen saw; without any the ladder ends at one latent.
    """

    def __init__(
        self,
        words: np.ndarray,
        rows: dict[str, np.ndarray],
        folder: Path | None,
        seed: np.random.SeedSequence,
        quick: bool,
        n_seen: int,
    ) -> None:
        self.parts = {name: words[index] for name, index in rows.items()}
        self.folder, self.quick, self.n_seen = folder, quick, n_seen
        self.fits: list[Fit] = []
        self.builds: dict[str, Callable[[], Any]] = {}
        self.seeds = [int(s) for s in seed.generate_state(4) % 2**31]

    def climb(self) -> Iterator[str]:
        """Fit all models, yield the name of each when it is done."""
        train = self.parts["train"]
        yield self._add("independent", "independent", 0, lambda: IndependentModel().fit(train))
        before = -np.inf
        for k in COMPONENTS:
            if k * 20 > len(train):
                break
            mixture = BernoulliMixture(k, n_init=6, random_state=self.seeds[0])
            yield self._add(f"mixture of {k}", "mixture", k, partial(mixture.fit, train))
            now = self.fits[-1].validate.mean()
            if now - before < STEP_UP:
                break
            before = now
        best, stalled, copies = self.fits[0].validate.mean(), 0, 1 if self.quick else 2
        for d in RUNGS:
            before = best
            for number in range(copies):
                yield self._vae(d, number)
                best = max(best, self.fits[-1].validate.mean())
            stalled = stalled + 1 if best - before < STEP_UP else 0
            if stalled == 2 or (stalled and d > self.n_seen):
                break
        if not self.n_seen:
            return
        sizes = [f.size for f in self.fits if f.kind == "vae"]
        top = self.best("vae").validate.mean()  # which may be behind independent cells
        enough = min(d for d in sizes if self.best("vae", d).validate.mean() > top - 0.05)
        edge = self.quick and enough == RUNGS[-1]
        if enough - 1 not in (0, *sizes) and not edge:  # a rung that was left out
            for number in range(copies):
                yield self._vae(enough - 1, number)
        yield self._vae(min(2, self.best("vae").size), 0, deep=True)
        yield from self._pairwise()
        if not self.quick:
            yield from self._machine()

    def best(self, kind: str, size: int | None = None) -> Fit:
        """Return the fit of a kind, and size if given, with the best validation words."""
        some = [f for f in self.fits if f.kind == kind and size in (None, f.size)]
        return max(some, key=lambda f: f.validate.mean())

    def polished(self, fit: Fit) -> MeanFieldVAE:
        """Return a copy of a VAE after some steps on the importance-weighted bound."""

        def make() -> MeanFieldVAE:
            vae = copy.deepcopy(self.model(fit))
            training, held_out = (
                vae.as_tensors(self.parts[p], None) for p in ("train", "validate")
            )
            polish(vae.module_, training, held_out, vae.get_params() | {"polish_steps": 400})
            vae.module_.eval()
            return vae

        return self._kept("polished.pt", make, MeanFieldVAE.load, MeanFieldVAE.save)

    def model(self, fit: Fit) -> Any:
        """Return the model of a fit, trained again if a resumed run has only its scores."""
        if fit.model is None:
            fit.model = self.builds[fit.name]()
        return fit.model

    def _kept(self, name: str, make: Callable, load: Callable, save: Callable) -> Any:
        """Return what an earlier run left in the folder, else make and keep it."""
        if self.folder is None:
            return make()
        path = self.folder / name.replace(" ", "-").replace(",", "")
        try:
            return load(path)
        except Exception:  # not there, or damaged
            save(result := make(), path)
            return result

    def _add(self, name: str, kind: str, size: int, build: Callable[[], Any]) -> str:
        """Keep the scores of the fitted model that ``build`` returns; return its name."""

        def make() -> Fit:
            started, model = time.perf_counter(), build()
            seconds, is_vae = time.perf_counter() - started, isinstance(model, MeanFieldVAE)
            scores = [
                model.score_samples(self.parts[part], **({"n_importance": k} if is_vae else {}))
                for part, k in {"validate": 32, "test": 128}.items()
            ]
            if is_vae:
                bricks = model.module_.decoder, model.module_.prior
                n_parameters = sum(w.numel() for brick in bricks for w in brick.parameters())
                losses = model.history_["validation_loss"]  # in one cycle the last fifth gains most
                tail = -(-len(losses) // 5)
                rise = (min(losses[:-tail]) - min(losses[-tail:])) / 5
            else:
                n_parameters, rise = int(model.n_parameters), getattr(model, "rise", 0.0)
            stderr, trained = float(getattr(model, "log_prob_stderr", 0.0)), rise < STILL_RISING
            return Fit(name, kind, size, n_parameters, *scores, stderr, trained, seconds, model)

        def load(path: Path) -> Fit:
            with np.load(path, allow_pickle=False) as archive:
                scores = {part: archive[part] for part in ("validate", "test")}
                return Fit(**json.loads(str(archive["facts"])), **scores)

        def save(fit: Fit, path: Path) -> None:
            facts = {k: v for k, v in vars(fit).items() if k not in ("validate", "test", "model")}
            arrays = {"validate": fit.validate, "test": fit.test, "facts": json.dumps(facts)}
            replace_file(path, lambda stream: np.savez(stream, **arrays))

        self.builds[name] = build
        self.fits.append(self._kept(f"{name}.npz", make, load, save))
        return name

    def _vae(self, d: int, number: int, *, deep: bool = False) -> str:
        name = f"deep VAE, {d} latents" if deep else f"VAE, {d} latents, seed {number}"
        n_train = len(self.parts["train"])
        n_steps = 600 if self.quick or n_train < 8000 else 1000 if n_train < 50_000 else 3000

        def train() -> MeanFieldVAE:
            vae = MeanFieldVAE(  # what won on planted laws
                d,
                encoder="mlp",
                encoder_options={"widths": (128,)},
                decoder="mlp" if deep else "linear",
                decoder_options={"widths": (64,)} if deep else None,
                prior="mixture",
                prior_options={"n_components": 16},
                learning_rate=5e-3 if deep else 2e-2,
                n_epochs=min(200, max(5, -(-n_steps // -(-n_train // 256)))),
                device="cpu",
                progress=False,
                random_state=self.seeds[number],
            )
            with warnings.catch_warnings():  # traps in the words are the report's to tell
                warnings.simplefilter("ignore", UserWarning)
                return vae.fit(self.parts["train"], validation=(self.parts["validate"], None))

        build = partial(self._kept, f"{name}.pt", train, MeanFieldVAE.load, MeanFieldVAE.save)
        return self._add(name, "deep" if deep else "vae", d, build)

    def _pairwise(self) -> Iterator[str]:
        """Fit pairwise models, the ridge chosen by the pseudo-likelihood of validation words."""
        options = {"n_steps": 300, "n_chains": 500, "learning_rate": 0.02}
        options |= {"n_annealing_chains": 200, "n_annealing_steps": 600 if self.quick else 1500}
        options |= {"random_state": self.seeds[2]}

        def value(ridge: float) -> float:
            short = options | {"n_annealing_chains": 2, "n_annealing_steps": 1}
            model = PairwiseMaximumEntropy(method="pseudo-likelihood", ridge=ridge, **short)
            some = self.parts["train"][:: max(1, len(self.parts["train"]) // 20_000)]
            return model.fit(some).pseudo_log_likelihood(self.parts["validate"])

        def build(method: str) -> PairwiseMaximumEntropy:
            ridge = 20.0 if self.quick else max((5.0, 20.0, 80.0), key=value)
            model = PairwiseMaximumEntropy(method=method, ridge=ridge, **options)
            return model.fit(self.parts["train"])

        for method in ("pseudo-likelihood",) if self.quick else ("pseudo-likelihood", "both"):
            name = f"pairwise, {method.replace('both', 'likelihood')}"
            yield self._add(name, "pairwise", 2, partial(build, method))

    def _machine(self) -> Iterator[str]:
        """Fit an RBM; as long as twice the epochs bring more than 0.05 nats, fit it again."""

        def build() -> RestrictedBoltzmannMachine:
            epochs, before = max(8, -(-2500 * 100 // len(self.parts["train"]))), -np.inf
            annealing = {"n_annealing_chains": 200, "n_annealing_steps": 1500}
            for _ in range(3):
                model = RestrictedBoltzmannMachine(
                    32, n_epochs=epochs, random_state=self.seeds[3], **annealing
                ).fit(self.parts["train"])
                now = model.score(self.parts["validate"])
                model.rise, before, epochs = now - before, now, 2 * epochs
                if model.rise < STILL_RISING:
                    break
            return model

        yield self._add("RBM, 32 hidden", "rbm", 32, build)
