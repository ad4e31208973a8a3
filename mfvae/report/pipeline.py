"""`mfvae.report`: hygiene, screening, ladder, verdict and parameters, in one call."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from mfvae._progress import progress_bar
from mfvae._validation import check_seed
from mfvae.report.ladder import Ladder
from mfvae.report.parameters import read_parameters
from mfvae.report.screening import screen
from mfvae.report.verdict import judge
from mfvae.report.words import clean
from mfvae.vae.estimator import MeanFieldVAE
from mfvae.vae.likelihood import Bernoulli
from mfvae.vae.storage import content_hash, replace_file

__all__ = ["Report", "report"]

PACKAGES = ("mfvae", "numpy", "scipy", "scikit-learn", "torch")


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
    facts: dict[str, Any]

    @property
    def interval(self) -> str:
        """The interval of the number of latents in words."""
        low, high = self.n_latents_interval
        return f"{low}" if low == high else f"{low} to {high}" if high else f"{low} or more"

    def __repr__(self) -> str:
        head = f"{self.code} (latents: {self.n_latents}, between {self.interval})"
        return "\n".join([head, self.verdict, *(f"! {warning}" for warning in self.warnings)])

    def to_dict(self) -> dict[str, Any]:
        """Return all numbers as plain data, arrays as lists; without words and trained model."""
        left_out = ("vae", "facts", "words", "blocks", "latents", "prior", "check")
        kept = {k: v for k, v in {**self.facts, **vars(self)}.items() if k not in left_out}
        return json.loads(json.dumps(kept, default=lambda a: np.asarray(a).tolist()))

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
        TypeError, ValueError: If X is no such array (see `mfvae.report.words.clean`), or the folder
            holds a report of other words or settings.

    >>> words = (np.random.default_rng(0).random((400, 8)) < 0.3).astype(np.uint8)
    >>> report(words, ordered=False, quick=True, progress=False).code
    'no-structure'
    """
    seed = check_seed(seed)
    parts = seed.spawn(6)
    words = clean(X, groups, ordered=ordered, seed=parts[0])
    settings = {"quick": quick, "seed": f"{seed.entropy}, {seed.spawn_key}", "ordered": ordered}
    if folder is not None:
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        key = content_hash(words.words, words.blocks, text=json.dumps(settings)).encode()
        if not (record := folder / "run").exists():
            replace_file(record, lambda stream: stream.write(key))
        if record.read_bytes() != key:
            raise ValueError(f"{folder} holds a report of other words or settings: choose another")
    rows = words.split(parts[1])
    with progress_bar(20 if quick else 30, "report", show=progress) as bar:
        seen = screen(words, parts[2])
        sets = {name: words.words[index] for name, index in rows.items()}
        seeds, n_seen = (
            parts[3].generate_state(4).tolist(),
            seen["n_above"] + seen["n_triples_seen"],
        )
        ladder = Ladder(sets, folder, [s % 2**31 for s in seeds], quick, n_seen)
        for name in ladder.climb():
            bar.set_postfix_str(name)
            bar.update(1)
        judged, chosen, facts = judge(ladder, words, seen, rows, parts[4])
        vae = chosen.model
        read = read_parameters(vae, words.words, words.blocks, parts[5])
        bar.total = bar.n + 1
        bar.update(1)
    if words.letters == (-1, 1):  # the ladder saw 0 and 1; the reader has spins
        vae.configuration_["likelihood_options"] = {"letters": (-1, 1), "dtype": "int8"}
        vae.module_.likelihood = Bernoulli((-1, 1), "int8")
    told = [f"not trained: {fit.name} was still rising" for fit in ladder.fits if not fit.trained]
    if judged["gain"].high <= 0:
        told.append("the model is no better than independent cells")
    own = {name: read.pop(name) if judged["n_latents"] else None for name in ("patterns", "field")}
    own |= {"warnings": words.warnings + told, "vae": vae, "names": words.names}
    facts |= read | vars(words) | {"screening": seen, "settings": settings}
    facts["versions"] = {name: version(name) for name in PACKAGES}
    return Report(**judged, **own, facts=facts)
