"""What the core keeps on disk for its clients, files and batches: the facts that come back, and what each is about.

Every order of `actions.py` about a stored file carries a ticket, a value that says what it is for, and the fact that answers it
carries the same one. Paths are relative to the state directory, and made here alone, of ids that relayd has made itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field

FILES, BATCHES = "files", "batches"  # directories


@dataclass(frozen=True)
class Upload:
    """A client's file is to be written."""

    file: str


@dataclass(frozen=True)
class Load:
    """A call needs a file."""

    call: int
    file: str


@dataclass(frozen=True)
class NewBatch:
    """The requests of a batch are to be written."""

    batch: str


@dataclass(frozen=True)
class BatchRequest:
    """One of them is needed."""

    batch: str
    index: int


@dataclass(frozen=True)
class BatchResults:
    """Results are to be written behind the others."""

    batch: str


@dataclass(frozen=True)
class BatchState:
    """That a batch is being canceled, or has ended, is to be written."""

    batch: str


Ticket = Upload | Load | NewBatch | BatchRequest | BatchResults | BatchState


@dataclass(frozen=True)
class Stored:
    """It is written, whole."""

    ticket: Ticket


@dataclass(frozen=True)
class StoredRead:
    """What was asked for was read."""

    ticket: Ticket
    data: bytes = field(repr=False)


@dataclass(frozen=True)
class StoreFailed:
    """It could not be written or read; nothing of it is on disk that was not there before."""

    ticket: Ticket
    reason: str


StoreFact = Stored | StoredRead | StoreFailed


def file_path(file: str) -> str:
    """Of a client's file: a line of JSON about it, then its bytes."""
    return f"{FILES}/{file}"


def requests_path(batch: str) -> str:
    """Of a batch's requests: a line of JSON about the batch, then one for each; there until it has ended."""
    return f"{BATCHES}/{batch}.requests"


def results_path(batch: str) -> str:
    """Of its results, a line for each, as clients get them."""
    return f"{BATCHES}/{batch}.results"


def state_path(batch: str) -> str:
    """Of what has become of it: there once it is being canceled, or has ended."""
    return f"{BATCHES}/{batch}.state"
