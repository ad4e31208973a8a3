"""Rivals on equal terms: held-out nats a word, paired, with intervals that respect trials."""

import time
from collections.abc import Mapping
from itertools import product
from typing import Any, NamedTuple, Self

import numpy as np

from mfvae._validation import check_choice, check_count, check_seed, check_trained
from mfvae.vae.estimator import MeanFieldVAE

__all__ = ["Comparison", "Difference", "ScoredVAE", "compare_models"]

_N_BOOTSTRAP, _LEVEL = 2000, 0.95  # of the intervals


class Difference(NamedTuple):
    """How many nats a word one model is ahead of another on the same words, with its interval."""

    value: float  #: Mean of ``ln p_first(x) - ln p_second(x)``, above zero if the first leads.
    low: float
    high: float


class Comparison:
    """What ``compare_models`` found; its text is a table, best model first.

    Attributes:
        rows (list of dict): One plain dict a model, best first: ``model``; ``nats``, the mean of
            ``-ln p(x)`` a held-out word, and its interval ``low``, ``high``; ``behind`` the best on
            the same words, ``behind_low``, ``behind_high``; ``log_prob_stderr``, the error that all
            words share (that of ln Z); ``n_parameters`` and ``fit_seconds``, or None.
        n_groups (int): Independent units of the bootstrap.
    """

    def __init__(
        self, log_prob: dict, facts: dict, groups: np.ndarray, seed: np.random.SeedSequence
    ) -> None:
        self._log_prob = log_prob
        _, membership, sizes = np.unique(groups, return_inverse=True, return_counts=True)
        self.n_groups = len(sizes)
        sums = [np.bincount(membership, weights=values) for values in log_prob.values()]
        resampling, shared = (np.random.default_rng(child) for child in seed.spawn(2))
        means = np.empty((len(log_prob), _N_BOOTSTRAP))
        for index in range(_N_BOOTSTRAP):  # percentile bootstrap (Efron & Tibshirani 1993)
            drawn = resampling.integers(self.n_groups, size=self.n_groups)
            means[:, index] = [values[drawn].sum() for values in sums] / sizes[drawn].sum()
        for mean, fact in zip(means, facts.values(), strict=True):
            mean += fact["log_prob_stderr"] * shared.standard_normal(_N_BOOTSTRAP)
        self._means = dict(zip(log_prob, means, strict=True))
        nats = {name: -float(np.mean(values)) for name, values in log_prob.items()}
        ranking = sorted(nats, key=nats.__getitem__)
        self.rows = []
        for name in ranking:
            low, high = _interval(-self._means[name])
            row = {"model": name, "nats": nats[name], "low": low, "high": high}
            keys = "behind", "behind_low", "behind_high"
            row |= dict(zip(keys, self.difference(ranking[0], name), strict=True))
            self.rows.append(row | facts[name])

    def difference(self, first: str, second: str) -> Difference:
        """Return the lead of ``first`` over ``second`` on the same words, paired."""
        for name in (first, second):
            check_choice(name, "name", tuple(self._log_prob))
        value = float(np.mean(self._log_prob[first] - self._log_prob[second]))
        return Difference(value, *_interval(self._means[first] - self._means[second]))

    def __repr__(self) -> str:
        cells = [("model", "nats", "interval", "behind", "interval", "parameters", "fit, s")]
        for row in self.rows:
            texts = (
                "{model}",
                "{nats:.3f}",
                "[{low:.3f}, {high:.3f}]",
                "" if row is self.rows[0] else "{behind:.3f}",
                "" if row is self.rows[0] else "[{behind_low:.3f}, {behind_high:.3f}]",
                "" if row["n_parameters"] is None else "{n_parameters:d}",
                "" if row["fit_seconds"] is None else "{fit_seconds:.1f}",
            )
            cells.append(tuple(text.format(**row) for text in texts))
        form = "{:<%d}  {:>8}  {:^18}  {:>8}  {:^18}  {:>10}  {:>8}"
        form %= max(5, *(len(row["model"]) for row in self.rows))
        over = f"{100 * _LEVEL:g} % intervals over {self.n_groups} groups"
        title = f"held-out nats a word, {over}, behind the best on the same words"
        return "\n".join([title, *(form.format(*row).rstrip() for row in cells)])


def _interval(values: np.ndarray) -> list[float]:
    return np.quantile(values, [(1 - _LEVEL) / 2, 1 - (1 - _LEVEL) / 2]).tolist()


