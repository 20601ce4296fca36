"""What relayd tells Claude Code and what it understands: launch, environment, transcripts, hooks, telemetry."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.anthropic.conversation_rules import Message
from relayd.anthropic.request import MessagesRequest, Thinking
from relayd.claude import compose, environment, hooks, launch, telemetry
from relayd.claude.capabilities import FLAGS_OF_ALL, NEEDS, is_older
from relayd.claude.compose import TranscriptContext
from relayd.claude.launch import CallbackUrls, LaunchKey
from relayd.claude.reminders import Machine
from relayd.claude.transcript import AssistantLine, ErrorLine, TranscriptReader, UserLine
from relayd.doctor.checks import CHECKS
from relayd.errors import ApiError
from tests.helpers import lacking, splits

URLS = CallbackUrls("http://127.0.0.1:1/hooks/s", "http://127.0.0.1:1/mcp/s")
CONTEXT = TranscriptContext("0-1", "/w", "now", "2026-01-01", Machine("linux", "bash", "Linux 6"))


def made(key: LaunchKey) -> launch.Launch:
    paths = launch.slot_paths("/state", "/home/u/.claude", "/state/workspace", "0-1", "0-1")
    return launch.build(key, "/bin/claude", "0-1", paths, "/state/workspace", URLS, {"A": "1"})


def test_a_launch_carries_no_word_of_a_call() -> None:
    order = made(LaunchKey("opus", 10))
    assert order.argv[:3] == ("/bin/claude", "--resume", "0-1")
    assert order.env["CLAUDE_CODE_MAX_OUTPUT_TOKENS"] == "10"
    assert order.env["A"] == "1"
    settings = json.loads(order.files["/state/slots/0-1/settings.json"])
    assert set(settings["hooks"]) == {"MessageDisplay", "Stop", "StopFailure", "UserPromptSubmit"}


def test_a_command_line_holds_no_secret() -> None:
    """Every user of the machine can read it: the callback URLs go by files and by the environment."""
    order = made(LaunchKey("opus", 10, tools=True))
    for url in (URLS.hooks, URLS.mcp):
        assert url not in " ".join(order.argv)
    assert URLS.mcp.encode() in order.files["/state/slots/0-1/mcp.json"]


def test_a_users_settings_stay_out_unless_asked_for() -> None:
    paths = launch.slot_paths("/state", "/c", "/w", "0-1", "0-1")
    for sources in ("", "user"):
        order = launch.build(LaunchKey("m", 9), "/bin/claude", "0-1", paths, "/w", URLS, {}, sources)
        assert order.argv[order.argv.index("--setting-sources") + 1] == sources


def test_transcripts_lie_where_claude_code_looks_for_them() -> None:
    paths = launch.slot_paths("/state", "/home/u/.claude", "/home/ü/a.b_c", "0-1", "0-1")
    assert paths.transcript == "/home/u/.claude/projects/-home---a-b-c/0-1.jsonl"


@pytest.mark.parametrize(
    ("key", "variable", "off", "asked"),
    [
        (LaunchKey("claude-sonnet-4-5", 9), "0", True, False),
        (LaunchKey("claude-sonnet-4-5-20250929", 9), "0", True, False),
        (LaunchKey("claude-opus-4-6", 9, Thinking("disabled")), "0", True, False),
        (LaunchKey("claude-sonnet-4-5", 9000, Thinking("enabled", 2000)), "2000", False, True),
        (LaunchKey("claude-opus-4-6", 9, Thinking("adaptive")), None, False, True),
        (LaunchKey("claude-opus-5-5", 9), None, False, False),
        (LaunchKey("claude-sonnet-5", 9), None, False, False),
        (LaunchKey("claude-sonnet-5", 9, Thinking("disabled")), "0", True, False),
        (LaunchKey("claude-opus-5-5", 9, Thinking("disabled")), "0", True, False),
        (LaunchKey("opus", 9), None, False, False),
    ],
)
def test_thinking_as_the_api_defaults_it(key: LaunchKey, variable: str | None, off: bool, asked: bool) -> None:
    assert made(key).env.get("MAX_THINKING_TOKENS") == variable
    assert (key.thinking_off, key.thinking_asked) == (off, asked)


def extra(key: LaunchKey) -> dict[str, object]:
    found: dict[str, object] = json.loads(made(key).env["CLAUDE_CODE_EXTRA_BODY"])
    return found


def test_parameters_are_the_models_business() -> None:
    """Claude Code would bend max_tokens and thinking to what it knows of the model; its way of adding parameters does not."""
    assert extra(LaunchKey("m", 9)) == {"max_tokens": 9, "thinking": {"type": "disabled"}}
    assert extra(LaunchKey("claude-opus-5", 9))["thinking"] == {"type": "adaptive"}
    key = LaunchKey("m", 9, Thinking("enabled", 5000, "omitted"), "low", ("END", "\n\n"), (("temperature", 0.5),))
    assert extra(key) == {
        "max_tokens": 9,
        "thinking": {"type": "enabled", "budget_tokens": 5000, "display": "omitted"},
        "output_config": {"effort": "low"},
        "stop_sequences": ["END", "\n\n"],
        "temperature": 0.5,
    }


@pytest.mark.parametrize(
    ("model", "display", "shows"),
    [
        ("claude-sonnet-4-5-20250929", "", True),
        ("claude-opus-4-6", "", True),
        ("claude-opus-4-7", "", False),
        ("claude-opus-5", "", False),
        ("claude-opus-5", "summarized", True),
        ("claude-sonnet-4-6", "omitted", False),
    ],
)
def test_summaries_of_thinking_are_asked_for_as_the_api_defaults_them(model: str, display: str, shows: bool) -> None:
    order = made(LaunchKey(model, 9000, Thinking("adaptive", 0, display)))
    settings = json.loads(next(data for path, data in order.files.items() if path.endswith("settings.json")))
    assert settings["showThinkingSummaries"] is shows


def test_the_environment_lets_logins_through_and_nothing_else() -> None:
    mine = {
        "ANTHROPIC_API_KEY": "k",
        "CLAUDE_CODE_OAUTH_TOKEN": "t",
        "CLAUDE_CODE_USE_BEDROCK": "1",
        "AWS_PROFILE": "p",
        "HTTPS_PROXY": "http://proxy",
        "NO_PROXY": "corp.example",
        "CLAUDE_CODE_SKIP_PROMPT_HISTORY": "1",
        "CLAUDECODE": "1",
        "CLAUDE_CODE_ENTRYPOINT": "cli",
        "SECRET_OF_SOMETHING_ELSE": "x",
        "ANTHROPIC_BASE_URL": "https://api.anthropic.com",
    }
    env, notes = environment.child_environment(mine, 7421)
    assert set(mine) - set(env) == {
        "CLAUDE_CODE_SKIP_PROMPT_HISTORY",
        "CLAUDECODE",
        "CLAUDE_CODE_ENTRYPOINT",
        "SECRET_OF_SOMETHING_ELSE",
    }
    assert env["NO_PROXY"] == "corp.example,127.0.0.1,localhost,::1"
    assert not notes


@pytest.mark.parametrize("url", ["http://127.0.0.1:7421", "http://localhost:7421/", "http://[::1]:7421/v1"])
def test_a_base_url_that_is_the_daemon_itself_is_not_handed_on(url: str) -> None:
    env, notes = environment.child_environment({"ANTHROPIC_BASE_URL": url}, 7421)
    assert "ANTHROPIC_BASE_URL" not in env
    assert notes
    assert url not in notes[0]


@pytest.mark.parametrize("url", ["http://127.0.0.1:9999", "https://api.anthropic.com", "http://127.0.0.1:bad", ""])
def test_other_base_urls_are(url: str) -> None:
    assert not environment.points_at(url, 7421)


def test_a_users_own_telemetry_is_left_alone() -> None:
    assert environment.has_own_telemetry({"OTEL_EXPORTER_OTLP_ENDPOINT": "x"})
    assert environment.has_own_telemetry({"CLAUDE_CODE_ENABLE_TELEMETRY": "1"})
    assert not environment.has_own_telemetry({"HOME": "/"})


def lines(data: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in data.splitlines()]


def test_a_conversation_is_a_chain_that_starts_with_the_snapshot() -> None:
    messages = (
        Message("user", ({"type": "text", "text": "a"},)),
        Message("assistant", ({"type": "tool_use", "id": "t", "name": "f", "input": {}},)),
        Message("user", ({"type": "tool_result", "tool_use_id": "t", "content": "r"},)),
    )
    found = lines(compose.conversation(CONTEXT, MessagesRequest("claude-sonnet-4-6", 9, messages, ("one", "two"))))
    notes = [line["attachment"]["type"] for line in found if line["type"] == "attachment"]
    assert notes == ["prompt_snapshot", "session_context", "date", "environment", "model"]
    assert [line["type"] for line in found[5:]] == ["user", "assistant", "user", "user"]
    assert found[0]["attachment"]["systemPrompt"] == ["one", "two"]
    assert [line["parentUuid"] for line in found] == [None, *(line["uuid"] for line in found[:-1])]
    assert found[6]["message"]["stop_reason"] == "tool_use"
    assert found[6]["message"]["content"][0]["name"] == "mcp__client__f"
    assert all(isinstance(line["message"]["content"], list) for line in found[5:])


def test_messages_of_the_role_system_stand_where_claude_code_looks_for_them() -> None:
    """One between a question and its answer keeps its place; the one that ends the conversation comes before the last
    question's line, which starts the turn."""

    def said(role: str, text: str) -> Message:
        return Message(role, ({"type": "text", "text": text},))

    messages = (said("user", "a"), said("system", "s1"), said("assistant", "b"), said("user", "c"), said("system", "s2"))
    request = MessagesRequest("claude-opus-5-5", 9, messages)
    compose.check(request)
    found = lines(compose.conversation(CONTEXT, request))
    turns = [line for line in found if line["type"] != "attachment" or line["attachment"]["type"] == "sandbox_instructions"]
    told = [line["message"]["content"][0]["text"] if "message" in line else line["attachment"]["content"] for line in turns]
    assert told == ["a", "s1", "b", "s2", "c"]
    with pytest.raises(ApiError) as caught:
        compose.check(MessagesRequest("claude-sonnet-4-6", 9, messages))
    assert caught.value.message == "role 'system' is not supported on this model"


