"""The pages built from docstrings: one a room, and no public name is on none of them."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import re
from pathlib import Path

import pytest

import mfvae

ROOT = Path(__file__).parent.parent
PACKAGES = ["mfvae"] + [m.name for m in pkgutil.iter_modules(mfvae.__path__, "mfvae.") if m.ispkg]


@pytest.fixture(scope="module")
def extension():
    path = ROOT / "scripts" / "book_extension.py"
    spec = importlib.util.spec_from_file_location("book_extension", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("package", PACKAGES)
def test_every_room_has_a_page_in_the_book(package):
    pages = [p for p in (ROOT / "book").glob("api-*.md") if f":: {package}\n" in p.read_text()]
    assert len(pages) == 1
    assert f"- file: book/{pages[0].stem}\n" in (ROOT / "_toc.yml").read_text()
    (label,) = re.findall(r"^\((.*)\)=", pages[0].read_text())
    assert f"<{label}>" in (ROOT / "book" / "api.md").read_text()


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_is_on_the_page(extension, package):
    shown = set(extension.names_of_private_modules(package))
    for name in extension.public_modules(package):
        shown |= {name.rsplit(".", 1)[-1], *importlib.import_module(name).__all__}
    module = importlib.import_module(package)
    homes = {name: getattr(module, name) for name in module.__all__}
    homes = {
        name: getattr(o, "__module__", getattr(o, "__name__", "")) for name, o in homes.items()
    }
    if package == "mfvae":  # what a room defines is on the room's page
        rooms = tuple(name for name in PACKAGES if name != "mfvae")
        homes = {name: home for name, home in homes.items() if not home.startswith(rooms)}
    assert set(homes) <= shown
