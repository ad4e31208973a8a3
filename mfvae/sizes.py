"""The table of sizes: what a chapter runs at course scale and at paper scale.

``MFVAE_SCALE=course`` (the default) fits two CPU cores and a few minutes a chapter;
``MFVAE_SCALE=paper`` is for a GPU or a cluster. Same code, other numbers.
"""

from __future__ import annotations

import os
from types import SimpleNamespace

from mfvae._validation import check_choice

__all__ = ["scale", "sizes"]


def _order_parameter_vae(channels: tuple[int, ...], width: int) -> dict:
    network = {"channels": channels, "width": width}
    return {
        "encoder": "normalized-cnn",
        "decoder": "normalized-cnn",
        "encoder_options": network,
        "decoder_options": network,
        "prior": "normal",
        "learning_rate": 1e-3,
        "momentum": 0.5,
        "weight_decay": 0.0,
        "schedule": "one-cycle",
        "batch_size": 128,
    }


_DENSE_VAE = {"encoder": "mlp", "decoder": "mlp", "prior": "normal", "batch_size": 128}

# Arguments of MeanFieldVAE for the recording. What makes the two-latent model good is the
# mixture prior, which does not factorise, with a large learning rate (2e-2 is unstable).
_TWO_LATENTS = {
    "encoder": "mlp",
    "decoder": "linear",
    "prior": "mixture",
    "encoder_options": {"widths": (256, 128)},
    "prior_options": {"n_components": 32},
    "learning_rate": 1e-2,
    "batch_size": 512,
}

_TABLE: dict[str, dict[str, dict]] = {
    "curie-weiss": {
        "course": {
            "n_sites": 256,
            "n_samples": 20_000,
            "n_epochs": 8,
            "n_test": 4_000,
            "n_generated": 100_000,
        },
        "paper": {
            "n_sites": 1024,
            "n_samples": 50_000,
            "n_epochs": 50,
            "n_test": 20_000,
            "n_generated": 400_000,
        },
    },
    "sampling": {
        "course": {"lengths": (8, 16, 32), "n_chains": 32, "n_records": 4_000},
        "paper": {"lengths": (8, 16, 32, 64), "n_chains": 64, "n_records": 20_000},
    },
    "bricks": {
        "course": {"n_sites": 256, "n_samples": 1_500, "n_epochs": 12, "n_test": 2_000},
        "paper": {"n_sites": 1024, "n_samples": 20_000, "n_epochs": 40, "n_test": 20_000},
    },
    "ising-curie-weiss": {
        "course": {"length": 16, "n_samples": 10_000, "n_epochs": 8, "n_generated": 20_000},
        "paper": {"length": 32, "n_samples": 40_000, "n_epochs": 40, "n_generated": 100_000},
    },
    "hopfield": {
        "course": {
            "n_sites": 256,
            "n_patterns": 8,
            "n_transition": 4_000,
            "n_epochs_transition": 20,
            "n_samples": 20_000,
            "n_epochs": 12,
            "n_epochs_bent": 12,
            "n_digits": 100_000,
        },
        "paper": {
            "n_sites": 1024,
            "n_patterns": 16,
            "n_transition": 20_000,
            "n_epochs_transition": 40,
            "n_samples": 80_000,
            "n_epochs": 20,
            "n_epochs_bent": 40,
            "n_digits": 400_000,
        },
    },
    # The mixture prior is trained on alone ("refit"): near the transition it needs the most steps.
    "maier-saupe": {
        "course": {
            "n_sites": 256,
            "n_samples": 8_000,
            "training": {"n_epochs": 4, "batch_size": 64, "learning_rate": 1e-2},
            "prior_options": {"n_components": 128, "covariance": "full", "width": 64},
            "n_refit": 5_000,
            "refit": {"n_steps": 4_000, "batch_size": 1024, "learning_rate": 2e-2},
            "n_test": 384,
            "n_generated": 4_000,
            "n_direct": 10_000,
        },
        "paper": {
            "n_sites": 1024,
            "n_samples": 20_000,
            "training": {"n_epochs": 20, "batch_size": 64, "learning_rate": 3e-3},
            "prior_options": {"n_components": 512, "covariance": "full", "width": 64},
            "n_refit": 50_000,
            "refit": {"n_steps": 40_000, "batch_size": 2048, "learning_rate": 2e-2},
            "n_test": 4_096,
            "n_generated": 20_000,
            "n_direct": 100_000,
        },
    },
    "total-correlation": {
        "course": {"n_samples": 40_000, "n_trained": 4_000, "n_epochs": 16},
        "paper": {"n_samples": 160_000, "n_trained": 20_000, "n_epochs": 20},
    },
    "retina": {
        "course": {"linear_vae": _TWO_LATENTS | {"n_epochs": 12}},
        "paper": {"linear_vae": _TWO_LATENTS | {"n_epochs": 60}},
    },
    # The networks of the second paper, Normal prior, Adam, batches of 128. At course scale the
    # lattice stays (the window of beta scales with it), the networks shrink. With their batch
    # normalisation one of two latents often stays unused; dense networks without it are reliable.
    "beta-vae": {
        "course": {
            "length": 32,
            "n_samples": 12_000,
            "vae": _DENSE_VAE | {"n_epochs": 8},
            "paper_vae": _order_parameter_vae((16, 32), 128) | {"n_epochs": 6},
        },
        "paper": {
            "length": 32,
            "n_samples": 100_000,
            "vae": _DENSE_VAE | {"n_epochs": 50},
            "paper_vae": _order_parameter_vae((64, 128), 1024) | {"n_epochs": 50},
        },
    },
    # Dense networks throughout: they need no batch normalisation (see "beta-vae").
    "beyond-bernoulli": {
        "course": {
            "n_letters": 256,
            "n_training": 2_000,
            "letters": _DENSE_VAE | {"n_epochs": 30},
            "digits": _DENSE_VAE | {"n_epochs": 60, "batch_size": 64, "beta": 0.3},
            "n_phase": 4_004,
            "tempered": _DENSE_VAE | {"n_epochs": 16},
        },
        "paper": {
            "n_letters": 256,
            "n_training": 20_000,
            "letters": _DENSE_VAE | {"n_epochs": 60},
            "digits": _DENSE_VAE | {"n_epochs": 60, "beta": 0.3},
            "n_phase": 33_334,
            "tempered": _DENSE_VAE | {"n_epochs": 50},
        },
    },
}


def scale() -> str:
    """Return the scale in force, "course" or "paper", from ``MFVAE_SCALE``.

    Raises:
        ValueError: If the variable holds anything else.
    """
    return check_choice(os.environ.get("MFVAE_SCALE", "course"), "MFVAE_SCALE", ("course", "paper"))


def sizes(chapter: str) -> SimpleNamespace:
    """Return the sizes of a chapter at the scale in force.

    Args:
        chapter (str): The chapter's file stem, for example "curie-weiss".

    Returns:
        types.SimpleNamespace: Counts (sites, configurations a temperature, epochs, …), by name.

    >>> sizes("curie-weiss").n_sites >= 256
    True
    """
    check_choice(chapter, "chapter", tuple(_TABLE))
    return SimpleNamespace(**_TABLE[chapter][scale()])
