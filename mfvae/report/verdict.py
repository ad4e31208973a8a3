"""From held-out words to one of six verdicts, each with its numbers and what would change it."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from mfvae.report.ladder import Fit, Ladder, tolerated
from mfvae.report.screening import Moments, residuals
from mfvae.report.words import Words

__all__ = ["Interval", "judge", "paired"]

LEAST_WORDS = 250  # independent ones, below which nothing is said
LEVEL = 0.99
N_SAMPLES = 20_000
Array = np.ndarray


class Interval(NamedTuple):
    """A mean over words, nats, with the ends of its interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


def paired(
    first: Array, second: Array, blocks: Array, *, level: float = LEVEL, stderr: float = 0.0
) -> Interval:
    """Return the lead of ``first`` over ``second`` on the same words, blocks as units.

    Student's t of block sums about a ratio; ``stderr`` is an error that all words share.

    >>> print(paired(np.ones(10), np.zeros(10), np.arange(10)))
    1.00 [1.00, 1.00]
    """
    labels = np.unique(blocks, return_inverse=True)[1]
    size = np.bincount(labels)
    difference = np.asarray(first) - np.asarray(second)
    value = float(difference.mean())
    off = np.bincount(labels, weights=difference) - value * size
    n = max(2, len(size))
    error = np.sqrt((off**2).sum() * n / (n - 1)) / size.sum()
    reach = float(stats.t.isf((1 - level) / 2, n - 1) * np.hypot(error, stderr))
    return Interval(value, value - reach, value + reach)


