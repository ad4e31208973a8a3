"""Training: a step against a bare PyTorch loop, overheads, priors, sizes, time to a gap.

Run as ``python benchmarks/bench_training.py``, or with ``--only step`` for one of the questions:

- ``step``: an epoch of ``MeanFieldVAE.fit`` and of a hand-written loop over the same networks,
  batches, optimiser and schedule, alternating in one process; the ratio of medians should be at
  most 1.15.
- ``overhead``: what ``fit`` costs besides its epochs, on the first call of a process and later.
- ``prior``: a training step with each prior, and with a normal prior as the baseline.
- ``scaling``: a training step against the number of sites and the size of the batch.
- ``gap``: seconds of training until the gap is at most 0.2 nats at eleven temperatures, Curie-Weiss
  with 256 spins.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time

import numpy as np
import torch

import mfvae
from mfvae.systems import CurieWeiss
from mfvae.vae.model import build_model

TEMPERATURES = np.linspace(0.5, 1.5, 11)
TARGET_RATIO, TARGET_GAP = 1.15, 0.2
OPTIONS = {"encoder": "cnn", "decoder": "cnn", "device": "cpu", "progress": False}


def data(n_sites: int, n_samples: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return configurations ``(n_samples, n_sites)`` at mixed temperatures, and these."""
    n_each = -(-n_samples // len(TEMPERATURES))
    x = CurieWeiss(n_sites).sample(TEMPERATURES, n_each, seed=seed).reshape(-1, n_sites)
    order = np.random.default_rng(seed).permutation(len(x))[:n_samples]
    return x[order], np.repeat(TEMPERATURES, n_each)[order]


def fit_epoch(x: np.ndarray, temperature: np.ndarray, n_epochs: int, **options) -> list[float]:
    """Return the seconds of each epoch of ``fit``, without validation."""
    vae = mfvae.MeanFieldVAE(n_epochs=n_epochs, **OPTIONS, **options)
    few = (x[:2], temperature[:2])
    return vae.fit(x, conditions=temperature, validation=few).history_["seconds"]


def bare_epoch(configuration: dict, x: np.ndarray, temperature: np.ndarray, n_epochs: int):
    """Return the seconds of each epoch of a loop as one would write it in PyTorch."""
    model = build_model(configuration)
    batch, rate = 256, 3e-3
    x = torch.from_numpy((x > 0).astype(np.float32))
    c = torch.from_numpy((temperature - temperature.mean()) / temperature.std()).float()[:, None]
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=1e-4)
    n_batches = -(-len(x) // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, rate, total_steps=n_epochs * n_batches, pct_start=0.2
    )
    seconds = []
    for _ in range(n_epochs):
        start = time.perf_counter()
        for rows in torch.randperm(len(x)).split(batch):
            spins, conditions = x[rows], c[rows]
            features = (2 * spins - 1)[:, None]
            mean, log_variance = model.encoder(features, conditions)
            noise = torch.randn_like(mean)
            z = mean + torch.exp(log_variance / 2) * noise
            log_q = -(noise**2 + log_variance + np.log(2 * np.pi)).sum(dim=1) / 2
            logits = model.decoder(z)[..., 0]
            distortion = torch.nn.functional.binary_cross_entropy_with_logits(
                logits, spins, reduction="none"
            ).sum(dim=1)
            loss = (distortion + log_q - model.prior.log_prob(z, conditions)).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        seconds.append(time.perf_counter() - start)
    return seconds


