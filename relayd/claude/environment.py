"""The environment of a Claude Code process: an allow-list, and what relayd adds.

The list lets through what a login of any kind may need, so that the daemon works wherever
`claude` does; everything else of the daemon's environment stays out. Values are passed, never
read into a log. Pure; called by the daemon at its start.
"""

from __future__ import annotations

import ntpath
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from relayd import loopback

PASSED = frozenset(
    (
        # the user and the system
        *("HOME", "USER", "LOGNAME", "PATH", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "TEMP", "TMP"),
        *("DBUS_SESSION_BUS_ADDRESS", "USERNAME", "USERPROFILE", "HOMEDRIVE", "HOMEPATH", "APPDATA", "LOCALAPPDATA"),
        *("PROGRAMDATA", "PROGRAMFILES", "WINDIR", "SYSTEMROOT", "SystemRoot", "SYSTEMDRIVE", "COMSPEC", "ComSpec", "PATHEXT"),
        *("PROCESSOR_ARCHITECTURE", "CLAUDE_CODE_GIT_BASH_PATH"),
        # the way to the API
        *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS", "API_TIMEOUT_MS", "BEDROCK_BASE_URL"),
        # the login
        *("CLAUDE_CONFIG_DIR", "CLAUDE_CODE_OAUTH_TOKEN", "CLAUDE_CODE_API_KEY_HELPER_TTL_MS", "CLAUDE_CODE_CERT_STORE"),
        *("CLAUDE_CODE_CLIENT_CERT", "CLAUDE_CODE_CLIENT_KEY", "CLAUDE_CODE_CLIENT_KEY_PASSPHRASE"),
        *("CLAUDE_CODE_SKIP_BEDROCK_AUTH", "CLAUDE_CODE_SKIP_VERTEX_AUTH", "CLAUDE_CODE_SKIP_FOUNDRY_AUTH"),
    )
)
PREFIXES = (
    "ANTHROPIC_",
    "CLAUDE_CODE_USE_",
    "AWS_",
    "GOOGLE_",
    "GCLOUD_",
    "CLOUDSDK_",
    "CLOUD_ML_",
    "VERTEX_",
    "AZURE_",
    "LC_",
    "XDG_",
)

# What a session or the system sets for itself, as it does most of XDG_*: a service has its own, or needs none.
OWN_TO_EACH = frozenset(("HOME", "USER", "LOGNAME", "SHELL", "TMPDIR", "TEMP", "TMP", "DBUS_SESSION_BUS_ADDRESS"))
SECRET_WORDS = ("TOKEN", "KEY", "SECRET", "PASS", "CREDENTIAL", "HEADERS", "COOKIE")
# … and yet no secrets: paths and times.
NO_SECRETS = frozenset(("CLAUDE_CODE_CLIENT_KEY", "CLAUDE_CODE_API_KEY_HELPER_TTL_MS", "GOOGLE_APPLICATION_CREDENTIALS"))
PATH_ENDS = ("_FILE", "_PATH", "_DIR")

# Logins that would win over the one in a configuration directory.
LOGINS = frozenset(("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN"))

OURS = {
    "TERM": "xterm-256color",
    # The turn of a transcript that ends in a user message starts by itself.
    "CLAUDE_CODE_RESUME_INTERRUPTED_TURN": "1",
    # What reaches the model is the client's conversation and nothing of this machine.
    "CLAUDE_CODE_DISABLE_ATTACHMENTS": "1",
    "CLAUDE_CODE_DISABLE_CLAUDE_MDS": "1",
    "CLAUDE_CODE_DISABLE_AUTO_MEMORY": "1",
    "CLAUDE_CODE_TOTAL_TOKENS_REMINDER": "off",
    "ENABLE_TOOL_SEARCH": "false",
    # Or the newest models get an empty system message with an effort of Claude Code's own, which beats the client's.
    "CLAUDE_CODE_MODEL_CAPABILITIES": "-per_turn_effort",
    # A retired model is an error, as with the API, and not silently another one.
    "CLAUDE_CODE_DISABLE_LEGACY_MODEL_REMAP": "1",
    # Errors go to the client at once, whose SDK has retry rules of its own.
    "CLAUDE_CODE_MAX_RETRIES": "0",
    "CLAUDE_CODE_DISABLE_NONSTREAMING_FALLBACK": "1",
    "CLAUDE_CODE_DISABLE_REFUSAL_RETRY": "1",
    "CLAUDE_CODE_DISABLE_REFUSAL_FALLBACK": "1",
    # Past the window the API's own error, never a silent summary.
    "DISABLE_AUTO_COMPACT": "1",
    "DISABLE_COMPACT": "1",
    # … and in its own words: Claude Code would refuse by its own idea of the window, which is 200,000 for models that have more.
    "CLAUDE_CODE_BLOCKING_LIMIT_OVERRIDE": "1000000000",
    # A process that lives for one call has no use for these.
    "DISABLE_AUTOUPDATER": "1",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "CLAUDE_CODE_DISABLE_OFFICIAL_MARKETPLACE_AUTOINSTALL": "1",
}

LOGIN_QUESTION = ("auth", "status")  # a command of Claude Code: ends with 0 if somebody is logged in

SHIM_TARGET = re.compile(r'"%(?:~dp0|dp0%)\\?([^"%*?<>|\r\n]*\bclaude\.exe)"', re.IGNORECASE)

