"""The variational autoencoder, a brick a file; how `fit` runs, file by file.

`estimator`: ``MeanFieldVAE.fit`` checks what it is given and asks
`model`: ``configure`` for a plain description and ``build_model`` for the module, made of an
`encoder`, a `decoder`, a `prior` (or `mixture_prior`) and a `likelihood` (or
`director_likelihood`), chosen by name in four registries. Then
`training`: ``train`` has Lightning run the epochs (batches, ``loss_terms`` of the module,
optimiser, schedule), keeps the best one (in a folder of `storage`, if asked), and returns the
records, of which the estimator makes ``history_``. Afterwards
`evidence` scores configurations, and `storage` saves and loads the model.
"""

from mfvae._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "estimator": "MeanFieldVAE",
        "likelihood": "Likelihood",
        "model": "DECODERS ENCODERS LIKELIHOODS PRIORS",
        "prior": "Prior",
    },
)
