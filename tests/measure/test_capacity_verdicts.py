"""Verdicts on planted data of known law: what is said is right, or nothing is said and why."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, logsumexp

from mfvae import MeanFieldVAE
from mfvae.compare import BernoulliMixture, PairwiseMaximumEntropy
from mfvae.measure import all_configurations, capacity, rate_gap_bound
from mfvae.systems import Ising2D

N, N_WORDS = 12, 4000
X = (all_configurations(N) + 1) // 2


class Oracle:
    """The law itself as a rival: the strongest certificate there is."""

    def __init__(self, log_weight: np.ndarray) -> None:
        self.log_p = log_weight - logsumexp(log_weight)

    def score_samples(self, words: np.ndarray) -> np.ndarray:
        return self.log_p[words @ 2 ** np.arange(N)]

    def sample(self, n: int, seed: int) -> np.ndarray:
        p = np.exp(self.log_p)
        return X[np.random.default_rng(seed).choice(len(p), n, p=p / p.sum())]


def latent_law(n_latents: int, strength: float, seed: int) -> Oracle:
    """Words of independent sites given z, Normal(0, 1): the average over many z is the law."""
    rng = np.random.default_rng(seed)
    weights = strength * rng.standard_normal((n_latents, N))
    field = rng.standard_normal((4096, n_latents)) @ weights + 0.5 * rng.standard_normal(N)
    up = np.clip(expit(field), 1e-6, 1 - 1e-6)
    log_p = X @ np.log(up.T) + (1 - X) @ np.log1p(-up.T)
    return Oracle(logsumexp(log_p, axis=1))


def coupled_law(coupling: np.ndarray) -> Oracle:
    spins = 2.0 * X - 1
    return Oracle(np.sum(spins @ coupling * spins, axis=1) / 2)


def chain(strength: float = 1.0) -> Oracle:
    ring = np.roll(np.eye(N), 1, axis=1) + np.roll(np.eye(N), -1, axis=1)
    return coupled_law(strength * ring)


def spin_glass() -> Oracle:
    couplings = np.triu(np.random.default_rng(5).standard_normal((N, N)), 1) / np.sqrt(N)
    return coupled_law(1.5 * (couplings + couplings.T))


def products() -> Oracle:
    spins = 2.0 * X - 1
    return Oracle(3.0 * sum(spins[:, k] * spins[:, k + 1] * spins[:, k + 2] for k in (0, 3, 6, 9)))


INDEPENDENT = Oracle(X @ np.linspace(-1, 1, N))
CASES = {
    "independent": (INDEPENDENT, 1, {"nothing shared"}),
    "one latent": (latent_law(1, 1.2, 0), 1, {"fits as far as anyone can tell"}),
    "two latents": (latent_law(2, 1.2, 1), 2, {"fits as far as anyone can tell"}),
    "four latents": (latent_law(4, 0.8, 2), 4, {"fits as far as anyone can tell"}),
    "four latents in one": (latent_law(4, 2.0, 2), 1, {"misses", "cannot fit"}),
    "chain": (chain(), 1, {"misses", "cannot fit"}),
    "spin glass": (spin_glass(), 1, {"misses", "cannot fit"}),
    "products": (products(), 1, {"misses", "cannot fit"}),
}
SLOW = {"two latents", "four latents", "four latents in one", "chain", "spin glass"}


def trained(words: np.ndarray, n_latents: int) -> MeanFieldVAE:
    vae = MeanFieldVAE(
        n_latents,
        encoder="mlp",
        decoder="linear",
        encoder_options={"widths": (64,)},
        n_epochs=15,
        learning_rate=0.02,
        batch_size=128,
        device="cpu",
        progress=False,
    )
    return vae.fit(words)


def true_gap(vae: MeanFieldVAE, law: Oracle) -> float:
    words = law.sample(20_000, seed=9)
    bound = vae.score_samples(words, method="elbo", n_importance=8, seed=1)
    return float(np.mean(law.score_samples(words) - bound))


#: Some laws hold nothing that one latent could gain, and `fit` says so.
NOTHING_TO_GAIN = pytest.mark.filterwarnings("ignore:no better than independent sites")


@NOTHING_TO_GAIN
@pytest.mark.parametrize(
    "name", [pytest.param(k, marks=pytest.mark.slow if k in SLOW else ()) for k in CASES]
)
def test_verdict_on_data_of_known_law(name: str) -> None:
    law, n_latents, right = CASES[name]
    vae = trained(law.sample(N_WORDS, seed=0), n_latents)
    report = capacity(vae, law.sample(N_WORDS, seed=1), rival=law)
    gap = true_gap(vae, law)
    print(f"{name}: {report.verdict}; {report.reason}; gap {gap:.3f}")
    assert report.verdict in right
    # What is proved is no more than the gap; what fits has a gap that is called one.
    assert report.floor.nats < gap + 5.5 * report.floor.nats.stderr + 0.02
    assert abs(report.certificate - gap) < 5.5 * report.certificate.stderr + 0.02
    assert (gap > 0.25) == (report.verdict in {"misses", "cannot fit"})
    assert report.verdict in str(report)
    assert report.reason in str(report)


@NOTHING_TO_GAIN
@pytest.mark.parametrize("pairwise", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_products_are_seen_where_the_rival_is_blind(pairwise: bool) -> None:
    """Free or pairwise spins prove nothing; that a site follows two others is in the words."""
    law, rival = products(), Oracle(np.zeros(2**N))
    words = law.sample(N_WORDS, seed=0)
    vae, fresh = trained(words, 1), law.sample(N_WORDS, seed=1)
    if pairwise:
        rival = PairwiseMaximumEntropy(random_state=0).fit(words)
    report = capacity(vae, fresh, rival=rival)
    assert report.certificate < 0.1
    assert report.verdict == "cannot fit"
    assert report.floor.packing == "one site and two others"
    assert report.floor.nats < np.log(2)
    # Negative control: of pairs alone, nothing would have been said to be shared.
    assert report.demand.best_cut < 0.05


def test_a_fitted_rival_proves_less_than_the_law() -> None:
    law = CASES["four latents in one"][0]
    words, fresh = law.sample(N_WORDS, seed=0), law.sample(N_WORDS, seed=1)
    vae, rival = trained(words, 1), BernoulliMixture(16, random_state=0).fit(words)
    groups = np.arange(N_WORDS) // 40
    report = capacity(vae, fresh, rival=rival, groups=groups)
    assert report.verdict in {"misses", "cannot fit"}
    assert 0.3 < report.certificate < true_gap(vae, law) + 5.5 * report.certificate.stderr
    by_blocks = capacity(vae, fresh, rival=rival)
    assert float(by_blocks.certificate) == pytest.approx(float(report.certificate))
    assert 0.5 < by_blocks.certificate.stderr / report.certificate.stderr < 2


def test_too_few_words_are_said_to_be_too_few() -> None:
    """A gap of 0.13 nats, with an error of 0.05 of 100 words: neither a fit nor a miss."""
    law = chain(0.15)
    vae = trained(law.sample(N_WORDS, seed=0), 1)
    few = capacity(vae, law.sample(100, seed=3), rival=law)
    assert abs(few.certificate - true_gap(vae, law)) < 5.5 * few.certificate.stderr
    assert few.verdict == "may fit"
    assert "too few words" in few.reason
    silent = capacity(vae, law.sample(100, seed=3))
    assert silent.verdict == "may fit"
    assert "without a system or a rival" in silent.reason


def test_few_words_prove_nothing_that_is_not_there() -> None:
    """The floor from 100 words of a chain with 0.13 nats in all, thirty times: never above it."""
    law = chain(0.15)
    for seed in range(30):
        floor = rate_gap_bound(law.sample(100, seed=seed), rate=0.0).nats
        assert floor - 3 * floor.stderr < 0.13 + 0.05


def test_groups_and_scores_are_checked() -> None:
    law = INDEPENDENT
    words = law.sample(500, seed=0)
    vae = trained(words, 1)
    with pytest.raises(ValueError, match="groups must be 500 labels"):
        capacity(vae, words, rival=law, groups=np.zeros(500))
    with pytest.raises(ValueError, match="groups must be 500 labels"):
        capacity(vae, words, rival=law, groups=np.arange(400))
    law.score_samples = lambda words: np.full(len(words), np.nan)
    with pytest.raises(ValueError, match="rival's scores"):
        capacity(vae, words, rival=law)
    del law.score_samples


def test_a_rival_beside_a_known_system() -> None:
    """With the system known, the certificate of its own law is the gap."""
    system = Ising2D(3)
    x = system.sample(2.5, 2000, seed=0)
    vae = trained(x, 1)

    class Law:
        def score_samples(self, x: np.ndarray) -> np.ndarray:
            return system.log_prob(x, 2.5)

    report = capacity(vae, system.sample(2.5, 2000, seed=1), 2.5, system, rival=Law())
    assert float(report.certificate) == pytest.approx(float(report.gap), abs=1e-6)
    assert report.shared is None
