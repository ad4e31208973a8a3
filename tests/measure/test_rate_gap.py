"""The floor under rate and gap: random models, enumeration, partition functions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import xlogy

from mfvae.measure import all_configurations, rate_gap_bound
from mfvae.measure.rate_gap import bound_of_system
from mfvae.systems import CurieWeiss, Estimate, Hopfield, Ising2D, MaierSaupe

SIGMAS = 5.5
CRITICAL = 2.269185314213022


def entropy(p: np.ndarray) -> float:
    return -float(xlogy(p, p).sum())


# ------------------------------------------------------------------------------- the theorem


def random_law(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Laws along the last axis, from nearly uniform to nearly certain."""
    p = rng.gamma(10 ** rng.uniform(-1.3, 0.7), size=shape) + 1e-12
    return p / p.sum(axis=-1, keepdims=True)


def random_packing(rng: np.random.Generator, n: int) -> list[tuple[tuple[int, ...], float]]:
    """Sets with weights that cover no site more than once: a partition, or fractional."""
    if rng.random() < 0.4:
        labels = rng.integers(rng.integers(1, n + 1), size=n)
        return [(tuple(np.flatnonzero(labels == k)), 1.0) for k in np.unique(labels)]
    member = rng.random((rng.integers(1, 7), n)) < rng.uniform(0.2, 0.9)
    member = member[member.any(axis=1)]
    if len(member) == 0:
        return [((0,), 1.0)]
    weight = rng.random(len(member)) ** 2
    weight /= (weight @ member).max()
    return [(tuple(np.flatnonzero(m)), w) for m, w in zip(member, weight, strict=True)]


def random_case(seed: int, optimal: bool = False) -> tuple[float, float, float]:
    """Loss, floor and β of a random law, encoder, prior, decoder and packing of 2 to 5 sites.

    Half of the decoders and priors are the best for their encoder; with ``optimal`` the encoder,
    too, is improved by turns.
    """
    rng = np.random.default_rng(seed)
    n, n_states = int(rng.integers(2, 6)), int(rng.integers(1, 9))
    x = (all_configurations(n) + 1) // 2
    p, q = random_law(rng, 2**n), random_law(rng, 2**n, n_states)
    packing = random_packing(rng, n)
    beta = sum(w for _, w in packing)
    beta = max(beta * (1 if rng.random() < 0.5 else 1 + rng.exponential()), 1e-3)
    for turn in range(60 if optimal else 1):
        prior, up = random_law(rng, n_states), rng.uniform(0.001, 0.999, (n_states, n))
        if optimal or rng.random() < 0.5:
            prior = p @ q + 1e-300
            up = np.clip(((p[:, None] * q).T @ x) / prior[:, None], 1e-12, 1 - 1e-12)
        log_decoder = x @ np.log(up.T) + (1 - x) @ np.log1p(-up.T)
        if optimal and turn < 59:
            log_q = np.log(prior + 1e-300) + log_decoder / beta
            q = np.exp(log_q - log_q.max(axis=1, keepdims=True)) + 1e-300
            q /= q.sum(axis=1, keepdims=True)
    joint = p[:, None] * q
    rate = np.sum(xlogy(joint, q / prior))
    loss = beta * rate - np.sum(joint * log_decoder)
    floor = 0.0
    for sites, weight in packing:
        marginal = np.bincount(x[:, list(sites)] @ 2 ** np.arange(len(sites)), weights=p)
        floor += weight * entropy(marginal)
    return float(loss), floor, beta


def test_no_random_model_lies_below_its_floor() -> None:
    """10,000 random cases and 400 of optimised encoders, which come close; so 2 % would show."""
    cases = [random_case(seed) for seed in range(10_000)]
    close = [random_case(seed, optimal=True) for seed in range(400)]
    margin = np.array([loss - floor for loss, floor, _ in cases + close])
    assert margin.min() > -1e-9
    # Negative control: entropies that are 2 % too large are found out, and a β that is too small.
    wrong = np.array([loss - 1.02 * floor for loss, floor, _ in close])
    assert np.sum(wrong < -1e-9) > 20


