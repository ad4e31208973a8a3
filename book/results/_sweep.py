"""A long sweep, row by row: rows that are there are kept, and each new one is written at once.

The scripts beside this file import it. What they find belongs to the package: `mfvae.load_results`.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from joblib import Parallel, delayed

import mfvae
from mfvae.vae.storage import replace_file

__all__ = ["RESULTS", "from_chapter", "further", "run_sweep", "stored_rows", "sweep_command"]

PACKAGE = Path(__file__).resolve().parents[2] / "mfvae"
RESULTS = PACKAGE / "data" / "results"


def code_version() -> str:
    """Return the package's version with the commit, and whether the package differs from it."""

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=PACKAGE, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    try:
        commit = git("rev-parse", "--short", "HEAD")
        # The results themselves change while a sweep runs.
        changed = ", changed" if git("status", "--porcelain", "--", ".", ":!data/results") else ""
    except (OSError, subprocess.CalledProcessError):
        return mfvae.__version__
    return f"{mfvae.__version__} ({commit}{changed})"


def machine() -> str:
    """Return processor and number of cores that this process may use."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        models = [
            line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")
        ]
        name = models[0].split(":", 1)[1].strip() if models else name
    n_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{name}, {n_cores} core(s)"


def from_chapter(stem: str, *names: str) -> list[Callable]:
    """Return functions that a chapter defines, so that page and sweep share one text."""
    page = Path(__file__).parents[1] / f"{stem}.md"
    imports, *cells = re.findall(
        r"^```\{code-cell\} ipython3\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL
    )
    defined: dict[str, Any] = {}
    exec(imports, defined)
    for cell in cells:
        if cell.startswith(tuple(f"def {name}(" for name in names)):
            exec(cell, defined)
    return [defined[name] for name in names]


def stored_rows(path: Path, configuration: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """Return the rows of a results file; none if it is absent or of another configuration."""
    if not path.exists():
        return []
    stored = json.loads(path.read_text())
    return stored["rows"] if configuration in (None, stored["configuration"]) else []


def run_sweep(
    path: Path,
    configuration: dict[str, Any],
    order: Sequence[tuple],
    compute_row: Callable[..., dict[str, Any]],
    *,
    names: Sequence[str],
    wanted: Callable[[tuple], bool] = lambda key: True,
    again: bool = False,
    n_jobs: int = 1,
) -> list[dict[str, Any]]:
    """Compute the rows of ``order`` that are missing and write each as soon as it is there.

    Args:
        path: The results file: ``{"configuration": …, "rows": […]}``, written all or nothing; two
            sweeps may write to it at the same time.
        configuration: What all rows share; rows of another configuration are not comparable and
            are dropped.
        order: The keys of all rows, in the order of the file.
        compute_row: Takes the values of a key and returns the row's measurements. The key's
            entries under ``names``, ``seconds``, ``code`` and ``machine`` are added to the row.
        names: The names of a key's entries.
        wanted: Says of a key whether it is to be computed in this call.
        again: Compute rows that are there anew.
        n_jobs: Rows computed side by side, as joblib counts; on a Dask cluster under
            ``joblib.parallel_config(backend="dask")``.

    Returns:
        All rows that are in the file afterwards.
    """
    configuration = json.loads(json.dumps(configuration))

    def rows_by_key() -> dict[tuple, dict[str, Any]]:
        rows = stored_rows(path, configuration)
        return {tuple(row[name] for name in names): row for row in rows}

    def missing() -> Iterator[tuple]:
        for entry in filter(wanted, order):
            if entry in rows_by_key() and not again:
                print("there already:", *entry, flush=True)
            else:
                yield entry

    n_threads = torch.get_num_threads()  # there as here, so that a row does not depend on where
    tasks = (delayed(_measured)(compute_row, names, entry, n_threads) for entry in missing())
    for entry, new in Parallel(n_jobs=n_jobs, return_as="generator_unordered")(tasks):
        with FileLock(path.with_suffix(".lock")):
            done = rows_by_key() | {entry: new}
            rows = [done[other] for other in order if other in done]
            lines = ",\n".join("    " + json.dumps(row) for row in rows)
            shared = json.dumps(configuration)
            text = f'{{\n  "configuration": {shared},\n  "rows": [\n{lines}\n  ]\n}}\n'
            replace_file(path, lambda stream, text=text: stream.write(text.encode()))
        print(new, flush=True)
    return stored_rows(path, configuration)


def _measured(
    compute_row: Callable[..., dict[str, Any]], names: Sequence[str], entry: tuple, n_threads: int
) -> tuple[tuple, dict[str, Any]]:
    """Return a key and its row, with the seconds, code and machine that it took."""
    torch.set_num_threads(n_threads)
    started = time.perf_counter()
    row = {**dict(zip(names, entry, strict=True)), **compute_row(*entry)}
    row["seconds"] = round(time.perf_counter() - started, 3)
    return entry, {**row, "code": code_version(), "machine": machine()}


def further(script: dict[str, Any]) -> dict[str, Any]:
    """Return a script as it is with its rows' replicates, which have a file of their own.

    ``FURTHER`` is a list of keys, or a range of seeds, which ``compute_row`` takes as ``seed``
    beside the key of every row, or of every one in ``REPEATED`` if there is that. So the rows that
    pages show stay what they are, and means and intervals come with ``<name>_further.json``.
    """
    more, stem = script["FURTHER"], script["OUTPUT"].stem
    script = {**script, "OUTPUT": script["OUTPUT"].with_stem(f"{stem}_further")}
    if not isinstance(more, range):
        return {**script, "ROWS": more}
    compute_row = script["compute_row"]
    return {
        **script,
        "NAMES": (*script["NAMES"], "seed"),
        "FILTERS": {**script["FILTERS"], "seed": "seed"},
        "ROWS": [(*key, seed) for seed in more for key in script.get("REPEATED", script["ROWS"])],
        "compute_row": lambda *key: compute_row(*key[:-1], seed=key[-1]),
    }


def sweep_command(script: dict[str, Any], arguments: Sequence[str] | None = None) -> None:
    """Run a sweep as its command line says: which rows, whether anew, into which file.

    Args:
        script: The globals of the script. Its docstring's first line is shown by ``--help``;
            ``OUTPUT``, ``ROWS``, ``NAMES``, ``compute_row`` and the value of ``configuration()``
            are as in `run_sweep`; ``FILTERS`` maps options that pick rows to the key's entry that
            each refers to, an option taking one or more of the values that occur. ``--output``
            names another file. If there is ``show``, it prints all rows in the end; ``--show``
            computes nothing and prints. With ``FURTHER`` there is ``--further``: see `further`.
        arguments: The command line, by default the process's own.
    """
    if script.get("__name__") == "__main__":  # whose functions no other process can import
        script = vars(importlib.import_module(Path(script["__file__"]).stem))
    given = list(sys.argv[1:] if arguments is None else arguments)
    if "FURTHER" in script and "--further" in given:
        script = further(script)
    names, order, filters = (script[name] for name in ("NAMES", "ROWS", "FILTERS"))
    parser = argparse.ArgumentParser(description=script["__doc__"].splitlines()[0])
    for option, name in filters.items():
        values = sorted({key[names.index(name)] for key in order})
        parser.add_argument(f"--{option}", nargs="*", type=type(values[0]), choices=values)
    parser.add_argument("--again", action="store_true", help="compute rows that are there anew")
    parser.add_argument("--jobs", type=int, default=1, help="rows side by side, -1: all cores")
    parser.add_argument("--output", type=Path, default=script["OUTPUT"])
    show = script.get("show", lambda rows: None)
    if "show" in script:
        parser.add_argument("--show", action="store_true", help="print the rows and stop")
    if "FURTHER" in script:
        parser.add_argument("--further", action="store_true", help="other seeds or draws instead")
    given = vars(parser.parse_args(given))
    if given.get("show"):
        show(stored_rows(given["output"]))
        return

    def wanted(key: tuple) -> bool:
        return all(
            not given[option] or key[names.index(name)] in given[option]
            for option, name in filters.items()
        )

    rows = run_sweep(
        given["output"],
        script["configuration"](),
        order,
        script["compute_row"],
        names=names,
        wanted=wanted,
        again=given["again"],
        n_jobs=given["jobs"],
    )
    show(rows)
