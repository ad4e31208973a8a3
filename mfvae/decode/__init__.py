"""Microscopic parameters out of a trained decoder."""

from mfvae._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "Alignment": "patterns",
        "GeneralizedHopfield": "generalized_hopfield",
        "PatternRecovery": "unmixing",
        "align_patterns": "patterns",
        "correlation_spectrum": "from_samples",
        "decoder_jacobian": "patterns",
        "estimate_n_patterns": "from_samples",
        "polish_patterns": "from_samples",
        "pseudo_likelihood_couplings": "from_samples",
        "recover_patterns": "patterns",
        "regress_order_tensor": "order_tensor",
        "unmix": "unmixing",
    },
)
