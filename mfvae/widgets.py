"""Sliders and animations that work in a static page: precomputed frames, moved by JavaScript."""

from __future__ import annotations

import base64
import hashlib
import html
import io
import json
import string
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mfvae._validation import check_count

if TYPE_CHECKING:
    import IPython.display
    import ipywidgets
    from matplotlib.figure import Figure

__all__ = ["frame_player", "frame_slider"]


def frame_slider(
    figures: Sequence[Figure],
    labels: Sequence[str],
    description: str,
    *,
    alt: str = "",
    start: int = 0,
    dpi: float = 100,
) -> ipywidgets.VBox:
    """Return a slider that shows one of several figures, with or without a kernel.

    Every figure is drawn now and stored as a picture; ``jslink`` joins the slider and the stack of
    pictures, so that it also moves in a built page, offline.

    Args:
        figures: The frames, at least two, all of the same size. They are closed.
        labels: One label for every frame, shown beside the slider, for instance ``"T = 0.90"``.
        description: What the slider changes, shown before it.
        alt: Alternative text, to which the label is added; by default ``description``.
        start: The frame shown first.
        dpi: Resolution of the pictures, in dots per inch.

    >>> from matplotlib.figure import Figure
    >>> figures = [Figure(figsize=(2, 1)) for _ in range(3)]
    >>> widget = frame_slider(figures, ["T = 1", "T = 2", "T = 3"], "temperature")
    >>> len(widget.children[1].children)
    3
    """
    import ipywidgets

    frames = [
        ipywidgets.HTML(f'<img src="{picture}" alt="{html.escape(text)}">').add_class("mfvae-frame")
        for picture, text, _ in _encode(figures, labels, alt or description, dpi)
    ]
    start = check_count(start, "start", minimum=0, maximum=len(frames) - 1)
    stack = ipywidgets.Stack(frames, selected_index=start)
    captions = ipywidgets.Stack([ipywidgets.Label(label) for label in labels], selected_index=start)
    slider = ipywidgets.IntSlider(
        value=start,
        min=0,
        max=len(frames) - 1,
        description=description,
        readout=False,
        style={"description_width": "initial"},
    )
    ipywidgets.jslink((slider, "value"), (stack, "selected_index"))
    ipywidgets.jslink((slider, "value"), (captions, "selected_index"))
    head = ipywidgets.HBox([slider, captions], layout={"flex_flow": "row wrap"})
    return ipywidgets.VBox([head, stack]).add_class("mfvae-frames")


def frame_player(
    figures: Sequence[Figure],
    labels: Sequence[str],
    description: str,
    *,
    alt: str = "",
    interval: int = 200,
    dpi: float = 100,
) -> IPython.display.HTML:
    """Return an animation with a button to play and pause and a bar to move through the frames.

    The frames, in 32 colours, and the script of ``player.html`` are part of the HTML: it plays in a
    built page, offline, and asks for no other file. It starts at rest, repeats until it is paused.

    Args:
        figures, labels, alt, dpi: As in `frame_slider`.
        description: What it shows: the name of the controls for those who do not see them.
        interval: Time from frame to frame, milliseconds, at least 20.

    >>> from matplotlib.figure import Figure
    >>> player = frame_player([Figure((2, 1)) for _ in range(3)], list("abc"), "letters")
    >>> player.data.count("data:image/png")
    4
    """
    from IPython.display import HTML

    interval = check_count(interval, "interval", minimum=20)
    frames = _encode(figures, labels, alt or description, dpi, n_colors=32)
    content = json.dumps(frames).replace("<", "\\u003c")  # no label can end the script
    player = string.Template(Path(__file__).with_name("player.html").read_text().rstrip())
    return HTML(
        player.substitute(
            name="player-" + hashlib.sha256((description + content).encode()).hexdigest()[:12],
            description=html.escape(description),
            first=frames[0][0],
            text=html.escape(frames[0][1]),
            label=html.escape(labels[0]),
            last=len(frames) - 1,
            frames=content,
            interval=interval,
        )
    )


def _encode(
    figures: Sequence[Figure],
    labels: Sequence[str],
    alt: str,
    dpi: float,
    n_colors: int | None = None,
) -> list[tuple[str, str, str]]:
    """Return a picture (PNG in a ``data:`` address), text and label of each figure; close them."""
    import matplotlib.pyplot as plt
    from PIL import Image

    for figure in figures:
        if not hasattr(figure, "savefig"):
            raise TypeError(f"figures must hold matplotlib figures, got {type(figure).__name__}")
    if len(figures) < 2:
        raise ValueError(f"figures must hold at least two frames, got {len(figures)}")
    if len(labels) != len(figures):
        raise ValueError(f"labels must hold {len(figures)} labels, got {len(labels)}")
    frames = []
    for figure, label in zip(figures, labels, strict=True):
        if figure.get_layout_engine() is None:  # no label is cut off, and frames keep their size
            figure.set_layout_engine("constrained")
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=dpi)
        plt.close(figure)
        if n_colors is not None:  # several times smaller
            picture = Image.open(buffer).convert("RGB").quantize(n_colors)
            buffer = io.BytesIO()
            picture.save(buffer, format="png", optimize=True)
        data = base64.b64encode(buffer.getvalue()).decode()
        frames.append((f"data:image/png;base64,{data}", f"{alt}: {label}", label))
    return frames
