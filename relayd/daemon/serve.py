"""Directories, lock, log, sweep, port, ready line, end: one run of the daemon. Called by `cli.py`."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from functools import partial

from relayd import __version__
from relayd.config import Config
from relayd.daemon import leftovers, machine
from relayd.daemon.assembly import assemble
from relayd.daemon.binary import examined
from relayd.daemon.state import Places, places_in
from relayd.daemon.user_files import find_claude, state_directory
from relayd.errors import EXIT_OK, StartError
from relayd.runtime import listener, system
from relayd.runtime.logs import Log, open_log
from relayd.runtime.notify import given_socket

OnReady = Callable[[str], None] | None
Reader = Callable[[], Config] | None


def serve(config: Config, environ: Mapping[str, str], on_ready: OnReady = None, read: Reader = None, log_file: str = "") -> int:
    """Run the daemon until it is told to end. Returns the exit code. Raises StartError.

    `read` gives the configuration anew when the daemon is told to take it up again. The log goes to `log_file` if there is
    one, else to standard error.
    """
    claude, missing = _find_claude(config, environ)
    os.umask(0o077)
    system.set_limits()
    places = places_in(state_directory(config, environ))
    with contextlib.ExitStack() as held:
        log = held.enter_context(contextlib.closing(_open_log(config, environ, log_file)))
        try:
            _hold_lock(held, places)
            if missing:
                log("warning", f"{missing} until relayd is started again, each call goes to the fallback")
            return _serve_locked(config, environ, claude, places, on_ready, read, log)
        except StartError as error:
            if log_file:  # nobody may be there to read standard error
                log("error", str(error))
            raise


def _find_claude(config: Config, environ: Mapping[str, str]) -> tuple[str, str]:
    """The `claude` to run; and why there is none, where a fallback may answer instead. Raises StartError without one."""
    try:
        return find_claude(config, environ), ""
    except StartError as error:
        if not config.fallback_url:
            raise
        return config.claude or "claude", f"{str(error).removeprefix('relayd: ').splitlines()[0].rstrip('.')}:"


def _open_log(config: Config, environ: Mapping[str, str], path: str) -> Log:
    try:
        return open_log(config.log_level, config.log_format, environ, path)
    except OSError as error:
        raise StartError(f"relayd: {path}: {error.strerror}") from error


def _hold_lock(held: contextlib.ExitStack, places: Places) -> None:
    try:
        held.enter_context(system.locked(places.lock))
    except OSError as error:
        raise StartError(f"relayd: another daemon uses {places.state}") from error


def _serve_locked(
    config: Config,
    environ: Mapping[str, str],
    claude: str,
    places: Places,
    on_ready: OnReady,
    read: Reader,
    log: Log,
) -> int:
    examine = partial(examined, claude, places.verdict)
    if refusal := examine().capabilities.refusal:
        raise StartError(f"relayd: {refusal}")
    try:
        sock = given_socket(environ) or listener.bind(config.host, config.port)
    except OSError as error:
        raise StartError(f"relayd: cannot listen on {config.host}:{config.port}: {error.strerror}") from error
    config_dirs = machine.claude_directories(config, environ)
    leftovers.sweep(places, config_dirs, log)
    files = leftovers.files(places, config_dirs)
    server, url = assemble(config, environ, claude, places, sock, files, examine, read, log)
    log("info", f"relayd {__version__} listens on {url}, claude is {claude}")
    if on_ready:
        on_ready(url)
    server.run()
    if not files.prompt_history.forget_all():
        log("warning", "Claude Code's list of prompts was locked: what relayd has typed goes at the next start")
    log("info", f"relayd ended after {server.relay.calls.served} calls")
    return EXIT_OK
