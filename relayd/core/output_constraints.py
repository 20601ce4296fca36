"""What an answer must be besides complete: JSON that keeps to a schema, or a call of a tool. Pure.

Both constraints reach the model as the API's own parameters, and the API keeps them. An answer is checked all
the same: a version or a policy of Claude Code may leave such parameters out. An answer that breaks its
constraint is asked for again with an instruction, which the client is told. Used by `core/call.py`.
"""

from __future__ import annotations

from dataclasses import replace

from relayd import codec
from relayd.anthropic import structured
from relayd.anthropic.answer import Answer
from relayd.anthropic.blocks import CALLS
from relayd.anthropic.request import MessagesRequest
from relayd.anthropic.structured import Verdict

# An answer that ended so may be cut short; the API hands it out as well.
CUT = ("max_tokens", "refusal", "model_context_window_exceeded", "stop_sequence")


def constraint(request: MessagesRequest) -> str:
    """The parameter that makes a constraint; empty if there is none."""
    if request.choice.is_forced:
        return "tool_choice"
    return "output_config.format" if request.schema is not None else ""


def judge(request: MessagesRequest, answer: Answer) -> Verdict:
    """How the answer breaks the constraint, if it does, and whether all of the constraint was judged."""
    if answer.stop_reason in CUT:
        return Verdict()
    called = [b.get("name") for b in answer.content if b["type"] in CALLS]
    if request.choice.is_forced:
        fits = request.choice.name in called if request.choice.name else bool(called)
        return Verdict("" if fits else "the answer does not call the tool that tool_choice asks for")
    if request.schema is None or called:
        return Verdict()
    return structured.verdict(request.schema, "".join(b["text"] for b in answer.content if b["type"] == "text"))


def insist(request: MessagesRequest) -> MessagesRequest:
    """The request with the constraint as an instruction at the end of its system prompt."""
    if request.choice.is_forced:
        which = f"the tool {request.choice.name}" if request.choice.name else "one of the tools"
        text = f"Answer by calling {which}. Do not answer in any other way."
    else:
        schema = codec.dump(request.schema).decode()
        text = f"Answer with nothing but JSON that is valid for this JSON schema, without code fences or other words:\n{schema}"
    return replace(request, system=(*request.system, text), emulated=(*request.emulated, constraint(request)))
