"""The slider and the player of precomputed frames: parts, links, texts, bad input."""

from __future__ import annotations

import base64
import html
import json
import re
import struct

import numpy as np
import pytest
from matplotlib.figure import Figure

from mfvae.widgets import frame_player, frame_slider

LABELS = ["T = 0.5", "T = 1.0", "T = <1.5>"]


def figures(n: int = 3) -> list[Figure]:
    result = []
    for i in range(n):
        figure = Figure(figsize=(2, 1))
        axes = figure.add_subplot()
        axes.plot([0, 10.0**i])
        axes.set_ylabel("density")
        result.append(figure)
    return result


def parts(widget):
    (slider, captions), stack = widget.children[0].children, widget.children[1]
    return slider, captions, stack


def png_sizes(stack) -> set[tuple[int, int]]:
    sizes = set()
    for frame in stack.children:
        data = base64.b64decode(re.search(r"base64,([^\"]+)", frame.value)[1])
        assert data[:8] == b"\x89PNG\r\n\x1a\n"
        sizes.add(struct.unpack(">II", data[16:24]))
    return sizes


def test_slider_has_a_frame_and_a_label_for_every_figure():
    slider, captions, stack = parts(frame_slider(figures(), LABELS, "temperature", start=1))
    assert (slider.min, slider.max, slider.value) == (0, 2, 1)
    assert slider.description == "temperature"
    assert captions.selected_index == stack.selected_index == 1
    assert [c.value for c in captions.children] == LABELS
    assert len({frame.value for frame in stack.children}) == 3


def test_frames_keep_their_size():
    _, _, stack = parts(frame_slider(figures(), LABELS, "temperature", dpi=50))
    assert png_sizes(stack) == {(100, 50)}


def test_links_are_made_in_javascript():
    from ipywidgets.widgets.widget import _instances

    before = set(_instances)
    slider, captions, stack = parts(frame_slider(figures(), LABELS, "temperature"))
    links = [w for key, w in _instances.items() if key not in before and hasattr(w, "target")]
    assert {(link.source, link.target) for link in links} == {
        ((slider, "value"), (stack, "selected_index")),
        ((slider, "value"), (captions, "selected_index")),
    }


@pytest.mark.parametrize("alt", ["", "density & field"])
def test_every_frame_has_alternative_text(alt):
    _, _, stack = parts(frame_slider(figures(), LABELS, "temperature", alt=alt))
    texts = [html.unescape(re.search(r'alt="([^"]*)"', f.value)[1]) for f in stack.children]
    assert texts == [f"{alt or 'temperature'}: {label}" for label in LABELS]


def test_figures_of_pyplot_are_closed():
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    drawn = [plt.figure(figsize=(1, 1)) for _ in range(2)]
    frame_slider(drawn, ["a", "b"], "frame")
    assert plt.get_fignums() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"figures": []}, "at least two"),
        ({"labels": LABELS[:2]}, "3 labels"),
        ({"start": 3}, "at most 2"),
        ({"start": -1}, "at least 0"),
    ],
)
def test_bad_input_is_refused(arguments, message):
    good = {"figures": figures(), "labels": LABELS, "description": "temperature"}
    with pytest.raises(ValueError, match=message):
        frame_slider(**(good | arguments))


def test_start_must_be_an_integer():
    with pytest.raises(TypeError, match="start must be an integer"):
        frame_slider(figures(), LABELS, "temperature", start=np.float64(1))


def test_frames_must_be_figures():
    with pytest.raises(TypeError, match="matplotlib figures, got str"):
        frame_slider(["a", "b"], ["a", "b"], "temperature")


def test_player_holds_every_frame_and_asks_for_no_file():
    player = frame_player(figures(), LABELS, "a <field>", alt="density", dpi=50)
    text = player._repr_html_()
    frames = json.loads(re.search(r"const frames = (.*);\n", text)[1])
    assert [frame[1:] for frame in frames] == [[f"density: {label}", label] for label in LABELS]
    assert len({frame[0] for frame in frames}) == 3
    for picture, _, _ in frames:
        data = base64.b64decode(picture.removeprefix("data:image/png;base64,"))
        assert data[:8] == b"\x89PNG\r\n\x1a\n"
        assert struct.unpack(">II", data[16:24]) == (100, 50)
    addresses = re.findall(r"""(?:src|href)=["']([^"']*)["']""", text)
    assert addresses == [frames[0][0]]
    assert "//" not in re.sub(r"base64,[A-Za-z0-9+/=]*", "", text)
    assert 'aria-label="a &lt;field&gt;"' in text


def test_players_of_one_page_have_names_of_their_own():
    names = {
        re.search(r'id="([^"]*)"', frame_player(figures(), LABELS, name).data)[1] for name in "ab"
    }
    assert len(names) == 2


def test_a_palette_makes_the_player_smaller():
    _, _, stack = parts(frame_slider(figures(), LABELS, "x"))
    assert len(frame_player(figures(), LABELS, "x").data) < sum(
        len(f.value) for f in stack.children
    )


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"figures": []}, ValueError, "at least two"),
        ({"labels": LABELS[:2]}, ValueError, "3 labels"),
        ({"interval": 1}, ValueError, "interval"),
        ({"interval": 1.5}, TypeError, "interval"),
    ],
)
def test_player_refuses_bad_input(arguments, error, message):
    good = {"figures": figures(), "labels": LABELS, "description": "temperature"}
    with pytest.raises(error, match=message):
        frame_player(**(good | arguments))
