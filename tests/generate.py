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

from relayd.claude.capabilities import NEEDS, OLDEST
from relayd.commands.client_files import content
from relayd.commands.clients import CLIENTS, Client, Endpoint
from relayd.config import KEYS
from relayd.core.session.states import DYING, LIVE, State
from relayd.core.session.table import LATE, TABLE
from relayd.knobs import shown
from tests.test_layers import ROOMS

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

    @property
    def is_current(self) -> bool:
        """True if the document says what is declared; the lines of symbols move with every change and do not count."""
        found = self.found()
        return found is not None and SYMBOL.sub("", found) == SYMBOL.sub("", self.make())

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


CLIENTS_PAGE = ROOT / "man" / "relayd-clients.7"
AT = Endpoint("http://127.0.0.1:7421", "unused", "claude-sonnet-5")
PLACES = {"home": "~", "config": "~/.config", "own": "~/.config/relayd/clients"}


def manual_clients() -> str:
    """The clients of relayd-clients(7), from the table of `relayd connect`."""
    return "".join(map(_manual_client, CLIENTS))


def _manual_client(client: Client) -> str:
    lines = [f".Ss {client.title}"]
    if client.changes:
        lines.append(f".Ic relayd connect {client.name}")
    for change in client.changes:
        lines += ["writes" if change is client.changes[0] else "and", f".Pa {change.path.format(**PLACES)} :"]
        shown = [mdoc_code(line) for line in content(change, AT).rstrip().split("\n")]
        lines += [".Bd -literal -offset indent", *shown, ".Ed"]
    told = (("Then: ", client.use), ("", client.by_hand), ("", client.cannot))
    for label, text in told:
        if text:
            words = text.format(url=AT.url, v1=AT.v1, key=AT.key, model=AT.model, **PLACES)
            lines += [*([".Pp"] if len(lines) > 1 else []), *map(mdoc_words, sentences(label + words))]
    run = f"Run with version {client.run}." if client.run else "Not run by the makers of relayd."
    return "\n".join([*lines, ".Pp", run]) + "\n"


def mdoc_code(line: str) -> str:
    """A line of a file, to the letter."""
    return mdoc(line).replace("-", "\\-").replace("~", "\\(ti").replace("'", "\\(aq")


def mdoc_words(text: str) -> str:
    """A sentence in which options keep their dashes."""
    return mdoc(text).replace("--", "\\-\\-").replace("~", "\\(ti")


def sentences(text: str) -> list[str]:
    """mdoc wants each sentence on a line of its own."""
    return re.split(r"(?<=[.;]) (?=[A-Z])", text)


def mdoc(text: str) -> str:
    """Text for a line of mdoc; words in backticks are set in bold."""
    escaped = text.replace("\\", "\\e").replace('"', "\\(dq")
    escaped = re.sub(r"`([^`]*)`", r"\\fB\1\\fR", escaped)
    return "\\&" + escaped if escaped.startswith((".", "'")) else escaped


SYMBOL = re.compile(r":\d+")


def questions() -> str:
    """Where the answers of ARCHITECTURE.md are, with the lines of today."""
    lines = ["| question | where |", "| --- | --- |"]
    for question, answer, places in QUESTIONS:
        found = ", ".join(f"`{path}:{line_of(path, text)}`" for path, text in places)
        lines.append(f"| {question} | {answer} {found} |")
    return "\n".join(lines) + "\n"


def line_of(path: str, text: str) -> int:
    """The line of a file of the package that holds this text. Raises ValueError if there is none."""
    source = (ROOT / "relayd" / path).read_text()
    return source[: source.index(text)].count("\n") + 1


QUESTIONS = (
    (
        "Where is a tool result matched to its process?",
        "By the ids of exactly the calls that a parked session waits for, then by the digest of its conversation.",
        (("core/roads.py", "def _parked_for"), ("core/pool.py", "def parked"), ("core/roads.py", "def _continues")),
    ),
    (
        "What happens if `claude` dies in a typed turn?",
        "Before the text was taken nothing has reached the model: the call is replayed. Afterwards only if nothing was shown.",
        (
            ("core/session/table.py", "BY_KEYS = row("),
            ("core/session/life.py", "def lost_child"),
            ("core/replay.py", "def may_replay"),
        ),
    ),
    (
        "Which limit ends a silent turn?",
        "`silence_limit_s` if the terminal shows nothing either (it hangs), `turn_limit_s` if it spins without progress.",
        (("core/session/running.py", "def watch"), ("core/session/running.py", "def late"), ("limits.py", "silence_limit_s")),
    ),
    (
        "Where would a new endpoint go?",
        "A route and its line in the table, a case where routes are answered (mypy names the place), a paragraph in the manual.",
        (("http/routes.py", "ROUTES"), ("core/http_api.py", "def _route"), ("core/admin_api.py", "def _answer")),
    ),
    (
        "Who decides that a call is typed?",
        "The text decides whether it may be (`claude/prompt.py`), the road whether it will be.",
        (("core/roads.py", "def choose"), ("claude/prompt.py", "def draft")),
    ),
    (
        "Who may ask at all?",
        "Other users are refused when they connect, everything else is judged on the head of the request.",
        (("runtime/clients.py", "def accept"), ("http/access.py", "def judge")),
    ),
    (
        "What starts processes, and which?",
        "The scheduler for a call, the pool's plan for what calls have used lately.",
        (("core/dispatcher.py", "def _find"), ("core/pool_plan.py", "def plan"), ("core/launch_keys.py", "class RecentKinds")),
    ),
    (
        "What ends the daemon?",
        "SIGTERM: running calls finish, then they are ended, then everything is left.",
        (("core/ending.py", "class Ending"), ("runtime/server.py", "def _signal")),
    ),
    (
        "Why was this call answered with an error?",
        "`relayd calls` names the status; each error of Claude Code or the API gets its status in one place.",
        (("claude/failures.py", "def to_api_error"), ("core/delivery.py", "def _failed")),
    ),
)


