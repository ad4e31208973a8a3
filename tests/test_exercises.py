"""Exercises with a check: the skeleton fails it, the solution passes it, without any training."""

from __future__ import annotations

import ast
import contextlib
import io
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CHAPTERS = sorted(
    path for path in (ROOT / "book").glob("[!_]*.md") if ":tags: [skeleton]" in path.read_text()
)
KEPT = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef)
CHECK = """def check(test):
    \"\"\"Make a check that prints the first thing a test finds wrong, or that nothing is.\"\"\"

    def run(answer):
        try:
            wrong = test(answer)
        except Exception as error:
            wrong = f"it stops with {type(error).__name__}: {error}"
        print(f"Not yet: {wrong}." if wrong else "Right.")

    return run
"""


def definitions(source: str) -> str:
    """Return what a cell imports and defines, without what it computes."""
    body = [node for node in ast.parse(source).body if isinstance(node, KEPT)]
    return ast.unparse(ast.Module(body, []))


def parts_of(path: Path) -> tuple[list[str], dict[str, dict[str, list[str]]]]:
    """Return the definitions of a chapter outside its exercises, and its exercises by label."""
    from make_notebooks import gate_of, read_chapter, tags_of

    common, exercises, label, place = [], {}, None, None
    for cell in read_chapter(path).cells:
        gate = gate_of(cell)
        if gate in ("exercise-start", "solution-start"):
            found = re.search(r":label: (\S+)|solution-start\} (\S+)", cell.source)
            label, place = found[1] or found[2], gate.split("-")[0]
            exercises.setdefault(label, {"text": [], "skeleton": [], "check": [], "solution": []})
        if gate in ("exercise-end", "solution-end"):
            label = None
        elif label and cell.cell_type == "markdown" and place == "exercise":
            exercises[label]["text"].append(cell.source)
        elif cell.cell_type == "code" and "skip-execution" not in tags_of(cell):
            kind = next((t for t in tags_of(cell) if t in ("skeleton", "check")), "solution")
            if label:
                exercises[label][kind].append(cell.source)
            else:
                common.append(definitions(cell.source))
    return common, exercises


@pytest.fixture
def chapter(path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    return parts_of(path)


def verdict(common: list[str], attempt: list[str], check: list[str]) -> str:
    namespace, said = {"__name__": "exercise"}, io.StringIO()
    with contextlib.redirect_stdout(said):
        for source in (*common, *attempt, *check):
            exec(source, namespace)  # the book's own cells
    return said.getvalue().strip()


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_skeletons_fail_and_solutions_pass(chapter, path):
    common, exercises = chapter
    checked = {label: parts for label, parts in exercises.items() if parts["check"]}
    assert checked
    for label, parts in checked.items():
        assert verdict(common, parts["skeleton"], parts["check"]).startswith("Not yet: "), label
        solution = [definitions(source) for source in parts["solution"]]
        assert verdict(common, solution, parts["check"]) == "Right.", label


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_exercises_say_how_long_and_how_hard_they_are(chapter, path):
    for label, parts in chapter[1].items():
        text = "\n".join(parts["text"])
        assert re.search(r"^\*\d+ minutes, level [123] of 3\.\*", text, re.MULTILINE), label
        assert "```{hint}\n:class: dropdown\n" in text, label


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_every_chapter_makes_its_checks_alike(path):
    assert path.read_text().count(CHECK) == 1


def test_a_wrong_answer_is_not_taken(monkeypatch):
    """Planted errors: a check that took any number would pass the tests above."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    common, exercises = parts_of(ROOT / "book" / "elbo.md")
    for label, right, wrong in (
        ("ex:elbo-kl", "- 0.5", "+ 0.5"),
        ("ex:elbo-tight", "T / N)", "T / N / 4)"),
        ("ex:elbo-iwae", "- np.log(k)", ""),
    ):
        parts = exercises[label]
        solution = [definitions(source) for source in parts["solution"]]
        planted = [source.replace(right, wrong) for source in solution]
        assert planted != solution, label
        assert verdict(common, planted, parts["check"]).startswith("Not yet: "), label
