"""`mfvae.report`: hygiene, screening, ladder, verdict and parameters, in one call."""

from __future__ import annotations

import json
import platform
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mfvae._progress import progress_bar
from mfvae._validation import check_seed
from mfvae.report.ladder import Ladder, Store, run_key
from mfvae.report.parameters import read_parameters
from mfvae.report.screening import screen
from mfvae.report.verdict import judge
from mfvae.report.words import clean
from mfvae.vae.estimator import MeanFieldVAE
from mfvae.vae.likelihood import Bernoulli
from mfvae.vae.storage import replace_file

__all__ = ["Report", "report"]


@dataclass(repr=False)
class Report:
    """What `mfvae.report` found; nats are held-out nats a word.

    Attributes:
        verdict: The verdict in words, with its numbers.
        code: "no-structure", "mean-field", "not-mean-field", "discrete-states", "beyond-models" or
            "undecided".
        n_latents, n_latents_interval: Smallest number of latents that is not behind, and between
            which it may lie (None: no upper end).
        gain: Nats over independent cells: value, low, high (95 %).
        missing: What the chosen model misses: best rival, its lead, pairs and triples left.
        models: A dict a model, best first.
        warnings: Sentences, each about one trap.
        patterns, field: Fields on spins are ``field + patterns @ z``, float64 (n_kept, n_latents)
            and (n_kept,), z of mean 0 and covariance 1; None where d = 0.
        vae: The trained `MeanFieldVAE` of ``n_latents``, of the kept cells.
        names: Names of the kept cells.
        facts: Everything else that the page shows, plain data and arrays.
    """

    verdict: str
    code: str
    n_latents: int
    n_latents_interval: tuple[int, int | None]
    gain: tuple[float, float, float]
    missing: dict[str, Any]
    models: list[dict[str, Any]]
    warnings: list[str]
    patterns: np.ndarray | None
    field: np.ndarray | None
    vae: MeanFieldVAE
    names: list[str]
    facts: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        low, high = self.n_latents_interval
        interval = f"{low}" if low == high else f"{low} to {high}" if high else f"≥ {low}"
        lines = [f"{self.code} (latents: {self.n_latents}, between {interval})", self.verdict]
        return "\n".join(lines + [f"! {warning}" for warning in self.warnings])

    def to_dict(self) -> dict[str, Any]:
        """Return all numbers as plain data, arrays as lists; without the trained model."""
        own = {k: v for k, v in vars(self).items() if k not in ("vae", "facts")}
        facts = {
            k: v for k, v in self.facts.items() if k not in ("words", "latents", "prior", "check")
        }
        return json.loads(json.dumps({**own, **facts}, default=lambda a: np.asarray(a).tolist()))

    def to_json(self, path: str | Path) -> None:
        """Write ``to_dict()`` to a file, whole or not at all."""
        content = json.dumps(self.to_dict(), indent=1).encode()
        replace_file(Path(path), lambda stream: stream.write(content))

    def to_html(self, path: str | Path) -> None:
        """Write the page: one file with its figures, no scripts, nothing from the network."""
        from mfvae.report.page import page

        replace_file(Path(path), lambda stream: stream.write(page(self).encode()))

    def _repr_html_(self) -> str:
        from mfvae.report.page import body

        return body(self)


def report(
    X: Any,
    *,
    groups: Any = None,
    ordered: bool = True,
    quick: bool = False,
    seed: int | np.random.SeedSequence = 0,
    folder: str | Path | None = None,
    progress: bool = True,
) -> Report:
    """Return a verdict on binary words: do a few collective variables explain their correlations?

    Args:
        X: Words (n_words, n_cells), or (n_trials, n_bins, n_cells), of -1/+1 or 0/1: an array, data
            frame or sparse matrix.
        groups: (n_words,) labels of rows that belong together, such as trials.
        ordered: Whether rows stand in the order of time.
        quick: One seed and fewer rivals: a first look.
        seed: The same seed gives the same report.
        folder: Keeps every stage as it ends; a later call with the same words goes on from there.
        progress: Show a progress bar.

    Raises:
        TypeError, ValueError: If X is no such array: see `mfvae.report.words.clean`.

    >>> words = (np.random.default_rng(0).random((400, 8)) < 0.3).astype(np.uint8)
    >>> report(words, ordered=False, quick=True, progress=False).code
    'no-structure'
    """
    seed = check_seed(seed)
    parts = seed.spawn(6)
    words = clean(X, groups, ordered=ordered, seed=parts[0])
    named = str(seed.entropy) if not seed.spawn_key else f"{seed.entropy}, {seed.spawn_key}"
    settings = {"quick": quick, "seed": named, "ordered": ordered}
    store = Store(folder, run_key(words.words, words.blocks, settings=settings))
    rows = words.split(parts[1])
    with progress_bar(20 if quick else 30, "report", show=progress) as bar:
        bar.set_postfix_str("screening")
        seen = store.facts("screening", lambda: screen(words, parts[2]))
        bar.update(1)
        ladder = Ladder(
            words.words, rows, store, parts[3], quick, seen["n_above"] + seen["n_triples_seen"]
        )
        for name in ladder.climb():
            bar.set_postfix_str(name)
            bar.update(1)
        bar.set_postfix_str("verdict")
        judged = judge(ladder, words, seen, rows, parts[4])
        vae = ladder.polished(judged.chosen)
        read = read_parameters(vae, words.words, words.blocks, parts[5])
        if words.letters == (-1, 1):  # the ladder saw 0 and 1; the reader has spins
            vae.configuration_["likelihood_options"] = {"letters": (-1, 1), "dtype": "int8"}
            vae.module_.likelihood = Bernoulli((-1, 1), "int8")
        bar.total = bar.n + 1
        bar.update(1)
    warnings = list(words.warnings)
    for fit in ladder.fits:
        if not fit.trained:
            warnings.append(f"not trained: {fit.name} was still rising when its steps ran out")
    if judged.gain.high <= 0:
        warnings.append("the model is no better than independent cells")
    facts = {**words.facts, "letters": words.letters, "kept": words.kept, "screening": seen}
    facts |= {"time": words.time, "n_effective": words.n_effective, "margin": judged.margin}
    facts |= {"best": judged.best.name, "chosen": judged.chosen.name, "settings": settings}
    facts |= {"versions": _versions(), "check": judged.check, "words": words.words, **read}
    empty = judged.n_latents == 0
    return Report(
        verdict=judged.verdict,
        code=judged.code,
        n_latents=judged.n_latents,
        n_latents_interval=judged.n_latents_interval,
        gain=tuple(judged.gain),
        missing=judged.missing,
        models=judged.rows,
        warnings=warnings,
        patterns=None if empty else read["patterns"],
        field=None if empty else read["field"],
        vae=vae,
        names=words.names,
        facts=facts,
    )


def _versions() -> dict[str, str]:
    import scipy
    import sklearn
    import torch

    from mfvae import __version__

    own = {"mfvae": __version__, "python": platform.python_version(), "numpy": np.__version__}
    return own | {
        "scipy": scipy.__version__,
        "scikit-learn": sklearn.__version__,
        "torch": torch.__version__,
    }
