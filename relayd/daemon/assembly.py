"""The pieces of a daemon, made and joined: host, core, server. Nothing happens here."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace

from relayd.config import Config
from relayd.core import events as ev
from relayd.core.relay import Relay
from relayd.daemon import fallback_target, machine, stored
from relayd.daemon.reload import Reader, key_reader, reloader
from relayd.daemon.state import Places
from relayd.runtime.logs import Log
from relayd.runtime.notify import Notifier
from relayd.runtime.performer import Files
from relayd.runtime.server import Server


def assemble(
    config: Config,
    environ: Mapping[str, str],
    claude: str,
    places: Places,
    sock: socket.socket,
    files: Files,
    examine: Callable[[], ev.ClaudeChanged],
    read: Reader,
    log: Log,
) -> tuple[Server, str]:
    """A server on a listening socket, and its URL. Raises StartError for a token that others can read."""
    port = sock.getsockname()[1]
    host = machine.describe(config, environ, claude, places, port, examine().capabilities, log)
    relay = Relay(config, host, stored.launch_keys(places), port)
    stored.restore(relay, places, log)
    in_terminal = sys.stderr is not None and sys.stderr.isatty()  # its hang-up means the end, and no new configuration
    reload = None if in_terminal else reloader(config, read, log)
    keys = key_reader(config, environ, log)
    files = replace(files, fallback=fallback_target.of(config, environ))
    return Server(config, relay, sock, files, log, Notifier(environ), reload, examine, keys), host.base_url
