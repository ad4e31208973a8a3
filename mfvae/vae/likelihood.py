"""Observation models: the law of one site, given what the decoder emits for it.

Given the latent, sites are independent and each follows an exponential family,

    ln p(x | z) = sum_i [ eta_i(z) . t(x_i) - ln Z_i(z) ] + const.

Tensors of data have shape ``(n_samples, n_sites)`` (directors: ``(n_samples, n_sites, 3)``), what
a decoder emits ``(n_samples, n_sites, n_parameters)``; log probabilities are in nats for the whole
configuration.
"""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from mfvae._validation import check_choice, check_count, check_finite_array

__all__ = ["Bernoulli", "Categorical", "Gaussian", "Likelihood", "Tempered"]


class Likelihood(nn.Module):
    """What every observation model offers; a subclass fills in the law of one site.

    - ``settings_from_data(x, **options)``, of the class: checks training data and returns the
      constructor's arguments, options included;
    - ``prepare(x)``: data as the model keeps them (ValueError on other letters), and
      ``restore(x)``: back in the user's letters and dtype;
    - ``marginal_parameters(x)``: what a decoder would emit for independent sites, one row a site;
    - ``statistics(x)``: sufficient statistics, ``(n_samples, n_sites, n_statistics)``;
    - ``log_normalizer(parameters)``: ln Z summed over sites, ``(n_samples,)`` nats;
    - ``sample(parameters, generator)``: a configuration a row, as the model keeps data;
    - ``mean(parameters)``: of each site in the user's letters, ``(n_samples, n_sites, …)``.
    """

    n_parameters: int = 1  # numbers a decoder emits per site
    n_features: int = 1  # channels per site that an encoder sees
    data_ndim: int = 2  # axes of a batch of data; 3 for directors

    def features(self, x: Tensor) -> Tensor:
        """Return what the encoder sees, float ``(n_samples, n_features, n_sites)``."""
        return self.statistics(x).transpose(1, 2)

    def natural(self, parameters: Tensor) -> Tensor:
        """Return natural parameters, ``(n_samples, n_sites, n_statistics)``."""
        return parameters

    def log_prob(self, parameters: Tensor, x: Tensor) -> Tensor:
        """Return ln p(x | z) of each configuration, ``(n_samples,)`` nats."""
        statistics = self.statistics(x.to(parameters.dtype))
        inner = (self.natural(parameters) * statistics).sum(dim=(-2, -1))
        return inner - self.log_normalizer(parameters)

    def log_prob_matrix(self, parameters: Tensor, x: Tensor) -> Tensor:
        """Return ln p(x_n | z_k) for all pairs, ``(n_samples, n_parameters_rows)`` nats."""
        statistics = self.statistics(x.to(parameters.dtype)).flatten(1)
        natural = self.natural(parameters).flatten(1)
        return statistics @ natural.T - self.log_normalizer(parameters)


