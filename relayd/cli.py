"""The `relayd` command: arguments to a call of `daemon`, errors to exit codes.

Exit codes: 0 fine, 100 wrong usage or configuration, 111 the system said no, 101 a bug.
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Sequence

from relayd import __version__, daemon
from relayd import config as configuration
from relayd.errors import ConfigError

DESCRIPTION = "A local Messages API answered by your own logged-in Claude Code, run in a PTY."
EPILOG = "Exit status: 0 fine, 100 wrong usage or configuration, 111 the system said no, 101 a bug in relayd."


class Parser(argparse.ArgumentParser):
    """Exits with 100 for wrong usage."""

    def error(self, message: str):  # type: ignore[no-untyped-def]
        """Say what is wrong and leave."""
        self.print_usage(sys.stderr)
        self.exit(daemon.EXIT_USAGE, f"{self.prog}: {message}\n")


def parser() -> argparse.ArgumentParser:
    """The whole command line; the manual page is compared with it."""
    top = Parser(prog="relayd", description=DESCRIPTION, epilog=EPILOG)
    top.add_argument("--version", action="version", version=f"relayd {__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    serve = commands.add_parser("serve", help="run the daemon in the foreground", description="Run the daemon in the foreground.")
    serve.add_argument("--host", metavar="H", help="loopback address to listen on (default 127.0.0.1)")
    serve.add_argument("--port", metavar="N", type=int, help="TCP port (default 7421; 0 takes a free one)")
    serve.add_argument("--claude", metavar="PATH", help="the claude to run (default: the first on PATH)")
    serve.add_argument("--config", metavar="FILE", help="configuration file (default: relayd.toml in the platform's place)")
    serve.add_argument("--state-dir", metavar="DIR", help="private directory of the daemon (default: the platform's place)")
    serve.add_argument("--demo", action="store_true", help="answer from the built-in stand-in for the API; needs no account")
    commands.add_parser("version", help="print the version", description="Print the version.")
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """The console script. Returns the exit code."""
    options = parser().parse_args(arguments)
    try:
        if options.command == "version":
            print(f"relayd {__version__}")
            return daemon.EXIT_OK
        return _serve(options)
    except ConfigError as error:
        print(f"relayd: {error}", file=sys.stderr)
        return daemon.EXIT_USAGE
    except daemon.StartError as error:
        print(error, file=sys.stderr)
        return daemon.EXIT_SYSTEM
    except Exception:
        traceback.print_exc()
        return daemon.EXIT_BUG


def _serve(options: argparse.Namespace) -> int:
    names = ("host", "port", "claude", "state_dir")
    flags = {name: getattr(options, name) for name in names}
    text = daemon.read_config(options.config, os.environ)
    config = configuration.load(text, os.environ, flags)
    if options.demo:
        from relayd.doctor import demo  # threads and a second server: only when asked for

        return demo.serve(config, os.environ)
    return daemon.serve(config, os.environ)


if __name__ == "__main__":
    sys.exit(main())
