"""The real client libraries against a provider on this machine: the contract's suite, and what each wire format asks for."""

import json
import subprocess
import sys
import threading
import traceback
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import genai_factory
from genai_factory import build, make_llm
from genai_factory.core.base import Document, Message, Part, Passage
from genai_factory.core.errors import FactoryError, RateLimitError, StreamInterrupted, UnavailableError, UsageError
from genai_factory.testing.llms import ADD, NOW, QUESTION, Offer, RemoteLLMContract
from genai_factory.testing.provider import Answer, ProviderServer, call, refuse

both = pytest.mark.parametrize("provider", ["openai", "anthropic"])


class TestOpenAI(RemoteLLMContract): provider = "openai"
class TestAnthropic(RemoteLLMContract): provider = "anthropic"


def llm(provider, server, **settings):
    return make_llm(f"{provider}:m", **{**server.settings(provider), "max_retries": 0, **settings})


def asked(provider, *answers, settings=None, **options):
    "The body of the request that these options make"
    with ProviderServer(*(answers or ["Fine."])) as server:
        llm(provider, server, **(settings or {})).chat([Message("system", "Be brief."), Message("user", QUESTION)], **options)
        return server.requests[-1].body


def test_openai_requests():
    body = asked("openai", settings={"temperature": 0.5, "seed": 3, "options": {"top_p": 0.9, "prompt_cache": "5m"}}, max_tokens=7, stop=["END"])
    assert body == {"model": "m", "stream": True, "stream_options": {"include_usage": True}, "temperature": 0.5, "seed": 3, "top_p": 0.9, "max_tokens": 7,
                    "stop": ["END"], "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": QUESTION}]}
    body = asked("openai", tools=[ADD, NOW], tool_choice="add", parallel_tool_calls=False)
    assert body["tools"][0] == {"type": "function", "function": {"name": "add", "description": ADD.description, "parameters": ADD.parameters}}
    assert body["tool_choice"] == {"type": "function", "function": {"name": "add"}} and body["parallel_tool_calls"] is False
    assert asked("openai", tools=[NOW], tool_choice="required")["tool_choice"] == "required" and "tool_choice" not in asked("openai", tools=[NOW])
    assert not {"tools", "tool_choice", "parallel_tool_calls"} & set(asked("openai", tool_choice="auto", parallel_tool_calls=True))


def test_anthropic_requests():
    body = asked("anthropic", settings={"temperature": 0.5, "seed": 3, "options": {"top_k": 4}}, max_tokens=7, stop="END")
    assert body == {"model": "m", "stream": True, "temperature": 0.5, "top_k": 4, "max_tokens": 7, "stop_sequences": ["END"], "system": "Be brief.",
                    "messages": [{"role": "user", "content": [{"type": "text", "text": QUESTION}]}]}
    body = asked("anthropic", tools=[ADD, NOW], tool_choice="add", parallel_tool_calls=False)
    assert body["tools"][0] == {"name": "add", "description": ADD.description, "input_schema": ADD.parameters}
    assert body["tool_choice"] == {"type": "tool", "name": "add", "disable_parallel_tool_use": True}
    choices = [asked("anthropic", tools=[NOW], tool_choice=c)["tool_choice"]["type"] for c in ("auto", "none", "required")]
    assert choices == ["auto", "none", "any"] and "tool_choice" not in asked("anthropic", tools=[NOW])


@pytest.mark.parametrize("keep, mark", [("5m", {"type": "ephemeral", "ttl": "5m"}), ("1h", {"type": "ephemeral", "ttl": "1h"})])
def test_marks_for_the_prompt_cache(keep, mark):
    body = asked("anthropic", settings={"options": {"prompt_cache": keep}}, tools=[ADD, NOW])
    assert body["system"] == [{"type": "text", "text": "Be brief.", "cache_control": mark}]
    assert [row.get("cache_control") for row in body["tools"]] == [None, mark] and "prompt_cache" not in body
    assert "cache_control" not in json.dumps(asked("anthropic", tools=[ADD]))
    with pytest.raises(UsageError, match="say 5m or 1h"): asked("anthropic", prompt_cache="2h")