INSTALL_HINT = (
    "relayd: no `claude` found on PATH or in its usual places.\n"
    "Install Claude Code with either of\n"
    "  npm install -g @anthropic-ai/claude-code\n"
    "  the installer described at https://code.claude.com/docs\n"
    "or name the binary with --claude PATH."
)


def child_environment(environ: Mapping[str, str], own_port: int) -> tuple[dict[str, str], list[str]]:
    """The base environment of every child, and notes for the log (names only, never values)."""
    env = {k: v for k, v in environ.items() if k in PASSED or k.startswith(PREFIXES)}
    notes = []
    if points_at(env.get("ANTHROPIC_BASE_URL", ""), own_port):
        del env["ANTHROPIC_BASE_URL"]
        notes.append("ANTHROPIC_BASE_URL points at this daemon and was not handed to claude")
    env |= OURS
    for name in ("NO_PROXY", "no_proxy"):
        hosts = [h for h in env.get(name, "").split(",") if h]
        env[name] = ",".join(hosts + [h for h in loopback.HOSTS if h not in hosts])
    return env, notes


def for_profile(env: Mapping[str, str], directory: str) -> dict[str, str]:
    """A child's environment with the login that is kept in another directory: none that the environment itself carries."""
    return {name: value for name, value in env.items() if name not in LOGINS} | {"CLAUDE_CONFIG_DIR": directory}


def for_service(environ: Mapping[str, str], own_port: int) -> tuple[dict[str, str], list[str]]:
    """What a service is given of the shell that installs it, so that Claude Code finds the same login there; and the names of
    what it is not given: what may be a secret, as the service's file is no place for one, and what no such file can hold."""
    wanted = {name: value for name, value in environ.items() if value and _is_for_service(name)}
    if points_at(wanted.get("ANTHROPIC_BASE_URL", ""), own_port):
        del wanted["ANTHROPIC_BASE_URL"]
    given = {name: value for name, value in wanted.items() if not _may_be_secret(name) and value.isprintable()}
    return given, sorted(wanted.keys() - given.keys())


def _is_for_service(name: str) -> bool:
    if name in OWN_TO_EACH or (name.startswith("XDG_") and not name.endswith("_HOME")):
        return False
    return name in PASSED or name.startswith(PREFIXES)


def _may_be_secret(name: str) -> bool:
    return any(word in name for word in SECRET_WORDS) and name not in NO_SECRETS and not name.endswith(PATH_ENDS)


def points_at(url: str, port: int) -> bool:
    """True if a base URL is this daemon's own address."""
    try:
        parts = urlsplit(url)
        return parts.hostname in loopback.HOSTS and (parts.port or {"http": 80, "https": 443}.get(parts.scheme)) == port
    except ValueError:
        return False


def has_own_telemetry(environ: Mapping[str, str]) -> bool:
    """True if the user has set up Claude Code's telemetry: relayd then leaves it alone."""
    return "CLAUDE_CODE_ENABLE_TELEMETRY" in environ or any(n.startswith("OTEL_") for n in environ)


def telemetry(url: str) -> dict[str, str]:
    """Settings that make Claude Code report each API request to `url` (usage, status; no contents)."""
    return {
        "CLAUDE_CODE_ENABLE_TELEMETRY": "1",
        "OTEL_LOGS_EXPORTER": "otlp",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json",
        "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": url,
        "OTEL_LOGS_EXPORT_INTERVAL": "1",
    }


def config_directory(environ: Mapping[str, str]) -> str:
    """Claude Code's own directory for the given environment."""
    home = environ.get("HOME") or environ.get("USERPROFILE") or "/"
    return environ.get("CLAUDE_CONFIG_DIR") or f"{home}/.claude"


def windows_shell(environ: Mapping[str, str], has_git: bool) -> str:
    """What Claude Code takes for its shell on Windows: PowerShell, if it does not find the one that comes with Git."""
    if not (has_git or environ.get("CLAUDE_CODE_GIT_BASH_PATH")):
        return "PowerShell"
    shell = environ.get("SHELL", "unknown")
    return next((name for name in ("zsh", "bash") if name in shell), shell)


def behind_shim(shim: str, text: str) -> str:
    """The program that npm's `claude.cmd` starts; the shim itself if it starts none. `text` is its content.

    A process of the shim would be `cmd.exe`: ending that leaves Claude Code running.
    """
    found = SHIM_TARGET.search(text)
    return ntpath.normpath(ntpath.join(ntpath.dirname(shim), found[1])) if found else shim


def usual_places(home: str) -> list[str]:
    """Where `claude` is installed when it is not on PATH, in order of preference; `*` stands for versions."""
    bundle = "extensions/anthropic.claude-code-*/resources/native-binary/claude"
    return [
        f"{home}/.local/bin/claude",
        f"{home}/.claude/local/claude",
        "/usr/local/bin/claude",
        "/opt/homebrew/bin/claude",
        f"{home}/.npm-global/bin/claude",
        f"{home}/.bun/bin/claude",
        *(f"{home}/{editor}/{bundle}" for editor in (".vscode", ".vscode-server", ".cursor", ".windsurf")),
        f"{home}/.local/bin/claude.exe",
        f"{home}/AppData/Roaming/npm/claude.cmd",
        f"{home}/AppData/Local/Programs/claude/claude.exe",
    ]
