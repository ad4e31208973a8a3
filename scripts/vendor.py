"""Fetch the JavaScript that the built book needs, so that its pages ask nothing of the network.

Run once, and again to change a version; the result is committed under ``book/_static``.
Needs ``npm``, whose registry settings are the user's own.  The licence of every package is
copied beside its files, and ``book/_static/README.md`` lists versions and licences.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

STATIC = Path(__file__).resolve().parent.parent / "book" / "_static"

# package, version, {path inside the package: folder under book/_static}
PACKAGES = [
    (
        "mathjax",
        "3.2.2",
        {
            "es5/startup.js": "mathjax",
            "es5/core.js": "mathjax",
            "es5/input/tex.js": "mathjax/input",
            "es5/output/chtml.js": "mathjax/output",
            "es5/output/chtml/fonts/tex.js": "mathjax/output/chtml/fonts",
            "es5/ui/lazy.js": "mathjax/ui",
            "es5/a11y/assistive-mml.js": "mathjax/a11y",
            "es5/input/tex/extensions/*": "mathjax/input/tex/extensions",
            "es5/output/chtml/fonts/woff-v2/*": "mathjax/output/chtml/fonts/woff-v2",
            "LICENSE": "mathjax",
        },
    ),
    (
        "reveal.js",
        "5.2.1",
        {"dist/reveal.js": "reveal", "dist/reveal.css": "reveal", "LICENSE": "reveal"},
    ),
]

README = """# Vendored files

Written by `scripts/vendor.py` from the npm packages below; nothing here is edited by hand
except `book.css`, `book.js`, the logo, the card and the figure, which are ours.  The built pages
load MathJax from here, the slides reveal.js too, never from a content network.

| package | version | licence | used for |
|---|---|---|---|
{rows}

MathJax part by part, 0.8 MB in all: without its menu (0.4 MB) and its accessibility explorer
(20 MB), with the hidden MathML for screen readers, and with `ui/lazy`, which sets what comes into
view.
"""

PURPOSE = {"mathjax": "mathematics", "reveal.js": "slides"}


def fetch(package: str, version: str, wanted: dict[str, str]) -> str:
    """Copy the wanted files of one npm package into the static folder; return its licence."""
    with tempfile.TemporaryDirectory() as folder:
        packed = subprocess.run(
            ["npm", "pack", "--silent", f"{package}@{version}"],
            cwd=folder,
            check=True,
            capture_output=True,
            text=True,
        ).stdout.split()[-1]
        with tarfile.open(Path(folder) / packed) as archive:
            archive.extractall(folder, filter="data")
        root = Path(folder) / "package"
        for pattern, target in wanted.items():
            matches = [path for path in sorted(root.glob(pattern)) if path.is_file()]
            if not matches:
                raise FileNotFoundError(f"{package}@{version} has no {pattern}")
            (STATIC / target).mkdir(parents=True, exist_ok=True)
            for path in matches:
                shutil.copyfile(path, STATIC / target / path.name)
        licence = json.loads((root / "package.json").read_text())["license"]
    return licence


def main() -> None:
    rows = []
    for package, version, wanted in PACKAGES:
        licence = fetch(package, version, wanted)
        rows.append(f"| {package} | {version} | {licence} | {PURPOSE[package]} |")
    (STATIC / "README.md").write_text(README.format(rows="\n".join(rows)))
    print(f"vendored {len(PACKAGES)} packages into {STATIC}")


if __name__ == "__main__":
    main()
