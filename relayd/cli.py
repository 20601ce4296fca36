"""The `relayd` command: arguments to a command, errors to exit codes.

Exit codes: 0 fine, 100 wrong usage or configuration, 111 the system said no, 101 a bug.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from typing import Any

from relayd import __version__
from relayd.commands import context as contexts
from relayd.errors import EXIT_BUG, EXIT_OK, EXIT_SYSTEM, EXIT_USAGE, ConfigError, StartError
from relayd.faults import describe
from relayd.printable import printable_lines

DESCRIPTION = "A local Messages API answered by your own logged-in Claude Code, run in a PTY."
EPILOG = "Exit status: 0 fine, 100 wrong usage or configuration, 111 the system said no, 101 a bug in relayd."
COUNT_MAX_DIGITS = 9
SERVICE_ACTIONS = ("install", "uninstall", "start", "stop", "status", "logs", "print")
WITHOUT_CONFIGURATION = ("uninstall", "stop", "status", "logs")  # wanted most when the configuration is broken


class Parser(argparse.ArgumentParser):
    """Exits with 100 for wrong usage."""

    def error(self, message: str):  # type: ignore[no-untyped-def]
        """Say what is wrong and leave."""
        self.print_usage(sys.stderr)
        self.exit(EXIT_USAGE, f"{self.prog}: {message}\n")


def parser() -> argparse.ArgumentParser:
    """The whole command line; the manual page is compared with it."""
    top = Parser(prog="relayd", description=DESCRIPTION, epilog=EPILOG)
    top.add_argument("--version", action="version", version=f"relayd {__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def add(name: str, text: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text[0].lower() + text[1:].rstrip("."), description=text)
        made.add_argument("--config", metavar="FILE", help="configuration file (default: relayd.toml in the platform's place)")
        return made

    serve = add("serve", "Run the daemon in the foreground.")
    _place(serve)
    serve.add_argument("--state-dir", metavar="DIR", help="private directory of the daemon (default: the platform's place)")
    serve.add_argument("--log-file", metavar="FILE", help="write the log there (default: standard error)")
    serve.add_argument("--demo", action="store_true", help="answer from the built-in stand-in for the API; needs no account")
    setup = add("setup", "First run: find claude, check it, write the configuration, install the service.")
    _place(setup)
    setup.add_argument("--yes", action="store_true", help="ask nothing: take the defaults")
    setup.add_argument("--no-doctor", action="store_true", help="skip the checks of the installed version")
    doctor = add("doctor", "Check what works with the installed claude, without an account.")
    doctor.add_argument("--claude", metavar="PATH", help="the claude to check (default: the first on PATH)")
    doctor.add_argument("--live", action="store_true", help="then make one small call of the running daemon, on your account")
    status = add("status", "Show processes, calls and limits of the running daemon.")
    status.add_argument("--watch", action="store_true", help="again every second")
    sessions = add("sessions", "Show the sticky sessions.")
    sessions.add_argument("--delete", metavar="ID", help="forget this session")
    calls = add("calls", "Show recent calls: metadata only.")
    calls.add_argument("-n", "--number", type=_count, default=20, metavar="N", help="how many (default 20)")
    service = add("service", "Run relayd under systemd, launchd or the Task Scheduler.")
    service.add_argument("action", choices=SERVICE_ACTIONS)
    service.add_argument("--platform", choices=("linux", "darwin", "win32"), help="the system to print for (default: this one)")
    service.add_argument("--socket", action="store_true", help="with systemd: let the first call start the daemon")
    _token(add("token", "Make, list or take back the keys that clients must send."))
    connect = add("connect", "Set up a client to use this daemon, or show how.")
    connect.add_argument("client", nargs="?", metavar="CLIENT", help="such as codex; without one: the list of those known")
    connect.add_argument("--print", action="store_true", help="show what would be written, and write nothing")
    connect.add_argument("--undo", action="store_true", help="take back what was written")
    add("config", "Check or show the configuration.").add_argument("action", choices=("check", "show", "path"))
    add("completion", "Print a completion script.").add_argument("shell", choices=("bash", "zsh", "fish"))
    add("version", "Print the version.")
    for command in (doctor, status, sessions, calls, *(commands.choices[name] for name in ("token", "config"))):
        command.add_argument("--json", action="store_true", help="for programs")
    return top


def _count(text: str) -> int:
    """A number from 0 on. Raises argparse's error."""
    if not (text.isascii() and text.isdecimal() and len(text) <= COUNT_MAX_DIGITS):
        raise argparse.ArgumentTypeError(f"{text!r} is no count")
    return int(text)


