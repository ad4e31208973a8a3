"""Sliders that work in a static page: precomputed frames, joined to the slider in JavaScript."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ipywidgets
    from matplotlib.figure import Figure

__all__ = ["frame_slider"]


def encode_figure(figure: Figure, dpi: float) -> str:
    """Return a figure as a PNG in a ``data:`` address, and close it if pyplot holds it.

    A figure without a layout of its own gets the constrained one, so that no label is cut off
    and all frames keep their size.
    """
    import matplotlib.pyplot as plt

    if figure.get_layout_engine() is None:
        figure.set_layout_engine("constrained")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    plt.close(figure)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def frame_slider(
    figures: Sequence[Figure],
    labels: Sequence[str],
    description: str,
    *,
    alt: str | Sequence[str] | None = None,
    start: int = 0,
    dpi: float = 100,
) -> ipywidgets.VBox:
    """Return a slider that shows one of several figures, with or without a kernel.

    Every figure is drawn now and stored as a picture; the slider and the stack of pictures
    are joined by ``jslink``, so that the slider also moves in a built page, offline.

    Parameters
    ----------
    figures : sequence of matplotlib.figure.Figure
        The frames, at least two, all of the same size.  They are closed.
    labels : sequence of str
        One label for every frame, shown beside the slider, for instance ``"T = 0.90"``.
    description : str
        What the slider changes, shown before it.
    alt : str or sequence of str, optional
        Alternative text: one for all frames, to which the label is added, or one for each.
        By default made of ``description`` and the label.
    start : int
        The frame shown first.
    dpi : float
        Resolution of the pictures, in dots per inch.

    Returns
    -------
    ipywidgets.VBox
        The slider with its label, above the frames.

    Raises
    ------
    TypeError
        If a frame is not a figure, or ``start`` not an integer.
    ValueError
        If there are fewer than two frames, if the numbers of frames, labels and texts differ, or
        if ``start`` is not one of the frames.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> figures = [Figure(figsize=(2, 1)) for _ in range(3)]
    >>> widget = frame_slider(figures, ["T = 1", "T = 2", "T = 3"], "temperature")
    >>> len(widget.children[1].children)
    3
    """
    import ipywidgets

    from mfvae._validation import check_count

    figures, labels = list(figures), list(labels)
    for figure in figures:
        if not hasattr(figure, "savefig"):
            raise TypeError(f"figures must hold matplotlib figures, got {type(figure).__name__}")
    if len(figures) < 2:
        raise ValueError(f"figures must hold at least two frames, got {len(figures)}")
    if len(labels) != len(figures):
        raise ValueError(f"labels must hold {len(figures)} labels, got {len(labels)}")
    start = check_count(start, "start", minimum=0, maximum=len(figures) - 1)
    if alt is None or isinstance(alt, str):
        texts = [f"{alt or description}: {label}" for label in labels]
    else:
        texts = list(alt)
    if len(texts) != len(figures):
        raise ValueError(f"alt must hold {len(figures)} texts, got {len(texts)}")

    frames = []
    for figure, text in zip(figures, texts, strict=True):
        picture = f'<img src="{encode_figure(figure, dpi)}" alt="{html.escape(text)}">'
        frame = ipywidgets.HTML(picture)
        frame.add_class("mfvae-frame")
        frames.append(frame)
    stack = ipywidgets.Stack(frames, selected_index=start)
    captions = ipywidgets.Stack([ipywidgets.Label(label) for label in labels], selected_index=start)
    slider = ipywidgets.IntSlider(
        value=start,
        min=0,
        max=len(figures) - 1,
        description=description,
        readout=False,
        continuous_update=True,
        style={"description_width": "initial"},
    )
    ipywidgets.jslink((slider, "value"), (stack, "selected_index"))
    ipywidgets.jslink((slider, "value"), (captions, "selected_index"))
    head = ipywidgets.HBox([slider, captions], layout={"flex_flow": "row wrap"})
    box = ipywidgets.VBox([head, stack])
    box.add_class("mfvae-frames")
    return box
