"""Can this model fit these data, and did it? Demand and supply side by side, in nats."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mfvae._validation import check_number, check_seed
from mfvae.measure._jackknife import jackknife_of_means
from mfvae.measure.demand import CapacityDemand, capacity_demand
from mfvae.measure.supply import capacity_supply, condition_groups, elbo_surgery
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

    Attributes:
        rate, mutual_information, prior_mismatch, sphere_packing (Estimate): As in `ElboSurgery`.
        regular_supply (float): `capacity_supply` of this size, a heuristic from before training.
        dual_total_correlation, half_cut, best_cut (Estimate or None): As in `CapacityDemand`.
        gap_bound (Estimate or None): ``I(A;B) - R`` for the best cut: the gap is at least that,
            whatever the decoder.
        gap (Estimate or None): ``E[ln p(x) - ELBO(x)]``, if the system is known.
        verdict ({"cannot fit", "may fit", "fits"}): "fits": the measured gap is at most 0.25 nats.
            "cannot fit": the bound exceeds that, by three standard errors: not with this rate. "may
            fit": neither; the bound is silent.
        margin (float): Rate less best cut; negative if nats must be missed. NaN if no cut is known.
        note (str): How the demand was found, and on which side it errs.
    """

    rate: Estimate
    mutual_information: Estimate
    prior_mismatch: Estimate
    sphere_packing: Estimate
    regular_supply: float
    dual_total_correlation: Estimate | None
    half_cut: Estimate | None
    best_cut: Estimate | None
    gap_bound: Estimate | None
    gap: Estimate | None
    verdict: str
    margin: float
    note: str

    def __str__(self) -> str:
        lines = [
            ("demand", None),
            ("half cut", self.half_cut),
            ("best cut known", self.best_cut),
            ("dual total correlation", self.dual_total_correlation),
            ("supply", None),
            ("regular decoder (before training)", self.regular_supply),
            ("rate R", self.rate),
            ("= mutual information I(x;z)", self.mutual_information),
            ("+ prior mismatch", self.prior_mismatch),
            ("sphere packing", self.sphere_packing),
            ("gap", None),
            ("at least I(A;B) - R", self.gap_bound),
            ("measured", self.gap),
        ]
        text = ["nats per configuration"]
        for name, value in lines:
            if name in ("demand", "supply", "gap"):
                text.append(name)
            else:
                text.append(f"  {name:<35}{_number(value)}")
        text.append(f"verdict: {self.verdict}, margin {self.margin:+.2f} nats")
        text.append(f"demand: {self.note}")
        return "\n".join(text)


def _number(value: float | None) -> str:
    if value is None:
        return " unknown"
    error = getattr(value, "stderr", 0.0)
    return f"{float(value):8.3f}" + (f" ± {error:.3f}" if error else "")


