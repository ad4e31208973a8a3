"""Physical systems: Hamiltonian, sampler, order parameter, exact results."""

from mfvae._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "Estimate": "base",
        "System": "base",
        "Bingham": "bingham",
        "bingham_log_normalizer": "bingham",
        "bingham_mean_squares": "bingham",
        "CurieWeiss": "curie_weiss",
        "MaierSaupe": "maier_saupe",
        "Hopfield": "hopfield",
        "Ising2D": "ising",
        "from_components": "_tensors",
        "from_configuration": "configuration",
        "to_components": "_tensors",
    },
)
