"""Sections of documents that are made from the program's own declarations, and what writes them.

`scripts/generate` (python -m tests.generate) rewrites them; `test_manual.py` fails where one differs. A document has such
a section where it has its two marks.
"""

from __future__ import annotations

import pathlib
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass

from relayd.config import KEYS
from relayd.knobs import shown

ROOT = pathlib.Path(__file__).parent.parent


@dataclass(frozen=True)
class Section:
    """The lines between two marks of a document, and what makes them."""

    path: pathlib.Path
    begin: str
    end: str
    make: Callable[[], str]

    def found(self) -> str | None:
        """What the document has now, None without marks."""
        text = self.path.read_text()
        if self.begin not in text:
            return None
        return text.partition(self.begin + "\n")[2].partition(self.end)[0]

    def write(self) -> bool:
        """True if the document has been changed."""
        found = self.found()
        if found is None or found == self.make():
            return False
        text = self.path.read_text()
        head, _, rest = text.partition(self.begin + "\n")
        self.path.write_text(head + self.begin + "\n" + self.make() + self.end + rest.partition(self.end)[2])
        return True


def manual_keys() -> str:
    """The list of keys of relayd.toml(5)."""
    lines = [".Bl -tag -width Ds"]
    for name, knob in KEYS.items():
        lines.append(f".It Va {name} = {mdoc(shown(knob.default))}")
        lines += [mdoc(sentence) for sentence in sentences(knob.rules.text)]
        domain = knob.domain[0].upper() + knob.domain[1:]
        lines.append(mdoc(domain + ("; a change needs a restart." if knob.rules.at_start else ".")))
    return "\n".join([*lines, ".El"]) + "\n"


def sentences(text: str) -> list[str]:
    """mdoc wants each sentence on a line of its own."""
    return re.split(r"(?<=[.;]) (?=[A-Z])", text)


def mdoc(text: str) -> str:
    """Text for a line of mdoc; words in backticks are set in bold."""
    escaped = text.replace("\\", "\\e").replace('"', "\\(dq")
    escaped = re.sub(r"`([^`]*)`", r"\\fB\1\\fR", escaped)
    return "\\&" + escaped if escaped.startswith((".", "'")) else escaped


SECTIONS = (
    Section(ROOT / "man" / "relayd.toml.5", '.\\" begin of keys, made by scripts/generate', '.\\" end of keys', manual_keys),
)


def main() -> int:
    """Rewrite what differs."""
    for section in SECTIONS:
        if section.write():
            print(f"{section.path.relative_to(ROOT)}: written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
