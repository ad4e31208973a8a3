"""What a model is fed: stored equilibrium samples and recordings."""

from mfvae._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "EquilibriumSamples": "store",
        "NotEquilibratedWarning": "diagnostics",
        "RetinaWords": "retina",
        "autocorrelation_time": "diagnostics",
        "download_retina": "retina",
        "load_retina": "retina",
        "split_r_hat": "diagnostics",
        "words_from_spikes": "spikes",
    },
)
