"""The prior alone, trained on: its steps never touch a site, so that many can be afforded."""

from __future__ import annotations

import numpy as np
import torch

from mfvae._validation import check_count, check_number
from mfvae.vae.estimator import MeanFieldVAE

__all__ = ["refit_prior"]


def refit_prior(
    vae: MeanFieldVAE,
    X: np.ndarray,
    conditions: np.ndarray | None = None,
    *,
    n_steps: int,
    batch_size: int = 256,
    learning_rate: float = 1e-2,
    seed: int | np.random.SeedSequence = 0,
) -> MeanFieldVAE:
    """Go on training the prior of a trained model, encoder and decoder held fixed.

    Of the loss only ``-E_q[ln p(z | c)]`` depends on the prior, an average over draws
    ``z ~ q(z | x, c)``: density estimation in ``n_latents`` dimensions, whatever the number of
    sites. Its least value is reached where the prior is the aggregate posterior (Tomczak &
    Welling 2018, section 2), and every nat gained is a nat of the evidence lower bound. AdamW
    with a one-cycle schedule.

    Args:
        vae (MeanFieldVAE): Trained; its prior is changed in place. A prior without weights raises.
        X (array_like, shape (n_samples, n_sites, …)): Configurations, best fresh ones in large
            number.
        conditions (array_like, shape (n_samples,) or (n_samples, n_conditions), or None): As in
            ``fit``.
        n_steps, batch_size (int): Steps, and latents drawn for each.
        learning_rate (float): Largest of the schedule.
        seed (int or numpy.random.SeedSequence): Source of the rows and of the noise.

    Returns:
        MeanFieldVAE: ``vae``.

    Raises:
        TypeError, ValueError: For bad data or counts, a prior without weights, or a loss that is
            not finite.
        sklearn.exceptions.NotFittedError: If ``vae`` is not trained.

    >>> from mfvae.systems import CurieWeiss
    >>> x = CurieWeiss(16).sample(0.8, 500, seed=0)
    >>> vae = MeanFieldVAE(1, encoder="set", decoder="linear", n_epochs=1, progress=False).fit(x)
    >>> before = vae.score_samples(x, method="elbo", seed=1).mean()
    >>> after = refit_prior(vae, x, n_steps=200).score_samples(x, method="elbo", seed=1).mean()
    >>> bool(after > before)
    True
    """
    if not isinstance(vae, MeanFieldVAE):
        raise TypeError(f"vae must be a MeanFieldVAE, got {type(vae).__name__}")
    check_count(n_steps, "n_steps", minimum=2)
    check_count(batch_size, "batch_size")
    check_number(learning_rate, "learning_rate", positive=True)
    mean, deviation = (torch.from_numpy(part) for part in vae.encode(X, conditions))
    network = vae.module_
    prior, device = network.prior, network.device
    weights = list(prior.parameters())
    if not weights:
        raise ValueError(f"{type(prior).__name__} has no weights to train")
    c = vae.as_tensors(X, conditions)[1].to(device)
    mean, deviation = mean.to(device), deviation.to(device)
    generator = vae._generator(seed, 2)
    optimizer = torch.optim.AdamW(weights, lr=learning_rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, learning_rate, total_steps=n_steps, pct_start=max(0.2, 1.5 / n_steps)
    )
    prior.train()
    for _ in range(n_steps):
        rows = torch.randint(len(mean), (batch_size,), generator=generator, device=device)
        noise = torch.randn(batch_size, mean.shape[1], generator=generator, device=device)
        loss = -prior.log_prob(mean[rows] + deviation[rows] * noise, c[rows]).mean()
        if not torch.isfinite(loss):
            raise ValueError("training diverged: the loss is not finite; lower learning_rate")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    network.eval()
    return vae
