"""Decoding patterns: time and bits of every step against N and P, unmixing on its own.

Run as ``python benchmarks/bench_decode.py [--sites 128 256] [--vae]``. For every size N and load
P/N: samples of one temperature, the leading eigenvectors of their correlations or of
pseudo-likelihood couplings or the Jacobian of a trained linear decoder, unmixed by FastICA and as
signs, then polished on the samples. All contestants see the same samples. Times are wall-clock
seconds, one run.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from mfvae import MeanFieldVAE
from mfvae.decode import (
    align_patterns,
    correlation_spectrum,
    estimate_n_patterns,
    polish_patterns,
    pseudo_likelihood_couplings,
    recover_patterns,
    unmix,
)
from mfvae.systems import Hopfield


def timed(function, *arguments, **options):
    """Return the result and the seconds it took."""
    started = time.perf_counter()
    result = function(*arguments, **options)
    return result, time.perf_counter() - started


def unmixing_alone(n_sites: int, loads: list[float]) -> None:
    """Print seconds of unmixing a planted mixture with two percent of noise."""
    print(f"\nunmixing alone, N = {n_sites}, noise 0.02\n   P  method   seconds  bit accuracy")
    rng = np.random.default_rng(0)
    for load in loads:
        n_patterns = max(1, round(load * n_sites))
        patterns = rng.choice(np.array([-1, 1], np.int8), (n_sites, n_patterns))
        mixed = patterns @ np.linalg.qr(rng.standard_normal((n_patterns, n_patterns)))[0]
        mixed = mixed + np.sqrt(0.02) * rng.standard_normal(mixed.shape)
        for method in ("binary", "ica"):
            found, seconds = timed(unmix, mixed, method=method)
            accuracy = align_patterns(found, patterns).bit_accuracy
            print(f"{n_patterns:4d}  {method:7s} {seconds:8.2f}  {accuracy:.5f}", flush=True)


def from_samples(
    n_sites: int, load: float, temperature: float, n_samples: int, n_epochs: int, with_vae: bool
) -> None:
    """Print accuracy, judgement and seconds of every way from samples to patterns."""
    n_patterns = max(1, round(load * n_sites))
    system = Hopfield.random(n_sites, n_patterns, seed=n_patterns)
    x, seconds = timed(system.sample, temperature, n_samples, seed=1)
    estimated = estimate_n_patterns(x)
    print(
        f"\nN = {n_sites}, P = {n_patterns} (estimated {estimated}), T = {temperature}, "
        f"{n_samples} samples in {seconds:.1f} s\n"
        "span         method   seconds  accuracy  polished  largest residual  reliable"
    )
    spans = {"covariance": lambda: correlation_spectrum(x)[1][:, :n_patterns]}
    spans["couplings"] = lambda: np.linalg.eigh(pseudo_likelihood_couplings(x))[1][:, -n_patterns:]
    for name, span in spans.items():
        subspace, seconds = timed(span)
        for method in ("ica", "binary"):
            found, extra = timed(unmix, subspace, method=method)
            report(name, method, seconds + extra, found, x, system)
    if with_vae:
        vae = MeanFieldVAE(
            n_patterns, encoder="mlp", encoder_options={"widths": ()}, decoder="linear",
            prior="mixture", n_epochs=n_epochs, learning_rate=2e-2, weight_decay=0.0,
            device="cpu", progress=False,
        )  # fmt: skip
        vae, seconds = timed(vae.fit, x)
        for method in ("ica", "binary"):
            found, extra = timed(recover_patterns, vae, n_patterns, unmixing=method)
            report("decoder", method, seconds + extra, found, x, system)


def report(name, method, seconds, found, x, system) -> None:
    """Print one line."""
    accuracy = align_patterns(found, system.patterns).bit_accuracy
    polished = align_patterns(polish_patterns(found, x), system.patterns).bit_accuracy
    print(
        f"{name:12s} {method:7s} {seconds:8.1f}  {accuracy:.5f}   {polished:.5f}"
        f"  {found.residuals.max():16.3f}  {found.is_reliable}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sites", type=int, nargs="+", default=[256])
    parser.add_argument("--samples", type=int, default=40_000)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--temperatures", type=float, nargs="+", default=[0.6, 1.0, 1.4])
    parser.add_argument("--loads", type=float, nargs="+", default=[1 / 16, 1 / 8, 9 / 64])
    parser.add_argument("--vae", action="store_true", help="train decoders too (a minute each)")
    options = parser.parse_args()
    for n_sites in options.sites:
        unmixing_alone(n_sites, options.loads)
        for load in options.loads:
            for temperature in options.temperatures:
                from_samples(
                    n_sites, load, temperature, options.samples, options.epochs, options.vae
                )


if __name__ == "__main__":
    main()
