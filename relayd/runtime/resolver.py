"""The addresses of one host, without ever waiting for them.

The system's own way (`getaddrinfo`: hosts file, name service, multicast DNS) blocks, for as long as a dead name server takes. A
thread would do, but this daemon forks: with a second thread in it a child could inherit a lock that nobody gives back. A resolver
of our own would miss what the system knows. So a small process asks, writes the answer into a file without a name, and is looked
at now and again, as a transcript is. It is asked when addresses are needed and the last ones are older than FRESH_S: at the start
a laptop may not have a network yet. Literal addresses and `localhost` need no process. Owned by `upstreams.py`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from typing import IO

from relayd import fallback_url

FRESH_S = 60.0
LIMIT_S = 10.0  # of one process
ADDRESSES_MAX = 8
ANSWER_MAX_BYTES = 16 * 1024
ASK = """
import json, socket, sys
found = socket.getaddrinfo(sys.argv[1], int(sys.argv[2]), type=socket.SOCK_STREAM)
print(json.dumps([entry[4][0] for entry in found]))
"""


class Resolver:
    """See the module's text. `addresses` are those found last; `error` is why there are none."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._is_fixed = True
        self.addresses: tuple[str, ...] = ()
        if fallback_url.is_literal(host):
            self.addresses = (host,)
        elif host.lower() == "localhost":
            self.addresses = ("127.0.0.1", "::1")
        else:
            self._is_fixed = False
        self.error = ""
        self._found_at = float("-inf")
        self._process: subprocess.Popen[bytes] | None = None
        self._file: IO[bytes] | None = None
        self._give_up_at = 0.0

    def __repr__(self) -> str:
        return f"<Resolver addresses={len(self.addresses)} asks={self._process is not None}>"

    def is_fresh(self, now: float) -> bool:
        """True if `addresses` may be used."""
        return self._is_fixed or (bool(self.addresses) and now - self._found_at < FRESH_S)

    @property
    def is_asking(self) -> bool:
        """True while a process asks."""
        return self._process is not None

    def ask(self, now: float) -> None:
        """Start asking, if nobody does. Raises OSError."""
        if self._process is not None:
            return
        self._file = tempfile.TemporaryFile()  # noqa: SIM115, closed in `_put_away`
        command = [sys.executable, "-I", "-S", "-c", ASK, self._host, str(self._port)]
        try:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self._file, stderr=subprocess.DEVNULL)
        except OSError:
            self._put_away()
            raise
        self._give_up_at = now + LIMIT_S

    def look(self, now: float) -> bool:
        """Look whether the process has ended; True if nobody asks any more."""
        if self._process is None:
            return True
        if self._process.poll() is None:
            if now < self._give_up_at:
                return False
            self.close()
            self.addresses, self.error = (), "its name was not resolved in time"
            return True
        self.addresses, self.error = self._read(), ""
        if not self.addresses:
            self.error = "its name is not known"
        self._found_at = now
        self._put_away()
        return True

    def _read(self) -> tuple[str, ...]:
        assert self._file is not None
        self._file.seek(0)
        try:
            found = json.loads(self._file.read(ANSWER_MAX_BYTES))
        except ValueError:
            return ()
        return tuple(dict.fromkeys(str(address) for address in found))[:ADDRESSES_MAX]

    def _put_away(self) -> None:
        self._process = None
        if self._file is not None:
            self._file.close()
            self._file = None

    def close(self) -> None:
        """End a process that still asks. It has nothing to tidy up."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._put_away()
