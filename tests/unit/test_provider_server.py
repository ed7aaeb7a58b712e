"""The scripted provider behaves like the thing it stands for, faults included."""

import json
import threading

import httpx
import pytest

from genai_factory.core.base import Usage, UsageError
from genai_factory.testing.provider import SHAPES, Answer, ProviderServer, anthropic_events, call, never_connects, openai_events, refuse

PATHS = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages"}
both = pytest.mark.parametrize("wire", PATHS)


def post(server, wire, **body):
    return httpx.post(server.url + PATHS[wire], json={"model": "m", "messages": [], **body}, timeout=10)


@both
def test_answers_come_in_order_and_requests_are_kept(wire):
    with ProviderServer("one", lambda request: request.body["model"] + "!", default="more") as server:
        bodies = [post(server, wire, model=f"m{n}").json() for n in range(4)]
        said = [b["choices"][0]["message"]["content"] if wire == "openai" else b["content"][0]["text"] for b in bodies]
        assert said == ["one", "m1!", "more", "more"] and [r.body["model"] for r in server.requests] == ["m0", "m1", "m2", "m3"]
        assert {r.wire for r in server.requests} == {wire} and all(r.finished.wait(2) and not r.disconnected.is_set() for r in server.requests)


@both
def test_a_used_up_script_a_wrong_key_and_a_wrong_address_are_refused(wire):
    with ProviderServer(api_key="secret") as server:
        assert post(server, wire).status_code == 401
        used_up = httpx.post(server.url + PATHS[wire], json={"model": "m", "messages": []}, headers={"x-api-key": "secret"})
        assert used_up.status_code == 400 and "used up: this is request 2" in used_up.text
        assert httpx.post(f"{server.url}/v1/other", json={}).status_code == 404


@both
def test_refusals_carry_their_headers(wire):
    with ProviderServer(refuse(429, "slow down", retry_after=1.5)) as server:
        answer = post(server, wire)
        assert (answer.status_code, answer.headers["Retry-After"], answer.json()["error"]["message"]) == (429, "1.5", "slow down")


@both
@pytest.mark.parametrize("fault, after, error", [("reset", None, httpx.NetworkError), ("reset", 2, httpx.NetworkError), ("break", 2, httpx.RemoteProtocolError),
                                                 ("stall", None, httpx.ReadTimeout), ("stall", 0, httpx.ReadTimeout), ("stall", 2, httpx.ReadTimeout)])
def test_faults_look_like_faults(wire, fault, after, error):
    with ProviderServer(Answer("one two three", fault=fault, after=after)) as server:
        got = []
        with pytest.raises(error), httpx.stream("POST", server.url + PATHS[wire], json={"stream": True, "messages": []}, timeout=0.3) as answer:
            for line in answer.iter_lines(): got.append(line)
        assert len([line for line in got if line.startswith("data:")]) == (after or 0)
        if fault == "stall": assert server.requests[0].disconnected.wait(5)


@both
def test_an_answer_can_end_early_or_with_an_error_in_the_stream(wire):
    with ProviderServer(Answer("one two", fault="end", after=2), Answer("too busy", fault="error", after=1)) as server:
        short, busy = post(server, wire, stream=True).text, post(server, wire, stream=True).text
        assert short.count("data:") == 2 and "[DONE]" not in short and "message_stop" not in short
        assert busy.count("data:") == 2 and "too busy" in busy and "event: error" in busy


def test_a_client_that_leaves_is_noticed():
    with ProviderServer(Answer(["word "] * 1000, pause_s=0.02)) as server:
        with httpx.stream("POST", server.url + PATHS["openai"], json={"stream": True, "messages": []}) as answer: next(answer.iter_lines())
        assert server.requests[0].disconnected.wait(5)


def test_closing_ends_stalled_answers():
    server = ProviderServer(Answer(fault="stall"))
    waiting = threading.Thread(target=lambda: pytest.raises(httpx.HTTPError, post, server, "openai"))
    waiting.start()
    while not server.requests: pass
    server.close()
    waiting.join(5)
    assert not waiting.is_alive()


def test_a_forced_tool_takes_the_object():
    with ProviderServer({"x": 1}, {"x": 1}) as server:
        plain = post(server, "anthropic").json()
        forced = post(server, "anthropic", tool_choice={"type": "tool", "name": "form"}).json()
    assert json.loads(plain["content"][0]["text"]) == forced["content"][0]["input"] == {"x": 1} and forced["stop_reason"] == "tool_use"


def test_counts_follow_each_format():
    usage = Usage(100, 20, 30, 5, 10, 7)
    last = json.loads(openai_events(Answer("a", usage=usage))[-2][6:])
    assert last["choices"] == [] and last["usage"]["prompt_tokens"] == 100 and last["usage"]["prompt_tokens_details"]["cached_tokens"] == 30
    first = json.loads(anthropic_events(Answer("a", usage=usage))[0].partition("data: ")[2])["message"]["usage"]
    assert (first["input_tokens"], first["cache_read_input_tokens"], first["cache_creation_input_tokens"]) == (53, 30, 17)
    assert first["cache_creation"] == {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 7}


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_changes_a_stream(shape):
    answer = {"text": "two words", "calls": [call("add", x=1), call("now")]}
    def stream(*shapes): return openai_events(Answer(**answer, shapes=shapes)) + anthropic_events(Answer(**answer, shapes=shapes))
    assert stream(shape) != stream()


def test_slips_in_a_script_are_named():
    with pytest.raises(UsageError, match="Did you mean 'no done'"): Answer(shapes=("no don",))
    with pytest.raises(UsageError, match="A script holds"):
        from genai_factory.testing.provider import as_answer
        as_answer(3)


def test_the_address_that_never_connects():
    with never_connects() as url, pytest.raises(httpx.ConnectTimeout): httpx.post(url, timeout=0.2)
