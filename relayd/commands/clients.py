"""The programs that `relayd connect` knows: one table of what each is told, where, and what cannot work. Pure.

A client is told in a way that leaves the user's own settings for other providers alone: by a file of its own that is named on
its command line, or by an entry of its own, called relayd. `relayd-clients(7)` is made from the table (tests/generate.py),
and `scripts/clients` runs those that have a version in it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

OWN = "relayd"  # the name of our entries in files that are the user's
CONTEXT_TOKENS = 200_000  # what every model has
OUTPUT_TOKENS = 32_000


@dataclass(frozen=True)
class Endpoint:
    """What a client must know: `url` without a path, `key` for its API key, the model that it begins with."""

    url: str
    key: str
    model: str

    @property
    def v1(self) -> str:
        """The base URL of programs that add no version themselves."""
        return f"{self.url}/v1"


@dataclass(frozen=True)
class Whole:
    """A file of relayd's own. Paths begin with `{home}`, `{config}` (the user's) or `{own}` (relayd's directory for clients)."""

    path: str
    text: Callable[[Endpoint], str]


@dataclass(frozen=True)
class Entry:
    """A value at a place in a JSON file of the user's."""

    path: str
    place: tuple[str, ...]
    value: Callable[[Endpoint], Any]


@dataclass(frozen=True)
class Lines:
    """Lines between two marks in a text file of the user's."""

    path: str
    text: Callable[[Endpoint], str]


Change = Whole | Entry | Lines


@dataclass(frozen=True)
class Client:
    """One row. `run` is the version that was run against the daemon, empty if none was; without changes `by_hand` says all.

    `use` is how it is started afterwards, `cannot` what does not work. Both texts may hold the fields of `Endpoint` in braces.
    """

    name: str
    title: str
    changes: tuple[Change, ...] = ()
    use: str = ""
    by_hand: str = ""
    cannot: str = ""
    run: str = ""


def _json(value: Any) -> str:
    return json.dumps(value, indent=2) + "\n"


def _claude_code(at: Endpoint) -> str:
    return _json({"env": {"ANTHROPIC_BASE_URL": at.url, "ANTHROPIC_AUTH_TOKEN": at.key, "ANTHROPIC_MODEL": at.model}})


def _codex(at: Endpoint) -> str:
    provider = {"name": OWN, "base_url": at.v1, "wire_api": "responses", "experimental_bearer_token": at.key}
    lines = [f"{name} = {json.dumps(value)}" for name, value in provider.items()]
    head = [f"model = {json.dumps(at.model)}", f"model_provider = {json.dumps(OWN)}"]
    return "\n".join([*head, "", f"[model_providers.{OWN}]", *lines]) + "\n"


def _opencode(at: Endpoint) -> Any:
    options = {"baseURL": at.v1, "apiKey": at.key}
    return {"npm": "@ai-sdk/anthropic", "name": OWN, "options": options, "models": {at.model: {"name": at.model}}}


def _cline(at: Endpoint) -> str:
    settings = {"provider": "openai-compatible", "apiKey": at.key, "model": at.model, "baseUrl": at.v1}
    provider = {"settings": settings, "updatedAt": "1970-01-01T00:00:00.000Z", "tokenSource": "manual"}
    providers = {"openai-compatible": provider}
    return _json({"version": 1, "lastUsedProvider": "openai-compatible", "modes": {}, "providers": providers})


def _aider(at: Endpoint) -> str:
    variables = {"ANTHROPIC_API_BASE": at.url, "ANTHROPIC_API_KEY": at.key}
    lines = [f"  - {json.dumps(f'{name}={value}')}" for name, value in variables.items()]
    return "\n".join([f"model: {json.dumps(f'anthropic/{at.model}')}", "set-env:", *lines]) + "\n"


def _continue(at: Endpoint) -> str:
    model = {"provider": "anthropic", "model": at.model, "apiBase": f"{at.v1}/", "apiKey": at.key}
    lines = [f"    {name}: {json.dumps(value)}" for name, value in model.items()]
    head = [f"name: {OWN}", "version: 1.0.0", "schema: v1", "models:", f"  - name: {OWN}"]
    return "\n".join([*head, *lines, "    roles: [chat, edit, apply]"]) + "\n"


def _crush(at: Endpoint) -> Any:
    model = {"id": at.model, "name": at.model, "context_window": CONTEXT_TOKENS, "default_max_tokens": OUTPUT_TOKENS}
    return {"type": "anthropic", "name": OWN, "base_url": at.url, "api_key": at.key, "models": [model]}


def _goose(at: Endpoint) -> str:
    model = {"name": at.model, "context_limit": CONTEXT_TOKENS}
    names = {"name": OWN, "engine": "anthropic", "display_name": OWN, "description": "Your own Claude Code, by relayd"}
    rest = {"api_key_env": "RELAYD_KEY", "base_url": at.url, "models": [model], "supports_streaming": True}
    return _json(names | rest)


def _zed(at: Endpoint) -> Any:
    model = {"name": at.model, "max_tokens": CONTEXT_TOKENS, "max_output_tokens": OUTPUT_TOKENS}
    return {"api_url": at.v1, "available_models": [model]}


def _llm(at: Endpoint) -> str:
    model = {"model_name": at.model, "api_base": at.v1, "api_key_name": OWN}
    return "\n".join([f"- model_id: {OWN}", *(f"  {name}: {json.dumps(value)}" for name, value in model.items())]) + "\n"


LLM = "{config}/io.datasette.llm"
CLIENTS: tuple[Client, ...] = (
    Client(
        "claude-code",
        "Claude Code",
        (Whole("{own}/claude-code.json", _claude_code),),
        "claude --settings {own}/claude-code.json",
        cannot="Its own settings and its login are left alone: without --settings it asks Anthropic, as before.",
        run="2.1.330",
    ),
    Client(
        "codex",
        "Codex",
        (Whole("{home}/.codex/relayd.config.toml", _codex),),
        "codex --profile relayd",
        cannot="Versions that keep profiles in config.toml do not read this file.",
        run="0.171.0",
    ),
    Client(
        "opencode",
        "OpenCode",
        (Entry("{home}/.config/opencode/opencode.json", ("provider", OWN), _opencode),),
        "opencode -m relayd/{model}",
        run="1.18.33",
    ),
    Client(
        "cline",
        "Cline, in a terminal",
        (Whole("{own}/cline/settings/providers.json", _cline),),
        "cline --data-dir {own}/cline -P openai",
        cannot="The extension for VS Code keeps its settings in the editor: choose OpenAI Compatible there, with {v1}.",
        run="3.0.65",
    ),
    Client(
        "roo-code",
        "Roo Code",
        by_hand="In its settings choose Anthropic, tick the custom base URL, and enter {url}; the key is {key}.",
    ),
    Client("aider", "Aider", (Whole("{own}/aider.yml", _aider),), "aider --config {own}/aider.yml", run="0.86.2"),
    Client(
        "crush",
        "Crush",
        (Entry("{home}/.config/crush/crush.json", ("providers", OWN), _crush),),
        "crush, and choose the model under relayd",
    ),
    Client(
        "goose",
        "Goose",
        (Whole("{home}/.config/goose/custom_providers/relayd.json", _goose),),
        "RELAYD_KEY={key} GOOSE_PROVIDER=relayd GOOSE_MODEL={model} goose session",
        cannot="It takes keys from its own key store or the environment only.",
        run="1.52.0",
    ),
    Client(
        "continue",
        "Continue",
        (Whole("{own}/continue.yaml", _continue),),
        "cn --config {own}/continue.yaml",
        cannot="The extensions for editors read ~/.continue/config.yaml: copy the model of that file into it.",
        run="1.5.47",
    ),
    Client(
        "zed",
        "Zed",
        (Entry("{home}/.config/zed/settings.json", ("language_models", "openai_compatible", OWN), _zed),),
        "RELAYD_API_KEY={key} zed, and choose the model under relayd",
        cannot="It takes keys from its own key store or the environment only. Settings with comments are not changed.",
    ),
    Client(
        "vscode",
        "VS Code's own models",
        by_hand="Run Chat: Manage Language Models, and add a Custom Endpoint: API type messages, URL {url}, key {key}.",
        cannot="Completions in the editor go on being GitHub's.",
    ),
    Client(
        "open-webui",
        "Open WebUI",
        by_hand="Start it with OPENAI_API_BASE_URL={v1} and OPENAI_API_KEY={key}. In a container: host.docker.internal for "
        "127.0.0.1, and that name in allowed_hosts.",
    ),
    Client(
        "librechat",
        "LibreChat",
        by_hand="In .env: ANTHROPIC_REVERSE_PROXY={url} and ANTHROPIC_API_KEY={key}. In a container: host.docker.internal for "
        "127.0.0.1, and that name in allowed_hosts.",
    ),
    Client(
        "n8n",
        "n8n",
        by_hand="Make a credential of the kind Anthropic with the base URL {url} and the key {key}.",
        cannot="n8n's cloud cannot reach your machine.",
    ),
    Client(
        "home-assistant",
        "Home Assistant",
        by_hand="Its own Anthropic integration has no base URL. One for OpenAI-compatible servers takes {v1} and the key {key}.",
        cannot="On another machine it needs a tunnel: the daemon listens on loopback only.",
    ),
    Client(
        "llm",
        "llm",
        (Lines(f"{LLM}/extra-openai-models.yaml", _llm), Entry(f"{LLM}/keys.json", (OWN,), lambda at: at.key)),
        "llm -m relayd 'Hello'",
        run="0.36",
    ),
    Client(
        "langchain",
        "LangChain",
        by_hand='ChatAnthropic(model="{model}", base_url="{url}", api_key="{key}")',
        run="1.7",
    ),
    Client(
        "cursor",
        "Cursor",
        by_hand="It cannot work: Cursor's servers call the model, and they cannot reach your machine.",
        cannot="All of it.",
    ),
)


def find(name: str) -> Client | None:
    """The client of that name, written as people write it."""
    plain = name.lower().replace(" ", "-").replace("_", "-")
    return next((client for client in CLIENTS if client.name == plain), None)
