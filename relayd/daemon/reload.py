"""What SIGHUP does to the configuration."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from relayd.config import AT_START, Config
from relayd.errors import ConfigError
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
