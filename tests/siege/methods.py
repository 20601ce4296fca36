"""Every function of chosen modules, found by reading them, and a way to throw from one of them at its k-th use.

The exception is thrown by the interpreter's profiling hook at the function's first instruction, so it makes no difference how the
function is reached: by a table, by a name imported elsewhere, as a property, as a method of a frozen class. The hook is on only
while it is armed. The process under test is given nothing but the hook.
"""

from __future__ import annotations

import importlib.util
import inspect
import pathlib
import pkgutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import CodeType, FrameType
from typing import Any

import relayd

ROOT = str(pathlib.Path(relayd.__file__).parent)
WORDS = "thrown on purpose"  # in the message of every exception that is thrown here


@dataclass(frozen=True, order=True)
class Method:
    """A function by the file it stands in, its qualified name and its first line."""

    file: str
    name: str
    line: int

    def __str__(self) -> str:
        return f"{self.module}:{self.name}"

    @property
    def module(self) -> str:
        """Its module, as a path below `relayd/`."""
        return self.file.removeprefix(ROOT + "/").removesuffix(".py")

    @classmethod
    def of(cls, code: CodeType) -> Method:
        """The method that this code belongs to."""
        return cls(code.co_filename, code.co_qualname, code.co_firstlineno)


def methods_of(*packages: str) -> list[Method]:
    """Every function and method, nested ones and lambdas too, of these modules and of those below them."""
    return sorted({method for file in _files(packages) for method in _walk(_compiled(file))})


def _files(packages: tuple[str, ...]) -> Iterator[str]:
    for name in packages:
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        yield spec.origin
        for below in pkgutil.iter_modules(spec.submodule_search_locations or []):
            yield from _files((f"{name}.{below.name}",))


def _compiled(file: str) -> CodeType:
    return compile(pathlib.Path(file).read_text(encoding="utf-8"), file, "exec")


def _walk(code: CodeType) -> Iterator[Method]:
    """Functions are what has fast locals: class bodies have none. Comprehensions belong to the function around them."""
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            is_function = constant.co_flags & inspect.CO_OPTIMIZED and not constant.co_name.startswith(
                ("<gen", "<list", "<dict", "<set")
            )
            if is_function:
                yield Method.of(constant)
            yield from _walk(constant)


class Thrower:
    """Throws RuntimeError from one method at its k-th use after it was armed; once."""

    def __init__(self, target: Method, use: int) -> None:
        self.target = target
        self.left = use
        self.has_thrown = False

    def __repr__(self) -> str:
        return f"<Thrower {self.target} left={self.left}>"

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        """The profiling hook. Python switches it off when it throws."""
        code = frame.f_code
        if event != "call" or code.co_firstlineno != self.target.line or self.has_thrown:
            return
        if Method.of(code) == self.target and not _goes_on(frame):
            self.left -= 1
            if self.left <= 0:
                self.has_thrown = True
                raise RuntimeError(WORDS)


class Recorder:
    """Counts the uses of all methods below `relayd/`."""

    def __init__(self) -> None:
        self._codes: Counter[tuple[str, str, int]] = Counter()  # not code objects: those of two files can be equal

    def __repr__(self) -> str:
        return f"<Recorder {len(self._codes)}>"

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        """The profiling hook."""
        if event == "call" and frame.f_code.co_filename.startswith(ROOT) and not _goes_on(frame):
            code = frame.f_code
            self._codes[code.co_filename, code.co_qualname, code.co_firstlineno] += 1

    @property
    def uses(self) -> Counter[Method]:
        """What was used, how often."""
        return Counter({Method(*place): count for place, count in self._codes.items()})


def _goes_on(frame: FrameType) -> bool:
    """True for a generator that is resumed: the hook tells of that as of a call."""
    return bool(frame.f_code.co_flags & inspect.CO_GENERATOR) and frame.f_lasti > 8


Hook = Callable[[FrameType, str, Any], None]


def hooked(hook: Hook | None, work: Callable[[], Any]) -> Any:
    """Do something under the hook."""
    sys.setprofile(hook)
    try:
        return work()
    finally:
        sys.setprofile(None)