def _token(command: argparse.ArgumentParser) -> None:
    command.add_argument("action", choices=("new", "show", "remove", "list", "revoke"))
    command.add_argument("name", nargs="?", metavar="NAME", help="name of a program's own key; without one: the plain token")
    command.add_argument("--model", action="append", metavar="PATTERN", help="a model that its calls may ask for (repeat)")
    command.add_argument("--calls-per-minute", type=_count, default=0, metavar="N", help="how many calls it may make a minute")
    command.add_argument("--plan-percent", type=_count, default=0, metavar="N", help="how far it may use the plan's windows")
    command.add_argument("--profile", default="", metavar="NAME", help="the login that its calls are for")


def _place(command: argparse.ArgumentParser) -> None:
    command.add_argument("--host", metavar="H", help="loopback address to listen on (default 127.0.0.1)")
    command.add_argument("--port", metavar="N", type=int, help="TCP port (default 7421; 0 takes a free one)")
    command.add_argument("--claude", metavar="PATH", help="the claude to run (default: the first on PATH)")


def main(arguments: Sequence[str] | None = None, fixed: Mapping[str, Any] | None = None) -> int:
    """The console script. Returns the exit code.

    `fixed` are other values for limits that no file, variable or flag can set: see `doctor/under_test.py`.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a Windows pipe knows few characters: the others are escaped
            stream.reconfigure(errors="backslashreplace")
    options = parser().parse_args(arguments, argparse.Namespace(fixed=fixed))
    try:
        return _run(options)
    except ConfigError as error:
        print(f"relayd: {printable_lines(str(error))}", file=sys.stderr)
        return _exit_for_wrong_configuration(options.command)
    except StartError as error:
        print(printable_lines(str(error)), file=sys.stderr)
        return EXIT_SYSTEM
    except KeyboardInterrupt:
        return EXIT_OK
    except BrokenPipeError:  # a pager that was left
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK
    except Exception as error:
        _tell_bug(error, options.command)
        return EXIT_BUG


def _exit_for_wrong_configuration(command: str) -> int:
    if command != "serve":
        return EXIT_USAGE
    from relayd.commands import service

    return service.exit_for_wrong_configuration(os.environ)


def _tell_bug(error: Exception, command: str) -> None:
    """The whole traceback; of the daemon without the error's text, which may quote a request, and goes into a log."""
    if command != "serve":
        traceback.print_exc()
        return
    print("".join(traceback.format_tb(error.__traceback__)), describe(error), sep="", file=sys.stderr)


def _run(options: Any) -> int:
    """Modules are loaded by the command that needs them: the daemon's start is not slowed down by the others."""
    if options.command == "version":
        print(f"relayd {__version__}")
        return EXIT_OK
    if options.command == "completion":
        from relayd.commands import completion

        print(completion.script(options.shell, parser()), end="")
        return EXIT_OK
    context = contexts.load(options, is_lenient=options.command == "service" and options.action in WITHOUT_CONFIGURATION)
    if options.command == "serve":
        return _serve(context)
    from relayd.commands import dispatch

    return dispatch.run(context)


def _serve(context: contexts.Context) -> int:
    if context.options.demo:
        from relayd.doctor import demo  # threads and a second server: only when asked for

        return demo.serve(context.config, context.environ)
    if "XPC_SERVICE_NAME" in os.environ:  # of launchd
        from relayd.commands import service

        service.shorten_log(os.environ)
    from relayd.daemon.serve import serve

    options = context.options
    return serve(
        context.config,
        context.environ,
        read=lambda: contexts.read_config(options, context.environ),
        log_file=options.log_file or "",
    )


if __name__ == "__main__":
    sys.exit(main())
