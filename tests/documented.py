"""The commands, flags and Python code on the pages of the documentation."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# docs/results.md is generated from rows.
PAGES = tuple(
    str(path.relative_to(ROOT))
    for path in (
        *(ROOT / "README.md", ROOT / "CONTRIBUTING.md"),
        *sorted((ROOT / "docs").glob("*.md")),
    )
    if path.name != "results.md"
)
PROGRAMS = ("unscene", "make", "python", "pip", ".", "source", "git")


@dataclass(frozen=True)
class Step:
    """A command, or a block of Python, of a page.

    Attributes:
        page: path of the page, relative to the checkout.
        line: of the page, from 1.
        text: the command in one line, comments cut off; or the code.
        python: whether it is code.
    """

    page: str
    line: int
    text: str
    python: bool = False

    def __str__(self) -> str:
        return f"{self.page}:{self.line} {self.text.splitlines()[0]}"

    @property
    def words(self) -> list[str]:
        return shlex.split(self.text)


def steps(page: str) -> list[Step]:
    """The steps of a page, in order."""
    return list(read_steps(page, (ROOT / page).read_text(encoding="utf-8")))


def read_steps(page: str, text: str) -> Iterator[Step]:
    """Steps of the blocks of code in a Markdown text.

    Lines of a shell block that start with one of `PROGRAMS` are commands: "\\" at the end of a line
    continues it, a leading "$ " and comments do not count, and what stands in brackets ([--mode
    clip]) is typed too.
    """
    for start, language, block in _blocks(text):
        if language in ("python", "py"):
            yield Step(page, start, "\n".join(block), python=True)
            continue
        at = 0
        while at < len(block):
            first, line = at, block[at]
            while line.endswith("\\") and at + 1 < len(block):
                at += 1
                line = line[:-1] + " " + block[at].strip()
            at += 1
            typed = re.sub(r"(^|\s)\[(--[^\]]*)\]", r"\1\2", line.strip().removeprefix("$ "))
            if typed.split(" ")[0].rpartition("/")[2] in PROGRAMS and " " in typed:
                yield Step(page, start + first, shlex.join(shlex.split(typed, comments=True)))


def _blocks(text: str) -> Iterator[tuple[int, str, list[str]]]:
    """Blocks of code, fenced or indented: the number of their first line, language, and lines."""
    lines = text.splitlines()
    at = 0
    while at < len(lines):
        if fence := re.match(r"\s*```(\w*)", lines[at]):
            end = next(i for i in range(at + 1, len(lines)) if lines[i].strip() == "```")
            yield at + 2, fence[1], lines[at + 1 : end]
            at = end + 1
        elif lines[at].startswith("    ") and (at == 0 or not lines[at - 1].strip()):
            end = at
            while end < len(lines) and lines[end].startswith("    "):
                end += 1
            yield at + 1, "", [line[4:] for line in lines[at:end]]
            at = end
        else:
            at += 1


def spans(text: str) -> list[str]:
    """What stands in backquotes in the prose of a Markdown text, in one line each."""
    prose = re.sub(r"(?ms)^\s*```.*?^\s*```$", "", text)
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose)]
