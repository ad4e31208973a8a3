"""The floor under rate and gap of every VAE whose decoder factorises, from entropies of parts.

For sets of sites A_k with weights w_k that cover each site at most once and ``Σ_k w_k <= β``, any
encoder, prior and factorised decoder have ``D + β R >= Σ_k w_k H(x_{A_k})``: the distortion D is at
least ``Σ_i H(x_i|z) >= Σ_k w_k H(x_{A_k}|z)``, the rate R at least each ``I(x_{A_k}; z)``. As
``D + R = H(x) + gap``, with β = Σ_k w_k: ``gap >= Σ_k w_k H(x_{A_k}) - H(x) - (β - 1) R``.
"""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from itertools import combinations, product
from typing import NamedTuple

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

from mfvae._validation import check_number, check_seed, check_temperature, check_two_letters
from mfvae.measure.demand import cut_information, table_information
from mfvae.measure.observables import blocks_of, jackknife, weighted_sum
from mfvae.measure.ratio_network import tied_triples
from mfvae.systems.base import Estimate, Seed, System
from mfvae.systems.curie_weiss import CurieWeiss
from mfvae.systems.ising import Ising2D

__all__ = ["Floor", "Packing", "RateGapBound", "bound_of_data", "bound_of_system", "rate_gap_bound"]

_SIGMAS = 3.0
_N_SIZES = 24  # of the subsets of a Curie-Weiss model
_N_CHAINS, _N_SPINS, _MAX_RECORDS = 64, 25_600, 200  # records of a chain: so many spins
_RADIUS2, _N_CUBIC = 8.5, 8  # of the neighbours in a regression; products of three of the nearest
_MAX_PARTS, _MIN_SITES = 16, 8


class Packing(NamedTuple):
    """Sets of sites with weights that count each site once, and what their entropies add up to."""

    name: str
    weight: float  #: ``Σ_k w_k``, the least β for which it speaks; of a partition the parts.
    excess: Estimate  #: ``Σ_k w_k H(x_{A_k}) - H(x)``, nats, or a number below it.


class Floor(NamedTuple):
    """A lower bound, nats, and the name of the packing (or of two) that gives it."""

    nats: Estimate
    packing: str


_WHOLE = Packing("the whole", 1.0, Estimate(0.0))


@dataclass(frozen=True)
class RateGapBound:
    """The floor as a curve: packings by their weight, and H(x), nats, if it is known."""

    packings: tuple[Packing, ...]
    entropy: Estimate | None

    def gap(self, rate: float) -> Floor:
        """Return the floor under the gap at a rate, nats: the packing that is best by 3σ."""
        error, rate = getattr(rate, "stderr", 0.0), check_number(rate, "rate", minimum=0.0)
        rate = Estimate(rate, error)
        return _best((p.name, [1, 1 - p.weight], [p.excess, rate]) for p in self.packings)

    def loss(self, beta: float) -> Floor:
        """Return the floor under D + βR, nats, β >= 1: a packing, or a chord between two."""
        beta = check_number(beta, "beta", minimum=1.0)
        if self.entropy is None:
            raise ValueError("the loss has a floor where H(x) is known; of data only the gap has")
        below = [p for p in self.packings if p.weight <= beta]
        floors = [(p.name, [1, 1], [self.entropy, p.excess]) for p in below]
        for low, high in product(below, [p for p in self.packings if p.weight > beta]):
            t = (beta - low.weight) / (high.weight - low.weight)
            parts = [self.entropy, low.excess, high.excess]
            floors.append((f"between {low.name} and {high.name}", [1, 1 - t, t], parts))
        return _best(floors)


def _best(floors: Iterable[tuple[str, list[float], list[Estimate]]]) -> Floor:
    """The largest of several sums by three standard errors, each with a name."""
    found = [Floor(weighted_sum(*terms), name) for name, *terms in floors]
    return max(found, key=lambda floor: float(floor.nats) - _SIGMAS * floor.nats.stderr)


