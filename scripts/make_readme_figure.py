"""Draw the figure of the README and the card of shared links.

The figure is the prior that a VAE learns against the exact latent density.

Trains one latent on exact Curie–Weiss configurations at eleven temperatures, as the chapter on
Curie–Weiss does (two minutes on two cores), and writes ``book/_static/latent-density.svg``.
"""

from __future__ import annotations

import re
from pathlib import Path

import matplotlib

matplotlib.use("svg")

import numpy as np
from matplotlib.figure import Figure

from mfvae import MeanFieldVAE, plots
from mfvae.systems import CurieWeiss

TARGET = Path(__file__).resolve().parent.parent / "book" / "_static" / "latent-density.svg"
N_SITES = 256
TEMPERATURES = np.linspace(0.5, 1.5, 11)
SHOWN = (0.6, 1.0, 1.4)
LETTERS = 12.0
"""Points: on a phone the figure is half as wide, and letters of less than 8 pixels are not read."""


def exact_density(field: np.ndarray, temperature: float) -> np.ndarray:
    """Return the Hubbard–Stratonovich density of the field m at the points of a regular grid."""
    beta = 1 / temperature
    log_weight = -N_SITES * (beta * field**2 / 2 - np.logaddexp(beta * field, -beta * field))
    weight = np.exp(log_weight - log_weight.max())
    return weight / (weight.sum() * (field[1] - field[0]))


def draw_card() -> None:
    """Write ``card.png``, what is shown where an address of the book is shared."""
    field = np.linspace(-1.4, 1.4, 600)
    figure = Figure(figsize=(12, 6.3), dpi=100)
    figure.text(0.06, 0.84, "A VAE is a mean-field theory", fontsize=44, weight="bold")
    figure.text(0.06, 0.74, "A book you can run, and its Python package", fontsize=24)
    for i, temperature in enumerate(SHOWN):
        panel = figure.add_axes((0.06 + 0.3 * i, 0.12, 0.27, 0.52))
        panel.fill_between(field, exact_density(field, temperature), color=plots.PALETTE[0])
        panel.set(xticks=[], yticks=[], ylim=(0, None), frame_on=False)
        panel.set_xlabel(f"$T = {temperature}\\,J$", fontsize=22)
    figure.savefig(TARGET.with_name("card.png"), metadata={"Software": None})


def light(svg: str) -> str:
    """Return a drawing without comments and with coordinates to a hundredth of a point.

    The front page waits for its bytes.
    """
    svg = re.sub(r"<metadata>.*?</metadata>\s*|<!--.*?-->\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"-?\d+\.\d{3,}(?=[ \n])", lambda m: f"{round(float(m[0]), 2):g}", svg)
    svg = re.sub(r"\s*\n\s*([LCQHVz]) ?", r"\1", svg)
    return re.sub(r"\n\s*", "\n", svg)


def main() -> None:
    draw_card()
    system = CurieWeiss(N_SITES)
    x = system.sample(TEMPERATURES, 4000, seed=0).reshape(-1, N_SITES)
    vae = MeanFieldVAE(n_latents=1, encoder="cnn", decoder="cnn", n_epochs=15, progress=False)
    vae.fit(x, conditions=np.repeat(TEMPERATURES, 4000))

    plots.use_style()
    names = ("font.size", "axes.titlesize", "axes.labelsize", "xtick.labelsize", "legend.fontsize")
    matplotlib.rcParams.update(dict.fromkeys(names, LETTERS))
    figure, axes = plots.subplots(1, 3, height=2.5, sharey=False)
    field = np.linspace(-1.4, 1.4, 600)
    for panel, temperature in zip(np.ravel(axes), SHOWN, strict=True):
        z = vae.sample_prior(40_000, temperature, seed=1)
        # Half a logit is the field on a site in units of the temperature: beta J m.
        learned = temperature * vae.decode(z).mean(axis=1) / 2
        panel.hist(learned, bins=60, density=True, color=plots.PALETTE[4], alpha=0.25, label="VAE")
        panel.plot(field, exact_density(field, temperature), color=plots.PALETTE[1], label="exact")
        panel.set(title=f"$T = {temperature}\\,J$", xlabel="field $m$", yticks=[], xlim=(-1.4, 1.4))
    np.ravel(axes)[0].set_ylabel("density")
    np.ravel(axes)[0].legend(loc="upper center", handlelength=1)
    figure.savefig(TARGET, metadata={"Date": None})
    TARGET.write_text(light(TARGET.read_text()))
    print(f"written: {TARGET}")


if __name__ == "__main__":
    main()
