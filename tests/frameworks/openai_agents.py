"""The OpenAI Agents SDK: tools, handoffs, typed answers, streams, what is stored, a shell and patches, against BASE_URL."""

import asyncio
import os

from agents import Agent, ModelSettings, RunConfig, Runner, ShellTool, SQLiteSession, function_tool, set_tracing_disabled
from agents.models.openai_provider import OpenAIProvider
from openai import AsyncOpenAI
from openai.types.shared import Reasoning
from pydantic import BaseModel

MODEL = "claude-sonnet-4-6"
client = AsyncOpenAI(base_url=os.environ["BASE_URL"] + "/v1", api_key="any", max_retries=0)
CONFIG = RunConfig(model=MODEL, model_provider=OpenAIProvider(openai_client=client))
set_tracing_disabled(True)
asked: list[int] = []


@function_tool
def get(k: int) -> str:
    """Gets what is there.

    Args:
        k: Which.
    """
    asked.append(k)
    return f"it {k}"


class City(BaseModel):
    name: str
    people: int


async def run(agent: Agent, words: str, **more: object) -> object:
    return (await Runner.run(agent, words, run_config=CONFIG, **more)).final_output


async def main() -> None:
    thinking = ModelSettings(reasoning=Reasoning(effort="medium", summary="auto"), parallel_tool_calls=True)
    agent = Agent("one", instructions="Be brief.", tools=[get], model_settings=thinking)
    assert await run(agent, '[[think hm]][[tool get {"k": 1}]] [[tool get {"k": 2}]] [[final both]]') == "both"
    assert sorted(asked) == [1, 2]
    assert await run(Agent("typed", output_type=City), "Describe Rome with 28") == City(name="Rome", people=28)

    other = Agent("other", instructions="You are the other.")
    first = Agent("first", handoffs=[other])
    result = await Runner.run(first, "[[tool transfer_to_other {}]] [[final handed over]]", run_config=CONFIG)
    assert (result.final_output, result.last_agent.name) == ("handed over", "other")

    streamed = Runner.run_streamed(agent, '[[tool get {"k": 3}]] [[final streamed]]', run_config=CONFIG)
    kinds = [event.type async for event in streamed.stream_events()]
    assert (streamed.final_output, asked[-1]) == ("streamed", 3)
    assert {"raw_response_event", "run_item_stream_event"} <= set(kinds)

    begun = await Runner.run(Agent("plain"), "hello", run_config=CONFIG)
    counted = await run(Agent("plain"), "[[count]]", previous_response_id=begun.last_response_id)
    assert counted.startswith("3 messages"), counted
    session = SQLiteSession("s")
    await run(agent, "hello", session=session)
    assert (await run(agent, "[[count]]", session=session)).startswith("3 messages")

    commands: list[str] = []

    def execute(request: object) -> str:
        commands.extend(request.data.action.commands)
        return "printed"

    shell = Agent("shell", tools=[ShellTool(executor=execute)])
    assert await run(shell, '[[tool shell {"commands": ["ls"]}]] [[final ran]]') == "ran"
    assert commands == ["ls"]


asyncio.run(main())
print("ok")
