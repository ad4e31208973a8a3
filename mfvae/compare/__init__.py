"""Rival models of the same words: each has ``fit``, ``score_samples`` and ``sample``."""

from mfvae._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "energy_models": "PairwiseMaximumEntropy RestrictedBoltzmannMachine",
        "simple_models": "BernoulliMixture ChowLiuTree IndependentModel",
        "statistics": "compare_statistics",
        "table": "ScoredVAE compare_models",
    },
)
