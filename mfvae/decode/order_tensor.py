"""From latents to the order tensor of directors: by a small network, a line, or in closed form.

The order tensor is ``q = Σ_i (n_i n_iᵀ - 1/3)/N``. A trained latent is the Hubbard-Stratonovich
tensor only up to a smooth invertible map (frame freedom), so the tensor is read off by regression.
Where the decoder is linear in the natural parameters of the Bingham law, the frame is in its
weights: the site average of the natural matrix is a·A with a = 3/2T, A the field, and
``E[A | n] = q`` exactly (Maier-Saupe).
"""

from typing import Any

import numpy as np
from sklearn.linear_model import Ridge
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mfvae._validation import check_choice, check_conditions, check_seed, check_trained
from mfvae.systems import MaierSaupe, to_components
from mfvae.vae.estimator import MeanFieldVAE

__all__ = ["regress_order_tensor"]


def regress_order_tensor(
    vae: MeanFieldVAE,
    X: np.ndarray,
    conditions: np.ndarray | None = None,
    *,
    test: tuple[np.ndarray, np.ndarray | None],
    method: str = "network",
    seed: int | np.random.SeedSequence = 0,
) -> np.ndarray:
    """Return order tensors of held-out configurations read off their latents, (n_test, 5) float64.

    Compare with ``to_components(MaierSaupe(n_sites).tensor(test[0]))``, in whose basis they are.

    Args:
        vae: Trained on directors.
        X, conditions: Configurations ``(n_samples, n_sites, 3)`` from which the map is learned, and
            their conditions, the temperature first.
        test: Held-out configurations and conditions of the same kind.
        method: "network": two hidden layers of 64 tanh units, Adam, stopped early on a tenth held
            out; "ridge": a linear map; "closed-form": from the decoder's weights, nothing fitted,
            for ``likelihood="bingham"``, a linear decoder and temperatures (else ValueError).
        seed: Source of the network's initial weights and of its split.
    """
    check_choice(method, "method", ("network", "ridge", "closed-form"))
    kinds = [check_trained(vae).configuration_[kind] for kind in ("likelihood", "decoder")]
    if not isinstance(test, (list, tuple)) or len(test) != 2:
        raise TypeError(f"test must be a pair (X, conditions), got {test!r}")
    z_test, conditions_test = vae.transform(*test), test[1]
    if method == "closed-form":
        if kinds != ["bingham", "linear"] or not vae.n_conditions_:
            raise ValueError('the closed form needs "bingham", a linear decoder and temperatures')
        temperature = check_conditions(conditions_test, len(z_test))[:, :1]
        return vae.decode(z_test).mean(axis=1, dtype=np.float64) * (2 * temperature / 3)
    regressor: Any = Ridge(alpha=1e-6)
    if method == "network":
        # The second child: the first one is free for a split of the caller's.
        state = int(check_seed(seed).spawn(2)[1].generate_state(1)[0])
        regressor = MLPRegressor(
            hidden_layer_sizes=(64, 64), activation="tanh", alpha=1e-5, batch_size=256,
            early_stopping=True, max_iter=500, learning_rate_init=3e-3, random_state=state,
        )  # fmt: skip
    z = vae.transform(X, conditions).astype(np.float64)
    tensors = to_components(MaierSaupe(vae.n_features_in_).tensor(X))
    location, scale = tensors.mean(axis=0), np.maximum(tensors.std(axis=0), 1e-12)
    model = make_pipeline(StandardScaler(), regressor).fit(z, (tensors - location) / scale)
    return location + scale * model.predict(z_test.astype(np.float64))