@both
def test_forms_go_native_first_then_by_tool_then_in_words(provider):
    good, refused = {"product": "car", "rate": 4.9}, refuse(400, "unknown field")
    with ProviderServer(good, good, refused, refused, good, good) as server:
        model = llm(provider, server)
        assert model.chat(QUESTION, response_format=Offer).parsed == Offer(**good) == model.chat(QUESTION, response_format=Offer).parsed
        assert model.chat(QUESTION, response_format=Offer, tools=[NOW]).parsed == Offer(**good) and model.structured == "prompt"
        assert model.chat(QUESTION, response_format=Offer).parsed == Offer(**good)
    native, _, first, by_tool, in_words, again = [r.body for r in server.requests]
    if provider == "openai":
        form = native["response_format"]["json_schema"]
        assert form["strict"] is True and form["schema"]["additionalProperties"] is False and form["schema"]["required"] == ["product", "rate"]
    else: assert native["output_config"]["format"]["schema"]["additionalProperties"] is False
    assert ("response_format" in first or "output_config" in first) and len(first["tools"]) == 1
    assert len(by_tool["tools"]) == 2 and by_tool["tool_choice"] in ("required", {"type": "any"}) and "Offer" in json.dumps(by_tool["tools"][1])
    for body in (in_words, again): assert "fits this JSON schema" in json.dumps(body) and not {"response_format", "output_config"} & set(body)


@both
def test_the_way_can_be_fixed_and_a_refusal_is_then_final(provider):
    with ProviderServer({"product": "car", "rate": 1}, refuse(400, "no tools here")) as server:
        model = llm(provider, server, structured="tool")
        assert model.chat(QUESTION, response_format=Offer).parsed.rate == 1 and "Offer" in json.dumps(server.requests[0].body["tool_choice"])
        with pytest.raises(UsageError, match="no tools here"): model.chat(QUESTION, response_format=Offer)
        assert len(server.requests) == 2


@both
def test_when_every_way_is_refused_the_first_refusal_is_told_and_nothing_is_remembered(provider):
    with ProviderServer(refuse(400, "your account is odd"), refuse(400, "second"), refuse(422, "third")) as server:
        model = llm(provider, server)
        with pytest.raises(UsageError, match="your account is odd"): model.chat(QUESTION, response_format=Offer)
        assert model.structured == "native" and len(server.requests) == 3


@both
def test_forms_that_the_native_way_does_not_know(provider):
    with ProviderServer({"a": 1}, "[1, 2]") as server:
        model = llm(provider, server)
        assert model.chat(QUESTION, response_format=dict[str, int]).parsed == {"a": 1} and "tools" in server.requests[0].body
        assert model.chat(QUESTION, response_format=list[int]).parsed == [1, 2] and "tools" not in server.requests[1].body


def test_thoughts_go_back_unchanged_and_only_to_their_provider():
    replies = {}
    for provider in ("openai", "anthropic"):
        with ProviderServer(Answer("It is noon.", reasoning=["The clock ", "knows."])) as server: replies[provider] = llm(provider, server).chat(QUESTION).message
    turns = [Message("user", QUESTION), replies["openai"], Message("user", "And?"), replies["anthropic"], Message("user", "Sure?")]
    with ProviderServer("Yes.", "Yes.") as server:
        llm("openai", server).chat(turns)
        llm("anthropic", server).chat(turns)
    sent = server.requests[0].messages
    assert sent[1] == {"role": "assistant", "content": "It is noon.", "reasoning_content": "The clock knows."} and sent[3] == {"role": "assistant", "content": "It is noon."}
    sent = server.requests[1].messages
    signed = {"type": "thinking", "thinking": "The clock knows.", "signature": "signed-by-the-provider"}
    assert [b["type"] for b in sent[1]["content"]] == ["text"] and sent[3]["content"] == [signed, {"type": "text", "text": "It is noon."}]


