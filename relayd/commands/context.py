"""What every command starts from: arguments, environment, configuration, a way to print and to ask the daemon."""

from __future__ import annotations

import http.client
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from relayd import config as configuration
from relayd.config import Config
from relayd.daemon import user_files
from relayd.errors import ConfigError, StartError
from relayd.printable import printable

ASK_LIMIT_S = 10.0
CALL_LIMIT_S = 120.0
CELL_MAX_CHARS = 200
FLAGS = ("host", "port", "claude", "state_dir")


@dataclass(frozen=True)
class Context:
    """`options` are the parsed arguments."""

    options: Any
    environ: Mapping[str, str]
    config: Config

    @property
    def json(self) -> bool:
        """True if a program reads the output."""
        return bool(getattr(self.options, "json", False))

    @property
    def state_dir(self) -> str:
        """The daemon's state directory."""
        return user_files.state_directory(self.config, self.environ)

    def ask(self, method: str, path: str, value: Any = None) -> Any:
        """The daemon's JSON answer. Raises StartError if it does not run or says no."""
        limit_s = ASK_LIMIT_S if value is None else CALL_LIMIT_S
        connection = http.client.HTTPConnection(self.config.host, self.config.port, timeout=limit_s)
        token = user_files.read_token(user_files.token_path(self.config, self.environ))
        try:
            headers = {"content-type": "application/json"} | ({"x-api-key": token} if token else {})
            connection.request(method, path, None if value is None else json.dumps(value), headers)
            answer = connection.getresponse()
            found = json.loads(answer.read())
        except (OSError, ValueError, http.client.HTTPException) as error:
            where = f"{self.config.host}:{self.config.port}"
            raise StartError(f"relayd: no daemon answers on {where} ({error}); start one: relayd serve") from error
        finally:
            connection.close()
        if answer.status != 200:
            raise StartError(f"relayd: {printable(found['error']['message'])}")
        return found

    def show(self, value: Any, text: str) -> None:
        """The value for programs, or the text for people."""
        print(json.dumps(value) if self.json else text)


def load(options: Any, environ: Mapping[str, str] = os.environ, is_lenient: bool = False) -> Context:
    """The context of a run. Raises ConfigError; a lenient one takes the defaults for a configuration that is wrong."""
    try:
        return Context(options, environ, read_config(options, environ))
    except ConfigError:
        if not is_lenient:
            raise
        return Context(options, environ, Config())


def read_config(options: Any, environ: Mapping[str, str]) -> Config:
    """File, variables and flags; in code, `options.fixed` gives other values for what is fixed. Raises ConfigError."""
    flags = {name: getattr(options, name, None) for name in FLAGS}
    named = getattr(options, "config", None)
    text = user_files.read_config(named, environ)
    origin = named or user_files.config_path(environ)
    return configuration.load(text, environ, flags, getattr(options, "fixed", None), origin)


def paint(text: str, code: str) -> str:
    """Coloured for a terminal, plain for everything else."""
    is_plain = not sys.stdout.isatty() or "NO_COLOR" in os.environ
    return text if is_plain else f"\x1b[{code}m{text}\x1b[0m"


def table(rows: list[tuple[Any, ...]], head: tuple[str, ...]) -> str:
    """Columns, as wide as they must be. What cells hold may come from clients: it is made safe to show."""
    cells = [head, *(tuple(printable(cell, CELL_MAX_CHARS) for cell in row) for row in rows)]
    widths = [max(len(row[n]) for row in cells) for n in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    return "\n".join([paint(lines[0], "1"), *lines[1:]])
