"""What a model is fed: stored equilibrium samples, recordings and synthetic phases."""

from mfvae._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "EquilibriumSamples": "store",
        "NotEquilibratedWarning": "diagnostics",
        "RetinaWords": "retina",
        "autocorrelation_time": "diagnostics",
        "bin_spikes": "spikes",
        "download_retina": "retina",
        "handwritten_digits": "synthetic",
        "load_retina": "retina",
        "split_r_hat": "diagnostics",
        "three_phase_ising": "synthetic",
        "words_from_spikes": "spikes",
        "z3_phases": "synthetic",
    },
)