class Bernoulli(Likelihood):
    """Two letters a site; the decoder emits the logit of the larger letter.

    For spins the field of Curie-Weiss theory is half the logit, ``p(s | h) = e^{sh} / 2cosh h``.

    The user's ``letters`` are (-1, 1) or (0, 1), found from data that show the smaller one; their
    ``dtype`` None is int8 for spins, uint8 for words.
    """

    def __init__(self, letters: tuple[int, int] = (0, 1), dtype: str | None = None) -> None:
        super().__init__()
        self.letters = (int(letters[0]), int(letters[1]))
        if self.letters not in ((-1, 1), (0, 1)):
            raise ValueError(f"letters must be (-1, 1) or (0, 1), got {self.letters}")
        self.data_dtype = np.dtype(dtype or ("int8" if self.letters[0] < 0 else "uint8"))

    @classmethod
    def settings_from_data(cls, x: np.ndarray, **options: Any) -> dict[str, Any]:
        settings = {"dtype": np.asarray(x).dtype.name, **options}
        if "letters" in options:
            return {**settings, "letters": tuple(options["letters"])}
        values = np.unique(x)
        if not set(values) <= {-1, 1} and not set(values) <= {0, 1}:
            shown = ", ".join(f"{value:g}" for value in values[:5].astype(float))
            raise ValueError(
                "the Bernoulli likelihood needs two letters in X, -1/+1 or 0/1; found values "
                f"{shown}{', …' if len(values) > 5 else ''}"
            )
        if set(values) == {1}:
            raise ValueError(
                "all values of X are 1, so it cannot be told whether the letters are -1/+1 or 0/1: "
                'say so by likelihood_options={"letters": (0, 1)}'
            )
        return {**settings, "letters": (-1, 1) if values.min() < 0 else (0, 1)}

    def prepare(self, x: np.ndarray) -> Tensor:
        larger = x == self.letters[1]
        if not np.all(larger | (x == self.letters[0])):
            raise ValueError(f"X must hold the letters {self.letters} of fit only")
        return torch.from_numpy(larger.astype(np.uint8))

    def restore(self, x: Tensor) -> np.ndarray:
        return np.array(self.letters, dtype=self.data_dtype)[x.cpu().numpy()]

    def marginal_parameters(self, x: Tensor) -> Tensor:
        n_ones = x.sum(dim=0, dtype=torch.float64)
        return torch.log((n_ones + 0.5) / (len(x) - n_ones + 0.5)).unsqueeze(1)

    def features(self, x: Tensor) -> Tensor:
        return (2 * x.to(torch.get_default_dtype()) - 1).unsqueeze(1)

    def statistics(self, x: Tensor) -> Tensor:
        return x.unsqueeze(-1)

    def log_normalizer(self, parameters: Tensor) -> Tensor:
        return functional.softplus(self.natural(parameters)).sum(dim=(-2, -1))

    def sample(self, parameters: Tensor, generator: torch.Generator) -> Tensor:
        probability = torch.sigmoid(self.natural(parameters).squeeze(-1))
        uniform = torch.rand(probability.shape, generator=generator, device=probability.device)
        return (uniform < probability).to(torch.uint8)

    def mean(self, parameters: Tensor) -> Tensor:
        low, high = self.letters
        return low + (high - low) * torch.sigmoid(self.natural(parameters).squeeze(-1))


class Tempered(Bernoulli):
    """Two letters a site, with probability ``sigmoid(beta_k h_k)`` of the larger one.

    The decoder emits h_k and the logit of the local inverse temperature, 0 < beta_k < 1
    (Huang, Hu & Yang 2022, table II). Data cannot tell h_k from beta_k: only the product enters.
    """

    n_parameters = 2

    @staticmethod
    def branches(parameters: Tensor) -> tuple[Tensor, Tensor]:
        """Return h and beta, each ``(n_samples, n_sites, 1)``."""
        return parameters[..., :1], torch.sigmoid(parameters[..., 1:])

    def marginal_parameters(self, x: Tensor) -> Tensor:
        logit = super().marginal_parameters(x)
        return torch.cat([2 * logit, torch.zeros_like(logit)], dim=-1)  # beta = 1/2

    def natural(self, parameters: Tensor) -> Tensor:
        field, inverse_temperature = self.branches(parameters)
        return inverse_temperature * field


class Categorical(Likelihood):
    """Codes 0 … n_categories-1 a site; the decoder emits one logit a category.

    ``dtype`` is NumPy's name of the type of the user's data.
    """

    def __init__(self, n_categories: int, dtype: str = "uint8") -> None:
        super().__init__()
        self.data_dtype = np.dtype(dtype)
        self.n_categories = self.n_parameters = self.n_features = int(n_categories)

    @classmethod
    def settings_from_data(cls, x: np.ndarray, **options: Any) -> dict[str, Any]:
        if np.any(x != np.round(x)) or x.min() < 0 or x.max() > 255:
            raise ValueError("the categorical likelihood needs integer codes 0 … 255 in X")
        largest = int(x.max())
        n = options.get("n_categories", max(2, largest + 1))
        if check_count(n, "n_categories", minimum=2, maximum=256) <= largest:
            raise ValueError(f"found code {largest} in X, but n_categories is {n}")
        return {"dtype": np.asarray(x).dtype.name, **options, "n_categories": int(n)}

    def prepare(self, x: np.ndarray) -> Tensor:
        if np.any(x != np.round(x)) or x.min() < 0 or x.max() >= self.n_categories:
            raise ValueError(f"X must hold integer codes 0 … {self.n_categories - 1}")
        return torch.from_numpy(x.astype(np.uint8))

    def restore(self, x: Tensor) -> np.ndarray:
        return x.cpu().numpy().astype(self.data_dtype)

    def marginal_parameters(self, x: Tensor) -> Tensor:
        counts = self.statistics(x).sum(dim=0, dtype=torch.float64) + 0.5
        return torch.log(counts / counts.sum(dim=1, keepdim=True))

    def statistics(self, x: Tensor) -> Tensor:
        one_hot = functional.one_hot(x.long(), self.n_categories)
        return one_hot.to(x.dtype if x.is_floating_point() else torch.get_default_dtype())

    def log_normalizer(self, parameters: Tensor) -> Tensor:
        return torch.logsumexp(parameters, dim=-1).sum(dim=-1)

    def sample(self, parameters: Tensor, generator: torch.Generator) -> Tensor:
        uniform = torch.rand(parameters.shape, generator=generator, device=parameters.device)
        gumbel = -torch.log(-torch.log(uniform.clamp(1e-12, 1 - 1e-7)))
        return (parameters + gumbel).argmax(dim=-1).to(torch.uint8)

    def mean(self, parameters: Tensor) -> Tensor:
        return torch.softmax(parameters, dim=-1)


