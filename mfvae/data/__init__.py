"""What a model is fed: stored equilibrium samples, recordings and synthetic phases."""

from mfvae._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "ChainDiagnostics": "diagnostics",
        "CorruptStoreError": "_store_view",
        "DownloadError": "_retina_download",
        "EquilibriumSamples": "store",
        "LabelledSamples": "synthetic",
        "NotEquilibratedWarning": "diagnostics",
        "RetinaWords": "retina",
        "autocorrelation_time": "diagnostics",
        "bin_spikes": "spikes",
        "download_retina": "_retina_download",
        "drift": "diagnostics",
        "effective_sample_size": "diagnostics",
        "handwritten_digits": "synthetic",
        "load_retina": "retina",
        "sample_surrogate": "surrogate",
        "split_r_hat": "diagnostics",
        "three_phase_ising": "synthetic",
        "words_from_spikes": "retina",
        "z3_phases": "synthetic",
    },
)
