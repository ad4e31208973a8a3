"""Rivals on equal terms: held-out nats a word, paired, with intervals that respect trials."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mfvae._validation import check_choice, check_count, check_fraction, check_seed, check_words

__all__ = ["Comparison", "Difference", "compare_models"]


@dataclass(frozen=True)
class Difference:
    """How many nats a word one model is ahead of another on the same words.

    Attributes:
        value (float): Mean of ``ln p_first(x) - ln p_second(x)``, nats a word; positive: the first
            leads.
        low, high (float): Bootstrap interval at the comparison's level.
    """

    value: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether one of the two is ahead beyond the interval."""
        return self.low > 0 or self.high < 0


class Comparison:
    """What ``compare_models`` found; its text is a table, best model first.

    Attributes:
        names (tuple of str): Models, in the order given.
        log_prob (dict of str to ndarray, float64 (n_test,)): ln p of every test word, nats.
        log_prob_stderr (dict of str to float): Error that all words of a model share (that of an
            estimated ln Z), nats.
        n_parameters (dict of str to int or None)
        fit_seconds (dict of str to float or None): None where a model was handed in trained and
            does not say.
        n_groups (int): Independent units of the bootstrap: groups, or words if no groups were
            given.
        level (float): Coverage of the intervals.
    """

    def __init__(
        self,
        log_prob: dict[str, np.ndarray],
        log_prob_stderr: dict[str, float],
        n_parameters: dict[str, int | None],
        fit_seconds: dict[str, float | None],
        groups: np.ndarray | None,
        n_bootstrap: int,
        level: float,
        seed: np.random.SeedSequence,
    ) -> None:
        self.names = tuple(log_prob)
        self.log_prob, self.log_prob_stderr = log_prob, log_prob_stderr
        self.n_parameters, self.fit_seconds, self.level = n_parameters, fit_seconds, level
        n_words = len(next(iter(log_prob.values())))
        if groups is None:
            groups = np.arange(n_words)
        _, membership = np.unique(groups, return_inverse=True)
        self.n_groups = int(membership.max()) + 1
        self._sizes = np.bincount(membership)
        sums = [np.bincount(membership, weights=v) for v in log_prob.values()]
        self._sums = dict(zip(log_prob, sums, strict=True))
        resampling, shared = check_seed(seed).spawn(2)
        # How often each group is drawn, a row a bootstrap sample (Efron & Tibshirani 1993).
        self._means = self._resample(n_bootstrap, np.random.default_rng(resampling))
        rng = np.random.default_rng(shared)
        for name in self.names:
            self._means[name] = self._means[name] + log_prob_stderr[name] * rng.standard_normal(
                n_bootstrap
            )

    def _resample(self, n_bootstrap: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        means = {name: np.empty(n_bootstrap) for name in self.names}
        for index in range(n_bootstrap):
            drawn = rng.integers(self.n_groups, size=self.n_groups)
            n_words = self._sizes[drawn].sum()
            for name in self.names:
                means[name][index] = self._sums[name][drawn].sum() / n_words
        return means

    def nats(self, name: str) -> float:
        """Return the mean of ``-ln p(x)``, held-out nats a word: less is better."""
        return -float(np.mean(self.log_prob[check_choice(name, "name", self.names)]))

    def interval(self, name: str) -> tuple[float, float]:
        """Return the bootstrap interval of ``nats(name)``; between models use ``difference``."""
        means = -self._means[check_choice(name, "name", self.names)]
        return self._quantiles(means)

    def difference(self, first: str, second: str) -> Difference:
        """Return the lead of ``first`` over ``second`` on the same words, paired."""
        for name in (first, second):
            check_choice(name, "name", self.names)
        value = float(np.mean(self.log_prob[first] - self.log_prob[second]))
        return Difference(value, *self._quantiles(self._means[first] - self._means[second]))

    def ranking(self) -> list[str]:
        """Return the names, the best model first."""
        return sorted(self.names, key=self.nats)

    def records(self) -> list[dict[str, Any]]:
        """Return one plain dict a model, best first, ready for JSON or a data frame."""
        best = self.ranking()[0]
        rows = []
        for name in self.ranking():
            behind = self.difference(best, name)
            low, high = self.interval(name)
            rows.append(
                {
                    "model": name,
                    "nats": self.nats(name),
                    "low": low,
                    "high": high,
                    "behind": behind.value,
                    "behind_low": behind.low,
                    "behind_high": behind.high,
                    "log_prob_stderr": self.log_prob_stderr[name],
                    "n_parameters": self.n_parameters[name],
                    "fit_seconds": self.fit_seconds[name],
                }
            )
        return rows

    def __repr__(self) -> str:
        rows = self.records()
        width = max(5, *(len(name) for name in self.names))
        percent = f"{100 * self.level:g} %"
        lines = [
            f"held-out nats a word, {percent} intervals over {self.n_groups} groups, "
            "behind the best on the same words",
            f"{'model':<{width}}  {'nats':>8}  {'interval':^18}  {'behind':>8}  "
            f"{'interval':^18}  {'parameters':>10}  {'fit, s':>8}",
        ]
        for row in rows:
            own = f"[{row['low']:.3f}, {row['high']:.3f}]"
            behind = f"[{row['behind_low']:.3f}, {row['behind_high']:.3f}]"
            first = row is rows[0]
            size = "" if row["n_parameters"] is None else f"{row['n_parameters']:d}"
            seconds = "" if row["fit_seconds"] is None else f"{row['fit_seconds']:.1f}"
            lines.append(
                f"{row['model']:<{width}}  {row['nats']:8.3f}  {own:^18}  "
                f"{'' if first else format(row['behind'], '8.3f'):>8}  "
                f"{'' if first else behind:^18}  {size:>10}  {seconds:>8}"
            )
        return "\n".join(line.rstrip() for line in lines)

    def _quantiles(self, values: np.ndarray) -> tuple[float, float]:
        tail = (1 - self.level) / 2
        low, high = np.quantile(values, [tail, 1 - tail])
        return float(low), float(high)


def compare_models(
    models: Mapping[str, Any],
    train: np.ndarray | None,
    test: np.ndarray,
    *,
    groups: np.ndarray | None = None,
    n_bootstrap: int = 2000,
    level: float = 0.95,
    seed: int | np.random.SeedSequence = 0,
) -> Comparison:
    """Fit models to the same words and score them on the same held-out words.

    Args:
        models (mapping of str to model): Each with ``fit(X)``, ``score_samples(X)`` (ln p of every
            word, nats) and ``sample``; ``n_parameters``, ``log_prob_stderr`` and ``fit_seconds``
            are used where present.
        train (ndarray, uint8 (n_train, n_cells), or None): Training words; None takes the models as
            they are, fitted before.
        test (ndarray, uint8 (n_test, n_cells)): Held-out words.
        groups (array_like, shape (n_test,), or None): What words belong together, the trial of each
            for a recording: the bootstrap draws whole groups, since words of a trial are not
            independent. None takes every word as a group of its own, which makes the intervals too
            narrow for recordings.
        n_bootstrap (int): Bootstrap samples.
        level (float): Coverage of the intervals, percentile bootstrap.
        seed (int or numpy.random.SeedSequence): Source of the bootstrap.

    Returns:
        Comparison: Table of held-out nats a word; ``difference(a, b)`` gives paired intervals.

    Raises:
        TypeError, ValueError: If an argument is not as described, or a model's scores are not
            finite numbers, one a word.

    >>> from mfvae.compare import BernoulliMixture, IndependentModel, compare_models
    >>> words = np.repeat(np.random.default_rng(0).random((3000, 1)) < 0.5, 4, axis=1)
    >>> words = words.astype(np.uint8)
    >>> models = {"independent": IndependentModel(), "mixture": BernoulliMixture(2)}
    >>> table = compare_models(models, words[:2000], words[2000:])
    >>> table.ranking(), table.difference("mixture", "independent").excludes_zero
    (['mixture', 'independent'], True)
    """
    if not isinstance(models, Mapping) or not models:
        raise TypeError("models must be a mapping of names to models, with at least one")
    for name, model in models.items():
        for method in ("fit", "score_samples", "sample"):
            if not callable(getattr(model, method, None)):
                raise TypeError(f"the model {name!r} has no method {method}")
    train = None if train is None else check_words(train, name="train")
    test = check_words(test, None if train is None else train.shape[1], "test")
    if groups is not None:
        groups = np.asarray(groups)
        if groups.shape != (len(test),):
            raise ValueError(f"groups must have shape ({len(test)},), got {groups.shape}")
        if len(np.unique(groups)) < 2:
            raise ValueError("groups must hold at least two different groups")
    n_bootstrap = check_count(n_bootstrap, "n_bootstrap", minimum=100)
    level = check_fraction(level, "level")
    log_prob, stderr, n_parameters, seconds = {}, {}, {}, {}
    for name, model in models.items():
        started = time.perf_counter()
        if train is not None:
            model.fit(train)
        took = time.perf_counter() - started if train is not None else None
        seconds[name] = getattr(model, "fit_seconds", None) if took is None else took
        scores = np.asarray(model.score_samples(test), dtype=np.float64)
        if scores.shape != (len(test),) or not np.all(np.isfinite(scores)):
            raise ValueError(f"the model {name!r} must give one finite ln p a word")
        log_prob[name] = scores
        stderr[name] = float(getattr(model, "log_prob_stderr", 0.0))
        n_parameters[name] = getattr(model, "n_parameters", None)
    return Comparison(
        log_prob, stderr, n_parameters, seconds, groups, n_bootstrap, level, check_seed(seed)
    )
