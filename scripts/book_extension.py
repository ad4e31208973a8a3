"""A small Sphinx extension of this book: launch buttons and the API pages."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from pathlib import PurePosixPath
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import make_refnode, nested_parse_with_titles

PUBLISHED_BRANCH = "gh-pages"
"""The branch that holds the built HTML, with the generated notebooks under ``notebooks/``."""


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


def public_modules(package: str) -> list[str]:
    """Return the modules directly in a package that hold public names; subpackages are left out."""
    found = pkgutil.iter_modules(importlib.import_module(package).__path__, prefix=f"{package}.")
    return [m.name for m in found if not m.ispkg and not m.name.split(".")[-1].startswith("_")]


def names_of_private_modules(package: str) -> list[str]:
    """Return the public names of a package that none of its public modules lists, nor a room."""
    listed = {n for m in public_modules(package) for n in importlib.import_module(m).__all__}
    root = importlib.import_module(package)
    names = []
    for name in sorted(set(root.__all__) - listed):
        member = getattr(root, name)
        if inspect.ismodule(member) or ("." not in package and member.__module__.count(".") > 1):
            continue  # has a page of its own
        names.append(name)
    return names


class PackageApi(SphinxDirective):
    """``{package-api} mfvae.data``: a package's docstring, and a section a public module."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        package = self.arguments[0]
        lines = [f".. automodule:: {package}", "   :no-members:", ""]
        for name in names_of_private_modules(package):
            member = getattr(importlib.import_module(package), name)
            kind = "autoclass" if inspect.isclass(member) else "autofunction"
            lines += [f".. {kind}:: {package}.{name}", ""]
        for name in public_modules(package):
            lines += [name, "-" * len(name), "", f".. automodule:: {name}", ""]
        container = nodes.section()
        container.document = self.state.document
        nested_parse_with_titles(self.state, StringList(lines, source="package-api"), container)
        return container.children


def skip_foreign(
    app: Sphinx, what: str, name: str, obj: Any, skip: bool, options: Any
) -> bool | None:
    """Leave out what another library puts into our classes (scikit-learn's ``set_fit_request``)."""
    home = getattr(obj, "__module__", None) or "mfvae"
    return None if home.split(".")[0] == "mfvae" else True


def drop_foreign_docstring(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    """Do not show what a base class of another library says of a method (torch's ``forward``)."""
    if what != "method" or getattr(obj, "__doc__", None) or not hasattr(obj, "__qualname__"):
        return
    owner = getattr(importlib.import_module(obj.__module__), obj.__qualname__.split(".")[0], None)
    for base in getattr(owner, "__mro__", ()):
        if getattr(vars(base).get(obj.__name__), "__doc__", None):
            if not base.__module__.startswith("mfvae"):
                lines.clear()
            return


LITERAL = re.compile(r"(``.+?``|:[\w:]+:`.+?`|`.+?`)")


def escape_bars(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    """Let docstrings write absolute values, ``<|m|>``: they hold no RST substitutions."""
    literal_indent = None
    for i, line in enumerate(lines):
        indent = len(line) - len(line.lstrip())
        if literal_indent is not None and line.strip() and indent <= literal_indent:
            literal_indent = None
        if literal_indent is None and not line.lstrip().startswith(">>>"):
            parts = LITERAL.split(line)
            parts[::2] = [part.replace("|", "\\|") for part in parts[::2]]
            lines[i] = "".join(parts)
            if line.rstrip().endswith("::") or line.lstrip().startswith(".. math"):
                literal_indent = indent


def resolve_short_name(app: Sphinx, env: Any, node: nodes.Element, contnode: nodes.Element) -> Any:
    """Resolve a reference by the end of its name, where one documented object bears it."""
    if node.get("refdomain") != "py":
        return None
    domain = env.get_domain("py")
    target = node["reftarget"]
    for ending in (f".{target}", "." + target.rsplit(".", 1)[-1]):
        matches = [
            name
            for name, entry in domain.objects.items()
            if name.endswith(ending) and (node["reftype"] != "class" or entry.objtype == "class")
        ]
        if len(matches) == 1:
            break
    else:
        return None
    entry = domain.objects[matches[0]]
    return make_refnode(
        app.builder, node["refdoc"], entry.docname, entry.node_id, contnode, matches[0]
    )


def keep_one_search_box(app: Sphinx, config: Any) -> None:
    """The sidebar has a search box; the theme would add a header that holds another."""
    config.html_theme_options["navbar_persistent"] = []


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("package-api", PackageApi)
    app.connect("config-inited", keep_one_search_box)
    app.connect("autodoc-skip-member", skip_foreign)
    app.connect("autodoc-process-docstring", drop_foreign_docstring, priority=100)
    app.connect("autodoc-process-docstring", escape_bars, priority=900)
    app.connect("missing-reference", resolve_short_name)
    app.connect("html-page-context", point_launch_buttons, priority=600)
    app.connect("html-page-context", drop_thebe, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