def capacity_verdict(demand: float, supply: float) -> str:
    """Return "cannot fit" if the supply falls short of the demand, else "may fit".

    Meant for the time before training, with `capacity_supply`: a heuristic, see there.

    Args:
        demand (float or Estimate): Nats; three of its standard errors, if it has one, are left to
            the supply's favour.
        supply (float): Nats.

    Returns:
        str: "cannot fit" or "may fit".

    Raises:
        TypeError, ValueError: If an argument is not a finite number.

    >>> capacity_verdict(12.56, capacity_supply(256, 4).regular)
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
        vae (MeanFieldVAE): Trained model.
        X (array_like, shape (n_samples, n_sites, …)): Configurations that training has not seen, at
            least 64 for each condition (without ``system``: 100, of two letters).
        conditions (float or array_like, shape (n_samples,) or (n_samples, n_conditions), optional):
            As in ``fit``. With ``system``: the temperature, units of J/k_B, a number if it is the
            same for all; needed then even if the model has no condition.
        system (System, optional): Where the data come from; then the demand and the gap are those
            of its exact law.
        seed (int or numpy.random.SeedSequence): Source of latents, and of samples where the demand
            needs them.

    Returns:
        CapacityReport: Nats per configuration.

    Raises:
        TypeError, ValueError: If an argument is not as described.

    >>> from mfvae.systems import CurieWeiss
    >>> magnet = CurieWeiss(16)
    >>> vae = MeanFieldVAE(1, n_epochs=1, progress=False).fit(magnet.sample(1.5, 500, seed=0))
    >>> report = capacity(vae, magnet.sample(1.5, 200, seed=1), 1.5, magnet)
    >>> round(report.half_cut, 4), report.gap_bound < report.gap
    (0.1078, True)
    """
    if not isinstance(vae, MeanFieldVAE):
        raise TypeError(f"vae must be a MeanFieldVAE, got {type(vae).__name__}")
    if system is not None and not isinstance(system, System):
        raise TypeError(f"system must be one of mfvae.systems or None, got {type(system).__name__}")
    surgery_seed, elbo_seed, demand_seed = check_seed(seed).spawn(3)
    X = np.asarray(X)
    if X.ndim < 2:
        raise ValueError(f"X must have shape (n_samples, n_sites, …), got {X.shape}")
    if np.ndim(conditions) == 0 and conditions is not None:
        conditions = np.full(len(X), check_number(conditions, "conditions"))
    if system is not None and conditions is None:
        raise ValueError("with a system, give the temperature of X as conditions")
    known = getattr(vae, "configuration_", {}).get("condition_location")
    for_vae = conditions if known or system is None else None
    supplied = elbo_surgery(vae, X, for_vae, seed=surgery_seed)
    groups = condition_groups(conditions, len(X))
    if system is not None:
        demands = [
            capacity_demand(system, float(value[0]), seed=child)
            for (value, _), child in zip(groups, demand_seed.spawn(len(groups)), strict=True)
        ]
        elbo = vae.score_samples(X, for_vae, method="elbo", n_importance=8, seed=elbo_seed)
        gap = _gap(system, X, groups, elbo)
    else:
        log_prob = vae.score_samples(X, for_vae, seed=elbo_seed)
        demands = [capacity_demand(X[rows], log_prob=log_prob[rows]) for _, rows in groups]
        gap = None
    shares = [len(rows) / len(X) for _, rows in groups]
    best = _average(demands, shares, "best_cut")
    bound = None
    if best is not None:
        error = float(np.hypot(best.stderr, supplied.rate.stderr))
        bound = Estimate(best - supplied.rate, stderr=error, exact=False)
    return CapacityReport(
        rate=supplied.rate,
        mutual_information=supplied.mutual_information,
        prior_mismatch=supplied.prior_mismatch,
        sphere_packing=supplied.sphere_packing,
        regular_supply=capacity_supply(X.shape[1], vae.configuration_["n_latents"]).regular,
        dual_total_correlation=_average(demands, shares, "dual_total_correlation"),
        half_cut=_average(demands, shares, "half_cut"),
        best_cut=best,
        gap_bound=bound,
        gap=gap,
        verdict=_verdict(bound, gap),
        margin=float("nan") if bound is None else -float(bound),
        note=demands[0].note,
    )


def _verdict(bound: Estimate | None, gap: Estimate | None) -> str:
    if bound is not None and bound - _SIGMAS * bound.stderr > _TOLERANCE:
        return "cannot fit"
    return "fits" if gap is not None and gap <= _TOLERANCE else "may fit"


def _average(demands: list[CapacityDemand], shares: list[float], name: str) -> Estimate | None:
    values: list[Any] = [getattr(demand, name) for demand in demands]
    if any(value is None for value in values):
        return None
    error = np.sqrt(sum((w * v.stderr) ** 2 for w, v in zip(shares, values, strict=True)))
    total = sum(w * float(v) for w, v in zip(shares, values, strict=True))
    return Estimate(total, stderr=float(error), exact=all(v.exact for v in values))


def _gap(system: System, X: np.ndarray, groups: list, elbo: np.ndarray) -> Estimate:
    parts = []
    for value, rows in groups:
        difference = system.log_prob(X[rows], float(value[0])) - elbo[rows]
        part = jackknife_of_means(difference[:, None], lambda mean: mean[..., 0], 32)
        parts.append((len(rows) / len(X), part))
    error = np.sqrt(sum((w * part.stderr) ** 2 for w, part in parts))
    return Estimate(sum(w * part for w, part in parts), stderr=float(error), exact=False)
