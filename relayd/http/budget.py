"""Memory for request bodies that are still arriving, all connections together. Pure: it counts, it holds nothing.

One body has its own limit (`body_max_bytes`); without this one, a thousand connections could hold a
thousand bodies. Bytes are counted as they arrive, not as they are announced: a client that announces
much and sends nothing must not keep the others out. Owned by `runtime/clients.py`, used by `http1`.
"""

from __future__ import annotations

# Eight bodies of the largest size, or thousands of usual ones. A body stays a fraction of a second on loopback.
BODIES_MAX_BYTES = 256 * 1024 * 1024


class BodyBudget:
    """`limit` and `held` are bytes."""

    def __init__(self, limit: int = BODIES_MAX_BYTES) -> None:
        self.limit = limit
        self.held = 0

    def __repr__(self) -> str:
        return f"<BodyBudget {self.held} of {self.limit}>"

    def take(self, size: int) -> bool:
        """Count `size` more bytes; False, and nothing is counted, if that is too much."""
        if self.held + size > self.limit:
            return False
        self.held += size
        return True

    def give_back(self, size: int) -> None:
        """These bytes are not held any more."""
        self.held -= size