def rate_gap_bound(
    source: System | np.ndarray,
    temperature: float | None = None,
    *,
    rate: float | None = None,
    beta: float | None = None,
    seed: Seed = 0,
) -> RateGapBound | Floor:
    """Return the floor under the gap or the loss of every VAE with a factorised decoder.

    A partition into m parts has β = m and ``gap >= TC(A_1; …; A_m) - (m - 1) R``; all translates of
    a set of n sites, each with weight 1/n, have β = N/n. Families that are tried:

    - All: single sites, and all sites but one, ``gap >= (D - R)/(N - 1)``. No packing says anything
      at ``R >= D``. Curie-Weiss: all sets of n sites, exact. Hopfield: halves and, up to 64 sites,
      every fourth, eighth, … site, exact. Maier-Saupe: one director and the rest.
    - Ising, L <= 4: translates of blocks, rows and sublattices, exact by enumeration. L > 4 and
      even: the checkerboard, whose entropy is (H + D)/2, and ever sparser sublattices: ``H(A) =
      H(A ∪ B) - H(B|A)`` with H(B|A) replaced by the held-out cross-entropy of logistic regressions
      on the spins around, too large, so that the floor is too **low**, up to its standard error.
    - Data, rows from one ensemble: halves and quarters (`cut_information`), and one site against
      two others, if a product of three stands out: too **low**.

    Args:
        source: A system, or spins -1, +1 or words of 0, 1, (n_samples >= 100, n_sites).
        temperature: Units of J/k_B; for a system, and for a system only.
        rate: R in nats, with its error if it has one: return the floor under the gap at it.
        beta: Return the floor under ``D + βR`` (ValueError for data: H is unknown).

    >>> from mfvae.systems import Ising2D
    >>> floor = rate_gap_bound(Ising2D(4), 2.269185314213022, beta=4)
    >>> round(floor.nats, 4), floor.packing
    (6.853, '4 sublattices')
    """
    if rate is not None and beta is not None:
        raise TypeError("give rate for the gap or beta for the loss, not both")
    if isinstance(source, System):
        bound = bound_of_system(source, check_temperature(temperature), seed=seed)
    elif temperature is not None:
        raise TypeError("temperature belongs to a system; data must be of one ensemble")
    else:
        bound = bound_of_data(check_two_letters(source))
    if rate is not None:
        return bound.gap(rate)
    return bound if beta is None else bound.loss(beta)


