"""The foundation: messages, settings, configurations, files."""

import json
import os
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genai_factory.core import configs, files
from genai_factory.core.base import LLM, DamagedError, Delta, Document, InputError, Message, Part, Passage, ToolCall, Usage, UsageError
from genai_factory.core.settings import Settings, Workspace, open_workspace, read_settings
from genai_factory.prompts import Prompt, rag_prompt

ROOT = Path(__file__).parents[2]


class Replays(LLM):
    def __init__(self, deltas): self.deltas, self.model = deltas, "replays"
    async def astream(self, messages, **options):
        for delta in self.deltas: yield delta


@given(st.text(max_size=60), st.data())
@settings(max_examples=50, deadline=None)
def test_any_cutting_of_a_reply_gives_the_same_reply(text, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    end = Delta(tool_call=ToolCall("1", "f", "{}"), usage=Usage(3, 4), finish_reason="stop")
    llm = Replays([*(Delta(piece) for piece in pieces), end])
    reply = llm.chat("x")
    assert reply.text == text == "".join(delta.text for delta in llm.stream("x"))
    assert reply.usage.total_tokens == 7 and reply.message.tool_calls[0].name == "f" and reply.finish_reason == "stop"


def test_parts_keep_their_origin():
    document = Document("a/b.c.md", "One. Two.")
    message = rag_prompt("What?", [Passage("One.", document, 0, 4)])[-1]
    assert document.stem == "b.c" and message.text == "What?"
    assert [(part.kind, part.trusted) for part in message.content] == [("passage", False), ("text", True)]
    assert message.flat() == "[b.c]\nOne.\n\nWhat?"


@pytest.mark.parametrize("text", ["{x.__class__}", "{{7*7}}", "{who}", "<|im_start|>system", "%(who)s ${who}", "\\g<0>"])
def test_what_people_write_is_never_a_template(text):
    assert Prompt("p", "Say {who} now").render(who=text)[0].text == f"Say {text} now"


def test_settings_ini_documents_every_key():
    text = (ROOT / "settings.ini").read_text()
    documented = dict(re.findall(r"^# (\w+)\s{2,}(.+)$", text, re.MULTILINE))
    assert {key: field.description for key, field in Settings.model_fields.items()} == documented
    for profile in ("local", "cluster"): read_settings(ROOT / "settings.ini", profile)


def test_settings_order(tmp_path, monkeypatch):
    (tmp_path / "settings.ini").write_text("[local]\nport = 1\n[cluster]\nport = 2\n")
    assert open_workspace(tmp_path).settings.port == 1
    assert open_workspace(tmp_path, "cluster").settings.port == 2
    monkeypatch.setenv("GENAI_FACTORY_PORT", "3")
    assert open_workspace(tmp_path).settings.port == 3
    assert open_workspace(tmp_path, port=4).settings.port == 4


@pytest.mark.parametrize("text, said", [
    ("[local]\nprot = 1\n", "Did you mean 'port'"), ("[local]\nport = many\n", "port = 'many' is wrong"), ("port = 1\n", "cannot be read"),
    ("[local]\nport = 99999\n", "port = '99999'")])
def test_wrong_settings_name_file_and_key(tmp_path, text, said):
    (tmp_path / "settings.ini").write_text(text)
    with pytest.raises(UsageError, match=re.escape(said)) as caught: open_workspace(tmp_path)
    assert "settings.ini" in str(caught.value)


def test_unknown_profile(tmp_path):
    (tmp_path / "settings.ini").write_text("[local]\n[cluster]\n")
    with pytest.raises(UsageError, match="Did you mean 'cluster'"): open_workspace(tmp_path, "clustr")
    (tmp_path / "settings.ini").write_text("[locl]\nport = 1\n")
    with pytest.raises(UsageError, match="Did you mean 'locl'"): open_workspace(tmp_path)     # a mistyped section is not ignored


def test_workspace_is_found_from_below(tmp_path, monkeypatch):
    (tmp_path / "settings.ini").write_text("[local]\n")
    (tmp_path / "deep/er").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "deep/er")
    monkeypatch.delenv("GENAI_FACTORY_WORKSPACE", raising=False)
    assert open_workspace().root == tmp_path


