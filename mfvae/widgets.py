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
    from matplotlib.figure import Figure

__all__ = ["frame_slider"]


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
