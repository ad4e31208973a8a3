"""The build of the book is strict: planted faults fail it, and its cache is honest.

A small book of two chapters, with the configuration of the real one and a package of its own,
is built by the same script.  Every executed chapter leaves a line in a log, so that what was
executed is counted, not inferred.
"""

from __future__ import annotations

import importlib
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from nbclient.exceptions import CellTimeoutError

ROOT = Path(__file__).parent.parent
FRONT = """---
jupytext:
  text_representation:
    extension: .md
    format_name: myst
kernelspec:
  display_name: Python 3
  language: python
  name: python3
---

"""
CHAPTER = """(ch:{name})=
# Chapter {name}

Prose. See {{ref}}`ch:{other}`.

```{{code-cell}} ipython3
import os
from mfvae import answer

with open(os.environ["EXECUTION_LOG"], "a") as log:
    _ = log.write("{name}\\n")
```

```{{code-cell}} ipython3
answer()
```

```{{code-cell}} ipython3
print("{name} has the answer", answer())
```

```{{code-cell}} ipython3
---
mystnb:
  figure:
    name: fig:{name}
    caption: A line.
  image:
    alt: a straight line
---
import matplotlib.pyplot as plt

fig, axes = plt.subplots(figsize=(2, 1))
axes.plot([0, answer()])
plt.show()
```
"""