def test_a_process_let_go_by_accident_has_nothing_to_answer() -> None:
    """The write end of its FIFO closes when the daemon dies; a placeholder that ended in a question would be sent upstream."""
    assert lines(compose.placeholder(CONTEXT))[-1]["type"] == "assistant"


@pytest.mark.parametrize("text", ["[Request interrupted by user]", "[Request interrupted by user for tool use]"])
def test_marks_of_an_interruption_are_refused_since_they_start_no_turn(text: str) -> None:
    mark = {"type": "text", "text": text}
    with pytest.raises(ApiError) as caught:
        compose.check(MessagesRequest("m", 9, (Message("user", (mark,)),)))
    assert (caught.value.status, caught.value.kind) == (400, "invalid_request_error")
    assert caught.value.message.startswith("messages: Claude Code does not answer")
    compose.check(MessagesRequest("m", 9, (Message("user", (mark, {"type": "text", "text": "and more"})),)))


def test_the_system_prompt_is_never_empty() -> None:
    assert compose.system_prompt(()) == b" "
    assert compose.system_prompt(("a", "b")) == b"a\n\nb"


USAGE = {"input_tokens": 1, "output_tokens": 2}


def record(**changes: Any) -> dict[str, Any]:
    message = {
        "id": "msg_1",
        "model": "m",
        "content": [{"type": "text", "text": "zwölf ✳"}],
        "stop_reason": "end_turn",
        "usage": USAGE,
    }
    return {"type": "assistant", "isSidechain": False, "message": message | changes, "requestId": "req_1"}


