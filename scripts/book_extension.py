"""The Sphinx extension of this book: buttons, heads of pages, references, finished pages."""

from __future__ import annotations

import html
import importlib
import inspect
import io
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import api_pages
from docutils import nodes
from finish_pages import finish
from page_steps import CSS_DPI, STEPS, patched_search, separate_frames, sized_pictures
from pybtex.plugin import register_plugin
from pybtex.style.formatting.plain import Style as PlainStyle
from pybtex.style.labels import BaseLabelStyle
from sphinx.application import Sphinx

PUBLISHED_BRANCH = "gh-pages"
"""The branch that holds the built HTML, with the generated notebooks under ``notebooks/``."""


NOT_LAUNCHED = {"status"}
"""Pages that are executed but teach nothing that a reader would change and run again."""

DESCRIPTION = (
    "A book you can run, and its Python package: a variational autoencoder whose decoder treats "
    "sites as independent given its latent variables is a mean-field theory of finitely many spins."
)


def launch_urls(repository: str, branch: str, page: str) -> dict[str, str]:
    """Return where the buttons of a page lead.

    Chapters are MyST text; notebooks are generated and never committed.  Binder builds them in
    its image (``.binder/postBuild``), and Colab opens the ones published beside the HTML.
    """
    owner_and_name = repository.removeprefix("https://github.com/").strip("/")
    stem = PurePosixPath(page).name
    return {
        "Binder": f"https://mybinder.org/v2/gh/{owner_and_name}/{branch}"
        f"?urlpath=lab/tree/notebooks/student/{stem}.ipynb",
        "Colab": f"https://colab.research.google.com/github/{owner_and_name}/blob/"
        f"{PUBLISHED_BRANCH}/notebooks/{stem}.ipynb",
    }


