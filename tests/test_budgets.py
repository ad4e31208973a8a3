"""The package stays small: one that can be read in two afternoons, and learned from.

Ten thousand lines with their docstrings are about what a reader gets through in that time, and
eighty names what one page of an index holds. A room that grows past its budget has found something
new to do (then it wants a design, and a change of this table with a reason) or says a thing twice.
A file past the limit holds two rooms. Lines count as `wc -l` counts them, docstrings included.
"""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "mfvae"

#: Lines of Python by folder, without the folders in it that have a budget of their own.
LINES = {
    ".": 700,
    "systems": 2_100,
    "systems/kernels": 950,
    "data": 1_050,
    "vae": 2_300,
    "measure": 1_500,
    "decode": 900,
    "compare": 900,
}
ALL_LINES = 10_500
LINES_OF_A_FILE = 350
PUBLIC_NAMES = 80


def lines_of(path: Path) -> int:
    return path.read_bytes().count(b"\n")


def room_of(path: Path) -> str:
    """Return the innermost folder with a budget that a file lies in."""
    folder = path.relative_to(PACKAGE).parent
    return next(p.as_posix() for p in (folder, *folder.parents) if p.as_posix() in LINES)


@pytest.mark.parametrize("room", LINES)
def test_a_room_keeps_to_its_lines(room: str) -> None:
    files = {path: lines_of(path) for path in PACKAGE.rglob("*.py") if room_of(path) == room}
    assert files, f"mfvae/{room} is empty"
    found = sum(files.values())
    assert found <= LINES[room], f"mfvae/{room} has {found} lines, {LINES[room]} at most"


def test_the_package_keeps_to_its_lines() -> None:
    found = sum(map(lines_of, PACKAGE.rglob("*.py")))
    assert found <= ALL_LINES, f"mfvae has {found} lines, {ALL_LINES} at most"


def test_no_file_is_too_long() -> None:
    files = {path.relative_to(PACKAGE): lines_of(path) for path in PACKAGE.rglob("*.py")}
    long = {str(path): n for path, n in files.items() if n > LINES_OF_A_FILE}
    assert not long, f"longer than {LINES_OF_A_FILE} lines: {long}"


def test_public_names_are_few() -> None:
    folders = [path.parent.relative_to(PACKAGE.parent) for path in PACKAGE.rglob("__init__.py")]
    packages = [importlib.import_module(".".join(folder.parts)) for folder in folders]
    names = {name for package in packages for name in getattr(package, "__all__", ())}
    assert len(names) <= PUBLIC_NAMES, f"{len(names)} public names: {sorted(names)}"
