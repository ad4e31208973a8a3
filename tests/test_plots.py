"""The style is that of its file, and the helpers draw what they are given."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import matplotlib as mpl
import matplotlib.style
import numpy as np
import pytest

from mfvae import plots
from mfvae.systems import Estimate


@pytest.fixture(autouse=True)
def canvas(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    import matplotlib.pyplot as plt

    plt.switch_backend("agg")
    with mpl.style.context("mfvae.book"):
        yield
    plt.close("all")


def test_import_does_not_load_matplotlib() -> None:
    code = "import sys, mfvae.plots; raise SystemExit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_style_is_set_by_a_call_and_holds_the_palette() -> None:
    mpl.rcdefaults()
    plots.use_style()
    assert mpl.rcParams["image.cmap"] == "cividis"
    assert tuple(mpl.rcParams["axes.prop_cycle"].by_key()["color"]) == plots.PALETTE
    assert mpl.rcParams["figure.figsize"][0] == plots.FIGURE_WIDTH


def test_compare_with_exact_draws_points_errors_and_line() -> None:
    _, ax = plots.subplots()
    estimates = [Estimate(1.0, 0.5), Estimate(2.0, 0.25)]
    plots.compare_with_exact(ax, [0, 1], estimates, [0, 1], [1, 2], "VAE", exact_label="exact")
    (bars,) = ax.containers
    segments = bars.lines[2][0].get_segments()
    np.testing.assert_allclose([s[:, 1] for s in segments], [[0.5, 1.5], [1.75, 2.25]])
    assert {text for text in ax.get_legend_handles_labels()[1]} == {"VAE", "exact"}
    line = next(line for line in ax.lines if line.get_label() == "exact")
    np.testing.assert_allclose(line.get_ydata(), [1, 2])
    with pytest.raises(ValueError, match="estimates must have shape"):
        plots.compare_with_exact(ax, [0], estimates)
    with pytest.raises(ValueError, match="together"):
        plots.compare_with_exact(ax, [0, 1], estimates, exact_x=[0])


def test_configurations_are_black_and_white() -> None:
    _, axes = plots.subplots(1, 2)
    x = np.array([[1, -1, 1, 1, -1, -1], [1, 1, 1, 1, 1, 1]])
    plots.show_configurations(axes, x, (2, 3))
    np.testing.assert_array_equal(axes[0].images[0].get_array(), [[1, -1, 1], [1, -1, -1]])
    with pytest.raises(ValueError, match="rows"):
        plots.show_configurations(axes, x[:1], (2, 3))


def test_table_says_what_it_is_given_and_nothing_more() -> None:
    text = plots.table(
        ("d", "gap <nats>"), [(1, "2 ± 1"), (4, "<0.1")], "Gap & d.", name="tab-a"
    ).data
    assert text.startswith('<table class="results" id="tab-a"><caption>Gap &amp; d.</caption>')
    assert text.count('<th scope="col">') == 2
    assert "<td>&lt;0.1</td></tr></tbody>" in text
    with pytest.raises(ValueError, match="rows must have 2 entries"):
        plots.table(("d", "gap"), [(1,)], "Gap.")
