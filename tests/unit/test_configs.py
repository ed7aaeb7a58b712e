"""YAML at its edges: every wrong file is one error in words that names the place, and a secret neither stands in a file nor in what is printed."""

import pytest

from genai_factory.core.base import UsageError
from genai_factory.core.configs import AgentConfig, LLMConfig, ToolConfig, check, load_yaml


@pytest.fixture
def read(tmp_path):
    "Reads a text as YAML of a kind"
    def read(text, kind=LLMConfig):
        (tmp_path / "c.yaml").write_text(text)
        return load_yaml(tmp_path / "c.yaml", kind)
    return read


@pytest.mark.parametrize("text, why", [
    ("5: x", "key 5 is no text"), ("? \n: x", "key None is no text"), ("options: &a\n  x: *a", "refers to itself"), ("options: " + "{a: " * 2000 + "1" + "}" * 2000, "nested too deeply"),
    ("provider: scripted\nmodel: a\nprovider: openai", "provider.*second time in line 3"), ("options:\n  a: 1\n  a: 2", "second time in line 3"),
    ("model: ${ENV:X}", r"mean \$\{env:X\}"), ("model: ${envv:X}", r"mean \$\{env:X\}"), ("model: ${File:x}", r"mean \$\{file:x\}"),
    ("api_key: ${file:/bin/true}", "cannot be read"), ("api_key: ${file:/}", "cannot be read"), ("api_key: ${other:X}", "must not stand in a file"),
    ("options: {extra_headers: {Authorization: Bearer sk-1}}", "Authorization.*must not stand in a file"), ("options: {token: 12345}", "token.*must not"),
    ("options: {a: [{X-Api-Key: sk-1}]}", "X-Api-Key.*must not"), ("[]", "must hold keys and values"),
])
def test_a_wrong_file_is_one_error_in_words(read, text, why):
    with pytest.raises(UsageError, match=why) as caught: read(text)
    assert "c.yaml" in str(caught.value) and "sk-1" not in str(caught.value)


def test_secrets_of_tools_and_of_agents_are_refused_too(read):
    for kind, text in ((ToolConfig, "name: email\noptions: {password: x}"), (AgentConfig, "llm: {options: {extra_headers: {api-key: x}}}")):
        with pytest.raises(UsageError, match="must not stand in a file"): read(text, kind)


def test_a_folder_and_a_file_that_is_no_text_are_refused(tmp_path):
    with pytest.raises(UsageError, match="directory"): load_yaml(tmp_path, LLMConfig)
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="not YAML"): load_yaml(tmp_path / "b.yaml", LLMConfig)


def test_what_is_right_still_works(read, monkeypatch):
    monkeypatch.setenv("DEMO", "sk-1")
    config = read("base: &b {a: 1}\n".replace("base", "options") + "api_key: ${env:DEMO}\nmodel: 'echo ${HOME:-x} ${other:y}'")
    assert config.model == "echo ${HOME:-x} ${other:y}" and config.api_key.get_secret_value() == "sk-1"
    config = read("options:\n  extra_headers: {Authorization: 'Bearer ${env:DEMO}', X: 1}\n  one: &one {a: 1, b: 2}\n  two: {<<: *one, a: 3}")
    assert config.options["extra_headers"]["Authorization"] == "Bearer sk-1" and config.options["two"] == {"a": 3, "b": 2}


def test_secrets_are_masked_wherever_a_configuration_is_shown():
    config = AgentConfig(llm=LLMConfig(options={"extra_headers": {"Authorization": "Bearer sk-1", "x-api-key": "sk-1"}, "list": [{"token": "sk-1"}], "max_tokens": 7}))
    assert "sk-1" not in f"{config!r} {config} {config.llm!r}" and "'max_tokens': 7" in repr(config)


@pytest.mark.parametrize("values", [None, [1], 5, {1: 2}])
def test_check_says_what_it_expects(values):
    with pytest.raises(UsageError, match="keys and values are expected|is no text"): check(LLMConfig, values, "here")
