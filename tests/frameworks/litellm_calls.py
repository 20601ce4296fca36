"""LiteLLM: whole, streamed, with tools, with a JSON schema, against the daemon in BASE_URL."""

import json
import os

import litellm

common = {"model": "anthropic/claude-sonnet-4-6", "api_base": os.environ["BASE_URL"], "api_key": "any", "max_tokens": 500}


def ask(text: str, **fields: object) -> object:
    return litellm.completion(messages=[{"role": "user", "content": text}], **(common | fields))


assert ask("hello").choices[0].message.content == "echo: hello"
pieces = [c.choices[0].delta.content or "" for c in ask("[[paragraphs 3]]", stream=True)]
assert "Paragraph 3" in "".join(pieces)
schema = {"type": "object", "properties": {"k": {"type": "integer"}}, "required": ["k"], "additionalProperties": False}
tools = [{"type": "function", "function": {"name": "get", "description": "Gets", "parameters": schema}}]
messages = [{"role": "user", "content": '[[tools 2 get {"k": 1}]] [[final done]]'}]
for _ in range(3):
    message = litellm.completion(messages=messages, tools=tools, **common).choices[0].message
    messages.append(message.model_dump())
    for call in message.tool_calls or []:
        assert json.loads(call.function.arguments) == {"k": 1}
        messages.append({"role": "tool", "tool_call_id": call.id, "content": "result"})
assert message.content == "done"
format_ = {"type": "json_schema", "json_schema": {"name": "thing", "schema": schema, "strict": True}}
assert json.loads(ask("number 7", response_format=format_).choices[0].message.content) == {"k": 7}
caught = None
try:
    ask("[[error 429 slow down]]", num_retries=0)
except litellm.RateLimitError as error:
    caught = str(error)
assert caught
assert "slow down" in caught
print("ok")
