"""The variational autoencoder, a brick a file."""

from mfvae._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "MeanFieldVAE": "estimator",
        "Likelihood": "likelihood",
        "Prior": "prior",
        "LatentVariableModel": "model",
        "DECODERS": "model",
        "ENCODERS": "model",
        "LIKELIHOODS": "model",
        "PRIORS": "model",
        "refit_prior": "refit",
    },
)
