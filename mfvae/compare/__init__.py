"""Rival models of the same words: each has ``fit``, ``score_samples`` and ``sample``."""

from mfvae._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "BernoulliMixture": "mixture",
        "Comparison": "table",
        "Difference": "table",
        "IndependentModel": "independent",
        "PairwiseMaximumEntropy": "pairwise",
        "RestrictedBoltzmannMachine": "boltzmann",
        "ScoredVAE": "latent",
        "annealed_log_normalizer": "annealing",
        "compare_models": "table",
        "compare_statistics": "statistics",
        "pair_covariances": "statistics",
        "triplet_moments": "statistics",
    },
)
