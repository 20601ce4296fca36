"""pydantic-ai: an agent with a tool, structured output, a stream, against the daemon in BASE_URL."""

import asyncio
import os

from anthropic import AsyncAnthropic
from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.providers.anthropic import AnthropicProvider

client = AsyncAnthropic(base_url=os.environ["BASE_URL"], api_key="any", max_retries=0)
model = AnthropicModel("claude-sonnet-4-6", provider=AnthropicProvider(anthropic_client=client))


class City(BaseModel):
    name: str
    people: int


async def main() -> None:
    agent = Agent(model, instructions="Be brief.")
    called = []

    @agent.tool_plain
    def get_population(city: str) -> str:
        called.append(city)
        return "2800000"

    assert (await agent.run("hello")).output == "echo: hello"
    answer = await agent.run('[[tools 2 get_population {"city": "Rome"}]] [[final many]]')
    assert (answer.output, called) == ("many", ["Rome", "Rome"])
    typed = Agent(model, output_type=City)
    assert isinstance((await typed.run("Describe Rome with 28")).output, City)
    async with agent.run_stream("[[paragraphs 3]]") as stream:
        text = [piece async for piece in stream.stream_text(delta=True)]
    assert "Paragraph 3" in "".join(text)


asyncio.run(main())
print("ok")
