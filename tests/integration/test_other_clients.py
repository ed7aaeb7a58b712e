"""LangChain's and Haystack's clients and ours read the same answers out of the scripted provider."""

import json
import os
from dataclasses import replace

os.environ.update({"HAYSTACK_TELEMETRY_ENABLED": "False", "LANGCHAIN_TRACING_V2": "false", "LANGSMITH_TRACING": "false"})  # read when they are imported

import pytest

from genai_factory import make_llm
from genai_factory.core.base import Tool, Usage
from genai_factory.testing.provider import Answer, ProviderServer, call

RATE = Tool("rate", "The rate of a product.", {"type": "object", "properties": {"product": {"type": "string"}}, "required": ["product"]}, lambda product: 9.9)
NOW = Tool("now", "The time of day.", {"type": "object", "properties": {}}, lambda: "12:00")
ANSWERS = {"text": Answer("Early repayment costs nothing. 🦆", usage=Usage(100, 20, 30, 5)),
           "one call": Answer(calls=[call("rate", "r1", product="car loan")], usage=Usage(50, 9)),
           "no arguments": Answer(calls=[call("now", "n1")], usage=Usage(50, 3)),
           "three calls": Answer("Let me see.", calls=[call("rate", "r1", product="car"), call("now", "n1"), call("rate", "r2", product="home")], usage=Usage(70, 30, 64))}
ASKED = [(False, ()), (True, ()), (True, ("usage with finish", "no done")), (True, ("whole calls", "finish with text"))]  # streamed?, in shapes that all three read


def ours(server):
    llm = make_llm("openai:m", **server.settings("openai", max_retries=0))
    reply = llm.chat("Hi", tools=[RATE, NOW])
    usage = reply.usage
    return reply.text, [(c.id, c.name, json.loads(c.arguments)) for c in reply.message.tool_calls], (usage.input_tokens, usage.output_tokens, usage.cached_tokens)


def langchain(server, streamed):
    from langchain_openai import ChatOpenAI
    tools = [{"type": "function", "function": {"name": t.name, "description": t.description, "parameters": t.parameters}} for t in (RATE, NOW)]
    model = ChatOpenAI(model="m", base_url=f"{server.url}/v1", api_key="any", max_retries=0, stream_usage=True).bind_tools(tools)
    if streamed:
        message = None
        for chunk in model.stream("Hi"): message = chunk if message is None else message + chunk
    else: message = model.invoke("Hi")
    told = message.usage_metadata
    calls = [(c["id"], c["name"], c["args"]) for c in message.tool_calls]
    return message.text, calls, (told["input_tokens"], told["output_tokens"], (told.get("input_token_details") or {}).get("cache_read", 0))


def haystack(server, streamed):
    from haystack.components.generators.chat import OpenAIChatGenerator
    from haystack.dataclasses import ChatMessage
    from haystack.tools import Tool as HaystackTool
    from haystack.utils import Secret
    tools = [HaystackTool(t.name, t.description, t.parameters, t.function) for t in (RATE, NOW)]
    pieces, extra = [], {"stream_options": {"include_usage": True}} if streamed else {}
    generator = OpenAIChatGenerator(api_key=Secret.from_token("any"), model="m", api_base_url=f"{server.url}/v1", max_retries=0, tools=tools,
                                    streaming_callback=pieces.append if streamed else None, generation_kwargs=extra)
    message = generator.run([ChatMessage.from_user("Hi")])["replies"][0]
    assert bool(pieces) == streamed
    told = message.meta["usage"]
    cached = (told.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
    return message.text or "", [(c.id, c.tool_name, c.arguments) for c in message.tool_calls], (told["prompt_tokens"], told["completion_tokens"], cached)


@pytest.mark.parametrize("name", ANSWERS)
def test_three_clients_read_the_same_answer(name):
    expected = ANSWERS[name]
    for streamed, shapes in ASKED:
        answer = replace(expected, shapes=shapes)
        with ProviderServer(answer, answer, answer) as server:
            a, b, c = ours(server), langchain(server, streamed), haystack(server, streamed)
        assert a == b == c, (shapes, streamed)
        usage = expected.usage
        assert a == (expected.text, [(k.id, k.name, json.loads(k.arguments)) for k in expected.calls], (usage.input_tokens, usage.output_tokens, usage.cached_tokens))
        assert all([t["function"]["name"] for t in r.body["tools"]] == ["rate", "now"] for r in server.requests)
