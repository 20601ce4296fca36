"""relayd: a local Messages API answered by the user's own Claude Code, run in a PTY."""

__version__ = "0.1.0"