def point_launch_buttons(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    """Replace the theme's guess, ``<branch>/<page>.md``, which neither service can run."""
    options = app.config.html_theme_options
    urls = launch_urls(options["repository_url"], options["repository_branch"], pagename)
    for group in context.get("header_buttons", []):
        if group.get("label") == "launch-buttons":
            for button in group["buttons"]:
                button["url"] = urls[button["text"]]


def drop_thebe(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    """Leave out the scripts of sphinx-thebe, which Jupyter Book loads whether or not it is used.

    They name a content network, and declared twice they raise an error in the console.
    """
    for kind in ("script_files", "css_files"):
        context[kind] = [
            asset
            for asset in context[kind]
            if "thebe" not in f"{asset} {getattr(asset, 'attributes', '')}".lower()
        ]


def without_code(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    """Leave buttons to launch and to download a notebook to pages that are one."""
    stem = PurePosixPath(pagename).name
    is_chapter = pagename in app.env.metadata and "kernelspec" in app.env.metadata[pagename]
    keep_launch = is_chapter and stem not in NOT_LAUNCHED
    groups = context.get("header_buttons", [])
    context["header_buttons"] = [
        group for group in groups if keep_launch or group.get("label") != "launch-buttons"
    ]


def describe(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    """Give a page its description, the card shown where its address is shared, and its footer."""
    repository = app.config.html_theme_options["repository_url"].rstrip("/")
    blob = f"{repository}/blob/{app.config.html_theme_options['repository_branch']}"
    context["theme_extra_footer"] = (
        f'Text and code: <a href="{blob}/LICENSE">BSD-3-Clause</a>. '
        f'<a href="{blob}/CITATION.cff">How to cite</a>. <a href="{repository}">Source code</a>.'
    )
    text = first_paragraph(doctree) if doctree is not None else ""
    description = html.escape(text or DESCRIPTION, quote=True)
    title = html.escape(re.sub(r"<[^>]+>", "", context.get("title", "")), quote=True)
    owner, _, book = repository.removeprefix("https://github.com/").partition("/")
    picture = f"https://{owner}.github.io/{book}/_static/card.png"  # such cards want full addresses
    context["metatags"] = context.get("metatags", "") + (
        f'<meta name="description" content="{description}" />\n'
        f'<meta property="og:type" content="book" />\n'
        f'<meta property="og:site_name" content="{html.escape(app.config.html_title or "")}" />\n'
        f'<meta property="og:title" content="{title}" />\n'
        f'<meta property="og:description" content="{description}" />\n'
        f'<meta property="og:image" content="{picture}" />\n'
        '<meta name="twitter:card" content="summary_large_image" />\n'
    )


def first_paragraph(doctree: nodes.document) -> str:
    """Return the beginning of a page's prose, without mathematics, at most 200 characters."""
    for paragraph in doctree.findall(nodes.paragraph):
        copy = paragraph.deepcopy()
        for formula in [*copy.findall(nodes.math), *copy.findall(nodes.raw)]:
            formula.parent.remove(formula)
        text = " ".join(copy.astext().split())
        if len(text) > 60:
            return text if len(text) <= 200 else text[:200].rsplit(" ", 1)[0] + " …"
    return ""


def repository_role(
    name: str,
    rawtext: str,
    text: str,
    lineno: int,
    inliner: Any,
    options: Any = None,
    content: Any = (),
) -> tuple[list[nodes.Node], list[nodes.Node]]:
    """Link a file of the repository: ``{repo}`licence <LICENSE>```; a dot is the repository."""
    theme = inliner.document.settings.env.app.config.html_theme_options
    title, path = re.fullmatch(r"(.+?)\s*<(.+)>", text).groups()
    address = theme["repository_url"]
    if path != ".":
        address = f"{address}/blob/{theme['repository_branch']}/{path}"
    return [nodes.reference(rawtext, title, refuri=address)], []


def linkcode_resolve(app: Sphinx, module: str, full_name: str) -> str | None:
    """Return the address of an object's source in the repository, with its lines."""
    found: Any = importlib.import_module(module)
    try:
        for part in full_name.split("."):
            found = getattr(found, part)
        found = inspect.unwrap(getattr(found, "fget", found))
        path = Path(inspect.getsourcefile(found))
        lines, start = inspect.getsourcelines(found)
        inside = path.resolve().relative_to(Path(app.srcdir).resolve()).as_posix()
    except (AttributeError, OSError, TypeError, ValueError):
        return None
    theme = app.config.html_theme_options
    address = f"{theme['repository_url']}/blob/{theme['repository_branch']}/{inside}"
    return f"{address}#L{start}-L{start + len(lines) - 1}"


def finish_pages(app: Sphinx, exception: Exception | None) -> None:
    """Finish the pages when all are written (`finish_pages.finish`)."""
    if exception is not None or app.builder.format != "html":
        return
    output = Path(app.outdir)
    search = output / "_static" / "searchtools.js"
    if search.exists():
        search.write_text(patched_search(search.read_text()))
    shrink_pictures(output / "_images")
    images = output / "_images"
    steps = (*STEPS, sized_pictures(images), separate_frames(images))
    finish(output, app.config.root_doc, steps)


def shrink_pictures(folder: Path) -> None:
    """Write the figures with a palette of 256 colours where that makes them smaller."""
    from PIL import Image

    for path in folder.glob("*.png"):
        with Image.open(path) as picture:
            if picture.mode == "P":
                continue
            dpi = picture.info.get("dpi", (CSS_DPI, CSS_DPI))
            small = io.BytesIO()
            picture.convert("RGB").quantize(256).save(small, "png", optimize=True, dpi=dpi)
        if len(small.getvalue()) < path.stat().st_size:
            path.write_bytes(small.getvalue())


class LabelStyle(BaseLabelStyle):
    """Labels as the text cites: "Kingma and Welling, 2014"."""

    def format_labels(self, sorted_entries: list[Any]) -> Iterator[str]:
        for entry in sorted_entries:
            people = entry.persons.get("author", [])
            parts = [person.rich_prelast_names + person.rich_last_names for person in people]
            names = [" ".join(map(str, part)) for part in parts]  # rich: letters instead of TeX
            first = f"{names[0]} et al." if len(names) > 2 else " and ".join(names)
            yield f"{first or entry.key}, {entry.fields.get('year', 'n.d.')}"


class AuthorYear(PlainStyle):
    """The list of references in the order of authors and years."""

    default_label_style = LabelStyle
    default_sorting_style = "author_year_title"


def keep_one_search_box(app: Sphinx, config: Any) -> None:
    """The sidebar has a search box; the theme would add a header that holds another."""
    config.html_theme_options["navbar_persistent"] = []
    config.html_theme_options["logo"] = {"text": config.html_title}
    config.linkcode_resolve = lambda domain, info: linkcode_resolve(
        app, info["module"], info["fullname"]
    )


def setup(app: Sphinx) -> dict[str, Any]:
    register_plugin("pybtex.style.formatting", "author_year", AuthorYear)
    api_pages.setup(app)
    app.add_role("repo", repository_role)
    app.connect("config-inited", keep_one_search_box)
    app.connect("html-page-context", point_launch_buttons, priority=600)
    app.connect("html-page-context", without_code, priority=610)
    app.connect("html-page-context", describe, priority=620)
    app.connect("html-page-context", drop_thebe, priority=900)
    app.connect("build-finished", finish_pages, priority=900)  # after the theme colours code
    return {"parallel_read_safe": True, "parallel_write_safe": True}
