"""Pairwise maximum entropy and RBM: normalisers against enumeration, fits against the truth."""

import itertools

import numpy as np
import pytest
from scipy.special import logsumexp

from mfvae.compare import PairwiseMaximumEntropy, RestrictedBoltzmannMachine

N = 15
ALL = np.array(list(itertools.product([0, 1], repeat=N)), dtype=np.uint8)


def planted_pairwise(n=N, seed=0):
    """Field, couplings and exact log probabilities of a frustrated, sparse-firing model."""
    rng = np.random.default_rng(seed)
    couplings = np.triu(0.7 * rng.standard_normal((n, n)), 1)
    couplings += couplings.T
    return rng.normal(-1.2, 0.4, n), couplings


def enumerated(field, couplings):
    x = ALL[:, -len(field) :][: 2 ** len(field)].astype(float)
    weight = x @ field + 0.5 * np.einsum("ni,ni->n", x @ couplings, x)
    return weight, logsumexp(weight)


@pytest.fixture(scope="module")
def words():
    """30,000 exact draws of the planted model and their exact log probabilities."""
    weight, log_z = enumerated(*planted_pairwise())
    rng = np.random.default_rng(1)
    return ALL[rng.choice(len(ALL), size=30_000, p=np.exp(weight - log_z))]


@pytest.mark.slow
def test_annealing_agrees_with_enumeration_on_fifteen_cells(words):
    field, couplings = planted_pairwise()
    _, log_z = enumerated(field, couplings)
    model = PairwiseMaximumEntropy(n_steps=2, n_annealing_steps=2).fit(words)

    def annealed(field, couplings, n_chains, n_steps, seed, **direction):
        model.field_, model.couplings_ = field, couplings
        model.n_annealing_chains, model.n_annealing_steps = n_chains, n_steps
        return model.estimate_log_normalizer(seed=seed, **direction)

    found = annealed(field, couplings, 1000, 2000, seed=0)
    assert found.stderr < 0.002
    assert found == pytest.approx(log_z, abs=0.01)
    assert abs(found - log_z) < 5.5 * found.stderr
    # the error bar is honest: forty short runs scatter as they say
    runs = [annealed(field, couplings, 50, 50, seed=s) for s in range(40)]
    scores = np.array([(r + r.stderr**2 / 2 - log_z) / r.stderr for r in runs])
    assert 0.6 < scores.std() < 1.7
    assert abs(scores.mean()) < 5.5 / np.sqrt(40)
    # short runs bracket ln Z, from below and, annealed in reverse, from above
    model.n_sweeps = 100
    above = [annealed(field, couplings, 2, 1, seed=s, reverse=True) for s in range(150)]
    below = [annealed(field, couplings, 2, 1, seed=s) for s in range(150)]
    for sign, found in ((1, above), (-1, below)):
        excess = sign * (np.array(found, float) - log_z)
        assert excess.mean() > 5.5 * excess.std() / np.sqrt(150)
    both = annealed(field, couplings, 1000, 2000, seed=1, reverse=True)
    assert abs(both - log_z) < 5.5 * both.stderr < 0.02
    # negative control: a coupling off by 0.1 moves ln Z beyond the tolerance
    couplings[0, 1] += 0.1
    couplings[1, 0] += 0.1
    wrong = annealed(field + 0.05, couplings, 1000, 2000, seed=0)
    assert abs(wrong - log_z) > 0.01
    assert abs(wrong - log_z) > 5.5 * wrong.stderr


def test_pairwise_fit_recovers_the_planted_model(words):
    field, couplings = planted_pairwise()
    weight, log_z = enumerated(field, couplings)
    model = PairwiseMaximumEntropy(
        ridge=0.0, learning_rate=0.2, n_annealing_chains=500, n_annealing_steps=500
    ).fit(words)
    mine, my_log_z = enumerated(model.field_, model.couplings_)
    # fitted ln Z is that of enumeration, and so are the log probabilities
    assert float(model.log_normalizer_) == pytest.approx(my_log_z, abs=0.01)
    np.testing.assert_allclose(model.score_samples(ALL), mine - my_log_z, atol=0.01)
    # KL(truth ‖ fit) is what fitting 120 parameters to 30,000 words costs: 120/60,000
    p = np.exp(weight - log_z)
    kl = p @ (weight - log_z - mine + my_log_z)
    assert kl < 0.004
    # the gradient vanishes: model moments are the data's
    q = np.exp(mine - my_log_z)
    np.testing.assert_allclose(q @ ALL, words.mean(axis=0), atol=0.01)
    assert np.abs(model.couplings_ - couplings).max() < 0.4
    # the independent model is not as close
    rates = words.mean(axis=0)
    independent = ALL @ np.log(rates / (1 - rates)) + np.log1p(-rates).sum()
    assert p @ (weight - log_z - independent) > 0.3


def test_pairwise_samples_and_seeds(words):
    model = PairwiseMaximumEntropy(n_steps=20, n_annealing_steps=50).fit(words)
    mine, log_z = enumerated(model.field_, model.couplings_)
    q = np.exp(mine - log_z)
    model.n_sweeps = 200
    x = model.sample(20_000, seed=1)
    small = model.sample(500, seed=1)
    np.testing.assert_array_equal(small, model.sample(500, seed=1))
    mean = q @ ALL
    scores = (x.mean(axis=0) - mean) / np.sqrt(mean * (1 - mean) / len(x))
    assert np.abs(scores).max() < 5.5
    second = (q[:, None] * ALL).T @ ALL.astype(float)
    found = x.T.astype(float) @ x / len(x)
    error = np.sqrt(second * (1 - second) / len(x))
    assert np.abs((found - second) / error).max() < 5.5
    assert model.n_parameters == N + N * (N - 1) // 2
    again = PairwiseMaximumEntropy(n_steps=20, n_annealing_steps=50).fit(words)
    np.testing.assert_array_equal(model.couplings_, again.couplings_)
    assert float(model.log_normalizer_) == float(again.log_normalizer_)


