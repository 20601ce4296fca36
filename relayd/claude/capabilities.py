"""What the installed `claude` can do, as the doctor has found it: what the core must heed when it chooses a path. Pure.

Made by `daemon/binary.py` from the doctor's verdict, at the start and each time the binary or the verdict changes.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Capabilities:
    """The default is a `claude` that nobody has examined: it is taken to be able to do everything.

    refusal: why no call can be served; empty if calls can.
    no_tools: why calls with tools are refused; empty if they are not.
    gated: a process can wait for its conversation; else it starts with it, and none is kept warm.
    typing: a typed message reaches the model as it is; else every call is replayed.
    live: the mod tells the pieces of an answer; else text comes line by line.
    """

    refusal: str = ""
    no_tools: str = ""
    gated: bool = True
    typing: bool = True
    live: bool = True
