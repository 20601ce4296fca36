"""The openai SDK: whole, streamed, tools, pictures, typed answers, errors, models, against the daemon in BASE_URL."""

import json
import os

import openai
from pydantic import BaseModel

MODEL = "claude-sonnet-4-6"
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
client = openai.OpenAI(base_url=os.environ["BASE_URL"] + "/v1", api_key="any", max_retries=0)


class City(BaseModel):
    name: str
    people: int


def ask(text: object, **fields: object) -> openai.types.chat.ChatCompletion:
    return client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": text}], **fields)


whole = client.chat.completions.create(
    model=MODEL,
    messages=[
        {"role": "developer", "content": "Be brief."},
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "hello"},
    ],
    max_completion_tokens=300,
)
assert whole.choices[0].message.content == "echo: hello"
assert whole.choices[0].finish_reason == "stop"
assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens > 0
stopped = ask("[[say one END two]]", stop=["END"])
assert (stopped.choices[0].message.content, stopped.choices[0].finish_reason) == ("one ", "stop")
assert ask("[[say cut]][[stop max_tokens]]").choices[0].finish_reason == "length"

chunks = list(ask("[[paragraphs 3]]", stream=True, stream_options={"include_usage": True}))
assert chunks[0].choices[0].delta.role == "assistant"
assert "Paragraph 3" in "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
assert chunks[-2].choices[0].finish_reason == "stop"
assert (chunks[-1].choices, chunks[-1].usage.completion_tokens > 0) == ([], True)

function = {"name": "get", "description": "Gets", "parameters": {"type": "object", "properties": {"k": {"type": "integer"}}}}
tools = [{"type": "function", "function": function}]
messages: list = [{"role": "user", "content": '[[tool get {"k": 1}]] [[tool get {"k": 2}]] [[final both]]'}]
answer = client.chat.completions.create(model=MODEL, messages=messages, tools=tools)
calls = answer.choices[0].message.tool_calls
assert [json.loads(c.function.arguments) for c in calls] == [{"k": 1}, {"k": 2}]
assert (answer.choices[0].finish_reason, answer.choices[0].message.content) == ("tool_calls", None)
messages.append(answer.choices[0].message)
messages += [{"role": "tool", "tool_call_id": c.id, "content": "it"} for c in calls]
assert client.chat.completions.create(model=MODEL, messages=messages, tools=tools).choices[0].message.content == "both"
with client.chat.completions.stream(model=MODEL, messages=messages[:1], tools=tools) as stream:
    final = stream.get_final_completion()
assert len(final.choices[0].message.tool_calls) == 2
forced = ask("whatever", tools=tools, tool_choice={"type": "function", "function": {"name": "get"}})
assert forced.choices[0].message.tool_calls[0].function.name == "get"

picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
assert ask([{"type": "text", "text": "[[say seen]]"}, picture]).choices[0].message.content == "seen"
question = [{"role": "user", "content": "Describe Rome with 28"}]
typed = client.chat.completions.parse(model=MODEL, messages=question, response_format=City)
assert typed.choices[0].message.parsed == City(name="Rome", people=28)

caught = []
for status in (400, 401, 404, 429, 500):
    try:
        ask(f"[[error {status} as told]]")
    except openai.APIStatusError as error:
        caught.append((type(error).__name__, error.status_code, "as told" in str(error)))
names = ("BadRequestError", "AuthenticationError", "NotFoundError", "RateLimitError", "InternalServerError")
assert caught == [(n, s, True) for n, s in zip(names, (400, 401, 404, 429, 500), strict=True)]
assert "claude-sonnet-5" in [m.id for m in client.models.list()]
assert client.models.retrieve("claude-sonnet-5").owned_by == "anthropic"
print("ok")
