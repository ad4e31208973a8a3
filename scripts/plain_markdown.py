"""Say in plain Markdown what MyST directives and roles say, for notebooks opened in Jupyter.

Jupyter shows mathematics and Markdown but knows neither directives nor cross-references:
admonitions become quotations, labelled equations get their label as a tag, and references
name what they refer to.
"""

from __future__ import annotations

import re

__all__ = ["plain_markdown"]

DIRECTIVE = re.compile(
    r"^(?P<fence>`{3,}|:{3,})\{(?P<name>[\w-]+)\}[ ]*(?P<argument>[^\n]*)\n"
    r"(?P<options>(?::[\w-]+:[^\n]*\n)*)(?P<body>.*?)^(?P=fence)[ ]*$",
    re.MULTILINE | re.DOTALL,
)
ROLE = re.compile(r"\{(?P<name>[\w:-]+)\}`(?P<text>[^`]+)`")
LABEL_LINE = re.compile(r"^\((?P<label>[\w:.-]+)\)=\n", re.MULTILINE)
LABELLED_DOLLARS = re.compile(r"\$\$(?P<body>.+?)\$\$[ ]*\((?P<label>[\w:.-]+)\)", re.DOTALL)
QUOTED = {"note", "tip", "important", "warning", "caution", "hint", "seealso", "admonition"}
GATES = {
    "exercise-start": "#### Exercise: {}",
    "solution-start": "#### Solution",
    "exercise-end": "---",
    "solution-end": "---",
}


def short(label: str) -> str:
    """Return a label without its kind: ``eq:tilted-prior`` is "tilted-prior"."""
    return label.split(":", 1)[-1]


def plain_role(match: re.Match) -> str:
    name, text = match["name"], match["text"]
    titled = re.fullmatch(r"(?P<title>.+?)\s*<(?P<target>[^>]+)>", text, re.DOTALL)
    if name == "eq":
        return f"({short(text)})"
    if name.startswith("cite"):
        return f"[{text}]"
    if name == "numref":
        return f"figure *{short(titled['target'] if titled else text)}*"
    if titled:
        return titled["title"]
    if name in {"ref", "doc"}:
        return f"*{short(text).replace('-', ' ')}*"
    return text if name == "term" else f"`{text}`"


def tagged(body: str, label: str | None) -> str:
    tag = f" \\tag{{{short(label)}}}" if label else ""
    return f"$$\n{body.strip()}{tag}\n$$"


def plain_directive(match: re.Match) -> str:
    name, argument = match["name"], match["argument"].strip()
    label = re.search(r"^:label:\s*(\S+)", match["options"], re.MULTILINE)
    if name in GATES:
        return GATES[name].format(argument)
    if name == "math":
        return tagged(match["body"], label[1] if label else None)
    body = plain_markdown(match["body"]).strip()
    if name in {"exercise", "solution"}:
        title = GATES[f"{name}-start"].format(argument)
        return f"{title}\n\n{body}\n\n---"
    if name in QUOTED:
        title = argument or name.capitalize()
        if re.search(r"^:class:.*\bdropdown\b", match["options"], re.MULTILINE):
            return f"<details><summary>{title}</summary>\n\n{body}\n\n</details>"
        lines = [f"**{plain_markdown(title)}**", "", *body.splitlines()]
        return "\n".join(f"> {line}".rstrip() for line in lines)
    return body


def plain_markdown(text: str) -> str:
    """Return MyST text as Markdown that Jupyter can show."""
    text = DIRECTIVE.sub(plain_directive, text)
    text = LABEL_LINE.sub("", text)
    text = LABELLED_DOLLARS.sub(lambda match: tagged(match["body"], match["label"]), text)
    return ROLE.sub(plain_role, text)
