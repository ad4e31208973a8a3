"""A long sweep, row by row: rows that are there are kept, and each new one is written at once."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from mfvae._provenance import code_version, machine

__all__ = ["load_sweep", "run_sweep", "stored_rows", "sweep_command"]


def load_sweep(path: Path) -> ModuleType:
    """Return the script of a sweep as a module, without running it."""
    specification = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


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
) -> list[dict[str, Any]]:
    """Compute the rows of ``order`` that are missing and write each as soon as it is there.

    Args:
        path (Path): The results file: ``{"configuration": …, "rows": […]}``, written all or
            nothing.
        configuration (dict): What all rows share; rows of another configuration are not comparable
            and are dropped.
        order (sequence of tuple): The keys of all rows, in the order of the file.
        compute_row (callable): Takes the values of a key and returns the row's measurements. The
            key's entries under ``names``, ``seconds``, ``code`` and ``machine`` are added to the
            row.
        names (sequence of str): The names of a key's entries.
        wanted (callable): Says of a key whether it is to be computed in this call.
        again (bool): Compute rows that are there anew.

    Returns:
        list of dict: All rows that are in the file afterwards.
    """
    configuration = json.loads(json.dumps(configuration))

    def key(row: dict[str, Any]) -> tuple:
        return tuple(row[name] for name in names)

    for entry in filter(wanted, order):
        done = {key(row): row for row in stored_rows(path, configuration)}
        if entry in done and not again:
            print("there already:", *entry, flush=True)
            continue
        started = time.perf_counter()
        measured = compute_row(*entry)
        done[entry] = {
            **dict(zip(names, entry, strict=True)),
            **measured,
            "seconds": round(time.perf_counter() - started, 3),
            "code": code_version(),
            "machine": machine(),
        }
        rows = [done[other] for other in order if other in done]
        lines = ",\n".join("    " + json.dumps(row) for row in rows)
        partial = path.with_suffix(".partial")
        shared = json.dumps(configuration)
        partial.write_text(f'{{\n  "configuration": {shared},\n  "rows": [\n{lines}\n  ]\n}}\n')
        os.replace(partial, path)
        print(done[entry], flush=True)
    return stored_rows(path, configuration)


def sweep_command(script: dict[str, Any], arguments: Sequence[str] | None = None) -> None:
    """Run a sweep as its command line says: which rows, whether anew, into which file.

    Args:
        script (dict): The globals of the script. Its docstring's first line is shown by ``--help``;
            ``OUTPUT``, ``ROWS``, ``NAMES``, ``compute_row`` and the value of ``configuration()``
            are as in `run_sweep`; ``FILTERS`` maps options that pick rows to the key's entry that
            each refers to, an option taking one or more of the values that occur. ``--output``
            names another file.
        arguments (sequence of str, optional): The command line, by default the process's own.
    """
    names, order, filters = (script[name] for name in ("NAMES", "ROWS", "FILTERS"))
    parser = argparse.ArgumentParser(description=script["__doc__"].splitlines()[0])
    for option, name in filters.items():
        values = sorted({key[names.index(name)] for key in order})
        parser.add_argument(f"--{option}", nargs="*", type=type(values[0]), choices=values)
    parser.add_argument("--again", action="store_true", help="compute rows that are there anew")
    parser.add_argument("--output", type=Path, default=script["OUTPUT"])
    given = vars(parser.parse_args(arguments))

    def wanted(key: tuple) -> bool:
        return all(
            not given[option] or key[names.index(name)] in given[option]
            for option, name in filters.items()
        )

    run_sweep(
        given["output"],
        script["configuration"](),
        order,
        script["compute_row"],
        names=names,
        wanted=wanted,
        again=given["again"],
    )
