"""The bricks put together: registries, and the module that training and evidence share."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mfvae._validation import (
    check_choice,
    check_count,
    check_lattice_shape,
    check_number,
    check_seed,
)
from mfvae.vae.decoder import CNNDecoder, LinearDecoder, MLPDecoder
from mfvae.vae.director_likelihood import BinghamNatural, BinghamRotation
from mfvae.vae.encoder import CNNEncoder, MLPEncoder, SetEncoder, Sizes
from mfvae.vae.likelihood import Bernoulli, Categorical, Gaussian, Likelihood, Tempered
from mfvae.vae.mixture_prior import N_COMPONENTS, MixturePrior
from mfvae.vae.prior import CouplingPrior, NormalPrior, Prior, SplinePrior

__all__ = ["DECODERS", "ENCODERS", "LIKELIHOODS", "PRIORS", "build_model", "seeded_initialization"]

# Encoders and decoders are called with the model's `Sizes`, priors with ``n_latents`` and
# ``n_conditions``, each with its options by keyword besides; a likelihood with what its
# `settings_from_data` returns.
ENCODERS: dict[str, Callable[..., nn.Module]] = {
    "cnn": CNNEncoder,
    "mlp": MLPEncoder,
    "set": SetEncoder,
}
DECODERS: dict[str, Callable[..., nn.Module]] = {
    "cnn": CNNDecoder,
    "linear": LinearDecoder,
    "mlp": MLPDecoder,
}
PRIORS: dict[str, Callable[..., Prior]] = {
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
REGISTRIES = dict(encoder=ENCODERS, decoder=DECODERS, prior=PRIORS, likelihood=LIKELIHOODS)


class LatentVariableModel(nn.Module):
    """p(z | c) prod_i p(x_i | z) with its encoder q(z | x, c).

    Conditions are handed to the bricks in units of ``condition_location`` and
    ``condition_scale``, their mean and spread over the training data.
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
        self.encoder, self.decoder = encoder, decoder
        self.prior, self.likelihood = prior, likelihood
        self.register_buffer("condition_location", torch.tensor(condition_location))
        self.register_buffer("condition_scale", torch.tensor(condition_scale))

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return self.condition_location.device

    def standardize(self, conditions: np.ndarray) -> Tensor:
        """Return conditions ``(n_samples, n_conditions)`` in the bricks' units."""
        c = torch.from_numpy(conditions).to(self.condition_location)
        return (c - self.condition_location) / self.condition_scale

    def generator(self, seed: int | np.random.SeedSequence, stream: int) -> torch.Generator:
        """Return one of a seed's streams of random numbers, on the device of the weights."""
        (state,) = check_seed(seed).spawn(stream + 1)[stream].generate_state(1, np.uint64)
        return torch.Generator(self.device).manual_seed(int(state) % 2**63)

    def posterior(self, x: Tensor, conditions: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance of q(z | x, c), each ``(n_samples, n_latents)``."""
        return self.encoder(self.likelihood.features(x).to(conditions.dtype), conditions)

    @torch.no_grad()
    def calibrate(self, x: Tensor, conditions: Tensor) -> None:
        """Set the encoder's units and the decoder's bias from the training data."""
        self.decoder.calibrate(self.likelihood.marginal_parameters(x))
        rows = torch.linspace(0, len(x) - 1, min(len(x), 4096), device=x.device).long()
        self.encoder.calibrate(self.likelihood.features(x[rows]), conditions[rows])

    def loss_terms(self, x: Tensor, conditions: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Return -ln p(x|z) and the rate, KL(q(z|x) || p(z|c)), each ``(n_samples,)`` nats.

        z is ``mean + deviation * noise``, noise ``(n_samples, n_latents)`` from Normal(0, 1); x are
        data as the likelihood keeps them. The averages of the two add up to -ELBO.
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


# Parameters that are numbers or words, by what they must be, and those that may be None.
_CHECKS: dict[str, tuple[Callable, dict[str, Any]]] = {
    "n_latents": (check_count, {}),
    "beta": (check_number, {"minimum": 0.0}),
    "n_epochs": (check_count, {}),
    "batch_size": (check_count, {}),
    "learning_rate": (check_number, {"positive": True}),
    "weight_decay": (check_number, {"minimum": 0.0}),
    "momentum": (check_number, {"minimum": 0.0, "maximum": 0.999}),
    "schedule": (check_choice, {"choices": ("one-cycle", "exponential", "constant")}),
    "n_steps": (check_count, {}),
    "polish_steps": (check_count, {"minimum": 0}),
    "patience": (check_count, {}),
    "random_state": (check_count, {"minimum": 0, "maximum": 2**32 - 1}),
}
_OPTIONAL = ("n_epochs", "learning_rate", "patience", "polish_steps")


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    return type(value)(map(_plain, value)) if type(value) in (list, tuple) else value


def check_parameters(parameters: dict[str, Any]) -> dict[str, Any]:
    """Return the estimator's parameters, checked: plain Python numbers, options as dicts."""
    parameters = _plain(parameters)
    checked = {}
    for name, (check, limits) in _CHECKS.items():
        if parameters[name] is not None or name not in _OPTIONAL:
            checked[name] = check(parameters[name], name, **limits)
    for kind, registry in REGISTRIES.items():
        automatic = () if kind == "likelihood" else ("auto",)
        check_choice(parameters[kind], kind, (*automatic, *registry))
    for kind in (*REGISTRIES, "trainer"):
        options = parameters[f"{kind}_options"]
        if options is not None and not isinstance(options, dict):
            raise TypeError(f"{kind}_options must be a dict or None, got {options!r}")
        checked[f"{kind}_options"] = dict(options or {})
    return {**parameters, **checked}


def configure(parameters: dict[str, Any], X: np.ndarray, conditions: np.ndarray) -> dict[str, Any]:
    """Return the plain description from which ``build_model`` makes a model for these data.

    ``parameters`` are what ``check_parameters`` returns, X the training data, conditions
    ``(n_samples, n_conditions)``. TypeError or ValueError if the lattice, an option of the
    likelihood or the data do not fit.
    """
    names = {kind: parameters[kind] for kind in REGISTRIES}
    n_sites, shape = X.shape[1], parameters["lattice_shape"]
    if shape is not None:
        shape = check_lattice_shape(shape, n_sites)
    brick = LIKELIHOODS[names["likelihood"]]
    if names["encoder"] == "auto":
        mirrored = names["decoder"].endswith("cnn")
        flat = names["decoder"] if mirrored else "mlp" if shape is None else "cnn"
        names["encoder"] = "set" if brick.data_ndim == 3 else flat
    if names["decoder"] == "auto":
        straight = names["encoder"] == "set" or (brick is Bernoulli and names["encoder"] == "mlp")
        names["decoder"] = "linear" if straight else names["encoder"]
    if names["prior"] == "auto":
        names["prior"] = "spline" if parameters["n_latents"] == 1 else "mixture"
        if names["prior"] == "mixture":  # with few rows fewer components: 0.04 nats at d = 5
            few = {"n_components": min(N_COMPONENTS, max(8, len(X) // 200))}
            parameters = parameters | {"prior_options": few | parameters["prior_options"]}
    if shape is None and any(names[kind].endswith("cnn") for kind in ("encoder", "decoder")):
        side = round(n_sites**0.5)
        if side * side != n_sites:
            raise ValueError(f"{n_sites} sites are no square: give lattice_shape=(rows, columns)")
        shape = (side, side)
    settings = parameters["likelihood_options"]
    _check_options(brick, settings, "likelihood", names["likelihood"])
    location, spread = conditions.mean(axis=0), conditions.std(axis=0)
    spread[spread <= 1e-12 * np.abs(location)] = 1.0  # constant up to rounding
    return {
        **names,
        **{f"{kind}_options": parameters[f"{kind}_options"] for kind in REGISTRIES},
        "likelihood_options": brick.settings_from_data(X, **settings),
        "n_latents": parameters["n_latents"],
        "n_sites": n_sites,
        "lattice_shape": shape,
        "condition_location": location.tolist(),
        "condition_scale": spread.tolist(),
        "seed": parameters["random_state"],
    }


@contextmanager
def seeded_initialization(seed: int) -> Iterator[None]:
    """Run a block under a torch seed and leave torch's global random state as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def _check_options(brick: Callable, options: dict[str, Any], kind: str, name: str) -> None:
    signature = inspect.signature(brick).parameters.values()
    named, told = ("POSITIONAL_OR_KEYWORD", "KEYWORD_ONLY"), ("sizes", "n_latents", "n_conditions")
    known = sorted(p.name for p in signature if p.kind.name in named and p.name not in told)
    for option in options.keys() - set(known):
        raise ValueError(
            f"the {kind} {name!r} does not know the option {option!r}; its options are {known}"
        )


def build_model(configuration: dict[str, Any]) -> LatentVariableModel:
    """Return the untrained model of what ``configure`` returns; ValueError on unknown options.

    The same description gives the same initial weights.
    """
    location, scale = configuration["condition_location"], configuration["condition_scale"]
    bricks = []
    with seeded_initialization(configuration["seed"]):
        brick = LIKELIHOODS[configuration["likelihood"]]
        likelihood = brick(**configuration["likelihood_options"])
        n_latents, n_sites = configuration["n_latents"], configuration["n_sites"]
        n_conditions, shape = len(location), configuration["lattice_shape"]
        numbers = likelihood.n_features, likelihood.n_parameters
        sizes = Sizes(n_latents, n_sites, n_conditions, *numbers, shape)
        for kind in ("encoder", "decoder", "prior"):
            name, options = configuration[kind], configuration[f"{kind}_options"]
            brick = REGISTRIES[kind][name]
            _check_options(brick, options, kind, name)
            told = (sizes,) if kind != "prior" else (n_latents, n_conditions)
            bricks.append(brick(*told, **options))
    return LatentVariableModel(*bricks, likelihood, location, scale)
