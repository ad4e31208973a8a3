"""The code that README and introduction promise runs as printed."""

from __future__ import annotations

import functools
import re
from pathlib import Path

import numpy as np
import pytest

import mfvae
from mfvae import MeanFieldVAE
from mfvae.systems import CurieWeiss

ROOT = Path(__file__).parent.parent


def python_blocks(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)


def without_comments(code: str) -> str:
    return "\n".join(line.split("#")[0].rstrip() for line in code.splitlines() if line.strip())


def test_introduction_shows_the_same_lines():
    readme, introduction = python_blocks("README.md"), python_blocks("book/intro.md")
    assert [without_comments(c) for c in readme] == [without_comments(c) for c in introduction]


@pytest.mark.parametrize("n_steps", [150, pytest.param(None, marks=pytest.mark.slow)])
def test_ten_lines_on_ones_own_data(n_steps, tmp_path, monkeypatch):
    (code,) = python_blocks("README.md")
    assert len([line for line in code.splitlines() if line.strip()]) <= 10
    monkeypatch.chdir(tmp_path)
    words = (CurieWeiss(20).sample(0.8, 300, seed=0) > 0).astype(np.uint8)
    np.save("my_words.npy", words)
    if n_steps:  # fewer than the defaults, for speed
        short = functools.partial(MeanFieldVAE, n_steps=n_steps, polish_steps=n_steps)
        monkeypatch.setattr(mfvae, "MeanFieldVAE", short)
    names: dict = {}
    exec(compile(code, "README.md", "exec"), names)
    assert names["z"].shape == (300, 2)
    assert names["nats"].shape == (300,)
    assert np.all(names["nats"] < 0)
    assert names["generated"].shape == (10_000, 20)
    assert set(np.unique(names["generated"])) == {0, 1}
    assert any(path.name.startswith("my_model") for path in tmp_path.iterdir())


def test_make_targets_of_the_readme_exist():
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"make ([a-z-]+)", (ROOT / "README.md").read_text())):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
