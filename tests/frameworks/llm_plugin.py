"""llm with llm-anthropic: a prompt, a stream, a schema, a conversation, against the daemon in BASE_URL."""

import json
import os

import llm

os.environ["ANTHROPIC_BASE_URL"] = os.environ["BASE_URL"]
model = llm.get_model("anthropic/claude-sonnet-4-6")
model.key = "any"
assert model.prompt("hello", stream=False).text() == "echo: hello"
assert "Paragraph 3" in "".join(model.prompt("[[paragraphs 3]]"))
schema = {"type": "object", "properties": {"k": {"type": "integer"}}, "required": ["k"]}
assert json.loads(model.prompt("number 7", schema=schema).text()) == {"k": 7}
conversation = model.conversation()
conversation.prompt("[[say one]]").text()
assert conversation.prompt("[[count]]").text().startswith("3 messages")
print("ok")