def bound_of_system(
    system: System, temperature: float, *, total: Estimate | None = None, seed: Seed = 0
) -> RateGapBound:
    """The curve of a system; ``total``: its dual total correlation, if at hand."""
    total_seed, ladder_seed = check_seed(seed).spawn(2)
    if total is None:
        total = system.dual_total_correlation(temperature, seed=total_seed)
    n_sites, entropy = system.n_sites, system.entropy(temperature)
    single = Packing("single sites", float(n_sites), system.total_correlation(temperature))
    # H(x_{-i}) = H(x) - H(x_i | x_{-i}): the floor at every rate below the dual total correlation.
    share = weighted_sum([1 / (n_sites - 1)], [total])
    rest = Packing("all sites but one", n_sites / (n_sites - 1), share)
    found = [_WHOLE, rest, single]

    def add(name: str, sites: np.ndarray) -> None:
        weight = n_sites / len(sites)
        part = system.subset_entropy(temperature, sites)
        found.append(Packing(name, weight, Estimate(weight * part - entropy)))

    if isinstance(system, CurieWeiss):
        sizes = {n_sites // 2, *np.geomspace(1, n_sites, _N_SIZES).round().astype(int).tolist()}
        for n in sorted(sizes - {1, n_sites}):
            add(f"sets of {n} sites", np.arange(n))
    elif isinstance(system, Ising2D) and system.length <= 4:
        length = system.length
        row, column = np.divmod(np.arange(n_sites), length)
        for m in (2, 4, 8) if length == 4 else ():
            add(f"{m} sublattices", np.flatnonzero(_sublattice(row, column, m)))
        add("rows", np.flatnonzero(row == 0))
        add("pairs of rows", np.flatnonzero(row < 2))
        add("blocks of 2 by 2", np.flatnonzero((row < 2) & (column < 2)))
    elif isinstance(system, Ising2D):
        if system.length % 2 == 0:
            found += _ladder(system, temperature, entropy, total, ladder_seed)
    else:
        both = weighted_sum([1 / n_sites] * 2, [single.excess, total])
        found.append(Packing("one site and the rest", 2.0, both))
        with suppress(NotImplementedError):
            found.append(Packing("halves", 2.0, system.mutual_information(temperature)))
            for m in (4, 8, 16) if n_sites <= 64 and n_sites % 16 == 0 else ():
                sets = [np.arange(k, n_sites, m) for k in range(m)]
                parts = [system.subset_entropy(temperature, sites) for sites in sets]
                found.append(Packing(f"every {m}th site", float(m), Estimate(sum(parts) - entropy)))
    return _curve(found, entropy)


def bound_of_data(up: np.ndarray) -> RateGapBound:
    """Return the curve of two-letter data, (n_samples, n_sites), from below."""
    sites = np.arange(up.shape[1])
    found = [_WHOLE]
    for name, two, four in (
        ("halves", 2 * sites // len(sites), 4 * sites // len(sites)),
        ("alternate sites", sites % 2, sites % 4),
    ):
        cuts = [cut_information(up, two == 0)]
        found.append(Packing(name, 2.0, cuts[0]))
        if len(sites) >= 4:  # TC(A; B; C; D) = I(AB; CD) + I(A; B) + I(C; D)
            for half in (two == 0, two == 1):
                cuts.append(cut_information(up[:, half], four[half] == four[half][0]))
            error = float(sum(cut.stderr for cut in cuts))  # of the same rows
            found.append(Packing(f"{name}, halved", 4.0, Estimate(sum(cuts), error, exact=False)))
    # Of three sites that no pair ties: found in every other block of rows, counted in the rest.
    blocks = blocks_of(np.arange(len(up)), 64)
    u = (up - up.mean(axis=0)) / np.maximum(up.std(axis=0), 1e-6)
    fit = torch.from_numpy(u[np.concatenate(blocks[::2])].astype(np.float32))
    for triple in tied_triples(fit)[:1].numpy():
        codes = up[:, triple] @ np.array([1, 2, 4])
        counts = np.array([np.bincount(codes[block], minlength=8) for block in blocks[1::2]])
        cut = jackknife(counts, lambda c: table_information(c, (2, 4)))
        found.append(Packing("one site and two others", 2.0, cut))
    return _curve(found, None)


def _curve(found: list[Packing], entropy: Estimate | None) -> RateGapBound:
    return RateGapBound(tuple(sorted(found, key=lambda packing: packing.weight)), entropy)


def _basis(n_parts: int) -> np.ndarray:
    """Columns are the basis of the square sublattice that has one site in ``n_parts`` = 2^k."""
    k = n_parts.bit_length() - 1
    return 2 ** (k // 2) * (np.array([[1, 1], [1, -1]]) if k % 2 else np.eye(2, dtype=int))


def _sublattice(row: np.ndarray, column: np.ndarray, n_parts: int) -> np.ndarray:
    """Whether a site (or a displacement) belongs to it; a torus of fitting length is meant."""
    coordinates = np.linalg.inv(_basis(n_parts)) @ np.stack([row, column])
    return (np.abs(coordinates - np.round(coordinates)) < 1e-9).all(axis=0)


def _ladder(
    system: Ising2D, temperature: float, entropy: Estimate, total: Estimate, seed: Seed
) -> list[Packing]:
    """Sublattices of an `Ising2D`, each from the one before and the cross-entropy of what goes."""
    length, n_sites = system.length, system.n_sites
    found = [Packing("checkerboard", 2.0, total)]
    n_records = int(np.clip(_N_SPINS // n_sites, _MIN_SITES, _MAX_RECORDS))
    chains = system.sample_chains(temperature, _N_CHAINS, n_records, seed=seed)[0]
    energy = np.array([system.energy(chain).mean() for chain in chains])
    excess = energy - float(system.internal_energy(temperature))
    x = chains.reshape(_N_CHAINS, n_records, length, length)
    part, variance = (entropy + total) / 2, (total.stderr / 2) ** 2  # of the checkerboard
    left, m = n_sites // 2, 2
    while 2 * m <= _MAX_PARTS and left >= 2 * _MIN_SITES and length % _basis(8 * m)[0, 0] == 0:
        for stage in (2, 1, 0):  # a half, a quarter and a quarter of the sites are taken away
            n_taken, loss = _cross_entropy(x, m, stage)
            # The known mean energy as control variate, over independent chains.
            loss = loss - np.polyfit(excess, loss, 1)[0] * excess
            part -= loss.mean()
            variance += loss.var(ddof=2) / _N_CHAINS
            left -= n_taken
            weight = n_sites / left
            nats = Estimate(weight * part - entropy, weight * float(np.sqrt(variance)), False)
            name = f"{2 * m} sublattices" if stage == 0 else f"translates of {left} sites"
            found.append(Packing(name, weight, nats))
        m *= 2
    return found


def _cross_entropy(x: np.ndarray, n_parts: int, stage: int) -> tuple[int, np.ndarray]:
    """The sites that a stage takes away, and their held-out cross-entropy, (n_chains,) nats.

    The sublattice of N/n_parts sites is split in A and B, B in stages 0 (a quarter), 1 (a quarter)
    and 2. A spin of B is predicted from those around it in A and earlier stages; the logarithm of
    its odds is odd under a flip: linear and cubic. Chains of even number learn for the odd ones.
    """
    n_chains, length = len(x), x.shape[2]
    here, next_, fourth, eighth = (_basis(m * n_parts) for m in (1, 2, 4, 8))
    lattice = (eighth, eighth, fourth)[stage]
    offset = here[:, 0] + (0 * here, fourth, next_)[stage][:, 0]
    steps = np.indices((2 * length, 2 * length)).reshape(2, -1)
    targets = np.unique((offset[:, None] + lattice @ steps) % length, axis=1)
    around = here @ (np.indices((11, 11)).reshape(2, -1) - 5)
    size = (around**2).sum(axis=0)
    quarter, eighths = _sublattice(*around, 4 * n_parts), _sublattice(*around, 8 * n_parts)
    known = ~_sublattice(*around, 2 * n_parts)  # those in A, and those of earlier stages
    known |= (False, quarter & ~eighths, ~quarter)[stage]
    order = np.argsort(size, kind="stable")
    around = around[:, order[(known & (size <= _RADIUS2 * (here[:, 0] ** 2).sum()))[order]]]
    around = around[:, np.sort(np.unique(around % length, axis=1, return_index=True)[1])]
    spins = x[:, :, targets[0], targets[1]].reshape(n_chains, -1).astype(np.float32)
    sites = (targets[:, :, None] + around[:, None, :]) % length
    features = x[:, :, sites[0], sites[1]].reshape(*spins.shape, -1).astype(np.float32)
    nearest = combinations(range(min(_N_CUBIC, around.shape[1])), 3)
    cubic = [features[..., list(triple)].prod(axis=-1) for triple in nearest]
    features = np.concatenate([features, np.stack(cubic, axis=-1)], axis=-1)
    loss = np.empty(n_chains)
    for test in (0, 1):
        model = LogisticRegression(C=4.0, fit_intercept=False, solver="newton-cholesky")
        model.fit(np.concatenate(features[1 - test :: 2]), spins[1 - test :: 2].ravel())
        logit = model.decision_function(np.concatenate(features[test::2]))
        against = -spins[test::2] * logit.reshape(spins[test::2].shape)
        loss[test::2] = np.logaddexp(0, against).mean(axis=1)
    return targets.shape[1], loss * targets.shape[1]
