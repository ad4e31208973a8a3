"""One page of HTML with its figures inside: no scripts, nothing from the network."""

from __future__ import annotations

import base64
import html
import io
import string
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mfvae.report.pipeline import Report

__all__ = ["body", "figures", "page"]

LIGHT = ("#1a1a1a", "#0060a0", "#b34700", "#00734f", "#8a8a8a")  # ink, then "C0", "C1", "C2", "C3"
DARK = ("#e8e8e8", "#6db9f2", "#ff9d5c", "#4fd1a5", "#9a9a9a")
MEANING = {
    "no-structure": "Nothing collective: cells fire on their own, as far as these words can tell.",
    "mean-field": "A few collective variables explain the correlations.",
    "not-mean-field": "Correlations are there, but no few collective variables explain them.",
    "discrete-states": "The population jumps between a few states; cells are independent in each.",
    "beyond-models": "There is structure that no model of the ladder has.",
    "undecided": "These words do not decide it.",
}


def body(report: Report) -> str:
    """Return the report as a block of HTML, as a notebook shows it."""
    return page(report).partition("<main>")[2].partition("</main>")[0]


def page(report: Report) -> str:
    """Return the whole page: ``page.html`` filled in."""
    escape, facts = html.escape, report.facts
    text = {
        name: f"{value:.2f}" if isinstance(value, float) else escape(str(value))
        for name, value in (facts | vars(report) | report.missing | report.gain._asdict()).items()
    }
    warned = "".join(f"<li>{escape(warning)}</li>" for warning in report.warnings)
    text["warnings"] = warned and f"<h2>Warnings</h2><ul>{warned}</ul>"
    text["figures"] = "\n".join(
        f"<h2>{title}</h2><figure><picture>"
        f'<source media="(prefers-color-scheme: dark)" srcset="{dark}">'
        f'<img src="{light}" alt="{escape(alt)}"></picture>'
        f"<figcaption>Figure {number}. {escape(alt)}</figcaption></figure>"
        for number, (title, alt, light, dark) in enumerate(figures(report), start=1)
    )
    text["models"] = "\n".join(
        f"<tr><td>{escape(r['model'])}{'' if r['trained'] else ' (not trained)'}</td>"
        f"<td>{r['nats']:.3f}</td><td>{r['gain']:.3f}</td>"
        f"<td>{r['behind']:.3f} [{r['behind_low']:.3f}, {r['behind_high']:.3f}]</td>"
        f"<td>{r['n_parameters']}</td><td>{r['seconds']:.1f}</td></tr>"
        for r in report.models
    )
    text["settings"] = ", ".join(f"{name} = {v}" for name, v in facts["settings"].items())
    text["versions"] = ", ".join(f"{name} {v}" for name, v in facts["versions"].items())
    text |= {"meaning": MEANING[report.code], "margin": f"{facts['margin']:.3f}"}
    text |= {"interval": report.interval, "n_words": facts["shape"][0], "n_kept": len(report.names)}
    text |= {"n_cells": facts["shape"][1], "n_effective": f"{facts['n_effective']:.0f}"}
    template = Path(__file__).with_name("page.html").read_text(encoding="utf-8")
    return string.Template(template).substitute(text)


def figures(report: Report) -> list[tuple[str, str, str, str]]:
    """Return title, alternative text and data addresses of every figure, light and dark."""
    drawings = [_raster, _spectrum, _ladder, _statistics]
    drawings += [_patterns, _prior, _latents] * (report.patterns is not None)
    return [
        (*draw.__doc__.split(": ", 1), *(_render(draw, report, *c) for c in (LIGHT, DARK)))
        for draw in drawings
    ]


def _render(draw: Callable, report: Report, ink: str, *cycle: str) -> str:
    from cycler import cycler
    from matplotlib import style
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    parts = ("text.", "xtick.", "ytick.", "axes.label", "axes.edge", "axes.title")
    own = {f"{part}color": ink for part in parts} | {"axes.prop_cycle": cycler(color=cycle)}
    with style.context(["default", "mfvae.book", own | {"axes.grid": False}]):
        figure, stream = Figure((8.0, 2.9), 88), io.BytesIO()
        FigureCanvasAgg(figure)
        draw(report, figure)
        options = {"dpi": 88, "transparent": True, "metadata": {"Software": None}}
        figure.savefig(stream, format="png", **options)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()


def _raster(report: Report, figure: Figure) -> None:
    """Raster and spike count: the first thousand words, cells by rate, and the number of ones."""
    words = report.facts["words"][:1000]
    top, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    top.plot(*np.nonzero(words[:, np.argsort(words.mean(axis=0), kind="stable")]), ",")
    top.set(ylabel="cell", xlim=(0, len(words)), ylim=(-1, words.shape[1]))
    below.plot(words.sum(axis=1), "C1", lw=0.8)
    below.set(xlabel="word", ylabel="K")