def test_a_call_that_was_no_object_can_still_be_replayed():
    turns = [Message("user", QUESTION), Message("assistant", tool_calls=[call("add")]), Message("tool", "no", tool_call_id="call_add")]
    turns[1].tool_calls[0].arguments = '{"x": '
    with ProviderServer("Sorry.") as server: llm("anthropic", server).chat(turns, tools=[ADD])
    assert server.requests[0].messages[1]["content"][0]["input"] == {"not_an_object": '{"x": '}


@both
def test_passages_are_rendered_under_their_names(provider):
    from genai_factory.prompts import rag_prompt
    text = "Fees are none."
    with ProviderServer("ok") as server: llm(provider, server).chat(rag_prompt("What?", [Passage(text, Document("a/fees.md", text), 0, len(text))]))
    sent = json.dumps(server.requests[0].body)
    assert "[fees]\\nFees are none." in sent and "What?" in sent


@both
def test_a_wrong_key_names_its_variable_and_is_not_worth_a_retry(provider, monkeypatch):
    variable = f"{provider.upper()}_API_KEY"
    with ProviderServer("never", api_key="right") as server, pytest.raises(UnavailableError, match=variable) as caught: llm(provider, server, api_key="wrong").chat("Hi")
    assert caught.value.retryable is False and "wrong" not in str(caught.value)
    monkeypatch.delenv(variable, raising=False)
    with pytest.raises(UnavailableError, match=variable) as caught: make_llm(f"{provider}:m").chat("Hi")
    assert caught.value.retryable is False
    with pytest.raises(UsageError, match="Which model"): make_llm(provider)


def test_a_spent_quota_is_not_worth_a_retry():
    with ProviderServer(refuse(429, "insufficient_quota: pay your bill")) as server, pytest.raises(RateLimitError, match="quota is spent") as caught:
        llm("openai", server).chat("Hi")
    assert caught.value.retryable is False


@both
def test_options_that_the_client_does_not_know(provider):
    with ProviderServer("Fine.") as server:
        with pytest.raises(UsageError, match="extra_body"): llm(provider, server).chat("Hi", best_guess=True)
        llm(provider, server).chat("Hi", extra_body={"best_guess": True})
    assert len(server.requests) == 1 and server.requests[0].body["best_guess"] is True


def our_frames(error):
    "The functions of ours in a traceback, its causes included"
    ours, seen = str(Path(genai_factory.__file__).parent), []
    while error is not None:
        seen += [f.name for f in traceback.extract_tb(error.__traceback__) if f.filename.startswith(ours)]
        error = error.__cause__
    return seen


@both
@pytest.mark.parametrize("answer, kind", [(refuse(500), UnavailableError), (Answer("a b", fault="break", after=2), StreamInterrupted)])
def test_a_failure_in_the_client_shows_few_frames_of_ours(provider, answer, kind):
    import asyncio
    with ProviderServer(answer) as server, pytest.raises(kind) as caught: asyncio.run(llm(provider, server).achat("Hi"))
    frames = our_frames(caught.value)
    assert set(frames) <= {"achat", "relay", "opened", "within"} and len(set(frames)) <= 3, frames


def test_the_factory_takes_dictionaries_and_refuses_unknown_keys():
    assert build("llm", {"provider": "openai", "model": "m"}).model == "m"
    with pytest.raises(UsageError, match="Did you mean 'temperature'"): build("llm", {"provider": "openai", "temprature": 1})
    with pytest.raises(UsageError, match="Did you mean 'openai'"): make_llm("opnai:m")


@contextmanager
def raw(body, kind="text/event-stream"):
    "A server that answers every request with these bytes; gives its address"
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args): pass
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.end_headers()
            self.wfile.write(body)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try: yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def read(provider, body, kind="text/event-stream"):
    with raw(body, kind) as url: return make_llm(f"{provider}:m", base_url=url, api_key="any", max_retries=0, timeout_s=10).chat("Hi")