def bench_step(n_rounds: int = 5) -> None:
    x, temperature = data(256, 256 * 40)
    vae = mfvae.MeanFieldVAE(n_epochs=1, **OPTIONS).fit(x[:512], conditions=temperature[:512])
    configuration = vae.configuration_
    ours, bare = [], []
    for _ in range(n_rounds):
        ours += fit_epoch(x, temperature, 3)[1:]
        bare += bare_epoch(configuration, x, temperature, 3)[1:]
    ratio = statistics.median(ours) / statistics.median(bare)
    step = [1e3 * statistics.median(seconds) / 40 for seconds in (ours, bare)]
    print(f"step, N = 256, batch 256: fit {step[0]:.2f} ms, bare loop {step[1]:.2f} ms,", end=" ")
    print(f"ratio {ratio:.3f} (target {TARGET_RATIO}; {2 * n_rounds} epochs each, alternating)")


def measure_overhead() -> None:
    """Print import, first and later overhead of ``fit`` in seconds; run in a fresh process."""
    x, temperature = data(256, 2560)
    found = []
    for _ in range(3):
        start = time.perf_counter()
        epochs = fit_epoch(x, temperature, 2)
        found.append(time.perf_counter() - start - 2 * epochs[-1])
    print(f"overhead of fit: first call {found[0]:.2f} s, later {min(found[1:]):.3f} s")


def bench_overhead() -> None:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import mfvae; mfvae.MeanFieldVAE"], check=True)
    print(f"a process that imports MeanFieldVAE: {time.perf_counter() - start:.2f} s")
    subprocess.run([sys.executable, __file__, "--only", "measure-overhead"], check=True)


def bench_prior() -> None:
    x, temperature = data(256, 256 * 20)
    for n_latents in (1, 8):
        steps = {}
        for prior in ("normal", "spline", "mixture", "coupling"):
            if (prior, n_latents) == ("coupling", 1):
                continue
            seconds = fit_epoch(x, temperature, 3, n_latents=n_latents, prior=prior)
            steps[prior] = 1e3 * min(seconds) / 20
        base = steps["normal"]
        cells = [f"{p} {s:.2f} ms ({s / base:.2f} x)" for p, s in steps.items()]
        print(f"prior, d = {n_latents}: {', '.join(cells)}")


def bench_scaling() -> None:
    for n_sites in (64, 256, 1024, 4096):
        x, temperature = data(n_sites, 256 * 8)
        step = min(fit_epoch(x, temperature, 3)) / 8
        each = 1e6 * step / 256
        print(f"N = {n_sites:5d}, batch 256: {1e3 * step:8.2f} ms a step,", end=" ")
        print(f"{each:8.1f} µs a configuration, {1e3 * each / n_sites:6.1f} ns a spin")
    x, temperature = data(256, 4096)
    for batch_size in (64, 256, 1024, 4096):
        step = min(fit_epoch(x, temperature, 3, batch_size=batch_size)) / (4096 // batch_size)
        each = 1e6 * step / batch_size
        print(f"N =   256, batch {batch_size:4d}: {1e3 * step:7.2f} ms a step,", end=" ")
        print(f"{each:8.1f} µs a configuration")


def bench_gap() -> None:
    x, temperature = data(256, 44_000)
    for n_epochs in (2, 4, 8, 16):
        vae = mfvae.MeanFieldVAE(n_epochs=n_epochs, **OPTIONS)
        vae.fit(x, conditions=temperature, validation=0.05)
        gaps = mfvae.measure.exact_gap(
            vae, CurieWeiss(256), TEMPERATURES, 512, seed=1, n_importance=16
        )
        worst = max(gaps)
        print(f"{n_epochs:2d} epochs, {vae.training_seconds_:6.1f} s: largest gap {worst} nats")
        if worst <= TARGET_GAP:
            break


QUESTIONS = {
    "step": bench_step,
    "overhead": bench_overhead,
    "prior": bench_prior,
    "scaling": bench_scaling,
    "gap": bench_gap,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=(*QUESTIONS, "measure-overhead"))
    only = parser.parse_args().only
    if only == "measure-overhead":
        measure_overhead()
        return
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads", end=" ")
    print(f"on {os.cpu_count()} cores")
    for name, bench in QUESTIONS.items():
        if only in (None, name):
            bench()


if __name__ == "__main__":
    main()
