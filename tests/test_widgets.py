"""The bar of precomputed frames: pictures, labels, texts, names, bad input."""

from __future__ import annotations

import base64
import html
import json
import re
import struct

import numpy as np
import pytest
from matplotlib.figure import Figure

from mfvae.plots import frame_slider

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


def frames_of(text: str) -> list[tuple[str, str, str]]:
    return json.loads(re.search(r"const frames = (.*), interval = ", text)[1])


def attribute(text: str, tag: str, name: str) -> str:
    found = re.search(rf"<{tag}\b[^>]*?\s{name}=\"([^\"]*)\"", text)
    return html.unescape(found[1])


@pytest.mark.parametrize("alt", ["", "density & field"])
def test_every_frame_has_a_picture_a_label_and_a_text(alt):
    text = frame_slider(figures(), LABELS, "a <field>", alt=alt, dpi=50)._repr_html_()
    frames = frames_of(text)
    assert [f[1:] for f in frames] == [[f"{alt or 'a <field>'}: {x}", x] for x in LABELS]
    assert len({frame[0] for frame in frames}) == 3
    for picture, _, _ in frames:
        data = base64.b64decode(picture.removeprefix("data:image/png;base64,"))
        assert data[:8] == b"\x89PNG\r\n\x1a\n"
        assert struct.unpack(">II", data[16:24]) == (100, 50)


def test_first_frame_needs_no_script_and_no_file():
    text = frame_slider(figures(), LABELS, "a <field>", start=2).data
    frames = frames_of(text)
    assert attribute(text, "img", "src") == frames[2][0]
    assert attribute(text, "img", "alt") == frames[2][1]
    assert attribute(text, "input", "value") == "2"
    assert attribute(text, "input", "aria-valuetext") == LABELS[2]
    assert attribute(text, "div", "aria-label") == "a <field>"
    assert re.findall(r"""(?:src|href)=["']([^"']*)["']""", text) == [frames[2][0]]
    assert "//" not in re.sub(r"base64,[A-Za-z0-9+/=]*", "", text)
    assert text.count("</script>") == 1


def test_only_an_animation_has_a_button():
    still = frame_slider(figures(), LABELS, "x").data
    moving = frame_slider(figures(), LABELS, "x", interval=50).data
    assert " hidden>Play</button>" in still
    assert "interval = null" in still
    assert " hidden>" not in moving
    assert "interval = 50" in moving


def test_bars_of_one_page_have_names_of_their_own():
    texts = [frame_slider(figures(), LABELS, name).data for name in "aab"]
    names = [attribute(text, "div", "id") for text in texts]
    assert names[0] == names[1] != names[2]


def test_a_palette_makes_the_pictures_smaller():
    sizes = [len(frame_slider(figures(), LABELS, "x", n_colors=n).data) for n in (8, 256)]
    assert sizes[0] < sizes[1]


def test_figures_of_pyplot_are_closed():
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    drawn = [plt.figure(figsize=(1, 1)) for _ in range(2)]
    frame_slider(drawn, ["a", "b"], "frame")
    assert plt.get_fignums() == before


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"figures": []}, ValueError, "at least two"),
        ({"figures": ["a", "b", "c"]}, TypeError, "matplotlib figures, got str"),
        ({"labels": LABELS[:2]}, ValueError, "3 labels"),
        ({"start": 3}, ValueError, "at most 2"),
        ({"start": -1}, ValueError, "at least 0"),
        ({"start": np.float64(1)}, TypeError, "start must be an integer"),
        ({"interval": 1}, ValueError, "interval"),
        ({"interval": 1.5}, TypeError, "interval"),
        ({"n_colors": 1}, ValueError, "n_colors"),
    ],
)
def test_bad_input_is_refused(arguments, error, message):
    good = {"figures": figures(), "labels": LABELS, "description": "temperature"}
    with pytest.raises(error, match=message):
        frame_slider(**(good | arguments))
