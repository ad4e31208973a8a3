"""Rival models of the same words: each has ``fit``, ``score_samples`` and ``sample``."""

from mfvae._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "BernoulliMixture": "bernoulli_mixture",
        "ChowLiuTree": "tree",
        "IndependentModel": "rival",
        "PairwiseMaximumEntropy": "energy_models",
        "RestrictedBoltzmannMachine": "energy_models",
        "ScoredVAE": "table",
        "compare_models": "table",
        "compare_statistics": "statistics",
    },
)
