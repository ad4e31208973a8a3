"""What can be said, in nats, about data and a trained model."""

from mfvae._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "CapacityReport": "capacity_report",
        "SaturationWarning": "density_ratio",
        "TotalCorrelation": "density_ratio",
        "all_configurations": "observables",
        "capacity": "capacity_report",
        "capacity_demand": "demand",
        "capacity_supply": "gap",
        "capacity_verdict": "capacity_report",
        "correlation_length": "observables",
        "elbo_surgery": "gap",
        "exact_gap": "gap",
        "jensen_shannon": "observables",
        "order_parameter_moments": "observables",
        "overlap_law": "observables",
        "rate_gap_bound": "rate_gap",
        "spike_count_law": "observables",
        "total_correlation": "density_ratio",
    },
)
