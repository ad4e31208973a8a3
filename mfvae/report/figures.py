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


def figures(report: Report) -> list[tuple[str, str, str, str]]:
    """Return title, alternative text and data addresses (light, dark) of every figure."""
    drawings = [_raster, _spectrum, _ladder, _statistics]
    if report.patterns is not None:
        drawings += [_patterns, _prior, _latents]
    return [
        (*draw.__doc__.split(": ", 1), *(_render(draw, report, c) for c in (LIGHT, DARK)))
        for draw in drawings
    ]


def _render(draw: Callable, report: Report, c: dict[str, str]) -> str:
    import matplotlib.style
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    parts = ("text.", "xtick.", "ytick.", "axes.label", "axes.edge", "axes.title")
    style = {f"{part}color": c["ink"] for part in parts} | {"axes.facecolor": "none"}
    style |= {"axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False}
    with matplotlib.style.context(["default", style]):
        figure = Figure(figsize=(WIDTH, 2.9), layout="constrained", facecolor="none")
        FigureCanvasAgg(figure)
        draw(report, figure, c)
        stream = io.BytesIO()
        figure.savefig(stream, format="png", dpi=DPI, transparent=True, metadata={"Software": None})
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()


def _raster(report: Report, figure: Figure, c: dict[str, str]) -> None:
    """Raster and spike count: the first thousand words, cells by rate, and the number of ones."""
    words = report.facts["words"][:1000]
    top, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    when, cell = np.nonzero(words[:, np.argsort(words.mean(axis=0), kind="stable")])
    top.plot(when, cell, ",", color=c["main"])
    top.set(ylabel="cell", xlim=(0, len(words)), ylim=(-1, words.shape[1]))
    below.plot(words.sum(axis=1), color=c["second"], lw=0.8)
    below.set(xlabel="word", ylabel="K")


def _spectrum(report: Report, figure: Figure, c: dict[str, str]) -> None:
    """Spectrum: eigenvalues of the correlation matrix and the edge that chance alone reaches."""
    axes, edge = figure.subplots(), report.facts["screening"]["edge"]
    values = np.array(report.facts["screening"]["spectrum"])
    rank, above = np.arange(1, len(values) + 1), values > edge
    axes.plot(rank[above], values[above], "o", color=c["second"], label="beyond the edge")
    axes.plot(rank[~above], values[~above], ".", color=c["main"], label="within")
    axes.axhline(edge, color=c["soft"], ls="--", lw=1, label="null edge")
    axes.set(xlabel="rank", ylabel="eigenvalue", xscale="log", yscale="log")
    axes.legend()


def _ladder(report: Report, figure: Figure, c: dict[str, str]) -> None:
    """The ladder: held-out nats gained over independent cells against latents, rivals as lines."""
    axes = figure.subplots()
    vaes = [row for row in report.models if row["kind"] == "vae"]
    d, gain = ([row[name] for row in vaes] for name in ("size", "gain"))
    ends = np.abs([[row["gain_low"] - row["gain"], row["gain_high"] - row["gain"]] for row in vaes])
    axes.errorbar(d, gain, ends.T, fmt="o", color=c["main"], label="VAE")
    best: dict[str, dict] = {}
    for row in report.models:
        if row["kind"] not in ("vae", "independent"):
            best.setdefault(row["kind"], row)
    for row, name in zip(best.values(), ("second", "third", "soft", "ink"), strict=False):
        axes.axhline(row["gain"], color=c[name], lw=1.2, ls="--", label=row["model"])
    axes.axhline(0, color=c["soft"], lw=0.8)
    axes.set(xlabel="latents d", ylabel="nats a word gained", xticks=sorted(set(d)))
    axes.legend(fontsize=8, ncols=2)


def _statistics(report: Report, figure: Figure, c: dict[str, str]) -> None:
    """Data against model: law of the spike count, pair covariances and third cumulants."""
    left, *others = figure.subplots(1, 3)
    check, seen = report.facts["check"], report.facts["screening"]
    count, alone = (np.array(seen[f"count_law{end}"]) for end in ("", "_independent"))
    k, model = np.arange(len(count)), check["count_law"]
    left.semilogy(k[count > 0], count[count > 0], "o", ms=3, color=c["main"], label="data")
    left.semilogy(k, np.maximum(alone, 1e-12), color=c["soft"], label="independent")
    left.semilogy(k[model > 0], model[model > 0], color=c["second"], label="model")
    left.set(xlabel="ones K", ylabel="P(K)", ylim=(0.3 * count[count > 0].min(), 2 * count.max()))
    left.legend(fontsize=8)
    for axes, name in zip(others, ("pairs", "third"), strict=True):
        axes.plot(*check[name], ".", ms=2, color=c["main"])
        if check[name].size:
            axes.plot(*[[check[name].min(), check[name].max()]] * 2, color=c["soft"], lw=1)
        axes.set(xlabel=f"{name}, data", ylabel="model")


def _rows(figure: Figure, n: int, label: str, xlabel: str) -> list[Axes]:
    axes = list(figure.subplots(n, 1, sharex=True, squeeze=False)[:, 0])
    for k, ax in enumerate(axes, 1):
        ax.set_ylabel(f"{label} {k}")
    axes[-1].set_xlabel(xlabel)
    return axes


def _patterns(report: Report, figure: Figure, c: dict[str, str]) -> None:
    """Patterns: what one unit of each latent adds to the field on every cell, with its error."""
    axes = _rows(figure, min(report.n_latents, 4), "W", "cell")
    for ax, w, error in zip(
        axes, report.patterns.T, report.facts["patterns_stderr"].T, strict=False
    ):
        ax.errorbar(np.arange(len(w)), w, error, fmt=".", ms=4, lw=0.8, color=c["main"])
        ax.axhline(0, color=c["soft"], lw=0.8)


def _prior(report: Report, figure: Figure, c: dict[str, str]) -> None:
    """The prior: density of the first two latents, drawn from the model, and of the words'."""
    z, own = report.facts["prior"], report.facts["latents"]
    axes = figure.subplots(1, min(2, z.shape[1]), squeeze=False)[0]
    bins = np.linspace(*np.quantile(z[:, 0], [0.002, 0.998]), 60)
    for values, name, colour in ((z, "prior", "second"), (own, "words", "main")):
        axes[0].hist(values[:, 0], bins, density=True, histtype="step", color=c[colour], label=name)
    axes[0].set(xlabel="latent 1", ylabel="density")
    axes[0].legend(fontsize=8)
    if len(axes) > 1:
        axes[1].plot(z[:, 0], z[:, 1], ".", ms=1.5, color=c["second"])
        axes[1].set(xlabel="latent 1", ylabel="latent 2")


def _latents(report: Report, figure: Figure, c: dict[str, str]) -> None:
    """Latents in time: the mean of each latent given the word, through the recording."""
    z = report.facts["latents"]
    at = np.arange(0, len(z), max(1, len(z) // 2000))
    for ax, column in zip(_rows(figure, min(z.shape[1], 3), "z", "word"), z.T, strict=False):
        ax.plot(at, column[at], ",", color=c["main"])
