"""Tokens per CPU second of our decoding loop against `generate` of transformers, one request and eight at once, interleaved in one run; prints the ratios.

One thread computes on either side, so CPU seconds are what it costs, and a busy machine does not blur them; wall seconds stand beside them.
"""

import asyncio
import json
import os
import statistics
import tempfile
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")   # two libraries on equal terms, whatever else runs
ROUNDS, TOKENS, TOGETHER = 5, 48, 8


def models(folder: str):
    "A Llama of about 12 million random weights with a byte tokenizer; nothing ends an answer early"
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM
    from genai_factory.llms.huggingface import HuggingFaceLLM
    from tests.integration.scripted_model import byte_tokenizer
    torch.manual_seed(1)
    tokenizer = byte_tokenizer()
    config = LlamaConfig(vocab_size=len(tokenizer), hidden_size=384, intermediate_size=1024, num_hidden_layers=7, num_attention_heads=6, max_position_embeddings=512,
                         initializer_range=0.1, bos_token_id=None, eos_token_id=1, pad_token_id=0)
    model = LlamaForCausalLM(config)
    model.lm_head.weight.data[:6] = 0
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return HuggingFaceLLM(folder, max_tokens=TOKENS), sum(p.numel() for p in model.parameters())


def ours(llm, questions: list[str]) -> list[list[str]]:
    async def together(): return await asyncio.gather(*(llm.achat(q) for q in questions))
    return [r.text for r in asyncio.run(together())]


def theirs(llm, questions: list[str]) -> list[str]:
    import torch
    from genai_factory.core.base import Message
    from genai_factory.llms.huggingface import render_prompt
    model, tokenizer = llm.load()
    prompts = [render_prompt(llm, [Message("user", q)]) for q in questions]
    batch = tokenizer(prompts, return_tensors="pt", padding=True, padding_side="left", add_special_tokens=False)
    with torch.inference_mode():
        out = model.generate(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], max_new_tokens=TOKENS, do_sample=False)
    return tokenizer.batch_decode(out[:, batch["input_ids"].shape[1]:], skip_special_tokens=True)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        llm, weights = models(folder)
        questions = [f"Question {n}: what does early repayment cost" + " and why" * n + "?" for n in range(TOGETHER)]
        cases = {"one": questions[:1], "eight": questions}
        same = {name: sum(a == b for a, b in zip(ours(llm, asked), theirs(llm, asked))) for name, asked in cases.items()}   # also warms up
        taken: dict[tuple, list[tuple[float, float]]] = {(name, way): [] for name in cases for way in (ours, theirs)}   # CPU and wall seconds of each round
        for _ in range(ROUNDS):
            for name, way in taken:
                cpu, wall = time.process_time(), time.perf_counter()
                way(llm, cases[name])
                taken[name, way].append((time.process_time() - cpu, time.perf_counter() - wall))
    ratio = lambda name, kind: round(statistics.median(t[kind] / o[kind] for o, t in zip(taken[name, ours], taken[name, theirs])), 3)
    speed = lambda name, way: round(len(cases[name]) * TOKENS / statistics.median(cpu for cpu, _ in taken[name, way]), 1)
    print(json.dumps({"value": ratio("eight", 0), "n": ROUNDS, "at_least": 0.7, "unit": "times the tokens per CPU second of transformers' generate, eight at once", "one": ratio("one", 0),
                      "wall": {name: ratio(name, 1) for name in cases},
                      "tokens_per_cpu_second": {name: {"ours": speed(name, ours), "transformers": speed(name, theirs)} for name in cases},
                      "same_answers": same, "weights": weights, "new_tokens": TOKENS}))


if __name__ == "__main__": main()
