"""What a running daemon takes up anew: the configuration by SIGHUP, and the keys when their files change."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

from relayd.config import AT_START, Config
from relayd.core import events as ev
from relayd.daemon import key_file
from relayd.errors import ConfigError, StartError
from relayd.http import keys
from relayd.runtime.logs import Log

Reader = Callable[[], Config] | None


def reloader(config: Config, read: Reader, log: Log) -> Callable[[], Config | None]:
    """What SIGHUP does: a new configuration, with the knobs that are bound to the start as they were."""

    def reload() -> Config | None:
        try:
            found = read() if read else config
        except ConfigError as error:
            log("error", f"the configuration stays as it was: {error}")
            return None
        bound = [name for name in AT_START if getattr(found, name) != getattr(config, name)]
        if bound:
            log("warning", f"needs a restart: {', '.join(bound)}")
        log("info", "the configuration was read anew")
        return dataclasses.replace(found, **{name: getattr(config, name) for name in AT_START})

    return reload


def key_reader(config: Config, environ: Mapping[str, str], log: Log) -> Callable[[], ev.KeysChanged]:
    """The keys as they are now. Files that cannot be read change nothing, and are reported once; at the start: StartError."""
    found, told = key_file.read_all(config, environ), ""

    def look() -> ev.KeysChanged:
        nonlocal found, told
        try:
            found, told = key_file.read_all(config, environ), ""
        except StartError as error:
            if str(error) != told:
                log("error", f"the keys stay as they were: {error}")
            told = str(error)
        return ev.KeysChanged(found.token, keys.dump(found.named))

    return look