def test_a_folder_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / ".genai_factory").write_text("a file where the folder should be")
    with pytest.raises(InputError, match="Cannot write"): Workspace(tmp_path).prepare()


@pytest.mark.parametrize("name", configs.KINDS)
def test_shipped_configurations_load_and_describe_their_keys(name):
    config = configs.load_config(name)
    for key in type(config).model_fields: assert key.isidentifier()


def test_a_workspace_file_wins_and_an_unknown_key_is_refused(tmp_path):
    workspace = Workspace(tmp_path)
    (tmp_path / "configs").mkdir()
    own = tmp_path / "configs/retriever_config.yaml"
    own.write_text("k: 9\n")
    assert configs.load_config("retriever", workspace).k == 9
    for text, said in [("kk: 9", "unknown key 'kk'"), ("k: none", "k = 'none' is wrong"), ("- k", "must hold keys"), ("k: [", "not YAML"), ("k: 0", "k = 0")]:
        own.write_text(text)
        with pytest.raises(UsageError, match=re.escape(said)) as caught: configs.load_config("retriever", workspace)
        assert "retriever_config.yaml" in str(caught.value)


def test_nested_unknown_key_names_the_nearest():
    with pytest.raises(UsageError, match="Did you mean 'margin'"): configs.check(configs.RLHFConfig, {"release": {"margn": 0.1}})


def test_yaml_cannot_run_code(tmp_path):
    (tmp_path / "retriever_config.yaml").write_text("k: !!python/object/apply:os.system ['true']")
    with pytest.raises(UsageError, match="not YAML"): configs.load_yaml(tmp_path / "retriever_config.yaml", configs.RetrieverConfig)


def test_secrets_do_not_print():
    config = configs.LLMConfig(api_key="hunter2")
    assert "hunter2" not in f"{config!r} {config.model_dump_json()} {configs.config_hash(config)}"


@given(st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), st.binary(max_size=40), min_size=1, max_size=5), st.data())
@settings(max_examples=40, deadline=None)
def test_any_changed_byte_is_noticed(tmp_path_factory, contents, data):
    folder = tmp_path_factory.mktemp("m")
    for name, content in contents.items(): (folder / name).write_bytes(content)
    files.write_manifest(folder)
    files.verify_manifest(folder)
    name = data.draw(st.sampled_from(sorted(contents)))
    content = contents[name]
    at = data.draw(st.integers(0, len(content)))
    (folder / name).write_bytes(content[:at] if at < len(content) else content + b"x")
    with pytest.raises(DamagedError, match=name): files.verify_manifest(folder)


def test_damaged_manifests_are_told(tmp_path):
    with pytest.raises(DamagedError, match="no manifest"): files.verify_manifest(tmp_path)
    for text in ("{", "[]", '{"files": 3}'):
        (tmp_path / "manifest.json").write_text(text)
        with pytest.raises(DamagedError): files.verify_manifest(tmp_path)
    (tmp_path / "manifest.json").write_text(json.dumps({"files": {"gone": "0"}}))
    with pytest.raises(DamagedError, match="gone"): files.verify_manifest(tmp_path)


def test_fingerprint_ignores_dates_and_places_but_not_names(tmp_path):
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "x").write_text("1")
    os.utime(tmp_path / "b/x", (0, 0))
    assert files.fingerprint(tmp_path / "a") == files.fingerprint(tmp_path / "b")
    (tmp_path / "b/x").rename(tmp_path / "b/y")
    assert files.fingerprint(tmp_path / "a") != files.fingerprint(tmp_path / "b")
    with pytest.raises(InputError, match="does not exist"): files.fingerprint(tmp_path / "c")


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    target = files.atomic_write(tmp_path / "note", "old")
    def refuse(*_): raise OSError("disk full")
    monkeypatch.setattr(files.os, "fsync", refuse)
    with pytest.raises(OSError, match="disk full"): files.atomic_write(target, "new")
    assert target.read_text() == "old" and [p.name for p in tmp_path.iterdir()] == ["note"]


def test_message_text_is_only_text():
    message = Message("user", [Part("reasoning", "hm"), Part("text", "a"), Part("text", "b")])
    assert message.text == "a\nb" and message.passages == []
