"""The ladder of models, each fitted until it has stopped rising, kept as it ends."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mfvae.compare import (
    BernoulliMixture,
    IndependentModel,
    PairwiseMaximumEntropy,
    RestrictedBoltzmannMachine,
)
from mfvae.report.training import train_quickly
from mfvae.vae.estimator import MeanFieldVAE
from mfvae.vae.storage import content_hash, replace_file

__all__ = ["Fit", "Ladder", "Store", "vae_settings"]

RUNGS = (1, 2, 3, 4, 6, 8)
COMPONENTS = (2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 24)
STILL_RISING = 0.05  # nats a word that a longer run must not bring


def vae_settings(n_train: int, n_latents: int, *, deep: bool = False) -> dict[str, Any]:
    """Return the arguments of `train_quickly` that won on planted laws."""
    return {
        "n_steps": 600 if n_train < 8000 else 1000 if n_train < 50_000 else 3000,
        "n_latents": n_latents,
        "encoder": "mlp",
        "encoder_options": {"widths": (128,)},
        "decoder": "mlp" if deep else "linear",
        "decoder_options": {"widths": (64,)} if deep else None,
        "prior": "mixture",
        "prior_options": {"n_components": 16},
        "learning_rate": 5e-3 if deep else 2e-2,
        "batch_size": 256,
        "device": "cpu",
        "progress": False,
    }


@dataclass
class Fit:
    """One model of the ladder: what it is, and ln p of the held-out words in nats.

    ``validate`` and ``test`` are float64 (n_words,); ``trained`` is False where a longer run would
    still have brought more than 0.05 nats a word.
    """

    name: str
    kind: str
    size: int
    n_parameters: int
    validate: np.ndarray
    test: np.ndarray
    stderr: float = 0.0
    trained: bool = True
    seconds: float = 0.0
    model: Any = field(default=None, repr=False)


class Store:
    """Results kept in a folder as they end, no pickles; without a folder, in memory only.

    ValueError if the folder holds another run.
    """

    def __init__(self, folder: str | Path | None, key: str) -> None:
        self.folder = None if folder is None else Path(folder)
        if self.folder is None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        record = self.folder / "run.json"
        if record.exists() and json.loads(record.read_text()).get("key") != key:
            raise ValueError(
                f"{self.folder} holds a report of other words or settings: choose another folder"
            )
        if not record.exists():
            replace_file(record, lambda stream: stream.write(json.dumps({"key": key}).encode()))

    def keep(
        self, name: str, make: Callable[[], Any], *, load: Any = None, save: Any = None
    ) -> Any:
        """Return ``load(path)`` if the stage is there, else make it and ``save(result, path)``."""
        if self.folder is None:
            return make()
        path = self.folder / name
        if path.exists():
            try:
                return load(path)
            except Exception:  # damaged: made again
                path.unlink()
        result = make()
        save(result, path)
        return result

    def facts(self, name: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Keep plain data as JSON."""

        def save(result: dict[str, Any], path: Path) -> None:
            replace_file(path, lambda stream: stream.write(json.dumps(result).encode()))

        return self.keep(
            f"{name}.json", make, load=lambda path: json.loads(path.read_text()), save=save
        )


