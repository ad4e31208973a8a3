"""Pages of the package: a summary by room, a page a room, all from what a reader can import.

``{package-api} mfvae.data`` writes the page of a room: its docstring, a table of its public names,
the names themselves, and below them what its modules hold besides.  ``{package-summary}`` writes
the table of all rooms.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
import re
import textwrap
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import make_refnode, nested_parse_with_titles

ROOT = "mfvae"


def rooms() -> list[str]:
    """Return the packages that hold public names, the root first."""
    found = pkgutil.iter_modules(importlib.import_module(ROOT).__path__, prefix=f"{ROOT}.")
    return [ROOT, *(m.name for m in found if m.ispkg)]


def public_modules(package: str) -> list[str]:
    """Return the modules directly in a package that hold public names; subpackages are left out."""
    found = pkgutil.iter_modules(importlib.import_module(package).__path__, prefix=f"{package}.")
    return [m.name for m in found if not m.ispkg and not m.name.split(".")[-1].startswith("_")]


def home_of(name: str, member: Any) -> str:
    """Return the room on whose page a public name of the root is documented."""
    home = getattr(member, "__module__", "") or ""
    if not home.startswith(ROOT):  # a constant or a registry knows no home
        return ROOT
    return max((r for r in rooms() if home == r or home.startswith(f"{r}.")), key=len)


@functools.cache
def public_names(package: str) -> dict[str, str]:
    """Return what a room's page documents: short name to the name under which it is imported.

    What the root exports as well bears the root's name, since that is how a reader imports it.
    """
    root, module = importlib.import_module(ROOT), importlib.import_module(package)
    of_root = {n: getattr(root, n) for n in root.__all__}
    of_root = {n: m for n, m in of_root.items() if not inspect.ismodule(m) and n != "report"}
    here = [n for n, m in of_root.items() if home_of(n, m) == package]
    names = {name: f"{ROOT}.{name}" for name in sorted(here)}
    for name in module.__all__:
        member = getattr(module, name)
        if package != ROOT and not inspect.ismodule(member) and name not in names:
            names[name] = f"{package}.{name}"
    return names


def further_names(package: str) -> dict[str, list[str]]:
    """Return what the modules of a room hold besides its public names, module by module."""
    shown = set(public_names(package))
    found = {m: list(importlib.import_module(m).__all__) for m in public_modules(package)}
    rest = {m: [n for n in names if n not in shown] for m, names in found.items()}
    return {m: names for m, names in rest.items() if names}


def member_of(full_name: str) -> Any:
    module, _, name = full_name.rpartition(".")
    return getattr(importlib.import_module(module), name)


def first_sentence(member: Any) -> str:
    """Return the first sentence of a docstring, or what kind of value an undocumented one is."""
    text = inspect.getdoc(member) or ""
    if not (inspect.isclass(member) or callable(member)):
        keys = ", ".join(f"``{key}``" for key in member) if isinstance(member, dict) else ""
        return f"By name: {keys}." if keys else "A constant."
    text = " ".join(text.split("\n\n")[0].split())
    return re.split(r"(?<=[.;])\s|: ", text + " ")[0].rstrip(".:; ") + "."


def directive_for(full_name: str) -> list[str]:
    member = member_of(full_name)
    kind = "data"
    if isinstance(member, dict):  # a registry would be described as any dict is
        return [f".. py:data:: {full_name}", "", f"   {first_sentence(member)}", ""]
    if inspect.isclass(member):
        kind = "exception" if issubclass(member, Exception) else "class"
    elif callable(member):
        kind = "function"
    options = ["   :no-value:"] if kind == "data" else []
    return [f".. auto{kind}:: {full_name}", *options, ""]


def summary_table(package: str) -> list[str]:
    """Return a table of the public names of a room, one line each, as RST."""
    lines = [".. list-table::", "   :widths: 30 70", "   :class: summary", ""]
    for full_name in public_names(package).values():
        member = member_of(full_name)
        role = "class" if inspect.isclass(member) else "func" if callable(member) else "data"
        if inspect.isclass(member) and issubclass(member, Exception):
            role = "exc"
        sentence = first_sentence(member).replace("|", "\\|")
        lines += [f"   * - :py:{role}:`{full_name} <{full_name}>`", f"     - {sentence}"]
    return [*lines, ""]


class PackageApi(SphinxDirective):
    """``{package-api} mfvae.data``: docstring, summary, public names, the rest by module."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        package = self.arguments[0]
        lines = [f".. automodule:: {package}", "   :no-members:", ""]
        if public_names(package):
            lines += summary_table(package)
        for full_name in public_names(package).values():
            lines += directive_for(full_name)
        for module, names in further_names(package).items():
            title = f"``{module}``"
            lines += [title, "-" * len(title), "", f".. automodule:: {module}"]
            lines += ["   :no-members:", ""]
            for name in names:
                lines += directive_for(f"{module}.{name}")
        return parsed(self, lines)


class PackageSummary(SphinxDirective):
    """``{package-summary}``: the public names of every room, one line each."""

    def run(self) -> list[nodes.Node]:
        lines = []
        for package in [f"{ROOT}.vae", *(r for r in rooms() if r != f"{ROOT}.vae")]:
            page = "api-" + (package.partition(".")[2] or "book-tools")
            title = f":doc:`{package} <{page}>`"
            lines += [title, "-" * len(title), "", *summary_table(package)]
        return parsed(self, lines)


def parsed(directive: SphinxDirective, lines: list[str]) -> list[nodes.Node]:
    container = nodes.section()
    container.document = directive.state.document
    nested_parse_with_titles(directive.state, StringList(lines, source="package-api"), container)
    return container.children


def list_attributes(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    """Write the section ``Attributes:`` as a list of definitions, before napoleon reads it.

    Napoleon reads one name a line and takes ``weights_`` for a reference to ``weights``.
    """
    start = next((i for i, line in enumerate(lines) if line.strip() == "Attributes:"), None)
    if start is None:
        return
    end = start + 1
    while end < len(lines) and (not lines[end].strip() or lines[end].startswith(" ")):
        end += 1
    body = textwrap.dedent("\n".join(lines[start + 1 : end])).splitlines()
    written = [".. rubric:: Attributes", ""]
    for line in body:
        field = re.match(r"([A-Za-z_][\w, ]*?)( \(.*?\))?: +(.*)", line)
        if field:
            names = ", ".join(f"``{n.strip()}``" for n in field[1].split(","))
            kind = re.sub(r"\b\w+(\.\w+)+\b", r"``\g<0>``", field[2] or "")
            written += [f"{names}{kind}", f"   {field[3]}"]
        else:
            written.append(f"   {line.strip()}" if line.strip() else "")
    lines[start:end] = [*written, ""]


def join_type(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Undo napoleon's reading of "Energy: of all spins" as a value of type "Energy"."""
    if what in {"attribute", "property", "data"}:
        for i, line in enumerate(lines):
            if line.startswith(":type: "):
                del lines[i]
                lines[0] = f"{line.removeprefix(':type: ')}: {lines[0]}"
                break


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


def setup(app: Sphinx) -> None:
    app.add_directive("package-api", PackageApi)
    app.add_directive("package-summary", PackageSummary)
    app.connect("autodoc-skip-member", skip_foreign)
    app.connect("autodoc-process-docstring", drop_foreign_docstring, priority=100)
    app.connect("autodoc-process-docstring", list_attributes, priority=400)
    app.connect("autodoc-process-docstring", join_type, priority=600)
    app.connect("autodoc-process-docstring", escape_bars, priority=900)
    app.connect("missing-reference", resolve_short_name)
