"""Derive the rates from which the retina surrogate is drawn, and store them.

A rate for every cell and bin of the movie, the mean over 297 showings smoothed over neighbouring
bins, in one byte; and the spread of a gain that all cells share in a bin. It is chosen so that
the variance of the spike count over showings, given the bin, exceeds that of independent cells by
a third, as the recording's does on average. Needs the recording; seconds on one core:

    MFVAE_DATA=FOLDER python scripts/fit_surrogate.py
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.special import expit, logit

from mfvae.data import load_retina
from mfvae.data.retina import LOGIT_LOWEST, LOGIT_STEP, SURROGATE

SMOOTHING = 0.5  # bins of 20 ms
EXCESS, LARGEST_SPREAD = 0.35, 0.6  # of the variance; of the shared shift of all logits


def main() -> None:
    retina = load_retina()
    if retina.is_surrogate:
        raise SystemExit("the surrogate is derived from the recording, which was not found")
    rates = (retina.words.sum(axis=0) + 0.02) / (retina.n_trials + 0.5)
    rates = gaussian_filter1d(rates, SMOOTHING, axis=0)
    codes = np.rint((logit(np.clip(rates, 7e-5, 1 - 7e-5)) - LOGIT_LOWEST) / LOGIT_STEP)
    codes = np.clip(codes, 0, 255).astype(np.uint8)
    rates = expit(LOGIT_LOWEST + LOGIT_STEP * codes)
    variance = (rates * (1 - rates)).sum(axis=1)  # a shift of spread s adds about s² variance²
    spread = np.minimum(np.sqrt(EXCESS / variance), LARGEST_SPREAD).astype(np.float32)
    np.savez_compressed(SURROGATE, logits=codes, spread=spread)
    print(f"{SURROGATE.name}: {SURROGATE.stat().st_size} bytes")


if __name__ == "__main__":
    main()
