"""A batch as it was left on disk: which requests have results, and which must run. Pure; called at the start of the daemon.

A request that was under way has no result, and waits again: whether it has reached the model before cannot be known.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from relayd.core.batches import lines
from relayd.core.batches.record import Batch, read_head


@dataclass(frozen=True)
class BatchFiles:
    """What is there of a batch, unless it has ended its state alone: `head` is the first line of its requests.

    Of requests and results there are only the beginnings of the lines.
    """

    id: str
    head: bytes = field(default=b"", repr=False)
    requests: tuple[lines.Begun, ...] = field(default=(), repr=False)
    state: bytes | None = field(default=None, repr=False)
    results: tuple[bytes, ...] = field(default=(), repr=False)
    results_bytes: int = 0


def restored(files: BatchFiles) -> Batch:
    """The batch. Raises ValueError for what no relayd has written, or what is not whole."""
    state = read_head(files.state) if files.state is not None else None
    if state is not None and state.ended:
        state.size_bytes = files.results_bytes
        return _checked(state, files.id)
    batch = _checked(read_head(files.head), files.id)
    batch.names, batch.offsets = lines.places(files.requests, len(files.head))
    if len(batch.names) != batch.total:
        raise ValueError("a batch that is not whole")
    batch.canceled = state.canceled if state is not None else 0
    known = set(batch.names)
    done = {name: outcome for name, outcome in lines.outcomes(files.results).items() if name in known}
    batch.counts = Counter(done.values())
    batch.waiting.extend(index for index, name in enumerate(batch.names) if name not in done)
    batch.size_bytes = batch.offsets[-1] + files.results_bytes
    return batch


def _checked(batch: Batch, name: str) -> Batch:
    if batch.id != name:
        raise ValueError("a batch under another's name")
    return batch