class Gaussian(Likelihood):
    """Real values; the decoder emits the mean of each site in units of its spread.

    ``location`` and ``scale`` are mean and standard deviation of each site in the training data (1
    where it is constant), in which units the network sees and emits values; ``variance`` is
    "learned", one a site, or "unit", exactly the square of ``scale``.
    """

    min_variance = 1e-4  #: Else the density at a constant site would have no upper bound.

    def __init__(
        self, location: list[float], scale: list[float], variance: str = "learned"
    ) -> None:
        super().__init__()
        self.variance = check_choice(variance, "variance", ("learned", "unit"))
        self.register_buffer("location", torch.as_tensor(location, dtype=torch.float32))
        self.register_buffer("scale", torch.as_tensor(scale, dtype=torch.float32))
        if self.variance == "learned":
            self.log_variance = nn.Parameter(torch.zeros(len(location)))

    @classmethod
    def settings_from_data(cls, x: np.ndarray, **options: Any) -> dict[str, Any]:
        x = check_finite_array(x, "X", ndim=2)
        if np.abs(x).max() > 1e30:
            raise ValueError("X holds values above 1e30, more than 32-bit numbers can carry")
        scale = x.std(axis=0)
        scale[scale <= 1e-12 * np.maximum(1.0, np.abs(x).max(axis=0))] = 1.0
        return {"location": x.mean(axis=0).tolist(), "scale": scale.tolist(), **options}

    def prepare(self, x: np.ndarray) -> Tensor:
        standardized = (x - self.location.numpy(force=True)) / self.scale.numpy(force=True)
        return torch.from_numpy(standardized.astype(np.float32))

    def restore(self, x: Tensor) -> np.ndarray:
        return (self.location + self.scale * x).cpu().numpy()

    def marginal_parameters(self, x: Tensor) -> Tensor:
        return x.mean(dim=0).unsqueeze(1)

    def features(self, x: Tensor) -> Tensor:
        return x.unsqueeze(1)

    def site_variance(self) -> Tensor:
        """Return the variance of each site, ``(n_sites,)``, in units of ``scale**2``."""
        if self.variance == "unit":
            return torch.ones_like(self.scale)
        return self.min_variance + torch.exp(self.log_variance)

    def statistics(self, x: Tensor) -> Tensor:
        return torch.stack([x, x * x], dim=-1)

    def natural(self, parameters: Tensor) -> Tensor:
        precision = 1 / self.site_variance().to(parameters.dtype)
        mean = parameters.squeeze(-1)
        return torch.stack([mean * precision, (-precision / 2).expand_as(mean)], dim=-1)

    def log_normalizer(self, parameters: Tensor) -> Tensor:
        return -self.log_prob(parameters, torch.zeros_like(parameters[..., 0]))

    def log_prob(self, parameters: Tensor, x: Tensor) -> Tensor:
        # Not by the statistics: the square of a difference keeps the digits of its terms.
        variance = self.site_variance().to(parameters.dtype)
        residual = x - parameters.squeeze(-1)
        units = torch.log(2 * math.pi * variance) / 2 + torch.log(self.scale)
        return -(residual**2 / (2 * variance) + units).sum(dim=-1)

    def sample(self, parameters: Tensor, generator: torch.Generator) -> Tensor:
        mean = parameters.squeeze(-1)
        noise = torch.randn(mean.shape, generator=generator, device=mean.device)
        return mean + torch.sqrt(self.site_variance()) * noise

    def mean(self, parameters: Tensor) -> Tensor:
        return self.location + self.scale * parameters.squeeze(-1)
