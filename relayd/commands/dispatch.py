"""Which function carries out a command. Each module is loaded by the command that needs it."""

from __future__ import annotations

from relayd.commands.context import Context


def run(context: Context) -> int:
    """Any command but `serve`, `completion` and `version`. Returns the exit code."""
    command: str = context.options.command
    if command in ("status", "sessions", "calls"):
        from relayd.commands import status

        return {"status": status.status, "sessions": status.sessions, "calls": status.calls}[command](context)
    if command == "config":
        from relayd.commands import settings

        return settings.config(context)
    if command == "token":
        from relayd.commands import tokens

        return tokens.token(context)
    if command == "connect":
        from relayd.commands import connect

        return connect.connect(context)
    if command == "service":
        from relayd.commands import service

        return service.service(context)
    from relayd.commands import doctor, setup

    return {"doctor": doctor.doctor, "setup": setup.setup}[command](context)
