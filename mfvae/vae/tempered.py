"""The observation model of the β²-VAE: a field and an inverse temperature for every site."""

from __future__ import annotations

import torch

from mfvae.vae.likelihood import Bernoulli

__all__ = ["Tempered"]


class Tempered(Bernoulli):
    """Two letters a site, with probability ``sigmoid(beta_k h_k)`` of the larger one.

    The decoder emits h_k and the logit of the local inverse temperature, 0 < beta_k < 1
    (Huang, Hu & Yang 2022, discussion and table II). Only the product enters the probability
    of a configuration, so that data cannot tell h_k from beta_k.

    Args:
        letters, dtype: As in ``Bernoulli``.
    """

    n_parameters = 2

    @staticmethod
    def branches(parameters: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return h and beta, each ``(n_samples, n_sites, 1)``."""
        field, temperature_logit = parameters.split(1, dim=-1)
        return field, torch.sigmoid(temperature_logit)

    def marginal_parameters(self, x: torch.Tensor) -> torch.Tensor:
        logit = super().marginal_parameters(x)
        return torch.cat([2 * logit, torch.zeros_like(logit)], dim=-1)  # beta = 1/2

    def natural(self, parameters: torch.Tensor) -> torch.Tensor:
        field, inverse_temperature = self.branches(parameters)
        return inverse_temperature * field

    def log_normalizer(self, parameters: torch.Tensor) -> torch.Tensor:
        return super().log_normalizer(self.natural(parameters))

    def sample(self, parameters: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        return super().sample(self.natural(parameters), generator)

    def mean(self, parameters: torch.Tensor) -> torch.Tensor:
        return super().mean(self.natural(parameters))
