"""Physical systems: Hamiltonian, sampler, order parameter, exact results."""

from mfvae._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "Bingham": "bingham",
        "CurieWeiss": "curie_weiss",
        "Estimate": "base",
        "Hopfield": "hopfield",
        "Ising2D": "ising",
        "MaierSaupe": "maier_saupe",
        "System": "base",
        "from_components": "_tensors",
        "to_components": "_tensors",
    },
)