def test_count_potential_is_found_and_needed():
    field, couplings = planted_pairwise(10)
    x, counts = ALL[: 2**10, 5:], ALL[: 2**10].sum(axis=1)
    potential = np.array([0.8, -0.6, 0.5, -0.4, 0.9, 0.0, -1.0, 0.0, 0.0, 0.0, 0.0])
    weight = enumerated(field, couplings)[0] + potential[counts]
    p = np.exp(weight - logsumexp(weight))
    words = x[np.random.default_rng(1).choice(len(x), size=30_000, p=p)]
    options = {"ridge": 0.0, "learning_rate": 0.2, "n_steps": 800, "n_annealing_steps": 500}
    model = PairwiseMaximumEntropy(count_potential=True, **options).fit(words)
    scores = model.score_samples(x)
    assert logsumexp(scores) == pytest.approx(0, abs=0.01)
    # fitting 63 parameters to 30,000 words costs 63/60,000 nats on average
    assert p @ (np.log(p) - scores) < 0.004
    law, own = (np.bincount(counts, weights=q, minlength=11) for q in (p, np.exp(scores)))
    np.testing.assert_allclose(own, law, atol=0.01)
    assert model.n_parameters == 55 + 8
    mine = (words, model.score_samples(words))
    flipped = words ^ (np.arange(10) == 3)
    gap = model.score_samples(flipped) - mine[1]
    direct = -np.logaddexp(0, gap)  # ln p(x_3 | the others)
    fields = words.astype(float) @ model.couplings_ + model.field_
    fields += np.diff(model.potential_)[words.sum(axis=1, keepdims=True) - words]
    np.testing.assert_allclose(direct, -np.logaddexp(0, np.where(words, -fields, fields))[:, 3])
    # negative control: without the potential the law is out of reach
    plain = PairwiseMaximumEntropy(**options).fit(words)
    assert p @ (np.log(p) - plain.score_samples(x)) > 0.02
    assert not plain.potential_.any()


def test_machine_agrees_with_enumeration(words):
    machine = RestrictedBoltzmannMachine(
        10, n_epochs=5, n_annealing_chains=500, n_annealing_steps=2000
    ).fit(words[:10_000])

    def log_weight(x):
        return machine.score_samples(x) + float(machine.log_normalizer_)

    exact = logsumexp(log_weight(ALL))
    assert float(machine.log_normalizer_) == pytest.approx(exact, abs=0.01)
    reverse = machine.estimate_log_normalizer(seed=3, reverse=True)
    assert float(reverse) == pytest.approx(exact, abs=0.01)
    assert np.exp(machine.score_samples(ALL)).sum() == pytest.approx(1, abs=0.01)
    # the free energy sums out the hidden units: enumerate them
    W, c = machine.weights_, machine.hidden_field_
    h = np.array(list(itertools.product([0, 1], repeat=10)))
    v = ALL[777].astype(float)
    direct = logsumexp(h @ (W @ v + c)) + v @ machine.visible_field_
    assert log_weight(ALL[777:778])[0] == pytest.approx(direct, abs=1e-10)
    # samples follow the enumerated law
    q = np.exp(log_weight(ALL) - exact)
    machine.n_sweeps = 200
    x = machine.sample(20_000, seed=2)
    mean = q @ ALL
    scores = (x.mean(axis=0) - mean) / np.sqrt(mean * (1 - mean) / len(x))
    assert np.abs(scores).max() < 5.5
    assert machine.n_parameters == 150 + 25
    # negative control: a hidden field off by 0.2 is a different normaliser
    machine.hidden_field_ = c + 0.2
    assert abs(logsumexp(log_weight(ALL)) - float(machine.log_normalizer_)) > 0.01


def test_machine_learns(words):
    rates = words.mean(axis=0)
    test = words[20_000:]
    independent = (test @ np.log(rates / (1 - rates)) + np.log1p(-rates).sum()).mean()
    machine = RestrictedBoltzmannMachine(20, n_epochs=8, n_annealing_steps=500).fit(words[:20_000])
    assert machine.score_samples(test).mean() > independent + 0.1


@pytest.mark.parametrize("make", [PairwiseMaximumEntropy, lambda: RestrictedBoltzmannMachine(2)])
def test_bad_input(make):
    for bad, error in (
        (np.array([[2, 1]]), ValueError),
        (np.array([[np.nan, 1]]), ValueError),
        (np.zeros((0, 3)), ValueError),
        (np.zeros(3), ValueError),
        (None, TypeError),
    ):
        with pytest.raises(error):
            make().fit(bad)
    with pytest.raises(ValueError, match="not fitted"):
        make().score_samples(np.eye(2, dtype=int))
    with pytest.raises(ValueError, match="not fitted"):
        make().sample(2, seed=0)
    with pytest.raises(ValueError, match="ridge"):
        PairwiseMaximumEntropy(ridge=-1)
    with pytest.raises(ValueError, match="n_hidden"):
        RestrictedBoltzmannMachine(0)