TRANSCRIPT = b"".join(
    line + b"\n"
    for line in (
        b'{"type":"api-request-blob","message":{"role":"user","content":"x"}}',
        json.dumps(record()).encode(),
        b"not json \xff",
        b"",
        b"[1,2]",
        b'{"type":"assistant"}',
        json.dumps(record() | {"isSidechain": True}).encode(),
        json.dumps(record(model="<synthetic>") | {"error": "rate_limit"}).encode(),
        b'{"type":"user","message":{"role":"user","content":[{"type":"tool_result","tool_use_id":"t"}]}}',
        b'{"type":"user","message":{"role":"user","content":"hidden"}}',
    )
)


def test_transcript_lines_do_not_depend_on_splits() -> None:
    for pieces in splits(TRANSCRIPT):
        reader = TranscriptReader()
        entries = [entry for piece in pieces for entry in reader.feed(piece)]
        assert [type(e) for e in entries] == [AssistantLine, ErrorLine, UserLine, UserLine]
        assert isinstance(entries[0], AssistantLine)
        assert entries[0].blocks == ({"type": "text", "text": "zwölf ✳"},)
        assert [bool(e.results) for e in entries if isinstance(e, UserLine)] == [True, False]
        assert reader.skipped == 3


def test_hooks() -> None:
    value = {"hook_event_name": "MessageDisplay", "message_id": "u", "index": 2, "final": True, "delta": "x"}
    assert hooks.read(json.dumps(value).encode()) == hooks.Displayed("u", 2, True, "x")
    assert hooks.read(b'{"hook_event_name":"Stop"}') == hooks.Stopped("")
    assert hooks.read(b'{"hook_event_name":"StopFailure","error":"e","error_details":null}') == hooks.TurnFailed("e", "", "")
    assert hooks.read(b'{"hook_event_name":"SessionStart"}') is None


@given(st.binary(max_size=80) | st.text(max_size=40).map(lambda t: json.dumps({"hook_event_name": t, "index": t}).encode()))
def test_any_hook_or_telemetry_body_is_a_fact_or_a_value_error(body: bytes) -> None:
    for read in (hooks.read, telemetry.read):
        try:
            read(body)
        except ValueError:
            continue


