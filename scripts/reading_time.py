"""How long a chapter takes to read, by its words, equations and figures; `--write` states it.

150 words a minute, half a minute for every display equation and every figure.  Code, solutions
and exercises do not count; an exercise states its own minutes, and a chapter states their sum.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

__all__ = ["counted_minutes", "exercise_minutes", "stated_minutes", "with_counted_minutes"]

WORDS_A_MINUTE, MINUTES_A_DISPLAY = 150, 0.5
EXERCISES = re.compile(
    r"^```\{(exercise|solution)-start\}.*?^```\{\1-end\}\n```", re.MULTILINE | re.DOTALL
)
CELL = re.compile(r"^```\{code-cell\}.*?^```$", re.MULTILINE | re.DOTALL)
DISPLAY = re.compile(r"^```\{math\}.*?^```$|\$\$.*?\$\$", re.MULTILINE | re.DOTALL)
CAPTION = re.compile(r"^    caption: \|\n(.*?)^  image:", re.MULTILINE | re.DOTALL)
STATED = re.compile(r"(\*\*Time\*\*: )(\d+)( minutes to read)")


def counted_minutes(text: str) -> float:
    """Return the minutes that a chapter takes to read."""
    text = text.split("\n---\n", 1)[-1] if text.startswith("---\n") else text
    text = EXERCISES.sub("", text)
    captions = [" ".join(c) for cell in CELL.findall(text) for c in [CAPTION.findall(cell)] if c]
    prose = CELL.sub("", text)
    n_displays = len(DISPLAY.findall(prose)) + len(captions)
    prose = DISPLAY.sub("", prose) + " ".join(captions)
    prose = re.sub(r"\$[^$]+\$", "symbol", prose)  # a formula in a line reads like a word
    prose = re.sub(r"\{[\w:]+\}`([^`<]+)(<[^`]*>)?`", r"\1", prose)
    prose = re.sub(r"^(```.*|:\w+:.*|\(.*\)=)$", "", prose, flags=re.MULTILINE)
    words = re.findall(r"[^\W_][\w’'–-]*", prose)
    return len(words) / WORDS_A_MINUTE + MINUTES_A_DISPLAY * n_displays


def stated_minutes(text: str) -> int | None:
    """Return the minutes that a chapter says it takes to read, None if it says nothing."""
    found = STATED.search(text)
    return int(found[2]) if found else None


def exercise_minutes(text: str) -> int:
    """Return the minutes of the exercises that state them."""
    return sum(map(int, re.findall(r"^\*(\d+) minutes, level \d of 3\.\*", text, re.MULTILINE)))


def with_counted_minutes(text: str) -> str:
    """Return a chapter that states what is counted, where it was wrong by a tenth."""
    counted, stated = counted_minutes(text), stated_minutes(text)
    if stated is not None and abs(stated / counted - 1) > 0.1:
        minutes = max(5, 5 * round(counted / 5)) if counted > 22 else max(1, round(counted))
        text = STATED.sub(rf"\g<1>{minutes}\g<3>", text)
    if total := exercise_minutes(text):
        text = re.sub(r"\d+ minutes for the exercises", f"{total} minutes for the exercises", text)
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="correct the chapters")
    arguments = parser.parse_args()
    for path in sorted((Path(__file__).parent.parent / "book").glob("*.md")):
        text = path.read_text()
        if (stated := stated_minutes(text)) is not None and not path.stem.startswith("_"):
            counted = counted_minutes(text)
            print(f"{path.stem:24s} stated {stated:3d}, counted {counted:5.1f} minutes")
            if arguments.write:
                path.write_text(with_counted_minutes(text))


if __name__ == "__main__":
    main()
