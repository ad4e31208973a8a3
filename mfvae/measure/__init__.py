"""What can be said, in nats, about data and a trained model."""

from mfvae._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "CapacityDemand": "demand",
        "CapacityReport": "capacity_report",
        "CapacitySupply": "supply",
        "Cut": "demand",
        "ElboSurgery": "supply",
        "EmpiricalLaw": "laws",
        "ProductMixture": "product_mixture",
        "all_configurations": "product_mixture",
        "binder_cumulant": "observables",
        "capacity": "capacity_report",
        "capacity_demand": "demand",
        "capacity_supply": "supply",
        "capacity_verdict": "capacity_report",
        "correlation_length": "observables",
        "elbo_surgery": "supply",
        "exact_gap": "gap",
        "find_best_cut": "demand",
        "fit_product_mixture": "product_mixture",
        "gaussian_rate": "supply",
        "jensen_shannon": "laws",
        "magnetization": "observables",
        "observables": "observables",
        "overlap_law": "laws",
        "spike_count_law": "laws",
        "susceptibility": "observables",
    },
)
