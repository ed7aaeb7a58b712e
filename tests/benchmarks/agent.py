"""What the agent loop costs: five tool steps and an answer, beside the same in bare Python, interleaved in one process; each figure is the median over rounds."""

import asyncio
import json
import statistics
import time

import pydantic

from genai_factory.agents.react import ReactAgent
from genai_factory.core.base import LLM, Delta, ToolCall, Usage
from genai_factory.tools.toolset import as_tool

STEPS, ROUNDS, RUNS = 5, 15, 60
counted = [0]


def calc(a: int, b: int) -> int:
    "Add two integers."
    counted[0] += 1
    return a + b


def bare_model(messages: list[dict]) -> dict:
    "Asks for the tool until it has five results"
    k = sum(m["role"] == "tool" for m in messages)
    if k == STEPS: return {"role": "assistant", "content": "done"}
    return {"role": "assistant", "tool_calls": [{"id": f"c{k}", "name": "calc", "arguments": json.dumps({"a": k, "b": 1})}]}


def bare(call=calc) -> str:
    "The least a loop can be: dictionaries, JSON, a function"
    messages = [{"role": "user", "content": "q"}]
    while True:
        message = bare_model(messages)
        messages.append(message)
        if "tool_calls" not in message: return message["content"]
        for one in message["tool_calls"]: messages.append({"role": "tool", "id": one["id"], "content": str(call(**json.loads(one["arguments"])))})


class Model(LLM):
    "The same model behind our contract"
    model = "bench"

    async def astream(self, messages, *, tools=None, response_format=None, **options):
        k = sum(m.role == "tool" for m in messages)
        if k == STEPS: yield Delta("done", usage=Usage(1, 1), finish_reason="stop")
        else: yield Delta(tool_call=ToolCall(f"c{k}", "calc", json.dumps({"a": k, "b": 1})), usage=Usage(1, 1), finish_reason="tool_calls")


def median(run) -> float:
    "Microseconds of one run, the median of many; each is seen to call the tool five times"
    seconds = []
    for _ in range(RUNS):
        before, start = counted[0], time.perf_counter()
        answer = run()
        seconds.append(time.perf_counter() - start)
        assert answer == "done" and counted[0] - before == STEPS
    return statistics.median(seconds) * 1e6


def measure(variants: dict) -> dict[str, list[float]]:
    "Rounds in which each variant has its turn"
    found: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(ROUNDS):
        for name, run in variants.items(): found[name].append(median(run))
    return found


def in_a_running_loop(run):
    "The sync surface called where a loop already runs, as in a notebook: by the background loop"
    loop = asyncio.new_event_loop()
    async def inside(): return run()
    return lambda: loop.run_until_complete(inside())


def trace() -> None:
    "From here on spans are made and recorded; where they are sent is not our cost"
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    trace.set_tracer_provider(TracerProvider())


def spanned() -> str:
    "Bare Python with the SDK's own spans around the same twelve places and the same number of attributes: what no tracing can go below"
    from opentelemetry import trace
    tracer, messages = trace.get_tracer("bench"), [{"role": "user", "content": "q"}]
    with tracer.start_as_current_span("invoke_agent agent", attributes={"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "agent", "gen_ai.conversation.id": "1"}):
        while True:
            with tracer.start_as_current_span("chat bench", attributes={"gen_ai.operation.name": "chat", "gen_ai.request.model": "bench"}) as span:
                message = bare_model(messages)
                span.set_attributes({"gen_ai.usage.input_tokens": 1, "gen_ai.usage.output_tokens": 1, "gen_ai.response.finish_reasons": ("stop",), "gen_ai.response.model": "bench"})
            messages.append(message)
            if "tool_calls" not in message: return message["content"]
            for one in message["tool_calls"]:
                with tracer.start_as_current_span("execute_tool calc", attributes={"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "calc", "gen_ai.tool.call.id": one["id"]}) as span:
                    messages.append({"role": "tool", "id": one["id"], "content": str(calc(**json.loads(one["arguments"])))})
                    span.set_attribute("genai_factory.status", "ok")


if __name__ == "__main__":
    inline, thread = (ReactAgent(Model(), [as_tool(calc, inline=quick)]) for quick in (True, False))
    checked = pydantic.validate_call(calc)
    variants = {"bare": bare, "pydantic": lambda: bare(checked), "inline": lambda: inline.run("q").answer,
                "streamed": lambda: [event for event in inline.stream("q")][-1].run.answer,
                "thread": lambda: thread.run("q").answer, "background": in_a_running_loop(lambda: inline.run("q").answer)}
    for run in variants.values(): median(run)
    off = measure(variants)
    trace()
    on = measure({"bare": bare, "traced": variants["inline"], "sdk_spans": spanned})
    ratio = {name: round(statistics.median(a / b for a, b in zip(times, off["bare"])), 2) for name, times in off.items()}
    for name in ("traced", "sdk_spans"): ratio[name] = round(statistics.median(a / b for a, b in zip(on[name], on["bare"])), 2)
    print(json.dumps({"value": ratio["inline"], "n": ROUNDS * RUNS, "at_most": 10, "unit": "times bare Python, five tool steps and an answer", "ratios": ratio,
                      "traced_at_most": 20, "microseconds": {name: round(statistics.median(times), 1) for name, times in (off | {"traced": on["traced"]}).items()}}))
