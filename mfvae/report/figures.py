"""Pictures of a report, each drawn twice, for light and for dark pages, as data for the page."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from mfvae.report.pipeline import Report

__all__ = ["figures"]

WIDTH, DPI = 8.0, 88
COLOURS = ("ink", "main", "second", "third", "soft")
LIGHT = dict(zip(COLOURS, ("#1a1a1a", "#0060a0", "#b34700", "#00734f", "#8a8a8a"), strict=True))
DARK = dict(zip(COLOURS, ("#e8e8e8", "#6db9f2", "#ff9d5c", "#4fd1a5", "#9a9a9a"), strict=True))


def figures(report: Report) -> list[dict[str, str]]:
    """Return title, alternative text and data addresses ("light", "dark") of every figure."""
    drawings = [_raster, _spectrum, _ladder, _statistics]
    if report.patterns is not None:
        drawings += [_patterns, _prior, _latents]
    made = []
    for draw in drawings:
        light, dark = (_render(draw, report, colours) for colours in (LIGHT, DARK))
        title, text = draw.__doc__.split(": ", 1)
        made.append({"title": title, "alt": text.strip(), "light": light, "dark": dark})
    return made


def _render(draw: Callable, report: Report, colours: dict[str, str]) -> str:
    import matplotlib.style
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    style = {f"{part}.color": colours["ink"] for part in ("text", "xtick", "ytick")}
    style |= {f"axes.{part}color": colours["ink"] for part in ("label", "edge", "title")}
    style |= {"axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False}
    with matplotlib.style.context(["default", style]):
        figure = Figure(figsize=(WIDTH, 2.9), layout="constrained", facecolor="none")
        FigureCanvasAgg(figure)
        draw(report, figure, colours)
        for axes in figure.axes:
            axes.set_facecolor("none")
        stream = io.BytesIO()
        figure.savefig(stream, format="png", dpi=DPI, transparent=True, metadata={"Software": None})
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()


def _raster(report: Report, figure: Figure, c: dict[str, str]) -> None:
    """Raster and spike count: the first thousand words, cells by rate, and the number of ones."""
    words = report.facts["words"][:1000]
    top, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    order = np.argsort(words.mean(axis=0), kind="stable")
    when, cell = np.nonzero(words[:, order])
    top.plot(when, cell, ",", color=c["main"])
    top.set(ylabel="cell", xlim=(0, len(words)), ylim=(-1, words.shape[1]))
    below.plot(words.sum(axis=1), color=c["second"], lw=0.8)
    below.set(xlabel="word", ylabel="K")


def _spectrum(report: Report, figure: Figure, c: dict[str, str]) -> None:
    """Spectrum: eigenvalues of the correlation matrix and the edge that chance alone reaches."""
    seen = report.facts["screening"]
    axes = figure.subplots()
    values = np.array(seen["spectrum"])
    above = values > seen["edge"]
    rank = np.arange(1, len(values) + 1)
    axes.plot(rank[above], values[above], "o", color=c["second"], label="beyond the edge")
    axes.plot(rank[~above], values[~above], ".", color=c["main"], label="within")
    axes.axhline(seen["edge"], color=c["soft"], ls="--", lw=1, label="null edge")
    axes.set(xlabel="rank", ylabel="eigenvalue", xscale="log", yscale="log")
    axes.legend()


def _ladder(report: Report, figure: Figure, c: dict[str, str]) -> None:
    """The ladder: held-out nats gained over independent cells against latents, rivals as lines."""
    axes = figure.subplots()
    vaes = [row for row in report.models if row["kind"] == "vae"]
    d = [row["size"] for row in vaes]
    gain = np.array([[row["gain"], row["gain_low"], row["gain_high"]] for row in vaes]).T
    axes.errorbar(
        d, gain[0], [gain[0] - gain[1], gain[2] - gain[0]], fmt="o", color=c["main"], label="VAE"
    )
    rivals = [row for row in report.models if row["kind"] not in ("vae", "independent")]
    best = {}
    for row in rivals:
        best.setdefault(row["kind"], row)
    for row, colour in zip(
        best.values(), (c["second"], c["third"], c["soft"], c["ink"]), strict=False
    ):
        axes.axhline(row["gain"], color=colour, lw=1.2, ls="--", label=row["model"])
    axes.axhline(0, color=c["soft"], lw=0.8)
    axes.set(xlabel="latents d", ylabel="nats a word gained", xticks=sorted(set(d)))
    axes.legend(fontsize=8, ncols=2)


def _statistics(report: Report, figure: Figure, c: dict[str, str]) -> None:
    """Data against model: law of the spike count, pair covariances and third cumulants."""
    left, middle, right = figure.subplots(1, 3)
    check = report.facts["check"]
    count = np.array(report.facts["screening"]["count_law"])
    alone = np.array(report.facts["screening"]["count_law_independent"])
    k = np.arange(len(count))
    left.semilogy(k[count > 0], count[count > 0], "o", ms=3, color=c["main"], label="data")
    left.semilogy(k, np.maximum(alone, 1e-12), color=c["soft"], label="independent")
    model = np.array(check["count_law"])
    left.semilogy(k[model > 0], model[model > 0], color=c["second"], label="model")
    left.set(xlabel="ones K", ylabel="P(K)", ylim=(0.3 * count[count > 0].min(), 2 * count.max()))
    left.legend(fontsize=8)
    for axes, name in ((middle, "pairs"), (right, "triples")):
        data, ours = (np.array(check[f"{name}_{who}"]) for who in ("data", "model"))
        axes.plot(data, ours, ".", ms=2, color=c["main"], rasterized=True)
        if len(data):
            ends = [min(data.min(), ours.min()), max(data.max(), ours.max())]
            axes.plot(ends, ends, color=c["soft"], lw=1)
        axes.set(xlabel=f"{name}, data", ylabel="model")


def _patterns(report: Report, figure: Figure, c: dict[str, str]) -> None:
    """Patterns: what one unit of each latent adds to the field on every cell, with its error."""
    d = report.patterns.shape[1]
    shown = min(d, 4)
    axes: list[Axes] = list(np.atleast_1d(figure.subplots(shown, 1, sharex=True)))
    cell = np.arange(len(report.patterns))
    for k, ax in enumerate(axes):
        error = report.facts["patterns_stderr"][:, k]
        ax.errorbar(cell, report.patterns[:, k], error, fmt=".", ms=4, lw=0.8, color=c["main"])
        ax.axhline(0, color=c["soft"], lw=0.8)
        ax.set_ylabel(f"W {k + 1}")
    axes[-1].set_xlabel("cell")


def _prior(report: Report, figure: Figure, c: dict[str, str]) -> None:
    """The prior: density of the first two latents, drawn from the model, and of the words'."""
    z, own = report.facts["prior"], report.facts["latents"]
    axes = figure.subplots(1, 1 + (z.shape[1] > 1))
    first = np.atleast_1d(axes)[0]
    bins = np.linspace(*np.quantile(z[:, 0], [0.002, 0.998]), 60)
    first.hist(z[:, 0], bins, density=True, histtype="step", color=c["second"], label="prior")
    first.hist(own[:, 0], bins, density=True, histtype="step", color=c["main"], label="words")
    first.set(xlabel="latent 1", ylabel="density")
    first.legend(fontsize=8)
    if z.shape[1] > 1:
        axes[1].plot(z[:, 0], z[:, 1], ".", ms=1.5, color=c["second"])
        axes[1].set(xlabel="latent 1", ylabel="latent 2")


def _latents(report: Report, figure: Figure, c: dict[str, str]) -> None:
    """Latents in time: the mean of each latent given the word, through the recording."""
    z = report.facts["latents"]
    some = z[:: max(1, len(z) // 2000)]
    shown = min(z.shape[1], 3)
    axes: list[Axes] = list(np.atleast_1d(figure.subplots(shown, 1, sharex=True)))
    at = np.linspace(0, len(z), len(some))
    for k, ax in enumerate(axes):
        ax.plot(at, some[:, k], ",", color=c["main"])
        ax.set_ylabel(f"z {k + 1}")
    axes[-1].set_xlabel("word")