def test_telemetry_of_side_requests_does_not_count() -> None:
    def export(**fields: Any) -> bytes:
        attributes = [
            {"key": k.replace("__", "."), "value": {"intValue" if isinstance(v, int) else "stringValue": v}}
            for k, v in fields.items()
        ]
        return json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": [{"attributes": attributes}]}]}]}).encode()

    main = {
        "event__name": "api_request",
        "query_source": "repl_main_thread",
        "input_tokens": 4,
        "output_tokens": "5",
        "model": "m",
    }
    found = telemetry.read(export(**main))
    assert isinstance(found[0], telemetry.RequestDone)
    assert (found[0].usage["input_tokens"], found[0].usage["output_tokens"]) == (4, 5)
    assert telemetry.read(export(**(main | {"query_source": "generate_session_title"}))) == []
    error = {"event__name": "api_error", "query_source": "repl_main_thread", "status_code": 529, "error": "Overloaded"}
    assert telemetry.read(export(**error)) == [telemetry.RequestFailed(529, "Overloaded", "")]


def test_a_key_is_what_a_request_fixes_at_the_start() -> None:
    request = MessagesRequest("m", 5, (), thinking=Thinking("adaptive"), effort="low")
    assert launch.key_of(request) == LaunchKey("m", 5, Thinking("adaptive"), "low")


def test_surroundings_that_claude_code_finds_otherwise_are_taken_from_its_own_words() -> None:
    """On Windows it finds "PowerShell" and "Windows 11 Home 10.0.22631" where relayd had "bash" and "Windows 11", and every
    conversation that was typed got a reminder of its environment.
    """
    snapshot = {
        "workingDirectory": "C:\\w",
        "platform": "win32",
        "shell": "PowerShell",
        "osVersion": "Windows 11 Home 10.0.22631",
    }
    line = {"type": "attachment", "attachment": {"type": "environment", "snapshot": snapshot}, "isSidechain": False}
    reader = TranscriptReader()
    assert reader.feed(json.dumps(line).encode() + b"\n") == []
    assert reader.machine == Machine("win32", "PowerShell", "Windows 11 Home 10.0.22631")
    for other in ({"type": "date", "date": "x"}, {"type": "environment"}, {"type": "environment", "snapshot": {"shell": 1}}, 7):
        reader.feed(json.dumps(line | {"attachment": other}).encode() + b"\n")
    assert reader.machine == Machine("win32", "PowerShell", "Windows 11 Home 10.0.22631")


@pytest.mark.parametrize(
    ("environ", "has_git", "shell"),
    [
        ({}, False, "PowerShell"),
        ({"SHELL": "/usr/bin/bash"}, False, "PowerShell"),
        ({"SHELL": "/usr/bin/bash"}, True, "bash"),
        ({"CLAUDE_CODE_GIT_BASH_PATH": "D:\\bash.exe"}, False, "unknown"),
    ],
)
def test_the_shell_on_windows(environ: dict[str, str], has_git: bool, shell: str) -> None:
    assert environment.windows_shell(environ, has_git) == shell


def test_the_table_of_needs_is_what_processes_are_started_with() -> None:
    """What relayd needs of Claude Code stood in a manual, in two files of code and in a test, each by hand."""
    urls = CallbackUrls(hooks="h", mcp="m", telemetry="t", pieces="p")
    key = LaunchKey("claude-sonnet-5", 1024, Thinking("enabled", 2000), tools=True)
    paths = launch.slot_paths("/s", "/c", "/w", "a", "b")
    started = launch.build(
        key, "/claude", "a", paths, "/w", urls, dict(environment.OURS), "", "/bin/mv", "/mod", tells_bodies=True
    )
    flags = {word for word in started.argv if word.startswith("--")}
    assert flags == {*FLAGS_OF_ALL, *(flag for need in NEEDS for flag in need.flags)}
    assert {name for need in NEEDS for name in need.variables} <= set(started.env)
    assert sorted(hook for need in NEEDS for hook in need.hooks) == sorted(launch.HOOK_EVENTS)


def test_the_doctor_checks_what_the_table_names() -> None:
    assert [need.check for need in NEEDS] == [name for name in CHECKS if name != "speed"]


@pytest.mark.parametrize(
    ("version", "than", "is_so"),
    [
        ("2.1.9", "2.1.10", True),
        ("2.1.10", "2.1.9", False),
        ("2.1.9", "2.1.9", False),
        ("next", "2.1.9", False),
        ("2.1.9-rc", "9.9", False),
        ("2.1", "2.1.162", True),
    ],
)
def test_versions_are_compared_as_numbers(version: str, than: str, is_so: bool) -> None:
    assert is_older(version, than) is is_so


def test_what_old_versions_lack() -> None:
    assert lacking("2.1.330") == lacking("of unknown version") == set()
    assert lacking("2.1.290") == {"typing"}
    assert "tools" in lacking("2.1.279")
    assert "tools" not in lacking("2.1.280")
