"""Rival models of the same words: each has ``fit``, ``score_samples`` and ``sample``."""

from mfvae._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "bernoulli_mixture": "BernoulliMixture",
        "energy_models": "PairwiseMaximumEntropy RestrictedBoltzmannMachine",
        "rival": "IndependentModel",
        "statistics": "compare_statistics",
        "table": "ScoredVAE compare_models",
        "tree": "ChowLiuTree",
    },
)
