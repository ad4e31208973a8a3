"""A short training loop for the ladder's many small models: the estimator's module, no Lightning.

For networks this small Lightning's bookkeeping takes as long as the steps themselves. The loss,
the schedule and what is kept (the best of some twenty looks at the validation words) are those of
`MeanFieldVAE.fit`; the last steps climb the importance-weighted bound instead of the ELBO, which
takes the ELBO's bias out of the couplings (Burda, Grosse & Salakhutdinov 2016).
"""

from __future__ import annotations

import copy
import math
import time
from typing import Any

import numpy as np
import torch

from mfvae.vae.estimator import MeanFieldVAE
from mfvae.vae.evidence import log_weights
from mfvae.vae.model import build_model, check_parameters, configure

__all__ = ["train_quickly"]

_N_LOOKS = 20


def train_quickly(
    X: np.ndarray,
    validation: np.ndarray,
    *,
    n_steps: int,
    polish_steps: int = 0,
    n_importance: int = 16,
    start: MeanFieldVAE | None = None,
    **parameters: Any,
) -> MeanFieldVAE:
    """Return a `MeanFieldVAE` with these parameters trained on words 0/1, uint8 (n, n_cells).

    Args:
        X, validation: Words to train on, and to choose the best look by.
        n_steps, polish_steps: Steps on the ELBO (one cycle), then on the importance-weighted bound.
        n_importance: Latents a word in the polish, on a quarter of the batch.
        start: A trained model of the same shape, whose weights are the first.
        parameters: Of `MeanFieldVAE`.
    """
    started = time.perf_counter()
    vae = MeanFieldVAE(**parameters)
    given = check_parameters(vae.get_params())
    none = np.zeros((len(X), 0))
    vae.configuration_ = configure(given, X, none)
    vae.module_ = model = build_model(vae.configuration_)
    vae.n_features_in_ = X.shape[1]
    x, c = vae.as_tensors(X, None)
    held, c_held = vae.as_tensors(validation, None)
    model.calibrate(x, c)
    if start is not None:
        model.load_state_dict(start.module_.state_dict())
    weights, rate, size = list(model.parameters()), given["learning_rate"], given["batch_size"]
    fused = {"fused": True} if model.device.type == "cpu" else {}
    optimizer = torch.optim.AdamW(weights, lr=rate, weight_decay=given["weight_decay"], **fused)
    rows, noise, looks = (model.generator(given["random_state"], stream) for stream in (3, 4, 5))
    best, kept, history = math.inf, None, []
    every = max(1, (n_steps + polish_steps) // _N_LOOKS)
    order = torch.randperm(len(x), generator=rows)
    for step in range(n_steps + polish_steps):
        polish = step >= n_steps
        done = (step - n_steps) / polish_steps if polish else step / n_steps
        peak = rate / 5 if polish else rate
        now = peak * (min(1.0, done / 0.2) if done < 0.2 and not polish else _cosine(done, polish))
        for group in optimizer.param_groups:
            group["lr"] = max(now, peak * 1e-3)
        n = max(16, size // 4) if polish else size
        if len(order) < n:
            order = torch.randperm(len(x), generator=rows)
        some, order = order[:n], order[n:]
        if polish:
            terms = log_weights(model, x[some], c[some], n_importance, noise)
            loss = math.log(n_importance) - torch.logsumexp(terms, dim=0).mean()
        else:
            draw = torch.randn(len(some), given["n_latents"], generator=noise)
            loss = torch.add(*model.loss_terms(x[some], c[some], draw)).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if (step + 1) % every == 0 or step + 1 == n_steps + polish_steps:
            with torch.no_grad():
                looks.manual_seed(1)
                terms = log_weights(model, held[:2000], c_held[:2000], 16, looks)
                value = float(math.log(16) - torch.logsumexp(terms, dim=0).mean())
            history.append(value)
            if value < best:
                best, kept = value, copy.deepcopy(model.state_dict())
    if kept is None:
        raise ValueError("training diverged: the loss is not finite; lower learning_rate")
    model.load_state_dict(kept)
    model.eval()
    vae.history_ = {"validation_loss": history}
    vae.training_seconds_ = time.perf_counter() - started
    return vae


def _cosine(done: float, polish: bool) -> float:
    start = 0.0 if polish else 0.2
    return (1 + math.cos(math.pi * (done - start) / (1 - start))) / 2
