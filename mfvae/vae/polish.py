"""The last steps of a training: up the importance-weighted bound instead of the ELBO."""

import copy
import math
from typing import Any

import torch
from torch import Tensor

from mfvae.vae.evidence import bound, log_weights
from mfvae.vae.model import LatentVariableModel

__all__ = ["polish"]

N_IMPORTANCE = 16
N_LOOKS = 10


def polish(
    model: LatentVariableModel,
    training: tuple[Tensor, Tensor],
    validation: tuple[Tensor, Tensor],
    options: dict[str, Any],
) -> None:
    """Climb the bound of sixteen latents in place, and keep the best of ten looks at validation.

    The ELBO's optimum trades likelihood for a posterior that is Gaussian, which draws couplings
    towards zero; this bound (Burda, Grosse & Salakhutdinov 2016) hardly does. ``options`` are
    `MeanFieldVAE`'s: as many steps as ``polish_steps``, at a fifth of the learning rate falling to
    nothing. The model stays as it was if all looks are worse by more than two standard errors.
    """
    n_steps, rate = options["polish_steps"], options["learning_rate"] / 5
    fused, decay = {"fused": True} if model.device.type == "cpu" else {}, options["weight_decay"]
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=decay, **fused)
    noise, seed = model.generator(options["random_state"], 4), options["random_state"]
    held, looks = tuple(part[:2000] for part in validation), []
    for step in range(n_steps + 1):
        if step % max(1, n_steps // N_LOOKS) == 0 or step == n_steps:
            same = model.generator(seed, 5)  # latents for every look
            values = bound(model, *held, N_IMPORTANCE, same, method="iwae")
            looks.append((values, copy.deepcopy(model.state_dict())))
        for group in optimizer.param_groups:
            group["lr"] = max(rate * (1 + math.cos(math.pi * step / n_steps)) / 2, rate * 1e-3)
        n, device = options["batch_size"], model.device
        rows = torch.randint(len(training[0]), (n,), generator=noise, device=device)
        weights = log_weights(model, *(part[rows] for part in training), N_IMPORTANCE, noise)
        optimizer.zero_grad(set_to_none=True)
        (-torch.logsumexp(weights, dim=0).mean()).backward()
        optimizer.step()
    start, best = looks[0], max(looks[1:], key=lambda look: float(look[0].nan_to_num(-1e9).mean()))
    gain = best[0] - start[0]
    worse = not float(gain.mean()) > -2 * float(gain.std(correction=0)) / len(gain) ** 0.5
    model.load_state_dict((start if worse else best)[1])
