"""From latents to the order tensor of directors: by a small network, and in closed form.

The order tensor is ``q = Σ_i (n_i n_iᵀ - 1/3)/N``, five components in an orthonormal basis of
the symmetric traceless matrices. A trained latent is the Hubbard-Stratonovich tensor only up
to a smooth invertible map: rotations, scales and bends of the latent leave the model as it was
(frame freedom), so the tensor is read off by regression. Where the decoder is linear in the
natural parameters of the Bingham law, the frame is in its weights: the site average of the
natural matrix is a·A with a = 3/2T, A the field, and ``E[A | n] = q`` exactly (Maier-Saupe).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import Ridge
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

from mfvae._validation import (
    check_choice,
    check_directors,
    check_finite_array,
    check_seed,
    check_temperatures,
)
from mfvae.systems._tensors import to_components
from mfvae.vae.decoder import LinearDecoder
from mfvae.vae.director_likelihood import BinghamNatural
from mfvae.vae.estimator import MeanFieldVAE

__all__ = [
    "TensorRegression",
    "mean_order_tensor",
    "regress_order_tensor",
    "regress_tensor",
    "tensor_from_latent",
]


@dataclass(frozen=True)
class TensorRegression:
    """The map from latent to tensor, and how well it does on held-out configurations.

    Attributes:
        r2 (ndarray, float64 (n_components,)): ``1 - Σ(t - t̂)²/Σ(t - t̄)²`` of every component,
            pooled over conditions.
        r2_by_condition (dict of float to ndarray): The same within each value of the first
            condition; empty without conditions.
        predicted (ndarray, float64 (n_test, n_components)): Tensors predicted for the held-out
            configurations.
        model (estimator or None): The fitted scikit-learn pipeline; None for the closed form.
    """

    r2: np.ndarray
    r2_by_condition: dict[float, np.ndarray]
    predicted: np.ndarray = field(repr=False)
    model: Any = field(default=None, repr=False)


def mean_order_tensor(X: np.ndarray) -> np.ndarray:
    """Return ``Σ_i (n_i n_iᵀ - 1/3)/N`` of every configuration, five components.

    Args:
        X (array_like, shape (n_samples, n_sites, 3)): Directors, unit vectors.

    Returns:
        ndarray, float64 (n_samples, 5): Components in an orthonormal basis: their squares add up to
            the squared Frobenius norm.

    Raises:
        TypeError, ValueError: If ``X`` does not hold unit vectors.

    >>> mean_order_tensor(np.tile([0.0, 0.0, 1.0], (1, 4, 1))).round(4).tolist()
    [[0.8165, 0.0, 0.0, 0.0, 0.0]]
    """
    n = check_directors(X, "X", ndim=3).astype(np.float64)
    return to_components(np.einsum("sia,sib->sab", n, n, optimize=True) / n.shape[1])


def regress_tensor(
    latents: np.ndarray,
    tensors: np.ndarray,
    test: tuple[np.ndarray, np.ndarray],
    *,
    test_conditions: np.ndarray | None = None,
    method: str = "network",
    width: int = 64,
    seed: int | np.random.SeedSequence = 0,
) -> TensorRegression:
    """Fit tensors as a function of latents and measure R² on held-out pairs.

    Args:
        latents (array_like, shape (n_train, n_latents)): Inputs.
        tensors (array_like, shape (n_train, n_components)): Targets.
        test ((latents, tensors)): Held-out pairs, same columns.
        test_conditions (array_like, shape (n_test,) or (n_test, n_conditions), or None): Conditions
            of the held-out pairs, the first of which groups ``r2_by_condition``.
        method ({"network", "ridge"}): Two hidden layers of tanh, Adam, stopped early on a tenth
            held out; or a linear map.
        width (int): Units in each hidden layer.
        seed (int or numpy.random.SeedSequence): Of the network's initial weights.

    Returns:
        TensorRegression

    Raises:
        TypeError, ValueError: For arrays that do not fit together.

    >>> z = np.random.default_rng(0).standard_normal((400, 5))
    >>> regress_tensor(z[:300], 2 * z[:300], (z[300:], 2 * z[300:]), method="ridge").r2.round(3)
    array([1., 1., 1., 1., 1.])
    """
    z = check_finite_array(latents, "latents", ndim=2)
    t = check_finite_array(tensors, "tensors", ndim=2)
    if not isinstance(test, (tuple, list)) or len(test) != 2:
        raise ValueError("test must be a pair (latents, tensors)")
    z_test = check_finite_array(test[0], "test latents", ndim=2)
    t_test = check_finite_array(test[1], "test tensors", ndim=2)
    if len(z) != len(t) or len(z_test) != len(t_test):
        raise ValueError(
            f"latents and tensors must have one row a configuration, got {len(z)} and {len(t)}, "
            f"test {len(z_test)} and {len(t_test)}"
        )
    if z.shape[1] != z_test.shape[1] or t.shape[1] != t_test.shape[1]:
        raise ValueError("training and test pairs must have the same columns")
    check_choice(method, "method", ("network", "ridge"))
    if method == "ridge":
        regressor: Any = Ridge(alpha=1e-6)
    else:
        state = int(check_seed(seed).generate_state(1)[0])
        regressor = MLPRegressor(
            hidden_layer_sizes=(width, width), activation="tanh", alpha=1e-5, batch_size=256,
            early_stopping=True, max_iter=500, learning_rate_init=3e-3, random_state=state,
        )  # fmt: skip
    location, scale = t.mean(axis=0), np.maximum(t.std(axis=0), 1e-12)
    model = make_pipeline(StandardScaler(), regressor).fit(z, (t - location) / scale)
    predicted = location + scale * model.predict(z_test).reshape(t_test.shape)
    return _scored(t_test, predicted, test_conditions, model)


def regress_order_tensor(
    vae: MeanFieldVAE,
    X: np.ndarray,
    conditions: np.ndarray | None = None,
    *,
    test: tuple | float = 0.2,
    method: str = "network",
    seed: int | np.random.SeedSequence = 0,
) -> TensorRegression:
    """Read the order tensor off the latents of a trained VAE; R² on held-out configurations.

    Args:
        vae (MeanFieldVAE): Trained on directors.
        X, conditions (array_like): Configurations ``(n_samples, n_sites, 3)`` and conditions, the
            temperature first.
        test (float or (X, conditions)): Fraction held out at random, or held-out configurations.
        method ({"network", "ridge", "closed-form"}): See `regress_tensor` and `tensor_from_latent`;
            the closed form fits nothing.
        seed (int or numpy.random.SeedSequence): Source of the split and of the network's weights.

    Returns:
        TensorRegression

    Raises:
        TypeError, ValueError: For bad arguments, or the closed form of a decoder that has none.
        sklearn.exceptions.NotFittedError: If ``vae`` is not trained.
    """
    check_choice(method, "method", ("network", "ridge", "closed-form"))
    split_seed, network_seed = check_seed(seed).spawn(2)
    z, t = vae.transform(X, conditions), mean_order_tensor(X)
    c = None if conditions is None else np.asarray(conditions, dtype=float).reshape(len(t), -1)
    if isinstance(test, (tuple, list)):
        z_test, t_test = vae.transform(*test), mean_order_tensor(test[0])
        c_test = None if test[1] is None else np.asarray(test[1], float).reshape(len(t_test), -1)
    else:
        if not 0 < test < 1 or not 1 <= int(test * len(t)) < len(t):
            raise ValueError(f"test must leave rows on both sides, got {test} of {len(t)} rows")
        order = np.random.default_rng(split_seed).permutation(len(t))
        held, kept = np.split(order, [int(test * len(t))])
        z_test, t_test, c_test = z[held], t[held], None if c is None else c[held]
        z, t = z[kept], t[kept]
    if method == "closed-form":
        if c_test is None:
            raise ValueError("the closed form needs the temperature as first condition")
        return _scored(t_test, tensor_from_latent(vae, z_test, c_test[:, 0]), c_test, None)
    return regress_tensor(
        z, t, (z_test, t_test), test_conditions=c_test, method=method, seed=network_seed
    )


def tensor_from_latent(vae: MeanFieldVAE, z: np.ndarray, temperature: Any) -> np.ndarray:
    """Return the Hubbard-Stratonovich tensor of latents, from the decoder's weights alone.

    The site average of the natural parameters is ``(3/2T) A``. At the posterior mean of z,
    A estimates the order tensor, ``E[A | n] = Σ_i (n_i n_iᵀ - 1/3)/N``.

    Args:
        vae (MeanFieldVAE): Trained on directors with ``likelihood="bingham"`` and a linear decoder.
        z (array_like, shape (n_samples, n_latents)): Latents.
        temperature (float or array_like, shape (n_samples,)): Temperature of each, units of J/k_B.

    Returns:
        ndarray, float64 (n_samples, 5): Components of A in the basis of `mean_order_tensor`.

    Raises:
        TypeError, ValueError: For another likelihood or decoder, or bad latents or temperatures.
        sklearn.exceptions.NotFittedError: If ``vae`` is not trained.
    """
    if not isinstance(vae, MeanFieldVAE):
        raise TypeError(f"vae must be a MeanFieldVAE, got {type(vae).__name__}")
    check_is_fitted(vae, "module_")
    decoder, likelihood = vae.module_.decoder, vae.module_.likelihood
    if type(likelihood) is not BinghamNatural or not isinstance(decoder, LinearDecoder):
        raise ValueError('the closed form needs likelihood="bingham" and decoder="linear"')
    latents = vae.latents_as_tensor(z)
    temperatures, _ = check_temperatures(temperature)
    if len(temperatures) not in (1, len(latents)):
        raise ValueError(f"temperature must be one, or one a latent, got {len(temperatures)}")
    with torch.no_grad():
        natural = likelihood.natural(decoder(latents)).mean(dim=1)
    return natural.double().cpu().numpy() * (2 * temperatures[:, None] / 3)


def _scored(
    target: np.ndarray, predicted: np.ndarray, conditions: np.ndarray | None, model: Any
) -> TensorRegression:
    by_condition = {}
    if conditions is not None:
        first = check_finite_array(conditions, "test_conditions").reshape(len(target), -1)[:, 0]
        for value in np.unique(first):
            rows = first == value
            by_condition[float(value)] = _r2(target[rows], predicted[rows])
    return TensorRegression(_r2(target, predicted), by_condition, predicted, model)


def _r2(target: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    total = np.sum((target - target.mean(axis=0)) ** 2, axis=0)
    return 1 - np.sum((target - predicted) ** 2, axis=0) / np.maximum(total, 1e-300)
