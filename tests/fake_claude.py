"""A scripted `claude` for faults that the real one cannot be made to show.

It follows the same protocol: waits at the FIFO, reads the transcript, reports by hooks and telemetry,
appends transcript lines. The last user text says what to do, in words separated by spaces:

    echo WORDS…           answer with the words            crash STATE       exit 3 in starting | running
    stop-lag SECONDS      transcript lines that late        kill              KILL itself in the turn
    no-transcript         never write the transcript        close-tty         close the terminal, live on
    no-stop               never send the Stop hook          ignore-term       do not end on TERM
    garbage               transcript lines that are no JSON diverge           show a text that differs from the transcript
    twice                 every hook twice                  backwards         display hooks in reverse order
    screen TEXT           paint a dialog and wait           slow SECONDS      pause between pieces
    fail NAME TEXT        StopFailure                       hang              busy title, then nothing
    crash-once FILE       exit 3 unless the file is there; make it
    flood BYTES           write to the terminal             die-slowly        half a transcript line, then exit
"""

import http.client
import json
import os
import signal
import sys
import time
import tty
import uuid

arguments = sys.argv[1:]


def option(name):
    return arguments[arguments.index(name) + 1]


if arguments[:1] == ["--version"]:
    print("2.1.330 (Claude Code)")
    sys.exit(0)

