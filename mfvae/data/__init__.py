"""What a model is fed: stored equilibrium samples and recordings."""

from mfvae._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "DownloadError": "_retina_download",
        "RetinaWords": "retina",
        "bin_spikes": "spikes",
        "download_retina": "_retina_download",
        "load_retina": "retina",
        "sample_surrogate": "surrogate",
        "words_from_spikes": "retina",
    },
)
