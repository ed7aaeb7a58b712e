"""The contract of an LLM holds for a model in this process: with written-down answers through the real decoding path, and with a tiny real model."""

import json
from contextlib import contextmanager

import pytest

from genai_factory.core.configs import LLMConfig
from genai_factory.llms import huggingface
from genai_factory.testing.llms import LLMContract, TextContract
from tests.integration.scripted_model import ScriptedModel, byte_tokenizer


def written(answer) -> list[str]:
    "An answer of the suite in the pieces that a Hermes-style model would write"
    if answer.json is not None: return [json.dumps(answer.json)]
    pieces = [answer.text] if isinstance(answer.text, str) else list(answer.text)
    calls = [{"name": c.name, "arguments": json.loads(c.arguments)} for c in answer.calls]
    return [piece for piece in [*pieces, *(f"\n<tool_call>\n{json.dumps(c)}\n</tool_call>" for c in calls)] if piece]


class TestScripted(LLMContract):
    reasoning = False     # a local model's thoughts are part of its text

    @contextmanager
    def llm(self, *answers, **settings):
        waiting, given = [written(answer) for answer in answers], {}
        tokenizer = byte_tokenizer(words=[piece for pieces in waiting for piece in pieces if 1 < len(piece) < 12])
        def script(prompt, begins):
            if begins: given[prompt] = "".join(waiting.pop(0))
            return given[prompt]
        model = ScriptedModel(tokenizer, script)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(huggingface, "load_model", lambda path, adapter=None, adapters=None: (model, tokenizer))
            yield huggingface.make(LLMConfig(provider="hf", model="scripted", **{"max_tokens": 2000, **settings}))


class TestTiny(TextContract):
    scripted, tools = False, False

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def folder(cls, tmp_path_factory):
        import torch
        from transformers import LlamaConfig, LlamaForCausalLM
        torch.manual_seed(2)
        tokenizer, cls.place = byte_tokenizer(), tmp_path_factory.mktemp("tiny")
        LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, initializer_range=0.4,
                                     max_position_embeddings=1024, bos_token_id=None, eos_token_id=1, pad_token_id=0)).save_pretrained(cls.place)
        tokenizer.save_pretrained(cls.place)

    @contextmanager
    def llm(self, *answers, **settings): yield huggingface.make(LLMConfig(provider="hf", model=str(self.place), max_tokens=20, **settings))
