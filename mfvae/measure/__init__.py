"""What can be said, in nats, about data and a trained model."""

from mfvae._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "EmpiricalLaw": "laws",
        "ProductMixture": "product_mixture",
        "all_configurations": "product_mixture",
        "binder_cumulant": "observables",
        "correlation_length": "observables",
        "exact_gap": "gap",
        "fit_product_mixture": "product_mixture",
        "jensen_shannon": "laws",
        "magnetization": "observables",
        "observables": "observables",
        "overlap_law": "laws",
        "spike_count_law": "laws",
        "susceptibility": "observables",
    },
)
