"""mfvae: variational autoencoders read as finite-size mean-field theories.

The public names are loaded on first use, so that ``import mfvae`` stays light:

>>> import mfvae
>>> mfvae.systems.CurieWeiss(64).n_sites
64
"""

from mfvae._lazy import attach

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "_cache": "fit_cached sample_cached",
        "_scale": "at_scale",
        "compare": "compare",
        "data": "data",
        "decode": "decode",
        "measure": "measure",
        "plots": "plots",
        "report": "Report report",
        "systems": "systems",
        "vae": "MeanFieldVAE vae",
        "data.results": "load_results",
    },
)