class Book:
    """A small book under ``root``, and the log of what its builds executed."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.log = root / "executed.log"

    def path(self, name: str) -> Path:
        return self.root / "book" / f"{name}.md"

    def html(self, name: str) -> Path:
        return self.root / "_build" / "html" / "book" / f"{name}.html"

    def append(self, name: str, text: str) -> None:
        self.path(name).write_text(self.path(name).read_text() + text)

    def build(self) -> tuple[int, str, list[str]]:
        """Return the exit status, what was printed, and the chapters that were executed."""
        self.log.write_text("")
        environment = {k: v for k, v in os.environ.items() if not k.startswith("MFVAE_")}
        environment |= {"PYTHONPATH": str(self.root), "EXECUTION_LOG": str(self.log)}
        done = subprocess.run(
            [sys.executable, str(ROOT / "scripts" / "build_book.py"), "--root", str(self.root)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=240,
        )
        return done.returncode, done.stdout, sorted(self.log.read_text().split())


def write_book(root: Path) -> Book:
    book = Book(root)
    (root / "book").mkdir()
    (root / "book" / "_static").symlink_to(ROOT / "book" / "_static")
    (root / "book" / "references.bib").write_text("")
    (root / "mfvae").mkdir()
    (root / "mfvae" / "__init__.py").write_text("def answer():\n    return 42\n")
    (root / "constraints.txt").write_text("")
    config = yaml.safe_load((ROOT / "_config.yml").read_text())
    config["repository"]["url"] = "https://github.com/someone/her-copy"
    config["sphinx"]["local_extensions"] = {"book_extension": str(ROOT / "scripts")}
    (root / "_config.yml").write_text(yaml.safe_dump(config))
    toc = {"format": "jb-book", "root": "book/one", "chapters": [{"file": "book/two"}]}
    (root / "_toc.yml").write_text(yaml.safe_dump(toc))
    for name, other in [("one", "two"), ("two", "one")]:
        book.path(name).write_text(FRONT + CHAPTER.format(name=name, other=other))
    return book


@pytest.fixture(scope="module")
def first_build(tmp_path_factory):
    book = write_book(tmp_path_factory.mktemp("book"))
    return book, book.build()


@pytest.fixture
def book(first_build, tmp_path) -> Book:
    """Return a copy of the book after its first build, free to be spoilt."""
    original, (status, output, _) = first_build
    assert status == 0, output
    shutil.copytree(original.root, tmp_path / "copy", symlinks=True)
    return Book(tmp_path / "copy")


def test_good_book_is_built_and_executed(first_build):
    book, (status, output, executed) = first_build
    assert status == 0, output
    assert executed == ["one", "two"]
    assert f"{book.root}/_build/html/index.html" in output
    page = book.html("one").read_text()
    assert "one has the answer 42" in page
    assert 'alt="a straight line"' in page


def test_buttons_and_downloads_point_at_files_that_exist(first_build):
    book, (status, output, _) = first_build
    assert status == 0, output
    page = book.html("two").read_text()
    download = re.search(r'href="([^":]+\.ipynb)"', page)[1]
    downloaded = (book.html("two").parent / download).read_text()
    assert "two has the answer 42" in downloaded
    # Colab opens the notebook published with the HTML on the branch that holds _build/html.
    colab = re.search(r'href="https://colab\.research\.google\.com/github/([^"]+)"', page)[1]
    assert colab == "someone/her-copy/blob/gh-pages/notebooks/two.ipynb"
    published = book.root / "_build" / "html" / "notebooks" / "two.ipynb"
    first_cell = json.loads(published.read_text())["cells"][0]
    assert "git+https://github.com/someone/her-copy" in "".join(first_cell["source"])
    # Binder makes the notebooks in its image, by .binder/postBuild, where this button looks.
    binder = re.search(r'href="https://mybinder\.org/v2/gh/([^"]+)"', page)[1]
    assert binder == "someone/her-copy/main?urlpath=lab/tree/notebooks/student/two.ipynb"
    assert "scripts/make_notebooks.py" in (ROOT / ".binder" / "postBuild").read_text()
    assert (ROOT / ".binder" / "environment.yml").is_file()


def test_unchanged_book_is_not_executed_again(book):
    status, output, executed = book.build()
    assert status == 0, output
    assert executed == []
    assert "one has the answer 42" in book.html("one").read_text()


@pytest.mark.slow
def test_cached_chapter_keeps_its_outputs_in_page_and_download(book):
    book.append("two", "\nMore prose.\n")
    status, output, executed = book.build()
    assert status == 0, output
    assert executed == []
    assert "one has the answer 42" in book.html("one").read_text()
    download = book.root / "_build" / "html" / "_sources" / "book" / "one.ipynb"
    assert "one has the answer 42" in download.read_text()


def test_changed_package_executes_everything_again(book):
    (book.root / "mfvae" / "__init__.py").write_text("def answer():\n    return 43\n")
    status, output, executed = book.build()
    assert status == 0, output
    assert executed == ["one", "two"]
    assert "one has the answer 43" in book.html("one").read_text()


def test_changed_constraints_and_data_change_the_key(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    from build_book import DATA_FILE, environment_key

    (tmp_path / "constraints.txt").write_text("numpy==2.0\n")
    keys = [environment_key(tmp_path)]
    (tmp_path / "constraints.txt").write_text("numpy==2.1\n")
    keys.append(environment_key(tmp_path))
    recording = tmp_path / "data" / DATA_FILE
    recording.parent.mkdir(parents=True)
    monkeypatch.setenv("MFVAE_DATA", str(tmp_path / "data"))
    for content in (b"one", b"two"):
        recording.write_bytes(content)
        keys.append(environment_key(tmp_path))
    monkeypatch.setenv("MFVAE_SCALE", "paper")
    keys.append(environment_key(tmp_path))
    assert all(a != b for a, b in itertools.pairwise(keys))
    assert environment_key(tmp_path) == keys[-1]


def test_changed_chapter_executes_alone(book):
    book.append("two", "\n```{code-cell} ipython3\nanswer() + 1\n```\n")
    book.append("one", "\nMore prose.\n")
    status, output, executed = book.build()
    assert status == 0, output
    assert executed == ["two"]
    assert "More prose" in book.html("one").read_text()
    assert "one has the answer 42" in book.html("one").read_text()


def test_failing_cell_fails_the_build_each_time(book):
    book.append("two", "\n```{code-cell} ipython3\n1 / 0\n```\n")
    for _ in range(2):
        status, output, executed = book.build()
        assert status != 0
        assert "ZeroDivisionError" in output
        assert executed == ["two"]


def test_missing_cross_reference_fails_the_build_each_time(book):
    book.append("two", "\nSee {ref}`ch:nowhere`.\n")
    for _ in range(2):
        status, output, executed = book.build()
        assert status != 0
        assert "ch:nowhere" in output
        assert executed == []


@pytest.mark.slow
def test_cells_without_their_output_fail_the_build(book):
    figure = "---\nmystnb:\n  figure:\n    name: fig:x\n    caption: None.\n---\nx = 1"
    for cell in (figure, "nothing = None\nnothing"):
        book.append("two", f"\n```{{code-cell}} ipython3\n{cell}\n```\n")
    status, output, _ = book.build()
    assert status != 0
    for number, kind in ((5, "figure"), (6, "any")):
        wanted = f"book/two, code cell {number}: should have an output ({kind}), has none"
        assert wanted in output


def strip_outputs(notebook: Path) -> None:
    content = json.loads(notebook.read_text())
    for cell in content["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"] = []
    notebook.write_text(json.dumps(content))


@pytest.mark.slow
def test_outputs_lost_from_the_cache_fail_the_build_and_are_executed_afresh(book):
    cached = list((book.root / "_build" / ".jupyter_cache").rglob("base.ipynb"))
    assert len(cached) == 2
    strip_outputs(next(p for p in cached if "one has the answer" in p.read_text()))
    book.append("two", "\nMore prose.\n")
    status, output, executed = book.build()
    assert status != 0
    assert "book/one, code cell 3: should have an output" in output
    assert executed == []
    status, output, executed = book.build()
    assert status == 0, output
    assert executed == ["one", "two"]


@pytest.mark.slow
def test_outputs_lost_from_a_page_are_found_and_restored(book):
    page = book.html("one")
    page.write_text(re.sub(r'class="cell_output[^"]*"', 'class="gone"', page.read_text(), count=1))
    status, output, executed = book.build()
    assert status == 0, output
    assert executed == []
    assert "nothing has changed" not in output
    assert "cell_output" in page.read_text()
    assert 'class="gone"' not in page.read_text()


def test_a_chapter_whose_kernel_fell_silent_runs_once_more(monkeypatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "scripts")
    execute_chapters = importlib.import_module("execute_chapters")
    silent = execute_chapters.ExecutionResult(None, ".", 900.0, CellTimeoutError("900 s"))
    done = execute_chapters.ExecutionResult(None, ".", 5.0)
    for answers, expected in (([silent, done], done), ([silent, silent], silent), ([done], done)):
        left = list(answers)
        monkeypatch.setattr(
            execute_chapters, "single_nb_execution", lambda *_, left=left, **__: left.pop(0)
        )
        assert execute_chapters.execute_notebook(None, timeout=900) is expected
        assert not left
