"""Finish the built pages: what a page loads, its icons, its front page.

The theme loads for every page what any page of any book may need: 1.5 MB of icons, the index of
the search, style sheets of 500 kB.  When all pages are written, this module leaves what these
pages use:

- one style sheet, without the rules that match nothing (``one_style_sheet``);
- the icons that are used, cut from the theme's own set (``icon_rules``);
- scripts that wait for the text, mathematics after the first paint (``light_head``);
- ``index.html`` as a real page (``moved_page``), not as a redirection.
"""

from __future__ import annotations

import hashlib
import html
import posixpath
import re
from collections.abc import Callable, Iterator
from pathlib import Path

__all__ = ["finish"]

SCRIPT = re.compile(r"[ \t]*<script\b([^>]*)>(.*?)</script>\n?", re.DOTALL)
STYLE_LINK = re.compile(r'[ \t]*<link\b[^>]*?rel="stylesheet"[^>]*/>\n?')
HREF = re.compile(r'href="([^"?]+)')
LITERAL = re.compile(r"""(?:"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\.)*`)""")
ICON = re.compile(r"\bfa-([a-z][a-z-]*)\b")
NOT_ICONS = {"solid", "brands", "regular", "lg"}

# A script stays where its mark is found in the page; the others stay everywhere.
NEEDED_BY = {
    "fontawesome.js": None,
    "design-tabs.js": "sd-tab-set",
    "copybutton.js": 'class="highlight"',
    "clipboard.min.js": 'class="highlight"',
    "togglebutton.js": "dropdown admonition",
    "searchtools.js": 'id="search-results"',
    "language_data.js": 'id="search-results"',
    "searchindex.js": 'id="search-results"',
    "startup.js": 'class="math',
}
# What the theme's scripts could show and no page asks for; its rules would wait in every page.
NEVER_SHOWN = {"carousel", "modal", "offcanvas", "popover", "toast"}
# Mathematics is 0.8 MB: asked for at once, it would delay the style sheet and the first paint.
# Then all its parts are asked for together; MathJax would ask for each when it has read another.
LATE = """<script>
window.addEventListener("DOMContentLoaded", () => requestAnimationFrame(() => setTimeout(() => {{
  const script = document.createElement("script");
  script.src = "{source}";
  script.onload = () => MathJax.startup.promise.then(() => dispatchEvent(new Event("resize")));
  document.head.append(script);
  for (const part of [...MathJax.loader.load, "output/chtml/fonts/tex"]) {{
    const [rel, as] = ["preload", "script"], href = new URL(`${{part}}.js`, script.src).href;
    document.head.append(Object.assign(document.createElement("link"), {{rel, as, href}}));
  }}
}})));
</script>
"""


def rules(css: str) -> Iterator[tuple[str, str]]:
    """Yield (prelude, body) of every rule at the top of a style sheet, and ("@import ...", "")."""
    css = re.sub(r"/\*.*?\*/", "", css, flags=re.DOTALL)
    start = depth = 0
    opened, quote, escaped = -1, "", False
    for i, character in enumerate(css):
        if escaped:
            escaped = False
        elif character == "\\":
            escaped = True
        elif quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        elif character == "{":
            depth += 1
            opened = i if depth == 1 else opened
        elif character == "}":
            depth -= 1
            if depth == 0:
                yield css[start:opened].strip(), css[opened + 1 : i].strip()
                start = i + 1
        elif character == ";" and depth == 0:
            yield css[start:i].strip(), ""
            start = i + 1


def selectors(prelude: str) -> list[str]:
    """Split a list of selectors at the commas that stand in no bracket."""
    parts, depth = [""], 0
    for character in prelude:
        depth += (character in "([") - (character in ")]")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def may_match(selector: str, words: set[str]) -> bool:
    """Say whether every class and identifier that a selector asks for is among the words."""
    plain = re.sub(r":[\w-]+\([^()]*(?:\([^()]*\)[^()]*)*\)|\[[^\]]*\]", "", selector)
    asked = re.findall(r"[.#](-?[_a-zA-Z](?:[\w-]|\\.)*)", plain)
    return all(name.replace("\\", "") in words for name in asked)


