"""What can be said, in nats, about data and a trained model."""

from mfvae._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "capacity_report": "CapacityReport capacity capacity_verdict",
        "demand": "capacity_demand",
        "density_ratio": "SaturationWarning TotalCorrelation total_correlation",
        "gap": "capacity_supply elbo_surgery exact_gap",
        "observables": "all_configurations correlation_length jensen_shannon "
        "order_parameter_moments overlap_law spike_count_law",
        "rate_gap": "rate_gap_bound",
    },
)
