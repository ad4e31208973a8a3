"""Chapters say how long they take to read, and it is so: within a fifth of what is counted."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CHAPTERS = sorted(
    path
    for path in (ROOT / "book").glob("[!_]*.md")
    if "minutes to read" in path.read_text() and "**Time**" in path.read_text()
)


@pytest.fixture(autouse=True)
def scripts_on_path(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_stated_minutes_are_those_that_are_counted(path):
    from reading_time import counted_minutes, exercise_minutes, stated_minutes

    text = path.read_text()
    counted, stated = counted_minutes(text), stated_minutes(text)
    assert abs(stated / counted - 1) <= 0.2, (
        f"{counted:.1f} minutes: scripts/reading_time.py --write"
    )
    if total := exercise_minutes(text):
        assert f"{total} minutes for the exercises" in text


def test_counting_is_that_of_the_rule():
    from reading_time import counted_minutes

    prose = "word " * 300
    assert counted_minutes(prose) == pytest.approx(2)
    equation = "\n```{math}\n:label: eq:a\na = b + c\n```\n"
    assert counted_minutes(prose + equation) == pytest.approx(2.5)
    code = "\n```{code-cell} ipython3\nthese = 'words' + 'do not' + 'count'\n```\n"
    assert counted_minutes(prose + code) == pytest.approx(2)
    exercise = "\n```{exercise-start} Title\n```\nMany words here.\n```{exercise-end}\n```\n"
    assert counted_minutes(prose + exercise) == pytest.approx(2)
    caption = "mystnb:\n  figure:\n    name: fig:a\n    caption: |\n      " + "word " * 75
    figure = f"\n```{{code-cell}} ipython3\n---\n{caption}\n  image:\n    alt: none\n---\n1\n```\n"
    assert counted_minutes(prose + figure) == pytest.approx(3)


def test_a_wrong_statement_is_found_and_corrected():
    from reading_time import stated_minutes, with_counted_minutes

    text = "**Time**: 40 minutes to read, a minute to run.\n" + "word " * 1500
    assert 10 <= stated_minutes(with_counted_minutes(text)) <= 11
    assert re.search(r"\*\*Time\*\*: 1\d minutes to read, a minute", with_counted_minutes(text))
