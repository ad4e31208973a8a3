"""Microscopic parameters out of a trained decoder."""

from mfvae._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "Alignment": "alignment",
        "CouplingComparison": "couplings",
        "GeneralizedHopfield": "hopfield",
        "PatternRecovery": "unmixing",
        "TensorRegression": "order_tensor",
        "align_patterns": "alignment",
        "compare_couplings": "couplings",
        "correlation_spectrum": "spectrum",
        "couplings_from_patterns": "couplings",
        "covariance_subspace": "spectrum",
        "decoder_jacobian": "patterns",
        "estimate_n_patterns": "spectrum",
        "null_residual": "unmixing",
        "mean_order_tensor": "order_tensor",
        "polish_patterns": "polish",
        "pseudo_likelihood_couplings": "couplings",
        "recover_patterns": "patterns",
        "regress_order_tensor": "order_tensor",
        "regress_tensor": "order_tensor",
        "tensor_from_latent": "order_tensor",
        "unmix": "unmixing",
    },
)
