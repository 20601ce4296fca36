"""Reads one streamed chat completion with the openai SDK: the body on stdin, [time, characters so far] pairs on stdout,
the last one at the stream's end."""

import json
import os
import sys
import time

import openai

client = openai.OpenAI(base_url=os.environ["BASE_URL"] + "/v1", api_key="any", max_retries=0)
found, total = [], 0
body = json.load(sys.stdin)
thinking = body.pop("thinking", None)
for chunk in client.chat.completions.create(**body, extra_body={"thinking": thinking} if thinking else {}):
    delta = chunk.choices[0].delta.to_dict() if chunk.choices else {}
    called = "".join(call["function"].get("arguments", "") for call in delta.get("tool_calls", ()))
    if piece := delta.get("content") or delta.get("reasoning_content") or called:
        total += len(piece)
        found.append((time.monotonic(), total))
print(json.dumps([*found, (time.monotonic(), total)]))
