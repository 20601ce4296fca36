"""A daemon whose mod is broken in one way: `python -m tests.real.broken_mod FAULT serve`."""

from __future__ import annotations

import sys

from relayd.claude import mod
from relayd.doctor import under_test

FAULTS = {
    "raise": ("const step = steps++", 'throw new Error("broken")'),
    "syntax": ("export function", "export ][ function"),
    "missing": ('["./stream.js"]', '["./none.js"]'),
    "refused": ("const url = await", 'const url = "http://127.0.0.1:9/x" || await'),
    "hang": ("await $.http.fetch", "await new Promise(() => {}) || await $.http.fetch"),
}


def main() -> None:
    old, new = FAULTS[sys.argv.pop(1)]
    whole = mod.files()
    assert any(old in data.decode() for data in whole.values())
    broken = {name: data.decode().replace(old, new).encode() for name, data in whole.items()}
    mod.files = lambda: broken
    sys.exit(under_test.run())


if __name__ == "__main__":
    main()
