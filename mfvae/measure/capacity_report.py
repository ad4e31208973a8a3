"""Can this model fit these data, and did it? Demand and supply side by side, in nats."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mfvae._validation import check_number, check_seed, check_trained
from mfvae.measure._jackknife import jackknife_of_means, weighted_sum
from mfvae.measure.demand import CapacityDemand, capacity_demand
from mfvae.measure.supply import ElboSurgery, capacity_supply, condition_groups, elbo_surgery
from mfvae.systems.base import Estimate, System
from mfvae.vae.estimator import MeanFieldVAE

__all__ = ["CapacityReport", "capacity", "capacity_verdict"]

#: A gap that counts as a fit, nats: by Pinsker's inequality the laws of (x, z) then differ by at
#: most √(0.25/2) = 0.35 in total variation.
_TOLERANCE = 0.25
_SIGMAS = 3.0


@dataclass(frozen=True)
class CapacityReport:
    """Demand and supply of a trained model, nats per configuration; prints as a table.

    What its two sides hold is offered by the report as well: ``rate``, ``mutual_information``,
    ``prior_mismatch``, ``sphere_packing``; ``dual_total_correlation``, ``half_cut``, ``best_cut``.

    Attributes:
        demand: As found by `capacity_demand`, averaged over the conditions.
        supply: As found by `elbo_surgery`.
        regular_supply: `capacity_supply` of this size, a heuristic from before training.
        gap: ``E[ln p(x) - ELBO(x)]``, or None if the system is not known.
    """

    demand: CapacityDemand
    supply: ElboSurgery
    regular_supply: float
    gap: Estimate | None

    def __getattr__(self, name: str) -> Any:
        for side in ("demand", "supply"):
            held = vars(self).get(side)
            if held is not None and name in vars(held):
                return getattr(held, name)
        raise AttributeError(f"a capacity report has no {name!r}")

    @property
    def gap_bound(self) -> Estimate:
        """``I(A;B) - R`` for the best cut: the gap is at least that, whatever the decoder."""
        best, rate = self.demand.best_cut, self.supply.rate
        error = float(np.hypot(best.stderr, rate.stderr))
        return Estimate(best - rate, stderr=error, exact=False)

    @property
    def margin(self) -> float:
        """Rate less best cut; negative if nats must be missed."""
        return -float(self.gap_bound)

    @property
    def verdict(self) -> str:
        """ "fits": the measured gap is at most 0.25 nats. "cannot fit": the bound exceeds that, by
        three standard errors: not with this rate. "may fit": neither; the bound is silent."""
        if self.gap_bound - _SIGMAS * self.gap_bound.stderr > _TOLERANCE:
            return "cannot fit"
        return "fits" if self.gap is not None and self.gap <= _TOLERANCE else "may fit"

    def __str__(self) -> str:
        table = {
            "demand": {
                "half cut": self.half_cut,
                "best cut known": self.best_cut,
                "dual total correlation": self.dual_total_correlation,
            },
            "supply": {
                "regular decoder (before training)": self.regular_supply,
                "rate R": self.rate,
                "= mutual information I(x;z)": self.mutual_information,
                "+ prior mismatch": self.prior_mismatch,
                "sphere packing": self.sphere_packing,
            },
            "gap": {"at least I(A;B) - R": self.gap_bound, "measured": self.gap},
        }
        text = ["nats per configuration"]
        for heading, lines in table.items():
            text += [heading, *(f"  {name:<35}{_number(value)}" for name, value in lines.items())]
        text.append(f"verdict: {self.verdict}, margin {self.margin:+.2f} nats")
        return "\n".join([*text, f"demand: {self.demand.note}"])


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
    error = getattr(demand, "stderr", 0.0)
    short = check_number(supply, "supply") < check_number(demand, "demand") - _SIGMAS * error
    return "cannot fit" if short else "may fit"


def capacity(
    vae: MeanFieldVAE,
    X: np.ndarray,
    conditions: float | np.ndarray | None = None,
    system: System | None = None,
    *,
    seed: int | np.random.SeedSequence = 0,
) -> CapacityReport:
    """Compare what a trained model carries with what its data ask for.

    For **every** cut ``gap ≥ I(x_A; x_B) - R``, and the report says by how much: R from the
    encoder, the cut from the system, exactly, or from the data, from below. Quantities of several
    temperatures are averaged with their share of the rows; the bound holds for averages too.

    Args:
        vae: Trained model.
        X: Configurations (n_samples, n_sites, …) that training has not seen, at least 64 for each
            condition (without ``system``: 100, of two letters).
        conditions: (n_samples,) or (n_samples, n_conditions), as in ``fit``. With ``system``: the
            temperature, units of J/k_B, a number if it is the same for all; needed then even if
            the model has no condition.
        system: Where the data come from; then the demand and the gap are those of its exact law.
        seed: Source of latents, and of samples where the demand needs them.

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
    surgery_seed, elbo_seed, demand_seed = check_seed(seed).spawn(3)
    X = np.asarray(X)
    if np.ndim(conditions) == 0 and conditions is not None:
        conditions = np.full(len(X), check_number(conditions, "conditions"))
    if system is not None and conditions is None:
        raise ValueError("with a system, give the temperature of X as conditions")
    for_vae = conditions if vae.n_conditions_ or system is None else None
    supply = elbo_surgery(vae, X, for_vae, seed=surgery_seed)
    groups = condition_groups(conditions, len(X))
    shares = [len(rows) / len(X) for _, rows in groups]
    if system is not None:
        demands = [
            capacity_demand(system, float(value[0]), seed=child)
            for (value, _), child in zip(groups, demand_seed.spawn(len(groups)), strict=True)
        ]
        elbo = vae.score_samples(X, for_vae, method="elbo", n_importance=8, seed=elbo_seed)
        gaps = []
        for value, rows in groups:
            missed = system.log_prob(X[rows], float(value[0])) - elbo[rows]
            gaps.append(jackknife_of_means(missed[:, None], lambda mean: mean[..., 0], 32))
        gap = weighted_sum(shares, gaps)
    else:
        log_prob = vae.score_samples(X, for_vae, seed=elbo_seed)
        demands = [capacity_demand(X[rows], log_prob=log_prob[rows]) for _, rows in groups]
        gap = None
    average = {"note": demands[0].note}
    for name in ("half_cut", "best_cut", "dual_total_correlation"):
        values = [getattr(demand, name) for demand in demands]
        average[name] = None if None in values else weighted_sum(shares, values)
    regular = capacity_supply(X.shape[1], vae.n_latents)
    return CapacityReport(CapacityDemand(**average), supply, regular, gap)
