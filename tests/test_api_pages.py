"""The pages built from docstrings: a summary, one page a room, and every name exists."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def load_script(name: str):
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


API = load_script("api_pages")
ROOMS = API.rooms()


def documented(package: str) -> list[str]:
    """Return the full names that the page of a room documents."""
    names = list(API.public_names(package).values())
    return names + [f"{m}.{n}" for m, rest in API.further_names(package).items() for n in rest]


@pytest.mark.parametrize("package", ROOMS)
def test_every_room_has_a_page_in_the_book(package):
    pages = [p for p in (ROOT / "book").glob("api-*.md") if f":: {package}\n" in p.read_text()]
    assert len(pages) == 1
    assert f"- file: book/{pages[0].stem}\n" in (ROOT / "_toc.yml").read_text()
    (label,) = re.findall(r"^\((.*)\)=", pages[0].read_text())
    assert f"<{label}>" in (ROOT / "book" / "api.md").read_text()


@pytest.mark.parametrize("package", ROOMS)
def test_every_public_name_is_on_one_page_and_exists(package):
    names = documented(package)
    assert len(names) == len(set(names))
    for name in names:
        assert API.member_of(name) is not None
        if name in API.public_names(package).values():
            assert len(API.first_sentence(API.member_of(name))) > 3
    module = importlib.import_module(package)
    everywhere = {n.rsplit(".", 1)[1] for room in ROOMS for n in documented(room)}
    assert {n for n in module.__all__ if not inspect.ismodule(getattr(module, n))} <= everywhere


def test_summary_begins_with_what_a_reader_imports_first():
    assert next(iter(API.public_names("mfvae.vae").values())) == "mfvae.MeanFieldVAE"
    assert not [n for room in ROOMS for n in API.public_names(room) if n.startswith("_")]


def has_attribute(cls: type, name: str) -> bool:
    """Say whether a class, or what it does to itself, has an attribute of this name."""
    if hasattr(cls, name) or name in {
        n for c in cls.__mro__ for n in vars(c).get("__annotations__", ())
    }:
        return True
    family = [c for c in (*cls.__mro__, *cls.__subclasses__()) if c.__module__.startswith("mfvae")]
    sources = [inspect.getsource(c) for c in family]
    return any(re.search(rf"\bself\.{name}\b[^\n=(]*=[^=]", source) for source in sources)


def attributes_on_the_page(cls: type) -> list[str]:
    lines = (inspect.getdoc(cls) or "").splitlines()
    API.list_attributes(None, "class", cls.__name__, cls, None, lines)
    if ".. rubric:: Attributes" not in lines:
        return []
    below = lines[lines.index(".. rubric:: Attributes") :]
    return [n for line in below if line.startswith("``") for n in re.findall(r"``(\w+)``", line)]


def test_every_documented_attribute_exists_under_its_name():
    found = {}
    for room in ROOMS:
        for name in documented(room):
            member = API.member_of(name)
            if inspect.isclass(member):
                found |= {
                    (name, a): has_attribute(member, a) for a in attributes_on_the_page(member)
                }
    assert len(found) > 30
    assert [key for key, exists in found.items() if not exists] == []
    assert ("mfvae.MeanFieldVAE", "history_") in found
    assert not has_attribute(API.member_of("mfvae.MeanFieldVAE"), "history")


def test_value_of_a_property_is_no_type():
    lines = ["of all spins, (n_samples,).", "", ":type: Energy", "", "In units of J."]
    API.join_type(None, "property", "energy", None, None, lines)
    assert lines[0] == "Energy: of all spins, (n_samples,)."
    assert not [line for line in lines if ":type:" in line]
