"""One style, a few pictures, one table and one slider; Matplotlib is imported when first used."""

from __future__ import annotations

import base64
import hashlib
import html
import io
import json
import string
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mfvae._validation import check_count, check_finite_array

if TYPE_CHECKING:
    import IPython.display
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["FIGURE_WIDTH", "PALETTE", "compare_with_exact", "frame_slider", "mark_transition"]
__all__ += ["show_configurations", "subplots", "table", "use_style"]

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
        ax.spines[:].set_visible(True)


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


def frame_slider(
    figures: Sequence[Figure],
    labels: Sequence[str],
    description: str,
    *,
    alt: str = "",
    start: int = 0,
    interval: int | None = None,
    n_colors: int = 128,
    dpi: float = 100,
) -> IPython.display.HTML:
    """Return a bar that moves through figures drawn now, with or without a kernel.

    Frames and the script of ``frames.html`` are part of the HTML: it works in a built page, by
    mouse, touch and keyboard, and asks for no other file; the first frame needs no script.

    Args:
        figures: The frames, at least two, all of the same size. They are closed.
        labels: One label for every frame, shown and spoken beside the bar, for instance "T = 0.90".
        description, alt: What the bar changes; what the pictures show, by default the same.
        start: The frame shown first.
        interval: Milliseconds, at least 20, from frame to frame of an animation that a button
            starts and pauses; None has no button.
        n_colors, dpi: Size of the pictures' palette, 2 to 256; dots per inch.

    >>> from matplotlib.figure import Figure
    >>> slider = frame_slider([Figure((2, 1)) for _ in range(3)], list("abc"), "letters")
    >>> slider.data.count("data:image/png")
    4
    """
    import matplotlib.pyplot as plt
    from IPython.display import HTML
    from PIL import Image

    for figure in figures:
        if not hasattr(figure, "savefig"):
            raise TypeError(f"figures must hold matplotlib figures, got {type(figure).__name__}")
    if len(figures) < 2:
        raise ValueError(f"figures must hold at least two frames, got {len(figures)}")
    if len(labels) != len(figures):
        raise ValueError(f"labels must hold {len(figures)} labels, got {len(labels)}")
    start = check_count(start, "start", minimum=0, maximum=len(figures) - 1)
    n_colors = check_count(n_colors, "n_colors", minimum=2, maximum=256)
    if interval is not None:
        interval = check_count(interval, "interval", minimum=20)
    frames = []
    for figure, label in zip(figures, labels, strict=True):
        if figure.get_layout_engine() is None:  # no label is cut off, and frames keep their size
            figure.set_layout_engine("constrained")
        drawn, small = io.BytesIO(), io.BytesIO()
        figure.savefig(drawn, format="png", dpi=dpi)
        plt.close(figure)
        picture = Image.open(drawn).convert("RGB").quantize(n_colors)  # several times smaller
        picture.save(small, format="png", optimize=True)
        data = base64.b64encode(small.getvalue()).decode()
        frames.append((f"data:image/png;base64,{data}", f"{alt or description}: {label}", label))
    content = json.dumps(frames).replace("<", "\\u003c")  # no label can end the script
    first, text, label = map(html.escape, frames[start])
    name = "frames-" + hashlib.sha256((description + content).encode()).hexdigest()[:12]
    page = string.Template(Path(__file__).with_name("frames.html").read_text().rstrip())
    return HTML(
        page.substitute(
            name=name,
            description=html.escape(description),
            first=first,
            text=text,
            label=label,
            start=start,
            last=len(frames) - 1,
            width=f"{max(map(len, labels))}ch",  # the bar keeps its place whatever the label
            frames=content,
            interval=json.dumps(interval),
            hidden="hidden" if interval is None else "",
        )
    )
