"""Evidence: configurations scored a second by ELBO, importance weighting and quadrature.

Run as ``python benchmarks/bench_evidence.py``. The model is that of the Curie-Weiss chapter, with
256 spins; throughput does not depend on how well it is trained. Where both apply, the
importance-weighted bound is held against the quadrature, whose error is 1e-4 nats.
"""

from __future__ import annotations

import os
import statistics
import time

import numpy as np
import torch

import mfvae
from mfvae.systems import CurieWeiss

N_SITES, TEMPERATURE, N_ROUNDS = 256, 0.9, 3


def seconds_of(vae: mfvae.MeanFieldVAE, x: np.ndarray, **options) -> tuple[float, np.ndarray]:
    """Return the median time of scoring ``x`` and the scores, nats."""
    vae.score_samples(x[:8], **options)
    seconds = []
    for _ in range(N_ROUNDS):
        start = time.perf_counter()
        scores = vae.score_samples(x, seed=0, **options)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds), scores


def main() -> None:
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads", end=" ")
    print(f"on {os.cpu_count()} cores; N = {N_SITES}")
    x = CurieWeiss(N_SITES).sample(TEMPERATURE, 4000, seed=0)
    for n_latents in (1, 2, 8, 32):
        vae = mfvae.MeanFieldVAE(
            n_latents, encoder="cnn", prior="spline", n_epochs=2, device="cpu", progress=False
        ).fit(x)
        exact = None
        if n_latents <= 2:
            rows = x[: 2000 if n_latents == 1 else 100]
            seconds, exact = seconds_of(vae, rows, method="quadrature")
            print(f"d = {n_latents:2d} quadrature, {len(rows):4d} rows:", end=" ")
            print(f"{len(rows) / seconds:10.0f} configurations/s")
        for method, n_importance in (("elbo", 1), ("iwae", 64), ("iwae", 256)):
            rows = x[: 4096 // n_importance * 4]
            options = {"method": method, "n_importance": n_importance}
            seconds, scores = seconds_of(vae, rows, **options)
            rate = len(rows) / seconds
            print(f"d = {n_latents:2d} {method:4s} k = {n_importance:3d}: {rate:10.0f}", end=" ")
            print(f"configurations/s, {rate * n_importance:10.0f} latents/s", end="")
            if exact is not None and method == "iwae":
                n = min(len(rows), len(exact))
                short = float(np.mean(exact[:n] - scores[:n]))
                print(f", {short:.4f} nats below the quadrature", end="")
            print()


if __name__ == "__main__":
    main()
