"""LangChain's own standard integration tests for chat models, run on ChatAnthropic, against the daemon in BASE_URL.

The pictures and papers that they would fetch from the internet are made here.
"""

import base64
import os
import types

import httpx
import pytest
from langchain_anthropic import ChatAnthropic
from langchain_core.language_models import BaseChatModel
from langchain_tests.integration_tests import ChatModelIntegrationTests

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF"


@pytest.fixture(autouse=True)
def no_internet(monkeypatch: pytest.MonkeyPatch) -> None:
    def get(url: str, **_: object) -> types.SimpleNamespace:
        return types.SimpleNamespace(content=PDF if url.endswith(".pdf") else base64.b64decode(PNG))

    monkeypatch.setattr(httpx, "get", get)


class TestChatAnthropicOnRelayd(ChatModelIntegrationTests):
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatAnthropic

    @property
    def chat_model_params(self) -> dict:
        return {"model": "claude-sonnet-4-6", "base_url": os.environ["BASE_URL"], "api_key": "any"}

    @property
    def model_override_value(self) -> str:
        return "claude-opus-4-6"

    @property
    def supports_image_inputs(self) -> bool:
        return True

    @property
    def supports_image_urls(self) -> bool:
        return True

    @property
    def supports_pdf_inputs(self) -> bool:
        return True

    @property
    def supports_image_tool_message(self) -> bool:
        return True

    @property
    def supports_pdf_tool_message(self) -> bool:
        return True

    @property
    def supports_anthropic_inputs(self) -> bool:
        return True
