"""A model object whose answers are written down: it forces the logits, everything around it is the real decoding path.

Its cache holds the token ids of every row where a real one holds keys, so that joining, leaving and cutting rows is done on something that
notices every mistake: a row that is cut wrong finds no script.
"""

import threading
from types import SimpleNamespace

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import GenerationConfig, PreTrainedTokenizerFast
from transformers.cache_utils import DynamicCache

MARKS = ["<|pad|>", "<|end|>", "<|user|>", "<|assistant|>", "<|system|>", "<|tool|>"]
TEMPLATE = ("{% if tools %}<|system|>TOOLS {{ tools | tojson }}<|end|>{% endif %}{% for m in messages %}<|{{ m.role }}|>{{ m.content }}"
            "{% for c in m.tool_calls or [] %}<tool_call>{{ c.function | tojson }}</tool_call>{% endfor %}<|end|>{% endfor %}"
            "{% if add_generation_prompt %}<|assistant|>{% endif %}")


def byte_tokenizer(template: str | None = TEMPLATE, marks: list[str] = (), words: list[str] = ()) -> PreTrainedTokenizerFast:
    "A token is a byte; `marks` are more special tokens, `words` more tokens of several bytes"
    alphabet = [*MARKS, *marks, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    pieces = Tokenizer(models.BPE(vocab={piece: n for n, piece in enumerate(alphabet)}, merges=[]))
    pieces.pre_tokenizer, pieces.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    made = PreTrainedTokenizerFast(tokenizer_object=pieces, pad_token=MARKS[0], eos_token=MARKS[1], additional_special_tokens=[*MARKS[2:], *marks])
    if words: made.add_tokens(list(words))
    made.chat_template = template
    return made


class ScriptedModel:
    "Answers what `script(prompt, begins)` says to the prompt, token by token; `begins` is true once per request"
    def __init__(self, tokenizer, script, vocab=None, limit=4096):
        self.tokenizer, self.script, self.size = tokenizer, script, vocab or len(tokenizer)
        self.device, self.generation_config = torch.device("cpu"), GenerationConfig(eos_token_id=tokenizer.eos_token_id)
        self.config = SimpleNamespace(get_text_config=lambda: SimpleNamespace(max_position_embeddings=limit))
        self.steps, self.threads, self.before = [], set(), lambda rows: None   # rows of each step; threads that called; a hook

    def forward(self, input_ids, attention_mask, position_ids, past_key_values, use_cache, logits_to_keep): "The parameters that the batcher looks for"

    def __call__(self, input_ids, attention_mask, position_ids, past_key_values, use_cache, logits_to_keep):
        self.before(len(input_ids))
        self.steps.append(len(input_ids))
        self.threads.add(threading.current_thread().name)
        cache = past_key_values or DynamicCache()
        seen, _ = cache.update(input_ids[:, None, :, None].float(), input_ids[:, None, :, None].float(), 0)
        logits = torch.full((len(input_ids), 1, self.size), -20.0)
        for n, (ids, mask, position) in enumerate(zip(seen[:, 0, :, 0].long(), attention_mask.bool(), position_ids[:, -1])):
            ids = ids[mask].tolist()
            assert len(ids) == position + 1, "positions and mask disagree"
            logits[n, 0, self.next_token(ids)] = 20.0
        return SimpleNamespace(logits=logits, past_key_values=cache)

    def next_token(self, ids):
        cut = max((n for n, i in enumerate(ids) if self.tokenizer.convert_ids_to_tokens(i) == "<|assistant|>"), default=-1) + 1
        answer = self.script(self.tokenizer.decode(ids[:cut]), len(ids) == cut)
        wanted = self.tokenizer(answer, add_special_tokens=False)["input_ids"] + [self.tokenizer.eos_token_id]
        done = ids[cut:]
        assert done == wanted[:len(done)], f"this row does not continue its own answer: {self.tokenizer.decode(done)!r} of {answer!r}"
        return wanted[len(done)]


def scripted_llm(monkeypatch, script, tokenizer=None, limit=4096, **options):
    "A `HuggingFaceLLM` around a scripted model: whatever is not the network itself is real"
    from genai_factory.llms import huggingface
    tokenizer = tokenizer or byte_tokenizer()
    model = ScriptedModel(tokenizer, script, limit=limit)
    monkeypatch.setattr(huggingface, "load_model", lambda path, adapter=None, adapters=None: (model, tokenizer))
    llm = huggingface.HuggingFaceLLM("scripted", **options)
    llm.load()
    return llm, model
