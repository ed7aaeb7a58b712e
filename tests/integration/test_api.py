"""The wire: the official client against a real server, errors in OpenAI's shape, hanging up, limits and probes."""
from __future__ import annotations

import asyncio
import json
import socket

import httpx
import openai
import pytest

from genai_factory.app.api import BODY_LIMIT, bind, create_app
from genai_factory.app.service import Service, refresh
from genai_factory.core.base import BusyError, UnavailableError
from genai_factory.core.settings import Settings, Workspace
from tests.integration.standin import StandIn, running, until

ASK = [{"role": "user", "content": "What is the fee?"}]


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    "One server; its loader gives the stand-in, there is no registry yet."
    service = Service(Workspace(tmp_path_factory.mktemp("ws"), settings=Settings(alias_poll_s=0.5)), load=lambda workspace, version: StandIn())
    with running(create_app(service.workspace, service)) as url:
        until(lambda: service.assistant)
        yield url, service


@pytest.fixture
def client(served): return openai.OpenAI(base_url=served[0] + "/v1", api_key="none", max_retries=0)


def test_a_whole_answer_with_its_citations(client):
    reply = client.chat.completions.create(model="assistant", messages=ASK, temperature=0.3)
    message = reply.choices[0].message
    assert message.content == "The fee is 25 euros. [loans]" and reply.choices[0].finish_reason == "stop"
    assert reply.model == "baseline" and reply.usage.total_tokens == 12
    mark = message.annotations[0].url_citation
    assert message.content[mark.start_index:mark.end_index] == "[loans]" and mark.url == "handbook/loans.md"
    assert reply.citations[0]["quote"] == "The fee is <b>25 euros</b>." and reply.served_by == "model" and reply.release is None


def test_a_streamed_answer_is_the_same_answer(client):
    chunks = list(client.chat.completions.create(model="baseline", messages=ASK, stream=True, stream_options={"include_usage": True}))
    assert chunks[0].choices[0].delta.role == "assistant"
    pieces = [c.choices[0].delta.content for c in chunks if c.choices and c.choices[0].delta.content]
    assert pieces == ["The fee is", " 25 euros. [loans]"]           # the draft was not sent
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert chunks[-1].usage.total_tokens == 12 and chunks[-1].choices == [] and len({c.id for c in chunks}) == 1
    assert chunks[-2].citations[0]["title"] == "Loans"


def test_without_asking_there_is_no_usage_chunk_and_the_stream_says_done(served):
    with httpx.stream("POST", served[0] + "/v1/chat/completions", json={"model": "assistant", "messages": ASK, "stream": True}) as response:
        lines = [line for line in response.iter_lines() if line]
    assert response.headers["content-type"].startswith("text/event-stream") and lines[-1] == "data: [DONE]"
    assert all("usage" not in json.loads(line[6:]) for line in lines[:-1])


def test_models_are_listed(client): assert [model.id for model in client.models.list()] == ["baseline", "assistant"]


def test_an_unknown_model(client):
    with pytest.raises(openai.NotFoundError) as caught: client.chat.completions.create(model="baselin", messages=ASK)
    assert caught.value.body["code"] == "model_not_found" and "Did you mean 'baseline'?" in caught.value.body["message"]


@pytest.mark.parametrize("change, words", [
    ({"messages": []}, "messages"),
    ({"messages": [{"role": "user", "content": "  "}]}, "not blank"),
    ({"messages": [{"role": "assistant", "content": "Hi"}]}, "last message"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]}, "image_url"),
    ({"n": 2}, "one answer"), ({"tools": [{"type": "function"}]}, "tools"), ({"response_format": {"type": "json_object"}}, "response_format"),
    ({"model": None}, "model"),
])
def test_a_bad_request_is_400_in_openais_shape(served, change, words):
    response = httpx.post(served[0] + "/v1/chat/completions", json={"model": "assistant", "messages": ASK, **change})
    error = response.json()["error"]
    assert response.status_code == 400 and error["type"] == "invalid_request_error" and words in error["message"]


def test_a_body_that_is_not_json(served):
    response = httpx.post(served[0] + "/v1/chat/completions", content=b"{", headers={"content-type": "application/json"})
    assert response.status_code == 400 and "error" in response.json()