def chunk(delta, finish=None): return b"data: " + json.dumps({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}).encode() + b"\n\n"
def event(kind, **more): return f"event: {kind}\ndata: {json.dumps({'type': kind, **more})}\n\n".encode()


SAID = chunk({"content": "Fees"})
START = event("message_start", message={"id": "1", "type": "message", "role": "assistant", "model": "m", "content": [], "usage": {"input_tokens": 3, "output_tokens": 1}})
FEES = START + event("content_block_start", index=0, content_block={"type": "text", "text": "Fees"})
END = event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 5}) + event("message_stop")

@pytest.mark.parametrize("provider, body, partial", [
    ("openai", SAID + chunk({"content": [{"type": "text", "text": "x"}]}) + chunk({}, "stop"), "Fees"), ("openai", SAID + chunk({"content": 5}, "stop"), "Fees"),
    ("openai", SAID + chunk({"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": {"x": 1}}}]}, "tool_calls"), "Fees"),
    ("openai", SAID + chunk({"tool_calls": [{"index": 0, "id": "a", "function": {"arguments": "{}"}}]}, "tool_calls"), "Fees"),
    ("openai", SAID + b'data: {"choices": "abc"}\n\n', "Fees"), ("openai", SAID + b"data: [1]\n\n", "Fees"),
    ("anthropic", b"event: message_start\ndata: [1]\n\n", ""), ("anthropic", event("message_start") + END, ""),
    ("anthropic", FEES + event("content_block_stop", index=0) + event("content_block_delta", index=3, delta={"type": "input_json_delta", "partial_json": "{}"}) + END, "Fees"),
    ("anthropic", FEES + event("content_block_delta", index=0, delta={"type": "text_delta", "text": 5}) + END, "Fees")])
def test_a_malformed_stream_is_an_interrupted_one(provider, body, partial):
    with pytest.raises(StreamInterrupted, match=r"malformed|broke off|without saying why") as caught: read(provider, body)
    assert caught.value.partial == partial and "ask again" in str(caught.value)


@both
@pytest.mark.parametrize("body, kind", [(b"<html>hi</html>", "text/html; charset=utf-8"), (b'{"choices": [{"message": {"content": "x"}}]}', "application/json"), (b"", "text/plain")])
def test_an_answer_that_is_no_stream_is_not_worth_a_retry(provider, body, kind):
    with pytest.raises(UsageError, match=rf"not an event stream \({kind.partition(';')[0]}\): is base_url right"): read(provider, body, kind)


@both
def test_an_empty_stream_is_interrupted(provider):
    with pytest.raises(StreamInterrupted, match="after 0 characters"): read(provider, b"")


@pytest.mark.parametrize("address", ["localhost:8000", "not a url", "http://", "ftp://host", "http://host:port", ""])
def test_an_address_that_is_none_is_refused_at_once(address):
    with pytest.raises(UsageError, match="no address of a server"): make_llm("openai:m", base_url=address)


KEY = "sk-very-secret-0123456789"

@both
@pytest.mark.parametrize("status", [400, 401, 404, 429, 500])
def test_a_key_is_in_no_message_and_no_traceback(provider, status):
    with ProviderServer(refuse(status, f"Incorrect key {KEY} given")) as server, pytest.raises(FactoryError) as caught: llm(provider, server, api_key=KEY).chat("Hi")
    assert KEY not in "".join(traceback.format_exception(caught.value)) and (status == 401 or "[key]" in str(caught.value))
    with ProviderServer(Answer(f"no {KEY}", fault="error", after=0)) as server, pytest.raises(FactoryError) as caught: llm(provider, server, api_key=KEY).chat("Hi")
    assert KEY not in "".join(traceback.format_exception(caught.value))


