"""What a model is fed: stored equilibrium samples and recordings."""

from mfvae._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "diagnostics": "NotEquilibratedWarning autocorrelation_time split_r_hat",
        "results": "mean_over_seeds",
        "retina": "RetinaWords download_retina load_retina",
        "spikes": "words_from_spikes",
        "store": "EquilibriumSamples",
    },
)
