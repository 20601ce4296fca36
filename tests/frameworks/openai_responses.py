"""The openai SDK's Responses surface: whole, streamed, tools of each kind, stored, typed, errors, against BASE_URL."""

import json
import os

import openai
from pydantic import BaseModel

MODEL = "claude-sonnet-4-6"
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
PDF = "JVBERi0xLjEKMSAwIG9iajw8L1R5cGUvQ2F0YWxvZz4+ZW5kb2JqCnRyYWlsZXI8PC9Sb290IDEgMCBSPj4K"
client = openai.OpenAI(base_url=os.environ["BASE_URL"] + "/v1", api_key="any", max_retries=0)
ask = client.responses.create
FUNCTION = {
    "type": "function",
    "name": "get",
    "description": "Gets",
    "strict": False,
    "parameters": {"type": "object", "properties": {"k": {"type": "integer"}}},
}


class City(BaseModel):
    name: str
    people: int


# Whole
whole = ask(model=MODEL, input="hello", instructions="Be brief.", metadata={"a": "b"})
assert (whole.output_text, whole.status, whole.metadata, whole.error) == ("echo: hello", "completed", {"a": "b"}, None)
assert whole.usage.total_tokens == whole.usage.input_tokens + whole.usage.output_tokens > 0
cut = ask(model=MODEL, input="[[say cut]][[stop max_tokens]]")
assert (cut.status, cut.incomplete_details.reason, cut.output_text) == ("incomplete", "max_output_tokens", "cut")

# Streamed: numbers without a gap, one item after the other, the whole response at the end
events = list(ask(model=MODEL, input="[[think hm]][[paragraphs 3]]", stream=True, reasoning={"summary": "auto"}))
assert [e.sequence_number for e in events] == list(range(len(events)))
assert [e.type for e in events[:3]] == ["response.created", "response.in_progress", "response.output_item.added"]
final = events[-1].response
assert (events[-1].type, [item.type for item in final.output]) == ("response.completed", ["reasoning", "message"])
assert final.output[0].summary[0].text == "hm"
assert "Paragraph 3" in final.output_text == "".join(e.delta for e in events if e.type == "response.output_text.delta")
with client.responses.stream(model=MODEL, input="[[paragraphs 2]]") as stream:
    texts = [event.snapshot for event in stream if event.type == "response.output_text.delta"]
    assert stream.get_final_response().output_text == texts[-1]

# Tools: two at once, their results, thinking sent back as it came
said: list = [{"role": "user", "content": '[[think so]][[tool get {"k": 1}]] [[tool get {"k": 2}]] [[final both]]'}]
answer = ask(model=MODEL, input=said, tools=[FUNCTION], reasoning={"summary": "auto"}, store=False)
calls = [item for item in answer.output if item.type == "function_call"]
assert [json.loads(c.arguments) for c in calls] == [{"k": 1}, {"k": 2}]
assert [item.type for item in answer.output] == ["reasoning", "function_call", "function_call"]
said += [item.to_dict() for item in answer.output]
said += [{"type": "function_call_output", "call_id": c.call_id, "output": "it"} for c in calls]
assert ask(model=MODEL, input=said, tools=[FUNCTION], reasoning={"summary": "auto"}, store=False).output_text == "both"
with client.responses.stream(model=MODEL, input=said[:1], tools=[FUNCTION]) as stream:
    streamed = stream.get_final_response()
assert [json.loads(c.arguments) for c in streamed.output if c.type == "function_call"] == [{"k": 1}, {"k": 2}]
forced = ask(model=MODEL, input="whatever", tools=[FUNCTION], tool_choice={"type": "function", "name": "get"})
assert forced.output[-1].name == "get"
for stream in (False, True):
    custom = {"type": "custom", "name": "code", "description": "Runs code"}
    told = ask(model=MODEL, input='[[tool code {"input": "print(1)"}]]', tools=[custom], stream=stream)
    item = (list(told)[-1].response if stream else told).output[-1]
    assert (item.type, item.name, item.input) == ("custom_tool_call", "code", "print(1)")
result = {"type": "custom_tool_call_output", "call_id": item.call_id, "output": "1"}
past = [{"role": "user", "content": "run"}, item.to_dict(), result, {"role": "user", "content": "[[final ran]]"}]
assert ask(model=MODEL, input=past, tools=[custom]).output_text == "ran"

# Pictures, files, typed answers
picture = {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}", "detail": "auto"}
file = {"type": "input_file", "filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF}"}
content = [{"type": "input_text", "text": "[[say seen]]"}, picture, file]
assert ask(model=MODEL, input=[{"role": "user", "content": content}]).output_text == "seen"
typed = client.responses.parse(model=MODEL, input="Describe Rome with 28", text_format=City)
assert typed.output_parsed == City(name="Rome", people=28)
with client.responses.stream(model=MODEL, input="Describe Rome with 28", text_format=City) as stream:
    assert stream.get_final_response().output_parsed == City(name="Rome", people=28)

# Stored
first = ask(model=MODEL, input='[[tool get {"k": 3}]] [[final then]]', tools=[FUNCTION], store=True)
results = [{"type": "function_call_output", "call_id": first.output[-1].call_id, "output": "x"}]
second = ask(model=MODEL, input=results, tools=[FUNCTION], previous_response_id=first.id)
assert (second.output_text, second.previous_response_id) == ("then", first.id)
third = ask(model=MODEL, input="[[count]]", previous_response_id=second.id)
assert third.output_text.startswith("5 messages")
assert client.responses.retrieve(third.id).output_text == third.output_text
listed = client.responses.input_items.list(third.id, order="asc", limit=2)
assert [item.type for item in listed.data] == ["message", "function_call"]
assert [item.type for item in listed][2:] == ["function_call_output", "message", "message"]
client.responses.delete(third.id)
forgotten = ask(model=MODEL, input="hello", store=False)
codes = []
for attempt in (
    lambda: client.responses.retrieve(third.id),
    lambda: client.responses.retrieve(forgotten.id),
    lambda: ask(model=MODEL, input="hello", previous_response_id=third.id),
):
    try:
        attempt()
    except openai.APIStatusError as error:
        codes.append((error.status_code, error.code, bool(error.request_id)))
assert codes == [(404, "response_not_found", True)] * 2 + [(400, "previous_response_not_found", True)]
assert client.responses.input_tokens.count(model=MODEL, input="hello").input_tokens > 0

# Errors
caught = []
for status in (400, 429):
    try:
        ask(model=MODEL, input=f"[[error {status} as told]]", stream=status == 429)
    except openai.APIStatusError as error:
        caught.append((type(error).__name__, error.status_code, "as told" in str(error)))
assert caught == [("BadRequestError", 400, True), ("RateLimitError", 429, True)]
late = list(ask(model=MODEL, input="[[paragraphs 6]][[slow 0.05]][[midway 529]]", stream=True))
assert (late[-1].type, late[-1].response.status, late[-1].response.error.code) == ("response.failed", "failed", "server_error")
print("ok")
