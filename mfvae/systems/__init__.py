"""Physical systems: Hamiltonian, sampler, order parameter, exact results."""

from mfvae._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "_tensors": "from_components to_components",
        "base": "Estimate System",
        "bingham": "Bingham",
        "curie_weiss": "CurieWeiss",
        "hopfield": "Hopfield",
        "ising": "Ising2D",
        "maier_saupe": "MaierSaupe",
    },
)
