"""What can be said, in nats, about data and a trained model."""

from mfvae._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "CapacityReport": "capacity_report",
        "SaturationWarning": "density_ratio",
        "TotalCorrelation": "density_ratio",
        "all_configurations": "laws",
        "capacity": "capacity_report",
        "capacity_demand": "demand",
        "capacity_supply": "supply",
        "capacity_verdict": "capacity_report",
        "correlation_length": "observables",
        "elbo_surgery": "supply",
        "exact_gap": "gap",
        "jensen_shannon": "laws",
        "order_parameter_moments": "observables",
        "overlap_law": "laws",
        "rate_gap_bound": "rate_gap",
        "spike_count_law": "laws",
        "total_correlation": "density_ratio",
    },
)
