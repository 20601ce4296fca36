"""instructor: a model from forced tool choice, against the daemon in BASE_URL."""

import os

import anthropic
import instructor
from pydantic import BaseModel


class User(BaseModel):
    name: str
    age: int


client = instructor.from_anthropic(anthropic.Anthropic(base_url=os.environ["BASE_URL"], api_key="any", max_retries=0))
user = client.messages.create(
    model="claude-sonnet-4-6",
    max_tokens=500,
    messages=[{"role": "user", "content": "Describe Anna who is 30"}],
    response_model=User,
)
assert isinstance(user, User)
assert user.age == 30
print("ok")