def test_where_every_floor_ends_and_what_is_left_given_z() -> None:
    """Excess between 0 and (β - 1) D for sets that cover each site once; an identity of TC_q."""
    x = (all_configurations(5) + 1) // 2

    def entropy_of(law: np.ndarray, sites: np.ndarray) -> float:
        return entropy(np.bincount(x[:, sites] @ 2 ** np.arange(len(sites)), weights=law))

    every = np.arange(5)
    for seed in range(300):
        rng = np.random.default_rng(seed)
        p, q = random_law(rng, 32), random_law(rng, 32, 3)
        total = sum(entropy_of(p, np.delete(every, i)) for i in every) - 4 * entropy(p)
        shape = rng.choice(5, rng.integers(1, 5), replace=False)
        excess = sum(entropy_of(p, (shape + k) % 5) for k in every) / len(shape) - entropy(p)
        assert -1e-9 < excess < (5 / len(shape) - 1) * total + 1e-9
        state = p @ q
        given = [p * q[:, z] / state[z] for z in range(3)]  # laws of x given z

        def left(sites: np.ndarray, state=state, given=given) -> float:
            return sum(w * entropy_of(law, sites) for w, law in zip(state, given, strict=True))

        inside = sum(left([i]) for i in every) - left(every)
        tc = sum(entropy_of(p, [i]) for i in every) - entropy(p)
        informed = [entropy_of(p, s) - left(s) for s in (every, *([i] for i in every))]
        assert inside == pytest.approx(tc + informed[0] - sum(informed[1:]), abs=1e-9)
        up = np.array([law @ x for law in given])
        decoder = np.prod(np.where(x[:, None], up, 1 - up), axis=2)
        joint = p[:, None] * q
        gap = np.sum(xlogy(joint, joint / (state * decoder)))  # prior the aggregate: no mismatch
        assert gap == pytest.approx(inside, abs=1e-9)


# ------------------------------------------------------------------------------- known values


