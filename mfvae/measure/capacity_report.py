"""Can this model fit these data, and did it? Demand and supply side by side, in nats."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from mfvae._validation import (
    check_finite_array,
    check_number,
    check_seed,
    check_trained,
    check_two_letters,
)
from mfvae.measure.demand import CapacityDemand, capacity_demand
from mfvae.measure.gap import ElboSurgery, capacity_supply, condition_groups, elbo_surgery
from mfvae.measure.observables import jackknife, weighted_sum
from mfvae.measure.rate_gap import Floor, Packing, RateGapBound, bound_of_data, bound_of_system
from mfvae.systems.base import Estimate, Seed, System
from mfvae.vae.estimator import MeanFieldVAE

__all__ = ["CapacityReport", "capacity", "capacity_verdict"]

#: A gap that counts as a fit, nats: by Pinsker's inequality the laws of (x, z) then differ by at
#: most √(0.25/2) = 0.35 in total variation.
_TOLERANCE = 0.25
_SIGMAS, _N_BLOCKS = 3.0, 32


@dataclass(frozen=True)
class CapacityReport:
    """Demand and supply of a trained model, nats per configuration; prints as a table.

    What its two sides hold is offered by the report as well: ``rate``, ``mutual_information``,
    ``prior_mismatch``, ``sphere_packing``; ``dual_total_correlation``, ``half_cut``, ``best_cut``.
    """

    demand: CapacityDemand  #: As found by `capacity_demand`, averaged over the conditions.
    supply: ElboSurgery  #: As found by `elbo_surgery`.
    regular_supply: float  #: `capacity_supply` of this size, a heuristic from before training.
    gap: Estimate | None  #: ``E[ln p(x) - ELBO(x)]``, or None if the system is not known.
    bound: RateGapBound  #: The floor under the gap at every rate, as found by `rate_gap_bound`.
    certificate: Estimate | None  #: ``E[ln r(x) - ELBO(x)]`` of a rival r, below the gap; or None.
    shared: Estimate | None  #: By how much the rival is ahead of independent sites; or None.

    def __getattr__(self, name: str) -> Any:
        for side in ("demand", "supply"):
            held = vars(self).get(side)
            if held is not None and name in vars(held):
                return getattr(held, name)
        raise AttributeError(f"a capacity report has no {name!r}")

    @property
    def gap_bound(self) -> Estimate:
        """``I(A;B) - R`` for the best cut: the gap is at least that, whatever the decoder."""
        return weighted_sum([1, -1], [self.demand.best_cut, self.supply.rate])

    @property
    def margin(self) -> float:
        """Rate less best cut; negative if nats must be missed."""
        return -float(self.gap_bound)

    @property
    def floor(self) -> Floor:
        """What the gap is at least at this rate, by the best packing that is known."""
        return self.bound.gap(self.supply.rate)

    @property
    def verdict(self) -> str:
        """What can be said, all by three standard errors and with 0.25 nats for a fit.

        - "cannot fit": the floor at this rate is above that.
        - "fits": the measured gap is not.
        - "misses": a rival proves that nats are missed, at least `certificate`.
        - "nothing shared": neither the rival nor the model is ahead of independent sites.
        - "fits as far as anyone can tell": what the rival proves is at most 0.25 nats.
        - "may fit": none of these; ``reason`` says why.
        """
        return self._judged[0]

    @property
    def reason(self) -> str:
        """The number behind the verdict, in words."""
        return self._judged[1]

    @property
    def _judged(self) -> tuple[str, str]:
        nats, packing = self.floor
        if nats - _SIGMAS * nats.stderr > _TOLERANCE:
            return "cannot fit", f"at this rate at least {nats:.2f} nats are missed ({packing})"
        if self.gap is not None:
            name = "fits" if self.gap <= _TOLERANCE else "may fit"
            return name, f"the gap is {self.gap:.2f} nats, the floor at this rate {nats:.2f}"
        if self.certificate is None:
            return "may fit", "without a system or a rival only the floor is known"
        low, high = _interval(self.certificate)
        if high > _TOLERANCE and low > 0:
            reason = f"the rival is ahead by {self.certificate:.2f} nats, {low:.2f} at least"
            return "misses", reason
        if high > _TOLERANCE:
            return "may fit", f"the rival is ahead by {low:.2f} to {high:.2f}: too few words"
        least, most = _interval(self.shared)
        if most <= _TOLERANCE and min(least, self.demand.best_cut) <= (most - least) / 2:
            return "nothing shared", f"of what sites share the rival finds at most {most:.2f} nats"
        reason = f"the rival proves at most {high:.2f} nats missed; no upper limit of the gap"
        return "fits as far as anyone can tell", reason

    def __str__(self) -> str:
        lines = (
            ("demand", ""),
            ("half cut", self.half_cut),
            ("best cut known", self.best_cut),
            ("dual total correlation", self.dual_total_correlation),
            ("supply", ""),
            ("regular decoder (before training)", self.regular_supply),
            ("rate R", self.rate),
            ("= mutual information I(x;z)", self.mutual_information),
            ("+ prior mismatch", self.prior_mismatch),
            ("sphere packing", self.sphere_packing),
            ("gap", ""),
            ("at least I(A;B) - R", self.gap_bound),
            (f"at least ({self.floor.packing})", self.floor.nats),
            ("at least (rival)", self.certificate),
            ("measured", self.gap),
        )
        text = [name if x == "" else f"  {name:<35}{_number(x)}" for name, x in lines]
        text += [f"verdict: {self.verdict}, margin {self.margin:+.2f} nats"]
        text += [f"reason: {self.reason}", f"demand: {self.demand.note}"]
        return "\n".join(["nats per configuration", *text])


def _interval(value: Estimate) -> tuple[float, float]:
    return value - _SIGMAS * value.stderr, value + _SIGMAS * value.stderr


def _number(value: float | None) -> str:
    if value is None:
        return " unknown"
    error = getattr(value, "stderr", 0.0)
    return f"{float(value):8.3f}" + (f" ± {error:.3f}" if error else "")


def capacity_verdict(demand: float, supply: float) -> str:
    """Return "cannot fit" if the supply falls short of the demand, else "may fit".

    Meant for the time before training, with `capacity_supply`: a heuristic, see there. Both in
    nats; three standard errors of the demand, if it has one, are left to the supply's favour.

    >>> capacity_verdict(12.56, capacity_supply(256, 4))
    'cannot fit'
    """
    least = check_number(demand, "demand") - _SIGMAS * getattr(demand, "stderr", 0.0)
    return "cannot fit" if check_number(supply, "supply") < least else "may fit"


def capacity(
    vae: MeanFieldVAE,
    X: np.ndarray,
    conditions: float | np.ndarray | None = None,
    system: System | None = None,
    *,
    rival: Any = None,
    groups: np.ndarray | None = None,
    seed: Seed = 0,
) -> CapacityReport:
    """Compare what a trained model carries with what its data ask for.

    `rate_gap_bound` has a floor under the gap for **every** packing, ``gap ≥ I(x_A; x_B) - R`` for
    every cut among them: R from the encoder, entropies from the system, or from below from the
    data. Any other normalised model r of the same words is a certificate: ``gap ≥ E[ln r(x) -
    ELBO(x)]``, as ``E ln p ≥ E ln r``. Several temperatures are averaged by their share of rows.

    Args:
        X: Configurations (n_samples, n_sites, …) that training has not seen, at least 64 for each
            condition (without ``system``: 100, of two letters).
        conditions: As in ``fit``. With ``system``: the temperature, units of J/k_B, one for all or
            (n_samples,), even if the model has no condition.
        system: Where the data come from; then the demand and the gap are those of its exact law.
        rival: Anything with ``score_samples(X)``, ln r(x) in nats, that has not seen ``X``.
        groups: Independent unit of each row, (n_samples,), for the error of what the rival proves;
            by default 32 blocks of consecutive rows.

    >>> from mfvae.systems import CurieWeiss
    >>> magnet = CurieWeiss(16)
    >>> vae = MeanFieldVAE(1, n_epochs=1, progress=False).fit(magnet.sample(1.5, 500, seed=0))
    >>> report = capacity(vae, magnet.sample(1.5, 200, seed=1), 1.5, magnet)
    >>> round(report.half_cut, 4), report.gap_bound < report.gap
    (0.1078, True)
    """
    check_trained(vae)
    if system is not None and not isinstance(system, System):
        raise TypeError(f"system must be one of mfvae.systems or None, got {type(system).__name__}")
    if rival is not None and not hasattr(rival, "score_samples"):
        raise TypeError(f"rival must have a method score_samples, got {rival!r}")
    surgery_seed, elbo_seed, demand_seed = check_seed(seed).spawn(3)
    X = np.asarray(X)
    if np.ndim(conditions) == 0 and conditions is not None:
        conditions = np.full(len(X), check_number(conditions, "conditions"))
    if system is not None and conditions is None:
        raise ValueError("with a system, give the temperature of X as conditions")
    for_vae = conditions if vae.n_conditions_ or system is None else None
    supply = elbo_surgery(vae, X, for_vae, seed=surgery_seed)
    groups_of = condition_groups(conditions, len(X))
    shares = [len(rows) / len(X) for _, rows in groups_of]
    elbo = vae.score_samples(X, for_vae, method="elbo", n_importance=8, seed=elbo_seed)
    if system is None:
        up, log_prob = check_two_letters(X), vae.score_samples(X, for_vae, seed=elbo_seed)
    demands, bounds, gaps = [], [], []
    for (value, rows), child in zip(groups_of, demand_seed.spawn(len(groups_of)), strict=True):
        if system is None:
            demands.append(capacity_demand(X[rows], log_prob=log_prob[rows]))
            bounds.append(bound_of_data(up[rows]))
        else:
            t = float(value[0])
            demands.append(capacity_demand(system, t, seed=child))
            total = demands[-1].dual_total_correlation
            bounds.append(bound_of_system(system, t, total=total, seed=child))
            gaps.append(_mean_over(system.log_prob(X[rows], t) - elbo[rows]))
    certificate = shared = None
    if rival is not None:
        log_rival = check_finite_array(rival.score_samples(X), "rival's scores", ndim=1)
        certificate = _mean_over(log_rival - elbo, groups)
        if system is None:  # ahead of independent sites with the frequencies of these rows
            alone = np.empty(len(X))
            for _, rows in groups_of:
                p = (up[rows].sum(axis=0) + 0.5) / (len(rows) + 1)
                alone[rows] = np.where(up[rows], np.log(p), np.log1p(-p)).sum(axis=1)
            shared = _mean_over(log_rival - alone, groups)
    average = {"note": demands[0].note}
    for name in ("half_cut", "best_cut", "dual_total_correlation"):
        values = [getattr(demand, name) for demand in demands]
        average[name] = None if None in values else weighted_sum(shares, values)
    names = [{packing[:2]: packing.excess for packing in bound.packings} for bound in bounds]
    common = [key for key in names[0] if all(key in known for known in names)]
    packings = (Packing(*k, weighted_sum(shares, [known[k] for known in names])) for k in common)
    return CapacityReport(
        demand=CapacityDemand(**average),
        supply=supply,
        regular_supply=capacity_supply(X.shape[1], vae.n_latents),
        gap=weighted_sum(shares, gaps) if gaps else None,
        bound=RateGapBound(tuple(packings), None),
        certificate=certificate,
        shared=shared,
    )


def _mean_over(values: np.ndarray, groups: np.ndarray | None = None) -> Estimate:
    """Mean of paired differences, its error by leaving out a group, or a block, at a time."""
    if groups is None:
        groups = np.arange(len(values)) * _N_BLOCKS // len(values)
    _, index = np.unique(groups, return_inverse=True)
    if len(index) != len(values) or index.max() < 1:
        raise ValueError(f"groups must be {len(values)} labels, two different ones at least")
    sums = np.stack([np.bincount(index, weights=values), np.bincount(index)], axis=1)
    return jackknife(sums, lambda s: s[..., 0] / s[..., 1])