def states() -> str:
    """The state diagram of a session, from its table; dying states that every live one leads to are drawn once."""
    lines = ["```mermaid", "stateDiagram-v2", "    [*] --> spawning"]
    arrows: dict[tuple[State, State], list[str]] = {}
    for state in State:
        for event, entry in TABLE[state].items():
            if entry.state is not None and entry.state is not state:
                arrows.setdefault((state, entry.state), []).append(event.__name__)
    for (origin, target), events in arrows.items():
        if not (origin in LIVE and target in DYING):
            lines.append(f"    {_id(origin)} --> {_id(target)}: {', '.join(events)}")
    lines += ["    dead --> [*]", "```", "", "From every live state a process may be lost or told to end:", ""]
    lines += ["| from | to | on |", "| --- | --- | --- |"]
    for (origin, target), events in arrows.items():
        if origin in LIVE and target in DYING:
            lines.append(f"| {origin.value} | {target.value} | {', '.join(events)} |")
    late = ", ".join(sorted(event.__name__ for event in LATE))
    lines += ["", f"What comes too late is ignored where it is not listed: {late}. A dying process ignores every other fact."]
    return "\n".join(lines) + "\n"


def _id(state: State) -> str:
    return state.value.replace(" ", "_")


def rooms() -> str:
    """Who may import whom, as tests/test_layers.py holds it."""
    lines = ["| room | may import |", "| --- | --- |"]
    for name, allowed in ROOMS.items():
        if (ROOT / "relayd" / name).is_dir():
            shown_rooms = sorted(room for room in allowed if room != "__init__" and (ROOT / "relayd" / room).is_dir())
            lines.append(f"| `{name}/` | {', '.join(shown_rooms) or 'leaves only'} |")
    return "\n".join(lines) + "\n"


def architecture(name: str, make: Callable[[], str]) -> Section:
    """A section of ARCHITECTURE.md."""
    return Section(
        ROOT / "ARCHITECTURE.md", f"<!-- begin of {name}, made by scripts/generate -->", f"<!-- end of {name} -->", make
    )


def needs_of_all() -> str:
    """What relayd needs of Claude Code, for those who work on it."""
    lines = ["| capability | since | flags and variables | hooks |", "| --- | --- | --- | --- |"]
    for need in NEEDS:
        asked = ", ".join(f"`{name}`" for name in (*need.flags, *need.variables))
        lines.append(f"| {need.check} | {need.since} | {asked} | {', '.join(need.hooks)} |")
    return "\n".join(lines) + "\n"


def manual_needs() -> str:
    """The same for users: what the versions differ in."""
    lines = ['.Bl -column "parallel calls" "2.1.330" "what becomes of calls without it"', ".It what Ta since Ta without it"]
    lines += [f".It {need.check} Ta {need.since} Ta {need.without}" for need in NEEDS if need.since != OLDEST]
    return "\n".join([*lines, f".It all else Ta {OLDEST} Ta the oldest that was tried", ".El"]) + "\n"


SECTIONS = (
    architecture("questions", questions),
    architecture("states", states),
    architecture("needs", needs_of_all),
    architecture("rooms", rooms),
    Section(ROOT / "man" / "relayd.1", '.\\" begin of needs, made by scripts/generate', '.\\" end of needs', manual_needs),
    Section(ROOT / "man" / "relayd.toml.5", '.\\" begin of keys, made by scripts/generate', '.\\" end of keys', manual_keys),
    Section(
        ROOT / "man" / "relayd-clients.7",
        '.\\" begin of clients, made by scripts/generate',
        '.\\" end of clients',
        manual_clients,
    ),
)


def main() -> int:
    """Rewrite what differs."""
    for section in SECTIONS:
        if section.write():
            print(f"{section.path.relative_to(ROOT)}: written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