def pruned(css: str, words: set[str]) -> str:
    """Return a style sheet without the rules that can match nothing."""
    kept = []
    for prelude, body in rules(css):
        if prelude.startswith(("@media", "@supports", "@layer")):
            body = pruned(body, words)
        elif prelude.startswith("@font-face") and "Awesome" in body:
            continue
        elif not prelude.startswith("@"):
            prelude = ",".join(s.strip() for s in selectors(prelude) if may_match(s, words))
            body = re.sub(r"\s*([;:])\s+", r"\1", re.sub(r"\s+", " ", body)).rstrip("; ")
        if prelude and body:
            kept.append(f"{prelude}{{{body}}}")
    return "\n".join(kept)


def with_imports(path: Path, static: Path) -> str:
    """Return a style sheet with what it imports, and addresses as seen from ``static``."""
    folder = path.parent.relative_to(static).as_posix()

    def moved(match: re.Match) -> str:
        target = match[1].strip("\"'")
        if target.startswith(("data:", "http", "#")):
            return match[0]
        return f'url("{posixpath.normpath(posixpath.join(folder, target))}")'

    text = re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.DOTALL)
    text = re.sub(r'@import "([^"]+)"', r'@import url("\1")', text)
    text = re.sub(r"url\(([^)]+)\)", moved, text)
    text = re.sub(r'@import url\("([^"]+)"\);', lambda m: with_imports(static / m[1], static), text)
    return re.sub(r'@charset "[^"]*";', "", text)


def icon_rules(names: set[str], definitions: str) -> str:
    """Return style rules for the named icons, cut from the theme's ``fontawesome.js``."""
    licence = "/*! Icons: Font Awesome Free, Fonticons, Inc., CC BY 4.0 (fontawesome.com) */"
    lines = [
        licence,
        ".fa-solid,.fa-brands,.fa-regular,.fas,.fab,.far{display:inline-block;width:1.1em;"
        "height:1em;vertical-align:-.125em;background:currentColor;mask:var(--icon) center/contain "
        "no-repeat}.fa-lg{font-size:1.25em}@media print{[class*=fa-]{display:none}}",
    ]
    for name in sorted(names):
        pattern = rf'[,{{]"?{name}"?:\[(\d+),(\d+),\[[^\]]*\],"\w+",(?:\["[^"]*",)?"([^"]+)"'
        found = re.search(pattern, definitions)
        if found:
            width, height, path = found.groups()
            drawn = (
                f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}'>"
                f"<path d='{path}'/></svg>"
            )
            lines.append(
                f'.fa-{name}{{--icon:url("data:image/svg+xml,{drawn.replace("#", "%23")}")}}'
            )
    return "\n".join(lines).replace("<", "%3C").replace(">", "%3E")


def one_style_sheet(output: Path, pages: dict[Path, str]) -> str:
    """Write the one style sheet of all pages; return its address below the output folder."""
    static = output / "_static"
    names: list[str] = []
    words: set[str] = set()
    for text in pages.values():
        for link in STYLE_LINK.findall(text):
            name = HREF.search(link)[1].split("_static/", 1)[-1]
            if name not in names:
                names.append(name)
        for found in re.findall(r'\b(?:class|id)="([^"]*)"', text):
            words |= set(html.unescape(found).split())
    unused = NEVER_SHOWN - words
    for script in [*static.glob("*.js"), *static.glob("scripts/*.js")]:
        if script.name != "fontawesome.js":
            for literal in LITERAL.findall(script.read_text()):
                words |= set(re.findall(r"-?[_a-zA-Z][\w-]*", literal))
    words = {word for word in words if not any(word.startswith(name) for name in unused)}
    icons = {name for text in pages.values() for name in ICON.findall(text)} - NOT_ICONS
    icons |= {name for name in ICON.findall(" ".join(words)) if name not in NOT_ICONS}
    library = static / "scripts" / "fontawesome.js"
    parts = [icon_rules(icons, library.read_text() if library.exists() else "")]
    for name in names:
        if (static / name).is_file() and name != "pages.css":
            sheet = with_imports(static / name, static)
            parts.append(pruned(sheet, words - {f"fa-{icon}" for icon in icons}))
    sheet = "\n".join(parts)
    (static / "pages.css").write_text(sheet)
    return f"_static/pages.css?v={hashlib.sha256(sheet.encode()).hexdigest()[:8]}"


