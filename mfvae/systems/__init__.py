"""Physical systems: Hamiltonian, sampler, order parameter, exact results."""

from mfvae._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "Estimate": "base",
        "System": "base",
        "CurieWeiss": "curie_weiss",
    },
)
