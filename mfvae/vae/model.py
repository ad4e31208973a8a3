"""The bricks put together: registries, and the module that training and evidence share."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from mfvae.vae.bingham import BinghamNatural, BinghamRotation
from mfvae.vae.coupling import CouplingPrior
from mfvae.vae.decoder import CNNDecoder, LinearDecoder, MLPDecoder
from mfvae.vae.encoder import CNNEncoder, MLPEncoder, SetEncoder
from mfvae.vae.likelihood import Bernoulli, Categorical, Gaussian, Likelihood
from mfvae.vae.mixture import MixturePrior
from mfvae.vae.normalized_cnn import NormalizedCNNDecoder, NormalizedCNNEncoder
from mfvae.vae.prior import NormalPrior, Prior, SplinePrior
from mfvae.vae.tempered import Tempered

__all__ = [
    "DECODERS",
    "ENCODERS",
    "LIKELIHOODS",
    "PRIORS",
    "LatentVariableModel",
    "build_model",
    "seeded_initialization",
]

ENCODERS: dict[str, type[nn.Module]] = {
    "cnn": CNNEncoder,
    "mlp": MLPEncoder,
    "normalized-cnn": NormalizedCNNEncoder,
    "set": SetEncoder,
}
DECODERS: dict[str, type[nn.Module]] = {
    "cnn": CNNDecoder,
    "linear": LinearDecoder,
    "mlp": MLPDecoder,
    "normalized-cnn": NormalizedCNNDecoder,
}
PRIORS: dict[str, type[Prior]] = {
    "spline": SplinePrior,
    "normal": NormalPrior,
    "mixture": MixturePrior,
    "coupling": CouplingPrior,
}
LIKELIHOODS: dict[str, type[Likelihood]] = {
    "bernoulli": Bernoulli,
    "categorical": Categorical,
    "gaussian": Gaussian,
    "bingham": BinghamNatural,
    "bingham-rotation": BinghamRotation,
    "tempered": Tempered,
}


class LatentVariableModel(nn.Module):
    """p(z | c) prod_i p(x_i | z) with its encoder q(z | x, c).

    Args:
        encoder, decoder, prior, likelihood (torch.nn.Module): The four bricks.
        condition_location, condition_scale (sequence of float): Mean and spread of each condition
            over the training data; conditions are handed to the bricks in these units.
    """

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        prior: Prior,
        likelihood: Likelihood,
        condition_location: list[float],
        condition_scale: list[float],
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.prior = prior
        self.likelihood = likelihood
        self.register_buffer("condition_location", torch.tensor(condition_location))
        self.register_buffer("condition_scale", torch.tensor(condition_scale))

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return self.condition_location.device

    @property
    def dtype(self) -> torch.dtype:
        """The floating type of the weights."""
        return self.condition_location.dtype

    def posterior(
        self, x: torch.Tensor, conditions: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return mean and log-variance of q(z | x, c), each ``(n_samples, n_latents)``."""
        features = self.likelihood.features(x).to(conditions.dtype)
        return self.encoder(features, conditions)

    @torch.no_grad()
    def calibrate(self, x: torch.Tensor, conditions: torch.Tensor) -> None:
        """Set the encoder's units and the decoder's bias from the training data."""
        self.decoder.calibrate(self.likelihood.marginal_parameters(x))
        rows = torch.linspace(0, len(x) - 1, min(len(x), 4096), device=x.device).long()
        self.encoder.calibrate(self.likelihood.features(x[rows]), conditions[rows])

    def loss_terms(
        self, x: torch.Tensor, conditions: torch.Tensor, noise: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return -ln p(x|z) and the rate, KL(q(z|x) || p(z|c)), at the reparameterised z.

        Args:
            x (torch.Tensor): Data as the likelihood keeps them, ``(n_samples, n_sites, …)``.
            conditions (torch.Tensor): Standardised conditions, ``(n_samples, n_conditions)``.
            noise (torch.Tensor): Draws from Normal(0, 1), ``(n_samples, n_latents)``.

        Returns:
            (torch.Tensor, torch.Tensor): Distortion and rate of each configuration,
                ``(n_samples,)`` nats; their averages add up to -ELBO.
        """
        mean, log_variance = self.posterior(x, conditions)
        z = mean + torch.exp(log_variance / 2) * noise
        parameters = self.decoder(z)
        # Networks may run in bf16, log probabilities never: sums over sites need the digits.
        if parameters.dtype in (torch.bfloat16, torch.float16):
            parameters = parameters.float()
        with torch.autocast(x.device.type, enabled=False):
            distortion = -self.likelihood.log_prob(parameters, x)
            return distortion, self.prior.rate(mean, log_variance, noise, conditions)


LOG_TWO_PI = 1.8378770664093453


@contextmanager
def seeded_initialization(seed: int) -> Iterator[None]:
    """Run a block under a torch seed and leave torch's global random state as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def _build(
    registry: dict[str, type], name: str, context: dict[str, Any], options: dict[str, Any]
) -> nn.Module:
    brick = registry[name]
    accepted = inspect.signature(brick).parameters
    own = sorted(key for key in accepted if key not in context)
    unknown = sorted(set(options) - set(own))
    if unknown:
        raise ValueError(
            f"{brick.__name__} does not know the option {unknown[0]!r}; its options are {own}"
        )
    needed = {key: value for key, value in context.items() if key in accepted}
    return brick(**needed, **options)


def build_model(configuration: dict[str, Any]) -> LatentVariableModel:
    """Build an untrained model from a plain description of its bricks.

    Args:
        configuration (dict): ``encoder``, ``decoder``, ``prior``, ``likelihood`` (names in the
            registries), their ``…_options``, ``n_latents``, ``n_sites``, ``lattice_shape``,
            ``condition_location``, ``condition_scale`` and ``seed``.

    Returns:
        LatentVariableModel: The same configuration gives the same initial weights.

    Raises:
        ValueError: If a brick does not know one of its options.
    """
    with seeded_initialization(configuration["seed"]):
        likelihood = _build(
            LIKELIHOODS, configuration["likelihood"], {}, configuration["likelihood_options"]
        )
        context = {
            "n_latents": configuration["n_latents"],
            "n_sites": configuration["n_sites"],
            "lattice_shape": configuration["lattice_shape"],
            "n_conditions": len(configuration["condition_location"]),
            "n_features": likelihood.n_features,
            "n_parameters": likelihood.n_parameters,
        }
        bricks = [
            _build(registry, configuration[kind], context, configuration[f"{kind}_options"])
            for kind, registry in (("encoder", ENCODERS), ("decoder", DECODERS), ("prior", PRIORS))
        ]
        return LatentVariableModel(
            *bricks,
            likelihood,
            configuration["condition_location"],
            configuration["condition_scale"],
        )
