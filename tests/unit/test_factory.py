"""Parts are built from names, dictionaries, configurations and files; what is wrong is told by its key, and nothing in a file can run code."""
from __future__ import annotations

import pytest

from genai_factory.core.base import LLM, Delta, Score, Tool, UnavailableError, UsageError
from genai_factory.core.configs import AgentConfig, EvaluatorConfig, LLMConfig, PromptConfig, ToolConfig
from genai_factory.factory import BUILT_IN, build, find, make_evaluator, make_llm, make_prompt, make_tool, names, register
from genai_factory.llms.openai import OpenAILLM
from genai_factory.llms.resilience import ResilientLLM


@pytest.mark.parametrize("kind, name", [(kind, name) for kind, table in BUILT_IN.items() for name in table])
def test_every_name_in_the_table_leads_somewhere(kind, name): assert callable(find(kind, name))


@pytest.mark.parametrize("kind, wrong, said", [
    ("llm", "opnai:x", "Did you mean 'openai'"), ("tool", "calcualtor", "Did you mean 'calculator'"), ("agent", "raect", "Did you mean 'react'"),
    ("evaluator", "exact_mach", "Did you mean 'exact_match'"), ("prompt", "few_shot", "Did you mean 'fewshot'"), ("lmm", "x", "Did you mean 'llm'"),
    ("llm", {"provider": "scripted", "modle": "x"}, "Did you mean 'model'"), ("tool", {"nam": "calculator"}, "Did you mean 'name'"),
    ("agent", {"limits": {"step": 3}}, "Did you mean 'steps'"), ("agent", {"members": [{"nmae": "x"}]}, "Did you mean 'name'"),
    ("agent", {"limits": {"steps": 0}}, "greater than or equal to 1"), ("tool", {"name": "calculator", "options": {"speed": 9}}, "speed"),
])
def test_what_is_wrong_is_told_by_its_key(kind, wrong, said):
    with pytest.raises(UsageError, match=said): build(kind, wrong)


def test_a_file_names_registered_things_only(tmp_path):
    file = tmp_path / "agent.yaml"
    file.write_text("llm: os:system\nkind: react\n")
    with pytest.raises(UsageError, match="There is no llm 'os'"): build("agent", file)
    file.write_text("!!python/object/apply:os.system ['true']\n")
    with pytest.raises(UsageError, match="is not YAML"): build("agent", file)


def test_a_provider_is_asked_once_by_its_client_and_again_by_us_alone():
    llm = make_llm("openai:m", api_key="k", max_retries=3)
    assert isinstance(llm, ResilientLLM) and isinstance(llm.seats[0].llm, OpenAILLM)
    assert llm.seats[0].llm.config.max_retries == 0 and llm.config.max_retries == 3
    assert isinstance(make_llm("openai:m", api_key="k", max_retries=0), OpenAILLM)      # nothing is asked for: nothing is wrapped


def test_a_configuration_is_checked_again_when_it_is_changed():
    config = LLMConfig(provider="scripted", options={"replies": ["a"]})
    assert make_llm(config, temperature=1.0).chat("x").text == "a"
    with pytest.raises(UsageError, match="temperature"): make_llm(config, temperature=9)


def test_a_missing_key_names_the_variable(monkeypatch):
    for provider, variable in (("openai", "OPENAI_API_KEY"), ("anthropic", "ANTHROPIC_API_KEY")):
        monkeypatch.delenv(variable, raising=False)
        with pytest.raises(UnavailableError, match=variable): make_llm(f"{provider}:m").chat("hello")


def test_fallbacks_are_built_by_name():
    register("llm", "down", type("Down", (LLM,), {"__init__": lambda self, config: None, "astream": _down}))
    llm = make_llm("down:a", fallbacks=["scripted"], max_retries=0)
    assert [seat.llm.model for seat in llm.seats][1:] == ["scripted"]


async def _down(self, messages, **options):
    raise UnavailableError("down")
    yield Delta("")


def test_tools_take_options_and_overrides():
    one = make_tool(ToolConfig(name="calculator", max_output=7, approval=True))
    assert isinstance(one, Tool) and one.max_output == 7 and one.approval is True
    register("tool", "pair", lambda: [make_tool("calculator"), make_tool("calculator")])
    assert [t.timeout_s for t in make_tool(ToolConfig(name="pair", timeout_s=3))] == [3, 3]


def test_prompts_come_from_templates_examples_or_names():
    assert make_prompt(PromptConfig(prompt="p", template="Hello {name}")).render(name="{x.__class__}")[0].text == "Hello {x.__class__}"
    shots = make_prompt(PromptConfig(prompt="p", examples=[{"question": "1+1", "answer": "2"}, {"question": "2+2", "answer": "4"}], k=1))
    assert [m.role for m in shots.render(question="3+3")] == ["user", "assistant", "user"]
    assert make_prompt("question")("Hi")[0].text == "Hi"


def test_evaluators_with_fixed_options():
    register("evaluator", "at_most", lambda outputs, words=3: Score("at_most", float(len(outputs.split()) <= words)))
    assert make_evaluator("at_most")(outputs="a b c d").value == 0
    assert make_evaluator(EvaluatorConfig(name="at_most", options={"words": 4}))(outputs="a b c d").value == 1


def test_other_packages_offer_parts_by_entry_point(tmp_path, monkeypatch):
    (tmp_path / "theirs.py").write_text("from genai_factory.core.base import LLM, Delta\nclass Echo(LLM):\n    def __init__(self, config): self.model = 'echo'\n"
                                        "    async def astream(self, messages, **options): yield Delta(messages[-1].text, finish_reason='stop')\n")
    info = tmp_path / "theirs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[genai_factory]\nllm.echo = theirs:Echo\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "echo" in names("llm") and make_llm("echo", max_retries=0).chat("hi").text == "hi"


def test_agents_are_described_completely():
    described = {name for name, field in AgentConfig.model_fields.items() if field.description}
    assert {"kind", "llm", "mode", "members", "policy", "process", "tasks"} <= described


def test_a_tool_is_retried_as_configured_unless_it_acts():
    from genai_factory.tools.toolset import Toolset, as_tool
    assert make_tool("calculator").retries == 0 and make_tool(ToolConfig(name="calculator", retries=2)).retries == 2
    with pytest.raises(UsageError, match="retries"): build("tool", {"name": "calculator", "retries": -1})
    def wipe():
        "Deletes it all."
    register("tool", "wipe", lambda: as_tool(wipe, risk="acts"))
    with pytest.raises(UsageError, match="'wipe' acts"): Toolset([make_tool(ToolConfig(name="wipe", retries=1))])
    register("tool", "both", lambda: [make_tool("calculator"), as_tool(wipe, risk="acts")])
    assert [one.retries for one in make_tool(ToolConfig(name="both", retries=2))] == [2, 0], "of several tools those that read"
