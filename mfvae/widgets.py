"""Sliders and animations that work in a static page: precomputed frames, moved by JavaScript."""

from __future__ import annotations

import base64
import hashlib
import html
import io
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ipywidgets
    from matplotlib.figure import Figure

__all__ = ["FramePlayer", "frame_player", "frame_slider"]


def encode_figure(figure: Figure, dpi: float, n_colors: int | None = None) -> str:
    """Return a figure as a PNG in a ``data:`` address, and close it if pyplot holds it.

    A figure without a layout of its own gets the constrained one, so that no label is cut off
    and all frames keep their size. With ``n_colors`` the picture is reduced to a palette, which
    makes it several times smaller.
    """
    import matplotlib.pyplot as plt

    if figure.get_layout_engine() is None:
        figure.set_layout_engine("constrained")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    plt.close(figure)
    if n_colors is not None:
        from PIL import Image

        picture = Image.open(buffer).convert("RGB").quantize(n_colors)
        buffer = io.BytesIO()
        picture.save(buffer, format="png", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _check_frames(
    figures: Sequence[Figure],
    labels: Sequence[str],
    description: str,
    alt: str | Sequence[str] | None,
) -> tuple[list[Figure], list[str], list[str]]:
    """Return figures, labels and alternative texts as lists of one length."""
    figures, labels = list(figures), list(labels)
    for figure in figures:
        if not hasattr(figure, "savefig"):
            raise TypeError(f"figures must hold matplotlib figures, got {type(figure).__name__}")
    if len(figures) < 2:
        raise ValueError(f"figures must hold at least two frames, got {len(figures)}")
    if len(labels) != len(figures):
        raise ValueError(f"labels must hold {len(figures)} labels, got {len(labels)}")
    if alt is None or isinstance(alt, str):
        texts = [f"{alt or description}: {label}" for label in labels]
    else:
        texts = list(alt)
    if len(texts) != len(figures):
        raise ValueError(f"alt must hold {len(figures)} texts, got {len(texts)}")
    return figures, labels, texts


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

    Args:
        figures (sequence of matplotlib.figure.Figure): The frames, at least two, all of the same
            size.  They are closed.
        labels (sequence of str): One label for every frame, shown beside the slider, for instance
            ``"T = 0.90"``.
        description (str): What the slider changes, shown before it.
        alt (str or sequence of str, optional): Alternative text: one for all frames, to which the
            label is added, or one for each. By default made of ``description`` and the label.
        start (int): The frame shown first.
        dpi (float): Resolution of the pictures, in dots per inch.

    Returns:
        ipywidgets.VBox: The slider with its label, above the frames.

    Raises:
        TypeError: If a frame is not a figure, or ``start`` not an integer.
        ValueError: If there are fewer than two frames, if the numbers of frames, labels and texts
            differ, or if ``start`` is not one of the frames.

    >>> from matplotlib.figure import Figure
    >>> figures = [Figure(figsize=(2, 1)) for _ in range(3)]
    >>> widget = frame_slider(figures, ["T = 1", "T = 2", "T = 3"], "temperature")
    >>> len(widget.children[1].children)
    3
    """
    import ipywidgets

    from mfvae._validation import check_count

    figures, labels, texts = _check_frames(figures, labels, description, alt)
    start = check_count(start, "start", minimum=0, maximum=len(figures) - 1)

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


_PLAYER = """<div class="mfvae-player" id="{name}" role="group" aria-label="{description}">
<img src="{first}" alt="{text}" style="display: block; max-width: 100%; height: auto">
<div style="display: flex; flex-wrap: wrap; align-items: center; gap: 0.6em">
<button type="button" aria-label="Play or pause: {description}">Play</button>
<input type="range" min="0" max="{last}" value="0" aria-label="{description}: frame"
 style="flex: 1 1 10em; min-width: 6em; max-width: 26em"><output>{label}</output></div>
<script>
(() => {{
  const frames = {frames};
  const root = document.getElementById("{name}"), image = root.querySelector("img");
  const button = root.querySelector("button"), range = root.querySelector("input");
  const output = root.querySelector("output");
  let timer = null;
  const show = (i) => {{
    [image.src, image.alt] = [frames[i][0], frames[i][1]];
    output.textContent = frames[i][2];
    range.value = i;
    range.setAttribute("aria-valuetext", frames[i][2]);
  }};
  const pause = () => {{
    clearInterval(timer);
    timer = null;
    button.textContent = "Play";
  }};
  button.addEventListener("click", () => {{
    if (timer !== null) return pause();
    button.textContent = "Pause";
    timer = setInterval(() => show((Number(range.value) + 1) % frames.length), {interval});
  }});
  range.addEventListener("input", () => {{ pause(); show(Number(range.value)); }});
}})();
</script></div>"""


class FramePlayer:
    """An animation as a piece of HTML that needs nothing else; notebooks and the book show it.

    Attributes:
        html (str): Frames, controls and script.
    """

    def __init__(self, html: str) -> None:
        self.html = html

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return f"FramePlayer({len(self.html) // 1024} KiB of HTML)"


def frame_player(
    figures: Sequence[Figure],
    labels: Sequence[str],
    description: str,
    *,
    alt: str | Sequence[str] | None = None,
    interval: int = 200,
    dpi: float = 100,
    n_colors: int = 32,
) -> FramePlayer:
    """Return an animation with a button to play and pause and a bar to move through the frames.

    The frames and a script of a few lines are part of the HTML: it plays in a built page, offline,
    and asks for no other file. It starts at rest, and repeats until it is paused.

    Args:
        figures (sequence of matplotlib.figure.Figure): The frames, at least two, all of the same
            size. They are closed.
        labels (sequence of str): One label for every frame, shown beside the bar.
        description (str): What the animation shows: the name of the controls for those who do not
            see them.
        alt (str or sequence of str, optional): Alternative text, as in `frame_slider`.
        interval (int): Time from frame to frame, milliseconds.
        dpi (float): Resolution of the pictures, in dots per inch.
        n_colors (int): Number of colours of a frame, from 2 to 256; fewer make the page smaller.

    Returns:
        FramePlayer: Shown by a notebook.

    Raises:
        TypeError: If a frame is not a figure, or ``interval`` or ``n_colors`` not an integer.
        ValueError: If there are fewer than two frames, if the numbers of frames, labels and texts
            differ, or if ``interval`` or ``n_colors`` is out of range.

    >>> from matplotlib.figure import Figure
    >>> player = frame_player([Figure((2, 1)) for _ in range(3)], list("abc"), "letters")
    >>> player.html.count("data:image/png")
    4
    """
    from mfvae._validation import check_count

    figures, labels, texts = _check_frames(figures, labels, description, alt)
    interval = check_count(interval, "interval", minimum=20)
    n_colors = check_count(n_colors, "n_colors", minimum=2, maximum=256)
    pictures = [encode_figure(figure, dpi, n_colors) for figure in figures]
    frames = list(zip(pictures, texts, labels, strict=True))
    content = json.dumps(frames).replace("<", "\\u003c")  # no label can end the script
    return FramePlayer(
        _PLAYER.format(
            name="player-" + hashlib.sha256((description + content).encode()).hexdigest()[:12],
            description=html.escape(description),
            first=pictures[0],
            text=html.escape(texts[0]),
            label=html.escape(labels[0]),
            last=len(frames) - 1,
            frames=content,
            interval=interval,
        )
    )
