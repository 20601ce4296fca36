"""A quick `claude` for volume: it echoes, recalls its conversation, asks for tools, and can betray its secrets.

The last user text says what to do: `echo WORDS`, `pause SECONDS WORDS`, `betray SECONDS WORDS` (leave its secrets where the
siege finds them, wait, then say the words), `recall` (all texts of the conversation), `tool JSON` (one tool call with this
input, then `got RESULT`). Everything else is left to `tests/fake_claude.py`, which is run in this process.
"""

import builtins
import io
import json
import os
import socket
import sys
import time

FAKE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "fake_claude.py")


def option(name):
    return sys.argv[sys.argv.index(name) + 1]


def door(url):
    """Host, port and path of a URL."""
    address, _, path = url.removeprefix("http://").partition("/")
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port), "/" + path


if sys.argv[1:2] == ["--version"]:
    print("2.1.330 (Claude Code)")
    sys.exit(0)

session = option("--resume")
with open(option("--settings")) as file:
    hook_url = json.load(file)["hooks"]["Stop"][0]["hooks"][0]["url"]
telemetry_url = os.environ.get("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "")
mcp_url = ""
if "--mcp-config" in sys.argv:
    with open(option("--mcp-config")) as file:
        mcp_url = json.load(file)["mcpServers"]["client"]["url"]
config_dir = os.environ["CLAUDE_CONFIG_DIR"]
slug = "".join(c if c.isascii() and c.isalnum() else "-" for c in os.getcwd())
transcript = f"{config_dir}/projects/{slug}/{session}.jsonl"
connections = {}


def post(url, value, seconds=60.0):
    """One request on the connection that is kept for it; the answer's body."""
    host, port, path = door(url)
    data = json.dumps(value).encode()
    head = f"POST {path} HTTP/1.1\r\nhost: {host}:{port}\r\ncontent-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n"
    if url not in connections:
        sock = socket.create_connection((host, port), timeout=seconds)
        connections[url] = (sock, sock.makefile("rb"))
    sock, answer = connections[url]
    sock.sendall(head.encode() + data)
    length = 0
    while (line := answer.readline().strip()) or not length:
        if not line and not answer.peek(1):
            sys.exit(5)
        if line.lower().startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    return answer.read(length)


def hook(name, **fields):
    post(hook_url, {"hook_event_name": name, "session_id": session, **fields})


def show(text):
    sys.stdout.write(text)
    sys.stdout.flush()


def append(kind, message, **extra):
    with open(transcript, "a") as file:
        file.write(json.dumps({"type": kind, "isSidechain": False, "message": message, "requestId": "req_siege", **extra}) + "\n")


def assistant(number, content, stop_reason):
    usage = {"input_tokens": 5, "output_tokens": 3, "cache_read_input_tokens": 2, "cache_creation_input_tokens": 1}
    message = {"id": f"msg_{session[:13]}{number}", "type": "message", "role": "assistant", "model": option("--model")}
    append("assistant", message | {"content": content, "stop_reason": stop_reason, "stop_sequence": None, "usage": usage})


def report():
    if telemetry_url:
        fields = {"event.name": "api_request", "query_source": "repl_main_thread", "model": option("--model")}
        counts = {"input_tokens": 5, "output_tokens": 3, "cache_read_tokens": 2, "cache_creation_tokens": 1}
        record = {"attributes": [{"key": k, "value": {"stringValue": str(v)}} for k, v in (fields | counts).items()]}
        post(telemetry_url, {"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]})


def say(text, pause=0.0):
    """One answer of text, shown in lines, at most ten pieces."""
    lines = [line + "\n" for line in text.split("\n")]
    lines[-1] = lines[-1][:-1]
    lines = [line for line in lines if line] or [""]
    size = max(1, len(lines) // 10)
    pieces = ["".join(lines[i : i + size]) for i in range(0, len(lines), size)]
    for index, piece in enumerate(pieces):
        hook("MessageDisplay", message_id=f"{session}{text[:9]}", index=index, final=index == len(pieces) - 1, delta=piece)
        if pause:
            time.sleep(pause)
    hook("Stop", last_assistant_message=text.strip())
    assistant(2, [{"type": "text", "text": text}], "end_turn")
    report()


def use_tool(value):
    """Ask for the client's tool, and say what it has brought."""
    call = {"type": "tool_use", "id": f"toolu_{session.replace('-', '')}", "name": "mcp__client__get", "input": value}
    assistant(1, [call], "tool_use")
    report()
    meta = {"claudecode/toolUseId": call["id"]}
    body = json.loads(
        post(mcp_url, {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "get", "_meta": meta}})
    )
    result = body["result"]["content"][0]["text"] if "result" in body else "an error"
    append("user", {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call["id"], "content": result}]})
    say(f"got {result}")


def texts(messages):
    """Every text of the conversation, results of tools too."""
    for message in messages:
        content = message["content"]
        for block in [{"type": "text", "text": content}] if isinstance(content, str) else content:
            if block["type"] == "tool_result":
                inner = block.get("content") or []
                yield "got " + (inner if isinstance(inner, str) else "".join(b.get("text", "") for b in inner))
            elif block["type"] == "text" and block["text"].strip():
                yield block["text"]


def betray():
    """Write down the doors of this process, below the daemon's own root."""
    path = f"{os.path.dirname(config_dir)}/secrets/{session}"
    with open(f"{path}.new", "w") as file:
        json.dump({"hooks": hook_url, "mcp": mcp_url, "telemetry": telemetry_url, "pid": os.getpid(), "session": session}, file)
    os.rename(f"{path}.new", path)


def play_fake(gate):
    """Hand over to the scripted one, which opens the gate again: it gets what was read of it."""
    with open(FAKE) as file:
        source = file.read()
    path = option("--system-prompt-file")

    def opened(name, *rest, **more):
        return io.StringIO(gate) if name == path else builtins.open(name, *rest, **more)

    exec(compile(source, FAKE, "exec"), {"__name__": "__main__", "open": opened})


with open(option("--system-prompt-file")) as file:
    system = file.read()
with open(transcript) as file:
    lines = [json.loads(line) for line in file if line.strip()]
messages = [line["message"] for line in lines if line["type"] in ("user", "assistant")]
said = list(texts(messages[-1:])) or list(texts(messages[-2:]))
command, _, rest = (said[-1] if said else "").partition(" ")
if messages[-1]["role"] != "user" or command not in ("echo", "recall", "tool", "got", "pause", "betray"):
    play_fake(system)
else:
    show("\x1b]0;◐ Claude Code\x07")
    if command == "tool":
        use_tool(json.loads(rest))
    elif command == "recall":
        say("\n".join(texts(messages)))
    elif command == "betray":
        pause, _, words = rest.partition(" ")
        betray()
        time.sleep(float(pause))
        say(words)
    elif command == "pause":
        pause, _, words = rest.partition(" ")
        say(words, float(pause))
    else:
        say(rest if command == "echo" else said[-1])
    show("\x1b]0;✳ Claude Code\x07")
    time.sleep(60)
