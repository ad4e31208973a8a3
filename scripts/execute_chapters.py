"""Execute the chapters that the cache does not hold, several at a time, one thread each.

Sphinx would execute them one after another.  A chapter's small networks hardly gain from a second
thread, so on two cores this takes little more than half the time, and the weights that a chapter
trains do not depend on the number of cores.
"""

from __future__ import annotations

import concurrent.futures
import os
import re
from pathlib import Path
from typing import Any

from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn
from jupyter_cache.executors.utils import ExecutionResult, single_nb_execution
from myst_nb.core.read import is_myst_markdown_notebook, myst_nb_reader_plugin
from nbclient.exceptions import CellTimeoutError
from nbformat import NotebookNode

__all__ = ["execute_chapters", "execute_notebook"]

NUMBERS = ("no", "a", "two", "three", "four", "five")


def execute_chapters(root: Path, pages: list[str], limit: int) -> list[str]:
    """Execute and cache what is not in the cache yet; return what went wrong, chapter by chapter.

    Kernels inherit the environment, their numbers of threads included.

    Args:
        root: Folder of the book; the cache is ``_build/.jupyter_cache`` under it.
        pages: The pages of the book, without suffix; those without cells are left alone.
        limit: Longest time of a cell, in seconds.
    """
    cache = get_cache(root / "_build" / ".jupyter_cache")
    problems = []
    with concurrent.futures.ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        started = {}
        for page in sorted(pages, key=lambda page: -_stated_minutes(root / f"{page}.md")):
            path = root / f"{page}.md"
            if not path.exists() or not is_myst_markdown_notebook(path.read_text()):
                continue
            notebook = myst_nb_reader_plugin(
                str(path)
            )  # as MyST-NB, which looks for it in the cache
            try:
                cache.match_cache_notebook(notebook)
            except KeyError:
                options = {"cwd": str(path.parent), "timeout": limit, "allow_errors": False}
                started[pool.submit(execute_notebook, notebook, **options)] = page, path
        for future in concurrent.futures.as_completed(started):
            page, path = started[future]
            result = future.result()
            if result.err is not None:
                print(f"{page}: failed after {result.time:.0f} s\n{result.exc_string}", flush=True)
                problems.append(f"{page} failed; its traceback is above")
                continue
            record = cache.add_nb_to_project(
                str(path), read_data={"type": "plugin", "name": "myst_nb_md"}
            )
            cache.cache_notebook_bundle(
                CacheBundleIn(result.nb, record.uri, data={"execution_seconds": result.time}),
                check_validity=False,
                overwrite=True,
            )
            print(f"{page}: executed in {result.time:.0f} s", flush=True)
    return problems


def execute_notebook(notebook: NotebookNode, **options: Any) -> ExecutionResult:
    """Execute a notebook, and once more if its kernel fell silent: it may (nbclient, issue 312)."""
    result = single_nb_execution(notebook, **options)
    if isinstance(result.err, CellTimeoutError):
        print(f"a cell did not end in {options['timeout']} s; the chapter runs anew", flush=True)
        result = single_nb_execution(notebook, **options)
    return result


def _stated_minutes(path: Path) -> int:
    """Return the minutes that a chapter says it runs: the longest should start first."""
    found = re.search(r"(\w+) minutes? to run", path.read_text()) if path.exists() else None
    return NUMBERS.index(found[1]) if found and found[1] in NUMBERS else 0
