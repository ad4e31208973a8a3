"""Fit the mixture from which the retina surrogate is drawn, and store its parameters.

Needs the recording (see `mfvae.data.load_retina`); about a minute on one core:

    MFVAE_DATA=FOLDER python scripts/fit_surrogate.py
"""

from __future__ import annotations

import numpy as np

from mfvae.compare import BernoulliMixture
from mfvae.data import load_retina
from mfvae.data.retina import LOGIT_LOWEST, LOGIT_STEP, SURROGATE


def main() -> None:
    retina = load_retina()
    if retina.is_surrogate:
        raise SystemExit("the surrogate is fitted to the recording, which was not found")
    words = retina.flat()
    mixture = BernoulliMixture(70, n_init=3, max_iter=300, random_state=0).fit(words)
    p = mixture.probabilities_
    codes = np.rint((np.log(p) - np.log1p(-p) - LOGIT_LOWEST) / LOGIT_STEP)
    codes = np.clip(codes, 0, 255).astype(np.uint8)
    np.savez_compressed(SURROGATE, weights=mixture.weights_.astype(np.float32), logits=codes)
    print(
        f"{SURROGATE.name}: {SURROGATE.stat().st_size} bytes, "
        f"{-mixture.score_samples(words).mean():.3f} nats a word on the recording"
    )


if __name__ == "__main__":
    main()