session = option("--resume")
settings = json.load(open(option("--settings")))
hook_url = settings["hooks"]["Stop"][0]["hooks"][0]["url"]
telemetry_url = os.environ.get("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "")
boot = os.environ.get("ANTHROPIC_BOOT", "")
cwd = os.getcwd()
slug = "".join(c if c.isascii() and c.isalnum() else "-" for c in cwd)
transcript = f"{os.environ['CLAUDE_CONFIG_DIR']}/projects/{slug}/{session}.jsonl"


def post(url, value):
    host, _, path = url.removeprefix("http://").partition("/")
    connection = http.client.HTTPConnection(host, timeout=20)
    connection.request("POST", "/" + path, json.dumps(value), {"content-type": "application/json"})
    connection.getresponse().read()
    connection.close()


def hook(name, **fields):
    value = {"hook_event_name": name, "session_id": session, **fields}
    for _ in range(2 if "twice" in words else 1):
        post(hook_url, value)


def show(text):
    sys.stdout.write(text)
    sys.stdout.flush()


def append(value):
    with open(transcript, "a") as file:
        file.write(json.dumps(value) + "\n")


def assistant(text, stop_reason="end_turn", **extra):
    usage = {"input_tokens": 5, "output_tokens": 3, "cache_read_input_tokens": 2, "cache_creation_input_tokens": 1}
    message = {
        "id": f"msg_fake{uuid.uuid4().hex[:16]}",
        "type": "message",
        "role": "assistant",
        "model": option("--model"),
        "content": [{"type": "text", "text": text}],
        "stop_reason": stop_reason,
        "stop_sequence": None,
        "usage": usage,
    }
    return {"type": "assistant", "isSidechain": False, "message": message, "requestId": "req_fake", **extra}


def report(name, **fields):
    if not telemetry_url:
        return
    attributes = {"event.name": name, "query_source": "repl_main_thread", "model": option("--model"), **fields}
    record = {"attributes": [{"key": k, "value": {"stringValue": str(v)}} for k, v in attributes.items()]}
    post(telemetry_url, {"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]})


words = []
if boot == "exit":
    sys.exit(7)
if boot == "hang":
    time.sleep(60)
if boot == "trust":  # its dialog, as on a fresh machine: the arrow goes to the second line, Enter takes it
    tty.setraw(0)
    for chosen in (False, True):
        lines = ("Accessing workspace:", f" {cwd}", f" {' ❯'[not chosen]} No, exit", f" {' ❯'[chosen]} Yes, I trust this folder")
        show("\x1b[2J\x1b[H" + "\r\n".join((*lines, " Enter to confirm")))
        key = os.read(0, 16)
        if key != (b"\r" if chosen else b"\x1b[B"):
            sys.exit(8)
system_prompt = open(option("--system-prompt-file")).read()
lines = [json.loads(line) for line in open(transcript) if line.strip()]
messages = [line["message"] for line in lines if line["type"] in ("user", "assistant")]
if messages[-1]["role"] != "user":
    show("\x1b]0;✳ Claude Code\x07")
    time.sleep(60)
prompt = "".join(b.get("text", "") for b in messages[-1]["content"])
words = prompt.split()
command, rest = (words[0], words[1:]) if words else ("echo", [])


def given(name):
    return words[words.index(name) + 1]


if "ignore-term" in words:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
if command == "crash" and rest[0] == "starting":
    sys.exit(3)
if command == "screen":
    show("\x1b[2J\x1b[H" + " ".join(rest) + "\r\n ❯ 1. Yes\r\n   2. No\r\n Enter to confirm · Esc to cancel")
    time.sleep(60)
if command == "crash-once" and not os.path.exists(rest[0]):
    open(rest[0], "w").close()
    sys.exit(3)


def tell_request():
    """As Claude Code tells what it sends: the transcript's snapshot and messages, and the parameters it was given."""
    told = os.environ.get("OTEL_LOG_RAW_API_BODIES", "").removeprefix("file:")
    if not told:
        return
    attachments = [line["attachment"] for line in lines if line["type"] == "attachment"]
    snapshot = next((a for a in attachments if a["type"] == "prompt_snapshot"), {"systemPrompt": [], "tools": []})
    joined = "\n\n".join(t for t in snapshot["systemPrompt"] if t)
    system = [{"type": "text", "text": t} for t in ("own", "own too", *([joined] if joined else []))]
    tools = [tool["schema"] for tool in snapshot["tools"]]
    merged = []
    for message in messages:
        content = [b for b in message["content"] if b.get("text", "x").strip() or len(message["content"]) > 1]
        if merged and merged[-1]["role"] == message["role"]:
            merged[-1]["content"] = merged[-1]["content"] + content
        elif content:
            merged.append({"role": message["role"], "content": content})
    body = {"system": system, "tools": tools, "messages": merged, **json.loads(os.environ["CLAUDE_CODE_EXTRA_BODY"])}
    os.makedirs(told, exist_ok=True)
    with open(f"{told}/{uuid.uuid4()}.request.json", "w") as file:
        json.dump(body, file)


show("\x1b]0;◐ Claude Code\x07")
tell_request()
if command == "crash":
    sys.exit(3)
if command == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
if command == "hang":
    time.sleep(60)
if command == "close-tty":
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    for fd in (0, 1, 2):
        os.close(fd)
    time.sleep(60)
if "flood" in words:
    for _ in range(int(given("flood")) // 1000):
        show("\x1b[H" + "x" * 1000)
if command == "fail":
    name, text = rest[0], " ".join(rest[1:])
    hook("StopFailure", error=name, last_assistant_message=text)
    append(assistant(text, "stop_sequence", isApiErrorMessage=True, error=name))
    time.sleep(30)

text = prompt.removeprefix("echo ")
pieces = [line + "\n" for line in text.split("\n")]
pieces[-1] = pieces[-1][:-1]
pieces = [p for p in pieces if p] or [""]
if len(pieces) > 100:
    size = len(pieces) // 50
    pieces = ["".join(pieces[i : i + size]) for i in range(0, len(pieces), size)]
shown = ["different"] if command == "diverge" else pieces
message_id = str(uuid.uuid4())
order = list(enumerate(shown))
for index, piece in reversed(order) if "backwards" in words else order:
    hook("MessageDisplay", message_id=message_id, index=index, final=index == len(shown) - 1, delta=piece)
    if "slow" in words:
        time.sleep(float(given("slow")))
if "die-slowly" in words:
    with open(transcript, "a") as file:
        file.write(json.dumps(assistant(text))[:50])
    sys.exit(4)
if "garbage" in words:
    with open(transcript, "ab") as file:
        file.write(b'{"type":"assistant", nonsense\n\xff\xfe\n[]\n{"type":"assistant"}\n')
if "no-stop" not in words:
    hook("Stop", last_assistant_message=text.strip())
if "stop-lag" in words:
    time.sleep(float(given("stop-lag")))
if "no-transcript" not in words:
    append(assistant(text))
if not {"no-transcript", "no-usage"} & set(words):
    report("api_request", input_tokens=5, output_tokens=3, cache_read_tokens=2, cache_creation_tokens=1)
show("\x1b]0;✳ Claude Code\x07")
time.sleep(60)