def light_head(text: str, root: str, sheet: str, options: str = "") -> str:
    """Return a page with one style sheet and with scripts that wait for the text.

    Args:
        text: The page.
        root: Address of the output folder, as seen from the page.
        sheet: Address of the style sheet below that folder.
        options: Text of Sphinx's ``documentation_options.js``: 300 bytes that need no request.
    """
    links = STYLE_LINK.findall(text)
    if links:
        text = text.replace(links[0], f'    <link rel="stylesheet" href="{root}{sheet}" />\n', 1)
        text = STYLE_LINK.sub(lambda m: m[0] if sheet in m[0] else "", text)
    text = re.sub(r'<link rel="preload" as="script"[^>]*>\n?', "", text)
    seen: set[str] = set()

    def script(match: re.Match) -> str:
        attributes, body = match.groups()
        source = re.search(r'src="([^"]+)"', attributes)
        if source is None:
            spent = body.strip() in seen or "thebe" in attributes + body or "kernelName" in body
            seen.add(body.strip())
            return "" if spent and "mfvae" not in body else match[0]
        name = posixpath.basename(source[1].split("?")[0])
        mark = NEEDED_BY.get(name, "")
        if mark is None or mark not in text or name in seen:
            return ""
        seen.add(name)
        if name == "startup.js":
            return LATE.format(source=source[1])
        if name == "documentation_options.js":
            return f"    <script>{options}</script>\n"
        return (
            match[0] if "defer" in attributes else match[0].replace("<script", "<script defer", 1)
        )

    return SCRIPT.sub(script, text)


def moved_page(text: str, source: str, target: str) -> str:
    """Return a page that was written at ``source`` with the addresses it needs at ``target``."""
    folder, home = posixpath.dirname(source), posixpath.dirname(target) or "."

    def moved(match: re.Match) -> str:
        name, address = match.groups()
        if not address or re.match(r"[a-z]+:|#|//", address):
            return match[0]
        path, mark, rest = re.match(r"([^?#]*)([?#]?)(.*)", address, re.DOTALL).groups()
        path = posixpath.relpath(posixpath.join(folder, path or posixpath.basename(source)), home)
        return f'{name}="{path}{mark}{rest}"'

    text = re.sub(r'\b(href|src|action)="([^"]*)"', moved, text)
    text = re.sub(r'(script\.src = ")([^"]*)"', lambda m: m[1] + moved_script(m[2], folder), text)
    return re.sub(r'data-content_root="[^"]*"', 'data-content_root="./"', text)


def moved_script(address: str, folder: str) -> str:
    path, mark, rest = address.partition("?")
    return f'{posixpath.normpath(posixpath.join(folder, path))}{mark}{rest}"'


def finish(output: Path, front: str, steps: tuple[Callable[[str, str], str], ...] = ()) -> None:
    """Finish all pages below ``output``; ``front`` is the page that ``index.html`` shows.

    Args:
        output: The folder of the built pages.
        front: Name of the front page, without suffix.
        steps: Further functions of a page's name and text that return its new text.
    """
    paths = [p for p in sorted(output.rglob("*.html")) if p.relative_to(output).parts[0][0] != "_"]
    pages = {path: path.read_text() for path in paths}
    index = output / "index.html"
    pages.pop(index, None)
    for path, text in pages.items():
        for step in steps:
            text = step(path.relative_to(output).as_posix(), text)
        pages[path] = text
    sheet = one_style_sheet(output, pages)
    options = output / "_static" / "documentation_options.js"
    options = " ".join(options.read_text().split()) if options.exists() else ""
    for path, text in pages.items():
        root = "../" * (len(path.relative_to(output).parts) - 1)
        text = light_head(text, root, sheet, options)
        path.write_text(text)
        if path.relative_to(output).as_posix() == f"{front}.html":
            index.write_text(moved_page(text, f"{front}.html", "index.html"))
