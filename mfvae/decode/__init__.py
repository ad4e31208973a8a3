"""Microscopic parameters out of a trained decoder."""

from mfvae._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "from_samples": "correlation_spectrum estimate_n_patterns polish_patterns "
        "pseudo_likelihood_couplings",
        "generalized_hopfield": "GeneralizedHopfield",
        "order_tensor": "regress_order_tensor",
        "patterns": "Alignment align_patterns decoder_jacobian recover_patterns",
        "unmixing": "PatternRecovery unmix",
    },
)
