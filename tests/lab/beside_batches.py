"""`scripts/beside-batches`: what a batch costs the calls of programs that wait, and whether each of its results is right.

Live clients call one after another, with a pause in between, first alone and then while a batch runs. Times are from a
request to the end of its answer. Every request of the batch holds a word of its own, which its result must hold.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from collections import Counter
from typing import Any

from relayd.doctor import client
from relayd.doctor.harness import Harness
from tests.lab.series import Series

MODEL = "claude-sonnet-4-6"
SETTLE_S = 4.0  # until the pool stands
ENDED_LIMIT_S = 900.0
RATIO_MAX = 1.2  # of the medians
LOOK_S = 0.5


def message(text: str) -> dict[str, Any]:
    """A call, or the parameters of a request of a batch."""
    return {"model": MODEL, "max_tokens": 1024, "system": "Be brief.", "messages": [{"role": "user", "content": text}]}


def live(harness: Harness, name: str, options: argparse.Namespace) -> tuple[Series, list[str]]:
    """So many clients, so many calls each; milliseconds, and what was wrong."""
    found, wrong = Series(name), []
    lock = threading.Lock()

    def work(who: int) -> None:
        for number in range(options.calls):
            word = f"live-{name}-{who}-{number}"
            begun = time.monotonic()
            reply = client.post(harness.url, message(f"{word} [[wait {options.answer}]][[say {word}]]"))
            took = 1000 * (time.monotonic() - begun)
            with lock:
                found.samples.append(took)
                if reply.status != 200 or reply.value["content"][0]["text"] != word:
                    wrong.append(f"{word}: {reply.status} {reply.body[:200]!r}")
            time.sleep(options.pause)

    threads = [threading.Thread(target=work, args=(who,)) for who in range(options.clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found, wrong


def begin(harness: Harness, options: argparse.Namespace) -> str:
    """Send the batch; its id."""
    texts = {f"batch-{n}": f"batch-{n} [[wait {options.answer}]][[say batch-{n}]]" for n in range(options.requests)}
    made = [{"custom_id": name, "params": message(text)} for name, text in texts.items()]
    reply = client.post(harness.url, {"requests": made}, path="/v1/messages/batches")
    assert reply.status == 200, reply.body
    return str(reply.value["id"])


def written(harness: Harness, batch: str) -> list[dict[str, Any]]:
    """The results that are on disk now."""
    try:
        with open(f"{harness.state_dir}/batches/{batch}.results", encoding="utf-8") as file:
            return [json.loads(line) for line in file]
    except FileNotFoundError:
        return []


def judge(results: list[dict[str, Any]], requests: int) -> list[str]:
    """What is wrong with the results of the batch."""
    counts = Counter(line["custom_id"] for line in results)
    wrong = [f"{name} has {count} results" for name, count in counts.items() if count != 1]
    wrong += [f"batch-{n} has no result" for n in range(requests) if f"batch-{n}" not in counts]
    for line in results:
        texts = [block["text"] for block in line["result"].get("message", {}).get("content", ())]
        if texts != [line["custom_id"]]:
            wrong.append(f"{line['custom_id']}: {json.dumps(line)[:200]}")
    return wrong


def main() -> int:
    """Print a row for each phase; 0 if nothing was wrong and the calls were not slowed down."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--claude", required=True)
    parser.add_argument("--clients", type=int, default=5)
    parser.add_argument("--calls", type=int, default=20)
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--answer", type=float, default=1.0, help="seconds until the stand-in answers")
    parser.add_argument("--pause", type=float, default=1.0, help="seconds between two calls of a client")
    parser.add_argument("--max", type=int, default=0, help="processes; 0: as configured")
    options = parser.parse_args()
    flags = {"warm_model": MODEL} | ({"max": options.max} if options.max else {})
    with tempfile.TemporaryDirectory(prefix="relayd-batches-") as root, Harness(root, options.claude, flags) as harness:
        time.sleep(SETTLE_S)
        live(harness, "warm", argparse.Namespace(**vars(options) | {"calls": 3}))
        alone, wrong = live(harness, "alone", options)
        begun, batch = time.monotonic(), begin(harness, options)
        beside, more = live(harness, "beside", options)
        meanwhile, spent = len(written(harness, batch)), time.monotonic() - begun
        while _status(harness, batch) != "ended" and time.monotonic() - begun < ENDED_LIMIT_S:
            time.sleep(LOOK_S)
        took = time.monotonic() - begun
        wrong += more + judge(written(harness, batch), options.requests)
    ratio = beside.median / alone.median
    for found in (alone, beside):
        print(f"{found.name}: {len(found.samples)} calls, median {found.median:.0f} ms, p95 {found.part(0.95):.0f} ms")
    print(f"median beside a batch: {ratio:.2f} of that alone (at most {RATIO_MAX})")
    print(
        f"batch: {meanwhile} of {options.requests} in {spent:.0f} s beside the calls, all after {took:.0f} s; wrong: {len(wrong)}"
    )
    for text in wrong[:5]:
        print(f"  {text[:400]}")
    return 1 if wrong or ratio > RATIO_MAX else 0


def _status(harness: Harness, batch: str) -> str:
    return str(client.get(harness.url, f"/v1/messages/batches/{batch}").value["processing_status"])


if __name__ == "__main__":
    sys.exit(main())
