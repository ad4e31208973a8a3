"""Rivals on equal terms: held-out nats a word, paired, with intervals that respect trials."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from mfvae._validation import check_choice, check_count, check_fraction, check_seed

__all__ = ["Comparison", "Difference", "compare_models"]


class Difference(NamedTuple):
    """How many nats a word one model is ahead of another on the same words."""

    value: float  #: Mean of ``ln p_first(x) - ln p_second(x)``, above zero if the first leads.
    low: float  #: Lower end of the bootstrap interval.
    high: float  #: Upper end.


class Comparison:
    """What ``compare_models`` found; its text is a table, best model first.

    Attributes:
        rows (list of dict): One plain dict a model, best first, ready for JSON or a data frame:
            ``model``; ``nats``, the mean of ``-ln p(x)`` a held-out word, with its interval
            ``low``, ``high``; ``behind``, ``behind_low``, ``behind_high``, how far behind the best
            on the same words; ``log_prob_stderr``, the error that all words of a model share (that
            of an estimated ln Z); ``n_parameters``; ``fit_seconds``. The last two are None where a
            model does not say.
        n_groups (int): Independent units of the bootstrap.
        level (float): Coverage of the intervals.
    """

    def __init__(
        self,
        log_prob: dict[str, np.ndarray],
        facts: dict[str, dict[str, Any]],
        groups: np.ndarray,
        n_bootstrap: int,
        level: float,
        seed: np.random.SeedSequence,
    ) -> None:
        self._log_prob, self.level = log_prob, level
        _, membership, sizes = np.unique(groups, return_inverse=True, return_counts=True)
        self.n_groups = len(sizes)
        sums = [np.bincount(membership, weights=values) for values in log_prob.values()]
        resampling, shared = (np.random.default_rng(child) for child in seed.spawn(2))
        means = np.empty((len(log_prob), n_bootstrap))
        for index in range(n_bootstrap):  # percentile bootstrap (Efron & Tibshirani 1993)
            drawn = resampling.integers(self.n_groups, size=self.n_groups)
            means[:, index] = [values[drawn].sum() for values in sums] / sizes[drawn].sum()
        self._means = {
            name: mean + facts[name]["log_prob_stderr"] * shared.standard_normal(n_bootstrap)
            for name, mean in zip(log_prob, means, strict=True)
        }
        nats = {name: -float(np.mean(values)) for name, values in log_prob.items()}
        ranking = sorted(nats, key=nats.__getitem__)
        self.rows = []
        for name in ranking:
            low, high = self._quantiles(-self._means[name])
            behind = self.difference(ranking[0], name)
            row = {"model": name, "nats": nats[name], "low": low, "high": high}
            row |= {"behind": behind.value, "behind_low": behind.low, "behind_high": behind.high}
            self.rows.append(row | facts[name])

    def difference(self, first: str, second: str) -> Difference:
        """Return the lead of ``first`` over ``second`` on the same words, paired."""
        for name in (first, second):
            check_choice(name, "name", tuple(self._log_prob))
        value = float(np.mean(self._log_prob[first] - self._log_prob[second]))
        return Difference(value, *self._quantiles(self._means[first] - self._means[second]))

    def __repr__(self) -> str:
        width = max(5, *(len(row["model"]) for row in self.rows))
        lines = [
            f"held-out nats a word, {100 * self.level:g} % intervals over {self.n_groups} groups, "
            "behind the best on the same words",
            f"{'model':<{width}}  {'nats':>8}  {'interval':^18}  {'behind':>8}  "
            f"{'interval':^18}  {'parameters':>10}  {'fit, s':>8}",
        ]
        for row in self.rows:
            own, behind, interval = f"[{row['low']:.3f}, {row['high']:.3f}]", "", ""
            if row is not self.rows[0]:
                behind = f"{row['behind']:.3f}"
                interval = f"[{row['behind_low']:.3f}, {row['behind_high']:.3f}]"
            size = "" if row["n_parameters"] is None else f"{row['n_parameters']:d}"
            seconds = "" if row["fit_seconds"] is None else f"{row['fit_seconds']:.1f}"
            line = f"{row['model']:<{width}}  {row['nats']:8.3f}  {own:^18}  {behind:>8}  "
            lines.append(f"{line}{interval:^18}  {size:>10}  {seconds:>8}".rstrip())
        return "\n".join(lines)

    def _quantiles(self, values: np.ndarray) -> tuple[float, float]:
        tail = (1 - self.level) / 2
        return tuple(np.quantile(values, [tail, 1 - tail]).tolist())


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
    """Return held-out nats a word of models fitted to the same words, with paired intervals.

    Args:
        models: Each with ``fit(X)``, ``score_samples(X)`` (ln p of every word, nats) and
            ``sample``; ``n_parameters``, ``log_prob_stderr`` and ``fit_seconds`` are used where
            present.
        train: Training words, (n_train, n_cells), in letters that every model takes (0 and 1 for
            the rivals of this room); None takes the models as they are, fitted before.
        test: Held-out words, (n_test, n_cells).
        groups: What words belong together, shape (n_test,), the trial of each for a recording: the
            bootstrap draws whole groups, since words of a trial are not independent. None takes
            every word as a group of its own, which makes the intervals too narrow for recordings.
        n_bootstrap: Bootstrap samples, at least 100.
        level: Coverage of the intervals.
        seed: Source of the bootstrap.

    Raises:
        TypeError: If a model lacks one of the three methods.
        ValueError: If there are fewer than two groups, or a model's scores are not finite numbers,
            one a word.

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
    for name, model in models.items():
        for method in ("fit", "score_samples", "sample"):
            if not callable(getattr(model, method, None)):
                raise TypeError(f"the model {name!r} has no method {method}")
    groups = np.arange(len(test)) if groups is None else np.asarray(groups)
    if groups.shape != (len(test),):
        raise ValueError(f"groups must have shape ({len(test)},), got {groups.shape}")
    if len(np.unique(groups)) < 2:
        raise ValueError("groups must hold at least two different groups")
    n_bootstrap = check_count(n_bootstrap, "n_bootstrap", minimum=100)
    level, seed = check_fraction(level, "level"), check_seed(seed)
    log_prob, facts = {}, {}
    for name, model in models.items():
        if train is None:
            seconds = getattr(model, "fit_seconds", None)
        else:
            started = time.perf_counter()
            model.fit(train)
            seconds = time.perf_counter() - started
        scores = np.asarray(model.score_samples(test), dtype=np.float64)
        if scores.shape != (len(test),) or not np.all(np.isfinite(scores)):
            raise ValueError(f"the model {name!r} must give one finite ln p a word")
        log_prob[name] = scores
        facts[name] = {
            "log_prob_stderr": float(getattr(model, "log_prob_stderr", 0.0)),
            "n_parameters": getattr(model, "n_parameters", None),
            "fit_seconds": seconds,
        }
    return Comparison(log_prob, facts, groups, n_bootstrap, level, seed)
