"""The house as CONTRIBUTING.md describes it: rooms, budgets, imports and commands."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "CONTRIBUTING.md").read_text()
SHARED = {"mfvae.__version__", "mfvae._validation", "mfvae._progress", "mfvae._lazy"}
LARGEST_FILE = 350


def table(heading: str) -> list[list[str]]:
    """Return the cells of the first table below a heading of the page, row by row."""
    section = PAGE.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    rows = [line for line in section.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def number(cell: str) -> int:
    return int(cell.replace(",", ""))


ROOMS = {row[0].strip("`/"): row for row in table("Rooms")}
LINES, NAMES = (
    number(found)
    for found in re.search(r"at most ([\d,]+) lines and (\d+) public names", PAGE).groups()
)
FILES = sorted((ROOT / "mfvae").rglob("*.py"))


def room_of(path: Path) -> str:
    """Return the innermost room that holds a file."""
    folder = path.relative_to(ROOT).parent.as_posix()
    return max((r for r in ROOMS if folder == r or folder.startswith(f"{r}/")), key=len)


def n_lines(path: Path) -> int:
    return path.read_text().count("\n")


def public_names(package: Path) -> set[str]:
    module = importlib.import_module(".".join(package.relative_to(ROOT).parts))
    return set(getattr(module, "__all__", ()))


def test_every_package_is_a_room_of_the_page() -> None:
    packages = {path.parent.relative_to(ROOT).as_posix() for path in FILES}
    assert packages == set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_room_keeps_its_budget(room: str) -> None:
    lines = sum(n_lines(path) for path in FILES if room_of(path) == room)
    assert lines <= number(ROOMS[room][2]), f"{room} has {lines} lines"
    names = public_names(ROOT / room)
    assert len(names) <= number(ROOMS[room][3]), f"{room} has {len(names)} public names"


def test_package_keeps_its_budget() -> None:
    lines = sum(map(n_lines, FILES))
    assert lines <= LINES, f"mfvae has {lines} lines"
    names = set().union(*(public_names(ROOT / room) for room in ROOMS))
    assert len(names) <= NAMES, f"mfvae has {len(names)} public names"
    assert not [(str(path), n_lines(path)) for path in FILES if n_lines(path) > LARGEST_FILE]


def imported_modules(path: Path) -> set[str]:
    """Return what a file imports of this package, imports inside functions included."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if name.split(".")[0] == "mfvae"}


def test_rooms_import_only_from_those_before_them() -> None:
    doors = {room.replace("/", "."): row[4] for room, row in ROOMS.items() if room != "mfvae"}
    wrong = []
    for path in FILES:
        room = room_of(path)
        if room == "mfvae":
            continue  # the doorway knows everyone
        home = room.split("/")[1]
        allowed = {home, *re.findall(r"\w+", ROOMS[room][4])}
        for name in imported_modules(path):
            target = name.split(".")[1] if "." in name else ""
            inside = any(name == door or name.startswith(f"{door}.") for door in doors)
            shared = any(name == free or name.startswith(f"{free}.") for free in SHARED)
            if (inside and target not in allowed) or (not inside and not shared):
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert not wrong


def test_paths_and_commands_of_the_page_exist() -> None:
    for path in re.findall(r"`((?:mfvae|book|tests|benchmarks)/[\w/.-]*)`", PAGE):
        assert (ROOT / path).exists(), path
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"`make ([\w-]+)`", PAGE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    for file in re.findall(r"(?<=[ ])((?:tests|book)/[\w/-]+\.\w+)", PAGE):
        assert (ROOT / file).exists(), file