def test_the_four_by_four_torus() -> None:
    """Section 11 of the notes: entropies of parts and the bounds that follow, by enumeration."""
    system = Ising2D(4)
    bound = rate_gap_bound(system, CRITICAL)
    assert float(bound.entropy) == pytest.approx(4.48272, abs=5e-6)
    row, column = np.divmod(np.arange(16), 4)
    # The eight parts of the notes, checkerboard × halves of rows × halves of columns.
    label = (row + column) % 2 + 2 * (row // 2) + 4 * (column // 2)
    eight = {
        t: sum(float(system.subset_entropy(t, np.flatnonzero(label == k))) for k in range(8))
        for t in (CRITICAL, 2.6, 3.5)
    }
    assert eight[CRITICAL] == pytest.approx(8.6323, abs=5e-5)
    for beta, loss in ((2, 5.5672), (4, 6.8530), (16, 11.0904), (20, 11.0904)):
        assert float(bound.loss(beta).nats) == pytest.approx(loss, abs=5e-5)
    for beta, loss in (
        (1.2, 4.700),
        (1.5, 5.025),
        (2, 5.567),
        (3, 6.210),
        (4, 6.853),
        (16, 11.090),
    ):
        assert float(bound.loss(beta).nats) == pytest.approx(loss, abs=5e-4)
    # Between 4, 8 and 16 parts the notes' chords; every second site of spacing two is better.
    notes = {8: eight[CRITICAL], 12: (eight[CRITICAL] + 16 * np.log(2)) / 2}
    for beta, loss in ((8, 8.632), (12, 9.861)):
        assert notes[beta] == pytest.approx(loss, abs=5e-4)
        assert float(bound.loss(beta).nats) > notes[beta] + 0.09
    printed = {2.6: (1.2026, 2.2738, 3.4458, 4.8516), 3.5: (1.0235, 1.4772, 1.7604, 2.0380)}
    for temperature, values in printed.items():
        found = {p.name: float(p.excess) for p in rate_gap_bound(system, temperature).packings}
        ours = [found[name] for name in ("2 sublattices", "4 sublattices", "single sites")]
        ours.insert(2, eight[temperature] - float(system.entropy(temperature)))
        assert ours == pytest.approx(values, abs=5e-5)
        assert found["8 sublattices"] > ours[2]


def log_weight_of_sublattice(spins: np.ndarray, kappa: float) -> float:
    """ln of the sum over all others of e^{-E/T}, given every second spin of every second row.

    The spins with two neighbours among the given ones are summed out: between two spins of the
    fourth sublattice they leave ``2 cosh κ(b + b' + a + a')``, a torus of n × n spins with
    neighbours only, which the trace of a product of transfer matrices of side 2^n solves.
    """
    n = len(spins)
    states = 1 - 2 * (np.arange(2**n)[:, None] >> np.arange(n) & 1)
    product, log = np.eye(2**n), 0.0
    for i in range(n):
        for j in range(n):
            fields = spins[i, j] + spins[i, (j + 1) % n] + np.array([[2, 0], [0, -2]])
            factor = 2 * np.cosh(kappa * fields)
            product = product.reshape(2 ** (n - 1 - j), 2, 2**j, -1)
            product = np.einsum("ab,xbyz->xayz", factor, product).reshape(2**n, -1)
        for j in range(n):
            fields = spins[i, j] + spins[(i + 1) % n, j] + states[:, j - 1] + states[:, j]
            product *= 2 * np.cosh(kappa * fields)[:, None]
        top = product.max()
        product, log = product / top, log + np.log(top)
    return float(log + np.log(np.trace(product)))


def exact_entropy_of_sublattice(length: int, temperature: float, n_records: int) -> Estimate:
    """H of one of four sublattices: an average of its exact -ln p, energy as control variate."""
    system = Ising2D(length)
    chains = system.sample_chains([temperature], 64, n_records, seed=7)[0]
    values, energies = np.empty((2, 64, n_records))
    for k, chain in enumerate(chains):
        energies[k] = system.energy(chain)
        for r, x in enumerate(chain.reshape(n_records, length, length).astype(int)):
            parts = [x[p::2, q::2] for p in (0, 1) for q in (0, 1)]
            values[k, r] = -np.mean([log_weight_of_sublattice(a, 1 / temperature) for a in parts])
    values = values.mean(axis=1) + float(system.log_partition(temperature))
    excess = energies.mean(axis=1) - float(system.internal_energy(temperature))
    values -= np.polyfit(excess, values, 1)[0] * excess
    return Estimate(values.mean(), stderr=values.std(ddof=2) / 8, exact=False)


def test_transfer_matrices_of_the_sublattice_by_enumeration() -> None:
    system = Ising2D(4)
    every = all_configurations(4).reshape(-1, 2, 2).astype(int)
    log_p = np.array([log_weight_of_sublattice(a, 1 / 2.6) for a in every])
    log_p -= float(system.log_partition(2.6))
    exact = float(system.subset_entropy(2.6, np.array([0, 2, 8, 10])))
    assert -np.sum(np.exp(log_p) * log_p) == pytest.approx(exact, abs=1e-10)


@pytest.mark.parametrize("temperature", [CRITICAL, pytest.param(2.6, marks=pytest.mark.slow)])
def test_sublattices_of_a_torus_that_cannot_be_enumerated(temperature) -> None:
    """L = 8: the ladder against exact partition functions given a sublattice; never above."""
    exact = exact_entropy_of_sublattice(8, temperature, 32)
    entropy_of_all = float(Ising2D(8).entropy(temperature))
    found = {p.name: p.excess for p in rate_gap_bound(Ising2D(8), temperature, seed=1).packings}
    ladder = found["4 sublattices"]
    noise = np.hypot(4 * exact.stderr, ladder.stderr)
    assert abs(ladder - (4 * exact - entropy_of_all)) < SIGMAS * noise
    assert SIGMAS * noise < 0.45 * ladder
    assert found["checkerboard"] < ladder < found["8 sublattices"] < found["single sites"]


@pytest.mark.slow
@pytest.mark.parametrize("temperature", [CRITICAL, 2.6])
def test_sublattices_at_length_sixteen(temperature) -> None:
    exact = exact_entropy_of_sublattice(16, temperature, 16)
    entropy_of_all = float(Ising2D(16).entropy(temperature))
    found = {p.name: p.excess for p in rate_gap_bound(Ising2D(16), temperature, seed=1).packings}
    ladder = found["4 sublattices"]
    difference = float(ladder - (4 * exact - entropy_of_all))
    print(f"T = {temperature:.3f}: ladder {ladder}, exact {4 * exact - entropy_of_all:.3f}")
    assert abs(difference) < SIGMAS * np.hypot(4 * exact.stderr, ladder.stderr)


def test_mean_field_systems() -> None:
    """Exact values of subsets; the floor of an exact model lies below its rate and gap of zero."""
    for system, temperature in ((CurieWeiss(64), 1.0), (CurieWeiss(32), 0.6)):
        bound = rate_gap_bound(system, temperature)
        rate = system.field_information(temperature)
        assert float(bound.gap(rate).nats) == 0.0  # the Hubbard–Stratonovich model has no gap
        assert bound.gap(rate).packing == "the whole"
        half = next(p for p in bound.packings if p.name == f"sets of {system.n_sites // 2} sites")
        assert float(half.excess) == pytest.approx(float(system.mutual_information(temperature)))
        weights = [p.weight for p in bound.packings]
        assert weights == sorted(weights)
        # Sets of n have the largest weight at n = 1: what a latent without use misses is all.
        floor = bound.gap(0.0)
        assert float(floor.nats) == pytest.approx(float(system.total_correlation(temperature)))
    hopfield = Hopfield.random(16, 2, seed=1)
    found = {p.name: float(p.excess) for p in rate_gap_bound(hopfield, 0.8).packings}
    x = all_configurations(16)
    p = np.exp(hopfield.log_prob(x, 0.8))
    total = -entropy(p)
    for k in range(4):
        code = (x[:, k::4] > 0) @ 2 ** np.arange(4)
        total += entropy(np.bincount(code, weights=p))
    assert found["every 4th site"] == pytest.approx(total, abs=1e-9)
    nematic = MaierSaupe(16)
    bound = rate_gap_bound(nematic, 0.2)
    assert bound.gap(0.0).packing == "single sites"
    assert bound.gap(6.0).packing == "the whole"


def test_data_err_on_the_low_side() -> None:
    system = Ising2D(4)
    x = system.sample(2.0, 20_000, seed=3)
    exact = rate_gap_bound(system, 2.0)
    for packing in rate_gap_bound(x).packings:
        best = max(p.excess for p in exact.packings if p.weight == packing.weight)
        assert packing.excess <= best + SIGMAS * packing.excess.stderr
    floor = rate_gap_bound(x, rate=Estimate(0.1, stderr=0.01))
    assert floor.nats > 0.3
    assert floor.nats.stderr >= 0.01
    free = np.random.default_rng(0).choice([-1, 1], size=(4000, 12))
    assert rate_gap_bound(free, rate=0.0).nats < 0.05
    assert len(rate_gap_bound(free[:, :3]).packings) == 3  # no quarters of three sites


def test_the_curve() -> None:
    bound = bound_of_system(Ising2D(4), CRITICAL)
    losses = [float(bound.loss(beta).nats) for beta in np.linspace(1, 20, 39)]
    assert np.all(np.diff(losses) > -1e-12)  # a larger β costs more
    assert np.all(np.diff(losses, 2) < 1e-12)  # concave
    gaps = [float(bound.gap(rate).nats) for rate in np.linspace(0, 5, 51)]
    assert np.all(np.diff(gaps) < 1e-12)
    assert np.all(np.diff(gaps, 2) > -1e-12)  # convex
    assert gaps[-1] == 0.0


@pytest.mark.parametrize(
    ("arguments", "options", "error", "match"),
    [
        ((Ising2D(4), 2.0), {"rate": 1.0, "beta": 2.0}, TypeError, "not both"),
        ((Ising2D(4), 2.0), {"rate": -1.0}, ValueError, "rate"),
        ((Ising2D(4), 2.0), {"beta": 0.5}, ValueError, "beta"),
        ((Ising2D(4), -2.0), {}, ValueError, "temperature"),
        ((np.ones((200, 4)), 2.0), {}, TypeError, "temperature belongs"),
        ((np.eye(4),), {}, ValueError, "100 rows"),
        ((np.full((200, 4), 0.5),), {}, ValueError, "spins -1 and"),
        ((np.tile([0, 1], (200, 4)),), {"beta": 2.0}, ValueError, "H\\(x\\) is known"),
    ],
)
def test_bad_input(arguments, options, error, match) -> None:
    with pytest.raises(error, match=match):
        rate_gap_bound(*arguments, **options)
