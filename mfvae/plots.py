"""One style and a few pictures for all figures; Matplotlib is imported when first used."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from mfvae._validation import check_count, check_finite_array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

__all__ = [
    "FIGURE_WIDTH",
    "PALETTE",
    "compare_with_exact",
    "heatmap",
    "mark_transition",
    "sequence_colors",
    "show_configurations",
    "subplots",
    "use_style",
]

#: Width of a figure across the page, inches.
FIGURE_WIDTH = 7.2

#: Eight colours told apart by readers with any common colour vision (Okabe & Ito 2008), darkest
#: first and the yellow, faint on white, last.
PALETTE = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#000000",
    "#56B4E9",
    "#E69F00",
    "#F0E442",
)


class use_style:
    """Give Matplotlib's figures the style of the book, from now on or within a ``with`` block.

    A call sets ``matplotlib.rcParams``; as a context manager it restores them at the end.
    Importing the module changes nothing.

    >>> import matplotlib
    >>> before = matplotlib.rcParams["image.cmap"]
    >>> with use_style():
    ...     matplotlib.rcParams["image.cmap"]
    'cividis'
    >>> matplotlib.rcParams["image.cmap"] == before
    True
    """

    def __init__(self) -> None:
        import matplotlib
        from cycler import cycler

        self._before = matplotlib.rcParams.copy()
        matplotlib.rcParams.update(
            {
                "figure.figsize": (FIGURE_WIDTH, 3.2),
                "figure.dpi": 110,
                "savefig.dpi": 110,
                "figure.constrained_layout.use": True,
                "axes.prop_cycle": cycler(color=PALETTE),
                "axes.spines.top": False,
                "axes.spines.right": False,
                "axes.grid": True,
                "grid.color": "0.9",
                "axes.axisbelow": True,
                "axes.titlesize": "medium",
                "font.size": 10,
                "legend.frameon": False,
                "legend.fontsize": "small",
                "lines.linewidth": 1.6,
                "lines.markersize": 4.5,
                "errorbar.capsize": 2.0,
                "image.cmap": "cividis",
                "image.interpolation": "nearest",
            }
        )

    def __enter__(self) -> use_style:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        import matplotlib

        # The backend may have been chosen inside the block; going back on it closes figures.
        before = {key: value for key, value in self._before.items() if key != "backend"}
        matplotlib.rcParams.update(before)


def subplots(
    n_rows: int = 1, n_columns: int = 1, *, height: float = 2.8, **options: Any
) -> tuple[Figure, Any]:
    """Return a figure as wide as the page and its axes, as `matplotlib.pyplot.subplots` does.

    Args:
        n_rows, n_columns (int): Shape of the grid of axes.
        height (float): Height of one row, inches.
        **options: Handed on to `matplotlib.pyplot.subplots`.

    Returns:
        - figure : matplotlib.figure.Figure: Of width `FIGURE_WIDTH`.
        - axes : matplotlib.axes.Axes, or ndarray of them: One axes, or an array of shape (n_rows,
          n_columns) without its axes of length 1.

    Raises:
        TypeError, ValueError: If the numbers of rows and columns are not positive integers.
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
        ax (matplotlib.axes.Axes): Where to draw.
        x (array_like, shape (n,)): Where the estimates were made.
        estimates (sequence of float or Estimate, length n): Values; the error bar of an `Estimate`
            is one standard error.
        exact_x, exact_y (array_like, shape (n_exact,), optional): The exact curve.
        label, exact_label (str, optional): Names of points and line in the legend.
        color, marker (str, optional): Colour of both, and shape of the points.

    Raises:
        TypeError, ValueError: If ``x`` and ``estimates`` differ in length or are not finite, or
            only one of ``exact_x`` and ``exact_y`` is given.
    """
    x = check_finite_array(x, "x", ndim=1)
    values = check_finite_array([float(e) for e in estimates], "estimates", ndim=1)
    if x.shape != values.shape:
        raise ValueError(f"x and estimates must have one length, got {x.size} and {values.size}")
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
    """Return ``n`` colours from dark blue to yellow for an ordered series: float64 (n, 4), RGBA.

    Raises TypeError or ValueError unless ``n`` is a positive integer.
    """
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
    """Draw a matrix as an image with a colour bar; zero is white if it is ``signed``.

    Args:
        ax (matplotlib.axes.Axes): Where to draw.
        matrix (array_like, shape (n_rows, n_columns)): Finite numbers.
        label (str): What the colours mean, with the unit.
        signed (bool): Colours symmetric about zero, or from zero upwards.
        limit (float, optional): Where the colours end; by default the largest absolute entry.
        colorbar (bool): Whether to draw the colour bar.

    Returns:
        matplotlib.image.AxesImage: The image.

    Raises:
        TypeError, ValueError: If ``matrix`` is not a matrix of finite numbers.
    """
    matrix = check_finite_array(matrix, "matrix", ndim=2)
    limit = float(np.abs(matrix).max()) or 1.0 if limit is None else limit
    image = ax.imshow(
        matrix, cmap="RdBu_r" if signed else "cividis", vmin=-limit if signed else 0.0, vmax=limit
    )
    ax.grid(False)
    if colorbar:
        ax.figure.colorbar(image, ax=ax, label=label, shrink=0.9)
    return image


def show_configurations(axes: Any, x: Any, shape: tuple[int, int]) -> None:
    """Draw configurations of spins as black (-1) and white (+1) squares, one to an axes.

    Args:
        axes (Axes or sequence of Axes): Where to draw.
        x (array_like, shape (n_samples, n_sites)): Spins; as many rows are drawn as there are axes.
        shape (tuple of int): Rows and columns of the picture, of product ``n_sites``.

    Raises:
        TypeError, ValueError: If there are fewer rows than axes, or they do not have the given
            shape.
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
