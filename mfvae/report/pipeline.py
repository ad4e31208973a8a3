"""`mfvae.report`: hygiene, screening, ladder, verdict and parameters, in one call."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse
from scipy.signal import find_peaks
from scipy.special import expit
from scipy.stats import gaussian_kde

from mfvae._progress import progress_bar
from mfvae._validation import check_seed
from mfvae.report.ladder import FEW, Ladder, polish_on
from mfvae.report.page import body, page
from mfvae.report.screening import screen
from mfvae.report.verdict import judge
from mfvae.report.words import clean
from mfvae.vae.estimator import MeanFieldVAE
from mfvae.vae.likelihood import Bernoulli
from mfvae.vae.storage import content_hash, replace_file

__all__ = ["Report", "report"]

N_DRAWN = 20_000  # latents of the prior, and rows for errors
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
        gain: Nats over independent cells that the law of the words has: value, low, high (95 %).
        missing: What the chosen model misses: best rival, its lead, pairs and triples left.
        models: A dict a model, best first.
        warnings: Sentences, each about one trap.
        patterns, field: Fields on spins are ``field + patterns @ z``, float64 (n_kept, n_latents)
            and (n_kept,), z of mean 0 and covariance 1; None where d = 0.
        vae, names: The trained `MeanFieldVAE` of ``n_latents``, and the names of the kept cells.
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
        replace_file(Path(path), lambda stream: stream.write(page(self).encode()))

    def _repr_html_(self) -> str:
        return body(self)


def report(
    X: Any,
    *,
    groups: Any = None,
    ordered: bool = True,
    quick: bool = False,
    seed: int | np.random.SeedSequence = 0,
    folder: str | Path | None = None,
    n_jobs: int | None = -1,
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
        n_jobs: Models fitted side by side, as joblib counts (-1: all cores; 1 for few words); the
            report does not depend on it. Under ``joblib.parallel_config(backend="dask")`` they are
            tasks of the cluster.
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
        (folder := Path(folder)).mkdir(parents=True, exist_ok=True)
        key = content_hash(words.words, words.blocks, text=json.dumps(settings)).encode()
        if not (record := folder / "run").exists():
            replace_file(record, lambda stream: stream.write(key))
        if record.read_bytes() != key:
            raise ValueError(f"{folder} holds a report of other words or settings: choose another")
    rows = words.split(parts[1])
    with progress_bar(20 if quick else 30, "report", show=progress) as bar:
        seen = screen(words, parts[2])
        sets = {name: words.words[index] for name, index in rows.items()}
        seeds = [s % 2**31 for s in parts[3].generate_state(4).tolist()]
        n_seen = seen["n_above"] + seen["n_triples_seen"]
        ladder = Ladder(sets, folder, seeds, quick, n_seen, n_jobs)
        for name in ladder.climb():
            bar.set_postfix_str(name)
            bar.update(1)
        judged, chosen, facts = judge(ladder, words, seen, rows, parts[4])
        vae = chosen.model
        if len(words.words) < FEW:  # nothing is compared any more: learn from all of them
            polish_on(vae, dict.fromkeys(("train", "validate"), words.words))
        read = _read_parameters(vae, words.words, words.blocks, parts[5])
        bar.update(bar.total - bar.n)
    if words.letters == (-1, 1):  # the ladder saw 0 and 1; the reader has spins
        vae.configuration_["likelihood_options"] = {"letters": (-1, 1), "dtype": "int8"}
        vae.module_.likelihood = Bernoulli((-1, 1), "int8")
    told = [f"not trained: {fit.name} was still rising" for fit in ladder.fits if not fit.trained]
    if judged["n_latents"] and 2 * judged["gain"].value <= judged["gain"].low:  # data's own error
        told.append("the model is no better than independent cells")
    own = {name: read.pop(name) if judged["n_latents"] else None for name in ("patterns", "field")}
    own |= {"warnings": words.warnings + told, "vae": vae, "names": words.names}
    facts |= read | vars(words) | {"screening": seen, "settings": settings}
    facts["versions"] = {name: version(name) for name in PACKAGES}
    return Report(**judged, **own, facts=facts)


def _read_parameters(
    vae: MeanFieldVAE, words: np.ndarray, blocks: np.ndarray, seed: np.random.SeedSequence
) -> dict[str, Any]:
    """Return patterns W, field b with errors, latents of all words and the law of the latents.

    Fields on spins are ``b + W z``, half the log odds. A linear decoder is the same model in every
    affine frame of z; here z has mean 0 and covariance 1 under the prior, the columns of W are
    orthogonal, the longest first, and have a sum above zero. So W Wᵀ, the couplings to leading
    order, is what it is. Errors: one Newton step of the likelihood of every cell given latents
    drawn from q(z|x), its gradients resampled by blocks (the bootstrap in closed form).
    """
    affine = vae.module_.decoder.affine
    weight, bias = (p.detach().double().numpy() for p in (affine.weight, affine.bias))
    z = vae.sample_prior(N_DRAWN, seed=seed).astype(np.float64)
    mean, root = z.mean(axis=0), np.linalg.cholesky(np.atleast_2d(np.cov(z, rowvar=False)))
    left, length, right = np.linalg.svd(weight @ root, full_matrices=False)
    sign = np.where((left * length).sum(axis=0) >= 0, 1.0, -1.0)
    frame = np.linalg.inv(root).T @ right.T * sign  # z' = (z - mean) @ frame
    logits, offset = left * length * sign, bias + weight @ mean
    center, deviation = vae.encode(words)
    drawn = center + deviation * np.random.default_rng(seed).standard_normal(center.shape)
    some = slice(None, None, max(1, -(-len(words) // N_DRAWN)))
    ours = np.column_stack([np.ones(len(words[some])), ((drawn[some] - mean) @ frame)])
    p = expit(ours @ np.column_stack([offset, logits]).T)
    hessian = np.einsum("ni,nk,nl->ikl", p * (1 - p), ours, ours, optimize=True)
    labels = np.unique(blocks[some], return_inverse=True)[1]
    member = sparse.csr_array((np.ones(len(labels)), (labels, np.arange(len(labels)))))
    off = words[some] - p
    gradient = np.stack([member @ (off * column[:, None]) for column in ours.T], axis=2)
    gradient -= gradient.mean(axis=0)
    outer = np.einsum("bik,bil->ikl", gradient, gradient, optimize=True)
    inverse = np.linalg.inv(hessian + 1e-3 * np.eye(ours.shape[1]))
    errors = np.sqrt(np.einsum("ikl,ilm,imk->ik", inverse, outer, inverse, optimize=True))
    errors *= np.sqrt(len(ours) / len(words))
    prior, modes = ((z - mean) @ frame)[:4000], []
    for column in prior.T:  # maxima that stand out by a twentieth of the highest
        density = gaussian_kde(column)(np.linspace(*np.quantile(column, [0.001, 0.999]), 200))
        modes.append(max(1, len(find_peaks(density, prominence=0.05 * density.max())[0])))
    read = {"patterns": logits / 2, "patterns_stderr": errors[:, 1:] / 2, "modes": modes}
    read |= {"field": offset / 2, "field_stderr": errors[:, 0] / 2}
    read |= {"latents": ((center - mean) @ frame).astype(np.float32)}
    return read | {"prior": prior.astype(np.float32)}
