"""Reads one streamed message with the anthropic SDK: the request's body on stdin, [time, characters so far] pairs on stdout,
the last one at the stream's end."""

import json
import os
import sys
import time

import anthropic

client = anthropic.Anthropic(base_url=os.environ["BASE_URL"], api_key="any", max_retries=0)
found, total = [], 0
for event in client.messages.create(**json.load(sys.stdin)):
    if event.type == "content_block_delta":
        delta = event.delta.to_dict()
        total += len(delta.get("text") or delta.get("thinking") or delta.get("partial_json") or "")
        found.append((time.monotonic(), total))
print(json.dumps([*found, (time.monotonic(), total)]))
