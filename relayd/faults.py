"""Bugs in one line for the log: the kind of an exception and the place where it was raised, never its text.

The text of an exception may quote a request; the log holds metadata only. Pure; used wherever an exception is contained.
"""

from __future__ import annotations


def describe(error: BaseException) -> str:
    """Such as `KeyError at core/pool.py:211 in gone`."""
    frame, last = error.__traceback__, None
    while frame is not None:
        frame, last = frame.tb_next, frame
    if last is None:
        return type(error).__name__
    code = last.tb_frame.f_code
    parts = code.co_filename.replace("\\", "/").rsplit("/", 2)
    return f"{type(error).__name__} at {'/'.join(parts[-2:])}:{last.tb_lineno} in {code.co_name}"