def _spectrum(report: Report, figure: Figure) -> None:
    """Spectrum: eigenvalues of the correlation matrix and the edge that chance alone reaches."""
    axes, edge = figure.subplots(), report.facts["screening"]["edge"]
    values = np.array(report.facts["screening"]["spectrum"])
    rank, above = np.arange(1, len(values) + 1), values > edge
    axes.plot(rank[~above], values[~above], ".", label="within")
    axes.plot(rank[above], values[above], "o", label="beyond the edge")
    axes.axhline(edge, color="C3", ls="--", lw=1, label="null edge")
    axes.set(xlabel="rank", ylabel="eigenvalue", xscale="log", yscale="log")
    axes.legend()


def _ladder(report: Report, figure: Figure) -> None:
    """The ladder: held-out nats gained over independent cells against latents, rivals as lines."""
    axes, best = figure.subplots(), {}
    vaes = [row for row in report.models if row["kind"] == "vae"]
    names = ("size", "gain", "gain_low", "gain_high")
    d, gain, low, high = (np.array([row[name] for row in vaes]) for name in names)
    axes.errorbar(d, gain, (gain - low, high - gain), fmt="o", label="VAE")
    for row in report.models:
        if row["kind"] not in ("vae", "independent"):
            best.setdefault(row["kind"], row)
    for row, colour in zip(best.values(), ("C1", "C2", "C3", "C0"), strict=False):
        axes.axhline(row["gain"], color=colour, lw=1.2, ls="--", label=row["model"])
    axes.axhline(0, color="C3", lw=0.8)
    axes.set(xlabel="latents d", ylabel="nats a word gained", xticks=np.unique(d))
    axes.legend(ncols=2)


def _statistics(report: Report, figure: Figure) -> None:
    """Data against model: law of the spike count, pair covariances and third cumulants."""
    left, *others = figure.subplots(1, 3)
    check, seen = report.facts["check"], report.facts["screening"]
    laws = {"data": seen["count_law"], "model": check["count_law"]}
    laws["independent"] = np.maximum(seen["count_law_independent"], 1e-12)
    for (name, law), look in zip(laws.items(), ("C0o", "C1", "C3"), strict=True):
        k = np.flatnonzero(law)
        left.semilogy(k, np.asarray(law)[k], look, ms=3, label=name)
    count = np.array(laws["data"])
    left.set(xlabel="ones K", ylabel="P(K)", ylim=(0.3 * count[count > 0].min(), 2 * count.max()))
    left.legend()
    names = {"pairs": "covariances", "third": "triples"}
    for axes, (name, what) in zip(others, names.items(), strict=True):
        axes.plot(*check[name], ".", ms=2)
        if check[name].size:
            axes.plot(*[[check[name].min(), check[name].max()]] * 2, "C3", lw=1)
        else:
            axes.set(xticks=(), yticks=(), xlim=(-1, 1), ylim=(-1, 1))
            axes.text(0, 0, "none is frequent\nenough to judge", ha="center", va="center")
        axes.set(xlabel=f"{what}, data", ylabel=f"{what}, model")


def _patterns(report: Report, figure: Figure) -> None:
    """Patterns: what one unit of each latent adds to the field on every cell, with its error."""
    rows = _rows(figure, report.patterns.T[:4], "W", "cell")
    for (axes, w), error in zip(rows, report.facts["patterns_stderr"].T, strict=False):
        axes.errorbar(np.arange(len(w)), w, error, fmt=".", ms=4, lw=0.8)
        axes.axhline(0, color="C3", lw=0.8)


def _prior(report: Report, figure: Figure) -> None:
    """The prior: density of the first two latents, drawn from the model, and of the words'."""
    z, own = report.facts["prior"], report.facts["latents"]
    left, *right = figure.subplots(1, min(2, z.shape[1]), squeeze=False)[0]
    bins = np.linspace(*np.quantile(z[:, 0], [0.002, 0.998]), 60)
    for values, name in ((own, "words"), (z, "prior")):
        left.hist(values[:, 0], bins, density=True, histtype="step", label=name)
        for axes in right:
            axes.plot(*values[:4000, :2].T, ".", ms=1.5)
            axes.set(xlabel="latent 1", ylabel="latent 2")
    left.set(xlabel="latent 1", ylabel="density")
    left.legend()


def _latents(report: Report, figure: Figure) -> None:
    """Latents in time: the mean of each latent given the word, through the recording."""
    z = report.facts["latents"]
    at = np.arange(0, len(z), max(1, len(z) // 2000))
    for axes, column in _rows(figure, z.T[:3], "z", "word"):
        axes.plot(at, column[at], ",")


def _rows(figure: Figure, columns: np.ndarray, label: str, xlabel: str) -> Iterable:
    axes = figure.subplots(len(columns), 1, sharex=True, squeeze=False)[:, 0]
    axes[-1].set_xlabel(xlabel)
    for k, ax in enumerate(axes, 1):
        ax.set_ylabel(f"{label} {k}")
    return zip(axes, columns, strict=True)