def test_a_body_over_the_limit_declared_or_not(served):
    def pieces():
        for _ in range(BODY_LIMIT // 50_000 + 2): yield b" " * 50_000
    for body in (b" " * (BODY_LIMIT + 1), pieces()):
        response = httpx.post(served[0] + "/v1/chat/completions", content=body, headers={"content-type": "application/json"})
        assert response.status_code == 413 and str(BODY_LIMIT) in response.json()["error"]["message"]


def test_unknown_addresses_and_methods_have_the_same_shape(served):
    for response in (httpx.get(served[0] + "/v1/chat/completions"), httpx.post(served[0] + "/v1/embeddings", json={})):
        assert response.status_code == 404 and response.json()["error"]["type"] == "invalid_request_error"


def test_the_probes_and_safe_headers(served):
    assert httpx.get(served[0] + "/healthz").json() == {"status": "ok"}
    ready = httpx.get(served[0] + "/readyz")
    assert ready.status_code == 200 and ready.json()["model"] == "baseline" and ready.json()["release"] is None
    assert "default-src 'self'" in ready.headers["content-security-policy"]
    page = httpx.get(served[0] + "/")
    assert page.status_code == 200 and "Harbor Bank" in page.text


def test_not_ready_is_503_everywhere_and_alive(served, monkeypatch):
    url, service = served
    monkeypatch.setattr(service, "assistant", None)
    monkeypatch.setattr(service, "error", "no index yet: genai-factory ingest")
    def broken(workspace, version): raise UnavailableError("no index yet: genai-factory ingest")
    monkeypatch.setattr(service, "load", broken)
    assert httpx.get(url + "/healthz").status_code == 200
    assert httpx.get(url + "/readyz").status_code == 503 and "genai-factory ingest" in httpx.get(url + "/readyz").json()["message"]
    for stream in (False, True):
        response = httpx.post(url + "/v1/chat/completions", json={"model": "assistant", "messages": ASK, "stream": stream})
        assert response.status_code == 503 and "genai-factory ingest" in response.json()["error"]["message"]


def test_hanging_up_ends_the_work(served, monkeypatch):
    url, service = served
    slow = StandIn(pause=0.2, pieces=("word ",) * 300)           # a minute of answer
    monkeypatch.setattr(service, "assistant", slow)
    body = {"model": "assistant", "messages": ASK}
    with httpx.stream("POST", url + "/v1/chat/completions", json={**body, "stream": True}) as response:
        next(response.iter_lines())
    until(lambda: slow.closed == 1)
    with pytest.raises(httpx.ReadTimeout): httpx.post(url + "/v1/chat/completions", json=body, timeout=0.5)
    until(lambda: slow.closed == 2)


def test_an_error_in_mid_stream_reaches_the_client(served, client, monkeypatch):
    monkeypatch.setattr(served[1], "assistant", StandIn(fails=RuntimeError("secret detail")))
    with pytest.raises(openai.APIError) as caught: list(client.chat.completions.create(model="assistant", messages=ASK, stream=True))
    with pytest.raises(openai.InternalServerError) as whole: client.chat.completions.create(model="assistant", messages=ASK)
    assert "secret" not in str(caught.value) and "secret" not in str(whole.value) and "log" in str(whole.value)


def test_a_slow_answer_leaves_the_loop_free(served, monkeypatch):
    "While one slow answer is made, the probe answers: nothing blocks the loop."
    url, service = served
    monkeypatch.setattr(service, "assistant", StandIn(pause=0.2, pieces=("a",) * 5))
    with httpx.stream("POST", url + "/v1/chat/completions", json={"model": "assistant", "messages": ASK, "stream": True}) as response:
        lines = response.iter_lines()
        next(lines)
        assert httpx.get(url + "/healthz", timeout=5).status_code == 200
        assert next(line for line in lines if "[DONE]" in line)


def test_a_new_champion_is_loaded_and_a_broken_one_is_not(tmp_path, monkeypatch):
    "The alias is moved under a running service; the registry is a stand-in, the watch is real."
    loaded, found = [], [None]
    def load(workspace, version):
        if version == 2: raise UnavailableError("release 2 is damaged")
        loaded.append(version)
        return StandIn()
    monkeypatch.setattr("genai_factory.app.service.champion", lambda workspace: found[0])
    service = Service(Workspace(tmp_path), load)
    for version in (None, None, 1, 1, 2):
        found[0] = version
        asyncio.run(refresh(service))
    assert loaded == [None, 1] and service.release == 1 and service.error == "release 2 is damaged" and service.model == "champion"


def test_a_port_in_use():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(BusyError, match="--port"): bind("127.0.0.1", other.getsockname()[1])