def judge(
    ladder: Ladder, clean: Words, seen: dict[str, Any], rows: dict, seed: np.random.SeedSequence
) -> tuple[dict[str, Any], Fit, dict[str, Any]]:
    """Return what a `Report` is to say, the chosen VAE, and what the page shows besides.

    Weighs fits against one another, and samples of them against pairs and triples of the data.
    """
    blocks, fits, base = clean.blocks[rows["test"]], ladder.fits, ladder.fits[0]

    def lead(first: Fit, second: Fit, level: float = LEVEL) -> Interval:
        shared = np.hypot(first.stderr, second.stderr)
        return paired(first.test, second.test, blocks, level=level, stderr=shared)

    def gained(fit: Fit, d: int) -> Interval:
        """Nats over independent cells; the high end has the Nd/2n lost in learning from n words."""
        cost = d * len(clean.names) / 2 / len(ladder.parts["train"])
        found = lead(fit, base, 0.95)
        return found._replace(high=found.high + cost)

    def top(*kinds: str) -> Fit:
        some = [f for f in fits if f.trained and (f.kind in kinds or not kinds)]
        return max(some, key=lambda f: f.test.mean())

    def sampled(fit: Fit) -> Array:
        n = N_SAMPLES if fit.kind not in ("pairwise", "rbm") else N_SAMPLES // 4  # Gibbs chains
        return fit.model.sample(n, seed=seed)

    margin = tolerated(lead(top(), base).value)
    by_size = {f.size: ladder.best("vae", size=f.size) for f in fits if f.kind == "vae"}
    leader = max(by_size.values(), key=lambda f: f.test.mean())
    behind = {d: lead(leader, f) for d, f in by_size.items()}
    d = min(k for k, b in behind.items() if b.value <= margin)
    low = min(k for k, b in behind.items() if b.low <= margin)
    high = min(k for k, b in behind.items() if b.high <= margin or k == leader.size)
    chosen, at_edge = ladder.polished(by_size[d]), d == ladder.rungs[-1]
    best, rival, mixture = top(), top("mixture", "pairwise", "rbm"), top("mixture")
    gain, ahead = gained(chosen, d), lead(rival, chosen)
    mixtures = [base, *sorted((f for f in fits if f.kind == "mixture"), key=lambda f: f.size)]
    # The smallest that is not behind has the number of states if a state less is surely worse, and
    # more were tried.
    place = next(k for k, f in enumerate(mixtures) if k and lead(mixture, f).value <= margin / 2)
    states, fewer = mixtures[place], mixtures[place - 1]
    counted = lead(states, fewer).low > margin and states is not mixtures[-1]

    words, data, inflation = sampled(chosen), Moments(clean.words), 2 * clean.time
    model, more = Moments(words, data), seed.spawn(1)[0]
    ours = theirs = residuals(data, model, inflation, partial(chosen.model.sample, seed=more))
    if best.kind not in ("vae", "deep") and ours["triples_nats"] > margin:
        theirs = residuals(data, Moments(sampled(best), data), inflation)
    least = max(0.0, ahead.low, ours["pairs_nats"], ours["triples_nats"])
    missing = {"rival": rival.name, "n_states": states.size, **_named("ahead", ahead)}
    missing |= {"states_behind": lead(best, states).value, "lower_limit": least}
    missing |= {f"left_{k}": v for k, v in ours.items()}
    missing |= {"best_left_triples_nats": theirs["triples_nats"]}

    code, more_words = "undecided", "more words would tell."
    if clean.n_effective < LEAST_WORDS or len(np.unique(blocks)) < 5:
        text = f"{clean.n_effective:.0f} independent words are too few to judge by: record longer."
    elif not (seen["n_above"] or seen["n_triples_seen"] or lead(best, base, 0.999).low > 0):
        code = "no-structure" if seen["detectable"] < 0.5 else code
        text = f"The screen would have seen {seen['detectable']:.2f} nats in one direction."
    elif theirs["triples_nats"] > max(0.1, 2 * margin) and ours["triples_nats"] > margin:
        code = "beyond-models"
        text = (
            "No model of the ladder has the triples of the data, worth at least "
            f"{theirs['triples_nats']:.2f} nats; the clearest is {seen['largest_triple']}."
        )
    elif lead(best, base).low < 3 * margin:  # all models are then within a margin of one another
        text = f"The best model gains {lead(best, base)} nats, too little to judge by: {more_words}"
    elif missing["states_behind"] < margin and (
        states.size <= d + 1 or (states.size <= 2 * d + 2 and lead(states, chosen).low > 0)
    ):
        text = f"{states.size} states or {d} latents, these words do not tell: {more_words}"
        if counted and lead(chosen, states).high <= margin:
            code, gain = "discrete-states", gained(states, states.size - 1)
            text = f"{states.size} states, each of independent cells, tell as much as {d} latents."
    elif ahead.low > margin or ours["pairs_nats"] > 2 * margin:
        code = "not-mean-field"
        text = (
            f"{d} latents{', the most tried,' * at_edge} miss at least {least:.2f} nats a word: "
            f"{rival.name} is ahead by {ahead}; "
            f"what pairs of cells lack is worth {ours['pairs_nats']:.2f}."
        )
    elif at_edge:
        text = f"The likelihood still rises at d ≥ {d} latents: {more_words}"
    elif least > margin or ahead.high > 4 * margin:
        text = f"{least:.2f} to {max(least, ahead.high):.2f} nats may be missing: {more_words}"
    else:
        code = "mean-field"
        text = (
            f"{d} latent{'s' * (d > 1)} explain{'s' * (d == 1)} {gain} nats a word; no rival is "
            f"ahead by more than {max(ahead.high, 0):.2f}. Ahead by {margin:.2f} would change it."
        )
    if code == "no-structure":
        d, low, high, gain = 0, 0, 0, Interval(0.0, 0.0, seen["detectable"])
    told = {"code": code, "verdict": text, "n_latents": d, "gain": gain, "missing": missing}
    told["n_latents_interval"] = (min(low, d), None if at_edge else max(high, d))
    told["models"] = [
        {"model": f.name, "kind": f.kind, "size": f.size, "nats": -float(f.test.mean())}
        | _named("gain", lead(f, base, 0.95))
        | _named("behind", lead(best, f))
        | {"n_parameters": f.n_parameters, "seconds": round(f.seconds, 1), "trained": f.trained}
        for f in sorted(fits, key=lambda f: -f.test.mean())
    ]
    counts = np.bincount(words.sum(axis=1, dtype=np.int64), minlength=words.shape[1] + 1)
    check = {"count_law": counts / len(words)}
    for kind in ("pairs", "third"):
        both = np.stack([getattr(data, kind), getattr(model, kind)])
        check[kind] = both[:, :: max(1, both.shape[1] // 3000)]
    return told, chosen, {"chosen": chosen.name, "margin": margin, "check": check}


def _named(name: str, interval: Interval) -> dict[str, float]:
    return {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}