def compare_models(
    models: Mapping[str, Any],
    train: np.ndarray | None,
    test: np.ndarray,
    *,
    groups: np.ndarray | None = None,
    seed: int | np.random.SeedSequence = 0,
) -> Comparison:
    """Return held-out nats a word of models fitted to the same words, with paired intervals.

    Args:
        models: Each with ``fit(X)``, ``score_samples(X)``, finite ln p of every word in nats, and
            ``sample``; ``n_parameters``, ``log_prob_stderr``, ``fit_seconds`` are used if present.
        train: Training words, (n_train, n_cells), in letters that every model takes; None takes
            the models as they are, fitted before.
        test: Held-out words, (n_test, n_cells).
        groups: What words belong together, shape (n_test,), the trial of each for a recording: the
            bootstrap draws whole groups, two at least, since words of a trial are not independent.
            None: every word for itself, intervals too narrow for recordings.

    >>> from mfvae.compare import BernoulliMixture, IndependentModel, compare_models
    >>> words = np.repeat(np.random.default_rng(0).random((3000, 1)) < 0.5, 4, axis=1)
    >>> words = words.astype(np.uint8)
    >>> models = {"independent": IndependentModel(), "mixture": BernoulliMixture(2)}
    >>> table = compare_models(models, words[:2000], words[2000:])
    >>> table.rows[0]["model"], table.difference("mixture", "independent").low > 0
    ('mixture', True)
    """
    if not isinstance(models, Mapping) or not models:
        raise TypeError("models must be a mapping of names to models, with at least one")
    for (name, model), method in product(models.items(), ("fit", "score_samples", "sample")):
        if not callable(getattr(model, method, None)):
            raise TypeError(f"the model {name!r} has no method {method}")
    for name, words in (("test", test), ("train", test if train is None else train)):
        if np.ndim(words) != 2:
            raise ValueError(f"{name} must have shape (n_words, n_cells), got {np.shape(words)}")
    groups = np.arange(len(test)) if groups is None else np.asarray(groups)
    if groups.shape != (len(test),) or len(np.unique(groups)) < 2:
        raise ValueError(f"groups must have shape ({len(test)},), two different: got {groups!r}")
    seed, log_prob, facts = check_seed(seed), {}, {}
    for name, model in models.items():
        seconds = getattr(model, "fit_seconds", None)
        if train is not None:
            started = time.perf_counter()
            model.fit(train)
            seconds = time.perf_counter() - started
        scores = np.asarray(model.score_samples(test), dtype=np.float64)
        if scores.shape != (len(test),) or not np.all(np.isfinite(scores)):
            raise ValueError(f"the model {name!r} must give one finite ln p a word")
        log_prob[name] = scores
        error = float(getattr(model, "log_prob_stderr", 0.0))
        sizes = {"n_parameters": getattr(model, "n_parameters", None), "fit_seconds": seconds}
        facts[name] = {"log_prob_stderr": error, **sizes}
    return Comparison(log_prob, facts, groups, seed)


class ScoredVAE:
    """A ``MeanFieldVAE`` whose ``score_samples`` uses one method, for ``compare_models``.

    Args:
        vae: Trained or not; ``fit`` trains it.
        method: How ln p(x) is found: "quadrature" (to 1e-4 nats); or "iwae", "elbo", on average
            bounds from below: the comparison is then unfair to the VAE, never to its rivals.
        n_importance: Latents drawn for each word ("iwae", "elbo").

    >>> words = (np.random.default_rng(0).random((200, 6)) < 0.3).astype(np.uint8)
    >>> vae = MeanFieldVAE(1, encoder="mlp", decoder="linear", n_epochs=1, progress=False)
    >>> ScoredVAE(vae, "quadrature").fit(words).score_samples(words[:2]).shape
    (2,)
    """

    def __init__(self, vae: MeanFieldVAE, method: str = "iwae", *, n_importance: int = 64) -> None:
        if not isinstance(vae, MeanFieldVAE):
            raise TypeError(f"vae must be a MeanFieldVAE, got {type(vae).__name__}")
        self.vae = vae
        self.method = check_choice(method, "method", ("iwae", "elbo", "quadrature"))
        self.n_importance = check_count(n_importance, "n_importance")

    def fit(self, X: np.ndarray, y: object = None) -> Self:
        """Train the VAE on words ``X``, (n_words, n_cells), in any letters that it takes."""
        self.vae.fit(X)
        return self

    def score_samples(self, X: np.ndarray) -> np.ndarray:
        """Return ln p(x) of each word by the method, float64 (n_words,) nats."""
        return self.vae.score_samples(X, method=self.method, n_importance=self.n_importance)

    def sample(self, n_samples: int, *, seed: int | np.random.SeedSequence) -> np.ndarray:
        """Draw words, (n_samples, n_cells), in the letters of the training data."""
        return self.vae.sample(n_samples, seed=seed)

    @property
    def n_parameters(self) -> int:
        """Number of parameters of the words' law, in decoder and prior, not in the encoder."""
        module = check_trained(self.vae).module_
        return sum(p.numel() for part in (module.decoder, module.prior) for p in part.parameters())

    @property
    def fit_seconds(self) -> float:
        """Wall-clock time of training, also that of a model read from a file."""
        return self.vae.training_seconds_