@both
def test_user_password_and_query_of_an_address_are_not_shown(provider):
    with ProviderServer(refuse(404, "none")) as server:
        for url in (server.url.replace("://", "://someone:hush-hush@"), f"{server.url}/?key=hush-hush", "http://someone:hush-hush@127.0.0.1:9/v1"):
            with pytest.raises(FactoryError) as caught: make_llm(f"{provider}:m", base_url=url, api_key="any", max_retries=0).chat("Hi")
            shown = "".join(traceback.format_exception(caught.value))
            assert "hush-hush" not in shown and "someone" not in shown and "http://127.0.0.1:" in str(caught.value)
    with pytest.raises(UsageError) as caught: make_llm(f"{provider}:m", base_url="someone:hush-hush@host")
    assert "hush-hush" not in str(caught.value)


@both
def test_half_characters_are_replaced_on_both_ways(provider):
    body = chunk({"content": "a\ud800"}) + chunk({}, "stop") if provider == "openai" else START + event("content_block_delta", index=0, delta={"type": "text_delta", "text": "a\ud800"}) + END
    assert read(provider, body).text == "a\ufffd"
    with ProviderServer("Fine.") as server: assert llm(provider, server).chat([Message("system", "\udfff"), Message("user", "a\ud800b")], stop=["\ud800"]).text == "Fine."
    assert "a\ufffdb" in json.dumps(server.requests[0].body, ensure_ascii=False)


@both
@pytest.mark.parametrize("prompt, options, said", [([Message("user", [Part("text", "See:"), Part("file", b"x")])], {}, "rag.loaders"), ([], {}, "no message"), ("Hi", {"temperature": "hot"}, "temperature"),
    ([Message("robot", "x")], {}, "robot"), ([Message("tool", "x")], {}, "tool_call_id"), ("Hi", {"max_tokens": -1}, "max_tokens"), (None, {}, "NoneType"), ("Hi", {"tools": [print]}, "as_tool")])
def test_what_cannot_be_sent_is_refused_before_the_request(provider, prompt, options, said):
    with ProviderServer(default="Fine.") as server, pytest.raises(UsageError, match=said): llm(provider, server).chat(prompt, **options)
    assert not server.requests


QUIET = """
import asyncio, gc, os, sys, threading
from genai_factory import make_llm
url, provider = sys.argv[1:]
model = make_llm(provider + ":m", base_url=url, api_key="any", max_retries=0)
def count():
    gc.collect()
    return len(os.listdir("/proc/self/fd"))
model.chat("Hi")
before = count()
for _ in range(30):
    thread = threading.Thread(target=model.chat, args=("Hi",)); thread.start(); thread.join()
    asyncio.run(model.achat("Hi"))
for _ in range(5):
    thread = threading.Thread(target=lambda: make_llm(provider + ":m", base_url=url, api_key="any").chat("Hi")); thread.start(); thread.join()
def leave(): next(model.stream("Hi"))
thread = threading.Thread(target=leave); thread.start(); thread.join()
assert count() <= before + 4, (before, count())
left = model.stream("Hi"); next(left)
print("done")
"""

@both
def test_short_threads_and_loops_leave_no_descriptors_and_no_noise(provider):
    with ProviderServer(default=Answer(["Hi ", "there ", "you."])) as server:
        ran = subprocess.run([sys.executable, "-X", "dev", "-c", QUIET, server.settings(provider)["base_url"], provider], capture_output=True, text=True, timeout=120)
    noise = [line for line in ran.stderr.splitlines() if not line.startswith("Executing ")]      # a slow machine under -X dev
    assert (ran.returncode, ran.stdout, noise) == (0, "done\n", [])


def test_a_loop_that_was_closed_at_once_is_forgotten_at_the_next_request():
    import asyncio
    with ProviderServer(default="Hi") as server:
        model = llm("openai", server)
        for _ in range(3):
            loop = asyncio.new_event_loop()
            loop.run_until_complete(model.achat("Hi"))
            loop.close()
        assert model.chat("Hi").text == "Hi" and not [known for known in model.clients if known.is_closed()]
