"""The real SDKs against a local server that speaks their wire formats."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from genai_factory import make_llm
from genai_factory.core.base import UnavailableError, UsageError


class Provider(ThreadingHTTPServer):
    "Gives the prepared answers in order: a status with headers and a body, or a list of events to stream"
    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers, self.asked, self.paths = [], [], []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self): return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *_): pass

    def do_POST(self):
        self.server.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.server.paths.append(self.path)
        answer = self.server.answers.pop(0)
        if isinstance(answer, tuple): return self.whole(*answer)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for event in answer:
            if event == "cut":
                self.close_connection = True
                return
            data = event.encode()
            self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.write(b"0\r\n\r\n")

    def whole(self, status, headers, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        for key, value in {"Content-Type": "application/json", "Content-Length": str(len(data)), **headers}.items(): self.send_header(key, value)
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def server():
    server = Provider()
    yield server
    server.shutdown()
    server.server_close()


def openai_events(*texts, calls=(), finish="stop", usage=True):
    def chunk(**kw): return "data: " + json.dumps({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m-1", "choices": [], **kw}) + "\n\n"
    def choice(delta, finish=None): return {"index": 0, "delta": delta, "finish_reason": finish}
    events = [chunk(choices=[choice({"role": "assistant", "content": ""})])]
    events += [chunk(choices=[choice({"content": text})]) for text in texts]
    events += [chunk(choices=[choice({"tool_calls": [call]})]) for call in calls]
    events += [chunk(choices=[choice({}, finish)])]
    if usage: events += [chunk(usage={"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13, "prompt_tokens_details": {"cached_tokens": 3},
                                      "completion_tokens_details": {"reasoning_tokens": 1}})]
    return [*events, "data: [DONE]\n\n"]


def anthropic_events(*texts, tool=None):
    def event(kind, **kw): return f"event: {kind}\ndata: {json.dumps({'type': kind, **kw})}\n\n"
    usage = {"input_tokens": 6, "output_tokens": 1, "cache_read_input_tokens": 3, "cache_creation_input_tokens": 0}
    events = [event("message_start", message={"id": "m", "type": "message", "role": "assistant", "model": "m-1", "content": [], "stop_reason": None,
                                              "stop_sequence": None, "usage": usage}),
              event("content_block_start", index=0, content_block={"type": "text", "text": ""})]
    events += [event("content_block_delta", index=0, delta={"type": "text_delta", "text": text}) for text in texts]
    events += [event("content_block_stop", index=0)]
    if tool:
        events += [event("content_block_start", index=1, content_block={"type": "tool_use", "id": "t1", "name": tool[0], "input": {}})]
        events += [event("content_block_delta", index=1, delta={"type": "input_json_delta", "partial_json": piece}) for piece in tool[1]]
        events += [event("content_block_stop", index=1)]
    reason = "tool_use" if tool else "end_turn"
    return [*events, event("message_delta", delta={"stop_reason": reason, "stop_sequence": None}, usage={"output_tokens": 4}), event("message_stop")]


def llm(provider, server, **settings):
    base = f"{server.url}/v1" if provider == "openai" else server.url
    return make_llm(f"{provider}:m", base_url=base, api_key="k", **{"max_retries": 1, **settings})


EVENTS = {"openai": openai_events, "anthropic": anthropic_events}
both = pytest.mark.parametrize("provider", ["openai", "anthropic"])


@both
def test_streamed_and_whole_replies_agree(provider, server):
    server.answers = [EVENTS[provider]("Hel", "lo", " there")] * 2
    model = llm(provider, server)
    deltas = list(model.stream("Hi"))
    reply = model.chat("Hi")
    assert "".join(d.text for d in deltas) == reply.text == "Hello there" and [d.text for d in deltas][:3] == ["Hel", "lo", " there"]
    assert deltas[-1].usage == reply.usage and (reply.usage.input_tokens, reply.usage.output_tokens, reply.usage.cached_tokens) == (9, 4, 3)
    assert reply.finish_reason == "stop" and reply.model == "m-1" and server.asked[0]["stream"] is True


def test_openai_tool_calls_in_pieces(server):
    pieces = [{"index": 0, "id": "a", "function": {"name": "add", "arguments": ""}}, {"index": 0, "function": {"arguments": '{"x"'}},
              {"index": 1, "id": "b", "function": {"name": "now", "arguments": ""}}, {"index": 0, "function": {"arguments": ": 1}"}}]
    server.answers = [openai_events(calls=pieces, finish="tool_calls")]
    calls = llm("openai", server).chat("Hi").message.tool_calls
    assert [(c.id, c.name, c.arguments) for c in calls] == [("a", "add", '{"x": 1}'), ("b", "now", "{}")]


def test_anthropic_tool_call_in_pieces(server):
    server.answers = [anthropic_events("Let me see.", tool=("add", ['{"x"', ": 1}"]))]
    reply = llm("anthropic", server).chat("Hi")
    assert reply.text == "Let me see." and reply.finish_reason == "tool_calls"
    assert [(c.name, c.arguments) for c in reply.message.tool_calls] == [("add", '{"x": 1}')]


@both
def test_a_busy_server_is_asked_again(provider, server):
    server.answers = [(429, {"Retry-After": "0"}, {"error": {"message": "slow down", "type": "rate_limit"}}), EVENTS[provider]("Yes")]
    assert llm(provider, server).chat("Hi").text == "Yes" and len(server.asked) == 2


@both
@pytest.mark.parametrize("status, kind, said", [(500, UnavailableError, "answered 500"), (401, UnavailableError, "refused the key"), (404, UsageError, "It refused the request")])
def test_refusals_say_what_to_do(provider, server, status, kind, said):
    server.answers = [(status, {}, {"error": {"message": "no", "type": "x"}})] * 2
    with pytest.raises(kind, match=said): llm(provider, server).chat("Hi")


@both
def test_a_cut_stream_is_an_error_not_a_short_answer(provider, server):
    server.answers = [[*EVENTS[provider]("Hello", "there")[:3], "cut"]]
    got = []
    with pytest.raises(UnavailableError, match="broke off|does not answer"):
        for delta in llm(provider, server).stream("Hi"): got.append(delta.text)
    assert "Hello" in "".join(got)


@both
def test_a_server_that_is_not_there_is_named(provider, server):
    model = llm(provider, server, max_retries=0)
    server.shutdown(); server.server_close()
    with pytest.raises(UnavailableError, match="127.0.0.1"): model.chat("Hi")


@both
def test_a_missing_key_names_its_variable(provider, monkeypatch):
    variable = f"{provider.upper()}_API_KEY"
    monkeypatch.delenv(variable, raising=False)
    with pytest.raises(UnavailableError, match=variable): make_llm(f"{provider}:m").chat("Hi")
    with pytest.raises(UsageError, match="Which model"): make_llm(provider)


@both
def test_passages_are_rendered_under_their_names(provider, server):
    from genai_factory.core.base import Document, Passage
    from genai_factory.prompts import rag_prompt
    server.answers = [EVENTS[provider]("ok")]
    text = "Fees are none."
    llm(provider, server).chat(rag_prompt("What?", [Passage(text, Document("a/fees.md", text), 0, len(text))]))
    sent = json.dumps(server.asked[0])
    assert "[fees]\\nFees are none." in sent and "What?" in sent


def test_the_factory_takes_dictionaries_and_refuses_unknown_keys():
    from genai_factory import build
    assert build("llm", {"provider": "openai", "model": "m"}).model == "m"
    with pytest.raises(UsageError, match="Did you mean 'temperature'"): build("llm", {"provider": "openai", "temprature": 1})
    with pytest.raises(UsageError, match="Did you mean 'openai'"): make_llm("opnai:m")