class Ladder:
    """Models of one set of words, cheapest first.

    Args:
        words: uint8 (n_words, n_cells); rows["train"], ["validate"], ["test"] index them.
        store: Where results are kept.
        seed: Of all models.
        quick: One seed, shorter rivals, no RBM and no likelihood climb.
        n_seen: Directions that the screen saw; without any the ladder ends at one latent.
    """

    def __init__(
        self,
        words: np.ndarray,
        rows: dict[str, np.ndarray],
        store: Store,
        seed: np.random.SeedSequence,
        quick: bool,
        n_seen: int = 1,
    ) -> None:
        self.n_seen = n_seen
        self.parts = {name: words[index] for name, index in rows.items()}
        self.store, self.quick, self.fits = store, quick, []
        self.builds: dict[str, Callable[[], Any]] = {}
        self.seeds = [int(s) for s in seed.generate_state(4) % 2**31]

    def climb(self) -> Iterator[str]:
        """Fit all models, yield the name of each when it is done."""
        train = len(self.parts["train"])
        yield self._rival("independent", "independent", 0, IndependentModel)
        best = -np.inf
        for k in COMPONENTS:
            if k * 20 > train:
                break
            make = lambda k=k: BernoulliMixture(k, n_init=6, random_state=self.seeds[0])  # noqa: E731
            yield self._rival(f"mixture of {k}", "mixture", k, make)
            gain, best = self._validated(-1) - best, max(best, self._validated(-1))
            if gain < 0.02:
                break
        best, stalled = self._validated(0), 0
        for d in RUNGS:
            before = best
            for copy in range(1 if self.quick else 2):
                yield self._vae(d, copy)
                best = max(best, self._validated(-1))
            stalled = stalled + 1 if best - before < 0.02 else 0
            if stalled == 2 or (stalled and d > self.n_seen):
                break
        if not self.n_seen:
            return
        sizes = [f.size for f in self.fits if f.kind == "vae"]
        leader = self.best("vae").validate.mean()
        enough = min(d for d in sizes if self.best("vae", d).validate.mean() > leader - 0.05)
        for copy in range(0 if enough - 1 in (0, *sizes) else 1 if self.quick else 2):
            yield self._vae(enough - 1, copy)  # a rung that was left out
        deep = self.best("vae").size
        yield self._vae(min(2, deep), 0, deep=True)
        yield from self._pairwise()
        if not self.quick:
            yield from self._machine()

    def best(self, kind: str, size: int | None = None) -> Fit:
        """Return the fit of a kind, and size if given, with the best validation words."""
        some = [f for f in self.fits if f.kind == kind and size in (None, f.size)]
        return max(some, key=lambda f: f.validate.mean())

    def _validated(self, index: int) -> float:
        return float(self.fits[index].validate.mean())

    def _keep(self, name: str, make: Callable[[], Fit]) -> Fit:
        def load(path: Path) -> Fit:
            with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as archive:
                facts = json.loads(str(archive["facts"]))
                return Fit(**facts, validate=archive["validate"], test=archive["test"])

        def save(fit: Fit, path: Path) -> None:
            arrays = {"validate": fit.validate, "test": fit.test}
            fit.model, model = None, fit.model
            facts = {k: v for k, v in asdict(fit).items() if k not in (*arrays, "model")}
            fit.model = model
            replace_file(path, lambda stream: np.savez(stream, facts=json.dumps(facts), **arrays))

        fit = self.store.keep(f"{_file(name)}.npz", make, load=load, save=save)
        self.fits.append(fit)
        return fit

    def _rival(
        self,
        name: str,
        kind: str,
        size: int,
        build: Callable[[], Any],
        trained: Callable[[], bool] = lambda: True,
    ) -> str:
        def make() -> Fit:
            started, model = time.perf_counter(), self._built(name)
            scores = [model.score_samples(self.parts[part]) for part in ("validate", "test")]
            fit = Fit(name, kind, size, int(model.n_parameters), *scores, model=model)
            fit.stderr = float(getattr(model, "log_prob_stderr", 0.0))
            fit.seconds, fit.trained = time.perf_counter() - started, trained()
            return fit

        self.builds[name] = build
        self._keep(name, make)
        return name

    def _built(self, name: str) -> Any:
        model = self.builds[name]()
        return model if hasattr(model, "n_features_in_") else model.fit(self.parts["train"])

    def _vae(self, d: int, copy: int, *, deep: bool = False) -> str:
        name = f"VAE, {d} latents, seed {copy}" if not deep else f"deep VAE, {d} latents"

        def train() -> MeanFieldVAE:
            settings = vae_settings(len(self.parts["train"]), d, deep=deep)
            settings["n_steps"] = 600 if self.quick else settings["n_steps"]
            given = self.parts["train"], self.parts["validate"]
            return train_quickly(*given, **settings, random_state=self.seeds[copy])

        def make() -> Fit:
            path = f"{_file(name)}.pt"
            vae = self.store.keep(path, train, load=MeanFieldVAE.load, save=MeanFieldVAE.save)
            draws = {"validate": 32, "test": 128}
            scores = [vae.score_samples(self.parts[p], n_importance=k) for p, k in draws.items()]
            module = vae.module_
            size = sum(p.numel() for b in (module.decoder, module.prior) for p in b.parameters())
            fit = Fit(name, "deep" if deep else "vae", d, size, *scores, model=vae)
            fit.seconds = vae.training_seconds_
            losses = vae.history_["validation_loss"]
            tail = len(losses) // 5
            fit.trained = min(losses[:-tail]) - min(losses[-tail:]) < 5 * STILL_RISING
            return fit

        self._keep(name, make)
        return name

    def polished(self, fit: Fit) -> MeanFieldVAE:
        """Return a VAE of the ladder after some steps on the importance-weighted bound."""
        parts = self.parts["train"], self.parts["validate"]

        def make() -> MeanFieldVAE:
            settings = vae_settings(len(parts[0]), fit.size) | {"n_steps": 0, "polish_steps": 400}
            start = self.model(fit)
            return train_quickly(*parts, **settings, start=start, random_state=self.seeds[0])

        return self.store.keep("polished.pt", make, load=MeanFieldVAE.load, save=MeanFieldVAE.save)

    def model(self, fit: Fit) -> Any:
        """Return the model of a fit, read or trained again if a resumed run has only its scores."""
        if fit.model is None and fit.kind in ("vae", "deep"):
            fit.model = MeanFieldVAE.load(self.store.folder / f"{_file(fit.name)}.pt")
        elif fit.model is None:
            fit.model = self._built(fit.name)
        return fit.model

    def _pair(self, method: str, ridge: int) -> PairwiseMaximumEntropy:
        return PairwiseMaximumEntropy(
            method="both" if method == "likelihood" else method,
            ridge=float(ridge),
            n_steps=300,
            n_chains=500,
            learning_rate=0.02,
            n_annealing_chains=200,
            n_annealing_steps=600 if self.quick else 1500,
            random_state=self.seeds[2],
        )

    def _pairwise(self) -> Iterator[str]:
        def chosen() -> dict[str, Any]:
            held, found = self.parts["validate"], {}
            some = self.parts["train"][:: max(1, len(self.parts["train"]) // 20_000)]
            for ridge in (20,) if self.quick else (5, 20, 80):
                model = self._pair("pseudo-likelihood", ridge)
                model.set_params(n_annealing_chains=2, n_annealing_steps=1)
                model.fit(some)
                found[ridge] = model.pseudo_log_likelihood(held)
            return {"ridge": max(found, key=found.get)}

        ridge = self.store.facts("pairwise-ridge", chosen)["ridge"]
        for method in ("pseudo-likelihood",) if self.quick else ("pseudo-likelihood", "likelihood"):
            build = lambda method=method: self._pair(method, ridge)  # noqa: E731
            yield self._rival(f"pairwise, {method}", "pairwise", ridge, build)

    def _machine(self) -> Iterator[str]:
        """Fit an RBM; as long as twice the epochs bring more than 0.05 nats, fit it again."""
        rise = [np.inf]

        def build() -> RestrictedBoltzmannMachine:
            epochs, before = max(8, -(-2500 * 100 // len(self.parts["train"]))), -np.inf
            for _ in range(3):
                annealing = {"n_annealing_chains": 200, "n_annealing_steps": 1500}
                model = RestrictedBoltzmannMachine(
                    32, n_epochs=epochs, random_state=self.seeds[3], **annealing
                ).fit(self.parts["train"])
                now = model.score(self.parts["validate"])
                rise[0], before, epochs = now - before, now, 2 * epochs
                if rise[0] < STILL_RISING:
                    break
            return model

        yield self._rival("RBM, 32 hidden", "rbm", 32, build, lambda: rise[0] < STILL_RISING)


def _file(name: str) -> str:
    return name.replace(" ", "-").replace(",", "")


def run_key(*arrays: np.ndarray, settings: dict[str, Any]) -> str:
    """Return what a run is known by."""
    return content_hash(*arrays, text=json.dumps(settings, sort_keys=True))
