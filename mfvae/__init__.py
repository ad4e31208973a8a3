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
        "MeanFieldVAE": "vae",
        "Report": "report",
        "at_scale": "_scale",
        "compare": "compare",
        "data": "data",
        "decode": "decode",
        "fit_cached": "_cache",
        "load_results": "data.results",
        "measure": "measure",
        "plots": "plots",
        "report": "report",
        "sample_cached": "_cache",
        "systems": "systems",
        "vae": "vae",
        "widgets": "widgets",
    },
)
