"""One style, a few pictures and one table for all; Matplotlib is imported when first used."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mfvae._validation import check_count, check_finite_array

if TYPE_CHECKING:
    import IPython.display
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

__all__ = ["FIGURE_WIDTH", "PALETTE", "compare_with_exact", "heatmap", "mark_transition"]
__all__ += ["sequence_colors", "show_configurations", "subplots", "table", "use_style"]

#: Width of a figure across the page, inches.
FIGURE_WIDTH = 7.2

#: Eight colours told apart by readers with any common colour vision (Okabe & Ito 2008), darkest
#: first and the yellow, faint on white, last; the style's cycle of colours.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#56B4E9", "#E69F00", "#F0E442")


def use_style() -> None:
    """Give figures the book's style from now on; in a block: ``style.context("mfvae.book")``."""
    import matplotlib.style

    matplotlib.style.use("mfvae.book")


def subplots(
    n_rows: int = 1, n_columns: int = 1, *, height: float = 2.8, **options: Any
) -> tuple[Figure, Any]:
    """Return a figure as wide as the page and its axes, as `matplotlib.pyplot.subplots` does.

    ``height`` is that of one row, inches; all other options are those of `subplots` there.
    """
    import matplotlib.pyplot as plt

    n_rows, n_columns = check_count(n_rows, "n_rows"), check_count(n_columns, "n_columns")
    options.setdefault("figsize", (FIGURE_WIDTH, height * n_rows))
    return plt.subplots(n_rows, n_columns, **options)


def compare_with_exact(
    ax: Axes,
    x: Any,
    estimates: Sequence[float],
    exact_x: Any = None,
    exact_y: Any = None,
    label: str | None = None,
    *,
    exact_label: str | None = None,
    color: str | None = None,
    marker: str = "o",
) -> None:
    """Draw estimates as points with error bars, and the exact curve beside them as a line.

    Args:
        x: Where the estimates were made, shape (n,).
        estimates: n values; the error bar of an `Estimate` is one standard error.
        exact_x, exact_y: Where the exact curve is known and the curve, (n_exact,), if it is drawn.
        label, exact_label: Names of the points and of the line in the legend.
        color, marker: Colour of both, by default the next of the style; shape of the points.
    """
    x = check_finite_array(x, "x", ndim=1)
    values = check_finite_array([float(e) for e in estimates], "estimates", shape=x.shape)
    if (exact_x is None) != (exact_y is None):
        raise ValueError("exact_x and exact_y must be given together")
    if color is None:
        color = ax._get_lines.get_next_color()
    if exact_x is not None:
        ax.plot(exact_x, exact_y, color=color, label=exact_label, zorder=2)
    stderr = np.array([getattr(e, "stderr", 0.0) for e in estimates])
    ax.errorbar(x, values, stderr, fmt=marker, color=color, label=label, mfc="white", zorder=3)


def mark_transition(ax: Axes, temperature: float, label: str | None = None) -> None:
    """Draw a dotted vertical line at a transition ``temperature``, with a name for the legend."""
    ax.axvline(temperature, color="0.35", linestyle=":", linewidth=1.2, label=label, zorder=1)


def sequence_colors(n: int) -> np.ndarray:
    """Return ``n`` colours from dark blue to yellow for an ordered series: float64 (n, 4), RGBA."""
    import matplotlib

    return matplotlib.colormaps["cividis"](np.linspace(0.0, 0.92, check_count(n, "n")))


def heatmap(
    ax: Axes,
    matrix: Any,
    label: str,
    *,
    signed: bool = True,
    limit: float | None = None,
    colorbar: bool = True,
) -> AxesImage:
    """Draw a matrix as an image with a colour bar, return the image; zero is white if ``signed``.

    Args:
        matrix: Finite numbers, (n_rows, n_columns).
        label, colorbar: What the colours mean, with the unit; whether to draw their bar.
        signed: Colours symmetric about zero, or from zero upwards.
        limit: Where the colours end; by default the largest absolute entry.
    """
    matrix = check_finite_array(matrix, "matrix", ndim=2)
    limit = float(np.abs(matrix).max()) or 1.0 if limit is None else limit
    cmap, low = ("RdBu_r", -limit) if signed else ("cividis", 0.0)
    image = ax.imshow(matrix, cmap=cmap, vmin=low, vmax=limit)
    ax.grid(False)
    if colorbar:
        ax.figure.colorbar(image, ax=ax, label=label, shrink=0.9)
    return image


def show_configurations(axes: Any, x: Any, shape: tuple[int, int]) -> None:
    """Draw spins as black (-1) and white (+1) squares, one configuration to an axes.

    As many rows of ``x``, spins (n_samples, n_sites), are drawn as there are axes, one or several;
    ``shape`` is rows and columns of the picture, of product ``n_sites``.
    """
    x = check_finite_array(x, "x", ndim=2)
    axes = np.atleast_1d(axes).ravel()
    if len(x) < len(axes) or x.shape[1] != shape[0] * shape[1]:
        raise ValueError(f"x must hold {len(axes)} rows of {shape} sites, got shape {x.shape}")
    for ax, spins in zip(axes, x, strict=False):
        ax.imshow(spins.reshape(shape), cmap="gray", vmin=-1, vmax=1)
        ax.set(xticks=[], yticks=[])
        ax.grid(False)
        for spine in ax.spines.values():
            spine.set_visible(True)


def table(
    columns: Sequence[str], rows: Iterable[Sequence[Any]], caption: str, *, name: str = ""
) -> IPython.display.HTML:
    """Return rows as a table with a caption, which the book numbers.

    ``columns`` are heads, with units; a row has an entry for each, as it is to be read:
    ``f"{gap:.2f} ± {error:.2f}"``; ``name`` is an identifier to link to.

    >>> table(["N", "gap"], [(4, "0.10"), (16, "0.20")], "Gap in nats.").data.count("<td>")
    4
    """
    from IPython.display import HTML

    cells = [[html.escape(str(entry)) for entry in row] for row in rows]
    if any(len(row) != len(columns) for row in cells):
        raise ValueError(f"rows must have {len(columns)} entries each")
    head = "".join(f'<th scope="col">{html.escape(column)}</th>' for column in columns)
    body = "".join(f"<tr><td>{'</td><td>'.join(row)}</td></tr>" for row in cells)
    return HTML(
        f'<table class="results" id="{html.escape(name)}"><caption>{html.escape(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )
