"""What a notebook loses outside the book: numbers of figures, links between pages, references."""

from __future__ import annotations

import functools
import re
from pathlib import Path

import yaml
from pybtex.database import Entry, parse_file

__all__ = ["bibliography", "figure_numbers", "with_links"]

ROOT = Path(__file__).resolve().parent.parent
CITE = re.compile(r"\{cite(?P<kind>:\w+)?\}`(?P<keys>[^`]+)`")
NUMREF = re.compile(r"\{numref\}`(?P<label>[^`<]+)`")
REF = re.compile(r"\{ref\}`(?:(?P<title>[^`<]+?)\s*<)?(?P<label>[\w:.-]+)>?`")
HEADING = re.compile(r"^\((?P<label>[\w:.-]+)\)=\n#+ (?P<title>.+)$", re.MULTILINE)
EXERCISE = re.compile(r"^```\{exercise-start\} (?P<title>.+)\n:label: (?P<label>\S+)", re.MULTILINE)


@functools.cache
def references() -> dict[str, Entry]:
    return dict(parse_file(ROOT / "book" / "references.bib").entries)


@functools.cache
def targets() -> dict[str, tuple[str, str]]:
    """Return where every label of a section or exercise leads: its title and an address."""
    url = yaml.safe_load((ROOT / "_config.yml").read_text())["repository"]["url"]
    owner, name = url.rstrip("/").rsplit("/", 2)[-2:]
    found = {}
    for path in (ROOT / "book").glob("[!_]*.md"):
        text = path.read_text()
        address = f"https://{owner}.github.io/{name}/book/{path.stem}.html"
        address = f"{path.stem}.ipynb" if "{code-cell}" in text else address
        for match in [*HEADING.finditer(text), *EXERCISE.finditer(text)]:
            found[match["label"]] = match["title"], address
    return found


def plain(latex: str) -> str:
    return re.sub(r"[{}]", "", latex.replace("--", "–").replace("~", " "))


def names(entry: Entry) -> str:
    last = [" ".join(person.last_names) for person in entry.persons.get("author", [])]
    joined = " and ".join(last) if len(last) < 3 else f"{last[0]} et al."
    return plain(joined or entry.fields.get("title", ""))


def cited(match: re.Match) -> str:
    entries = [references().get(key.strip()) for key in match["keys"].split(",")]
    if None in entries:  # a draft
        return f"[{match['keys']}]"
    if match["kind"] == ":t":
        return " and ".join(f"{names(e)} ({e.fields.get('year')})" for e in entries)
    return "[" + "; ".join(f"{names(e)} {e.fields.get('year')}" for e in entries) + "]"


def figure_numbers(cells: list) -> dict[str, int]:
    """Return the number of every captioned figure of a notebook, from one, by its label."""
    figures = [cell.metadata.get("mystnb", {}).get("figure", {}) for cell in cells]
    captioned = [figure.get("name", "") for figure in figures if figure.get("caption")]
    return {label: number for number, label in enumerate(captioned, start=1)}


def with_links(text: str, figures: dict[str, int]) -> str:
    """Replace citations, numbers of figures of this notebook, and links to sections."""

    def numbered(match: re.Match) -> str:
        number = figures.get(match["label"])
        return match[0] if number is None else f"Figure {number}"

    def linked(match: re.Match) -> str:
        if match["label"] not in targets():
            return match[0]
        title, address = targets()[match["label"]]
        return f"[{match['title'] or title}]({address})"

    return REF.sub(linked, NUMREF.sub(numbered, CITE.sub(cited, text)))


def bibliography(texts: list[str]) -> str:
    """Return the references that texts cite, as a section in Markdown, or nothing."""
    keys = {k.strip() for text in texts for m in CITE.finditer(text) for k in m["keys"].split(",")}
    entries = [references()[key] for key in keys if key in references()]
    lines = []
    for entry in sorted(entries, key=lambda e: (names(e), e.fields.get("year", ""))):
        fields = entry.fields
        where = fields.get("journal") or fields.get("booktitle") or fields.get("publisher") or ""
        where += f" **{fields['volume']}**" if "volume" in fields else ""
        rest = [f"*{plain(where)}*" if where else "", fields.get("note", "")]
        rest += [f"https://doi.org/{fields['doi']}" if "doi" in fields else ""]
        said = ", ".join(plain(part) for part in rest if part)
        title = plain(fields.get("title", ""))
        lines.append(f"- {names(entry)} ({fields.get('year')}). {title}. {said}.")
    return "\n".join(["## References", "", *lines]) if lines else ""
