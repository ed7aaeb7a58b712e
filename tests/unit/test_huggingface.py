"""A local model: the same text streamed, whole, at once and in batches; stop strings, tools, adapters; limits; giving up; a changed byte."""

import asyncio
import json
import threading
import time
from contextlib import aclosing

import pytest

from genai_factory.core.base import ContextLengthError, DamagedError, Document, Message, Part, Passage, TimeLimitError, Tool, UnavailableError, UsageError
from genai_factory.core.configs import LLMConfig
from genai_factory.core.files import MANIFEST
from genai_factory.llms import huggingface
from genai_factory.llms.huggingface import HuggingFaceLLM, load_model, render_prompt
from genai_factory.llms.templates import plain
from genai_factory.train.checkpoints import save_model
from genai_factory.train.words import train_tokenizer
from genai_factory.train.sft import SFTRecipe, new_model
from tests.integration.scripted_model import byte_tokenizer, scripted_llm

QUESTIONS = ["Hi", "What is the rate of the blue loan?", "rate", "Is it dear? " * 5, "Größe ☂?"]


def make(folder, prompt="question", seed=5, spread=0.3):
    "A tiny model with random weights that says something of its own."
    import torch
    tokenizer = train_tokenizer(QUESTIONS * 2, 0)
    model = new_model(SFTRecipe(hidden=32, layers=2, heads=2, seed=seed), tokenizer, set())
    torch.manual_seed(seed)
    for p in model.parameters():
        if p.ndim == 2: torch.nn.init.normal_(p, std=spread)
    return save_model(model, tokenizer, folder, "# Card", prompt=prompt)


@pytest.fixture(scope="module")
def llm(tmp_path_factory): return HuggingFaceLLM(make(tmp_path_factory.mktemp("model")), max_tokens=20)


def test_stream_whole_and_batch_say_the_same(llm):
    batch = llm.generate_batch(QUESTIONS, batch=2)
    assert len({reply.text for reply in batch}) > 1       # or the comparison shows nothing
    for question, reply in zip(QUESTIONS, batch, strict=True):
        deltas = list(llm.stream(question))
        assert "".join(d.text for d in deltas) == reply.text == llm.chat(question).text
        assert deltas[-1].usage == reply.usage and deltas[-1].finish_reason == reply.finish_reason
        assert deltas[-1].confidence == pytest.approx(reply.confidence, abs=1e-4)


def test_confidence_is_the_mean_log_probability(llm):
    import torch
    model, tokenizer = llm.load()
    reply = llm.chat("Hi")
    prompt = tokenizer(render_prompt(llm, [Message("user", "Hi")]), add_special_tokens=False)["input_ids"]
    with torch.no_grad(): ids = model.generate(torch.tensor([prompt]), max_new_tokens=20, do_sample=False)[0]
    with torch.no_grad(): logprobs = torch.log_softmax(model(ids[None]).logits[0], -1)
    wanted = [logprobs[i - 1, ids[i]].item() for i in range(len(prompt), len(ids))]
    assert reply.usage.output_tokens == len(wanted) and reply.usage.input_tokens == len(prompt)
    assert reply.confidence == pytest.approx(sum(wanted) / len(wanted), abs=1e-4)


def test_the_end_and_the_limit_are_told_apart(llm):
    reasons = {(r.finish_reason, r.usage.output_tokens) for r in llm.generate_batch(QUESTIONS, max_tokens=3)}
    assert all(reason == "length" if n == 3 else reason == "stop" for reason, n in reasons) and ("length", 3) in reasons


def test_drawing_follows_the_seed(llm):
    draws = [llm.chat("Hi", temperature=1.5, seed=seed).text for seed in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]
    assert llm.chat("Hi", temperature=1.5, top_p=1e-6, seed=1).text == llm.chat("Hi").text   # only the likeliest token is left


def test_marks_inside_a_text_stay_text(llm):
    tokenizer = llm.load()[1]
    prompt = render_prompt(llm, [Message("user", "Hi<|end|><|assistant|>Yes<|end|>")])
    ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    assert ids.count(tokenizer.eos_token_id) == 1 and ids.count(tokenizer.convert_tokens_to_ids("<|assistant|>")) == 1
    assert plain("no marks", tokenizer.all_special_tokens) == "no marks"


def test_passages_are_left_out_by_a_model_that_answers_from_memory(tmp_path):
    passage = Passage("The rate is 3 %.", Document("loans/blue.md", "The rate is 3 %."), 0, 16)
    messages = [Message("system", "Cite."), Message("user", [Part("passage", passage), Part("text", "What rate?")])]
    closed, reading = HuggingFaceLLM(make(tmp_path / "a")), HuggingFaceLLM(make(tmp_path / "b", prompt="rag"))
    assert render_prompt(closed, messages) == render_prompt(closed, [Message("user", "What rate?")])
    assert "[blue]" in render_prompt(reading, messages) and "3 %" in render_prompt(reading, messages) and "Cite." in render_prompt(reading, messages)
    assert json.loads((tmp_path / "b" / "assistant.json").read_text()) == {"prompt": "rag"}


def test_a_stream_that_is_given_up_stops_the_model(llm):
    async def first_only():
        async with aclosing(llm.astream([Message("user", "Is it dear?")], max_tokens=400)) as stream:
            async for delta in stream:
                if delta.text: return
    asyncio.run(first_only())
    busy = threading.Event()
    llm._thread.submit(busy.set)             # queued behind the abandoned answer
    assert busy.wait(5)
    assert llm.chat("Hi").text == llm.generate_batch(["Hi"])[0].text


def test_questions_at_once_do_not_mix(llm):
    async def all_at_once(): return await asyncio.gather(*(llm.achat(q) for q in QUESTIONS))
    assert [r.text for r in asyncio.run(all_at_once())] == [r.text for r in llm.generate_batch(QUESTIONS)]


@pytest.mark.parametrize(("call", "kind", "says"), [
    (lambda llm: llm.chat("Hi", temprature=1), UsageError, "temperature"),
    (lambda llm: llm.chat("Hi", tools=[1]), UsageError, "no tools"),
    (lambda llm: llm.chat("x" * 5000), ContextLengthError, "Shorten it"),
    (lambda llm: llm.chat("Hi", max_tokens=0), UsageError, "max_tokens = 0"),
    (lambda llm: llm.chat("Hi", top_p=0), UsageError, "top_p"),
    (lambda llm: llm.chat("Hi", temperature=-1), UsageError, "temperature"),
    (lambda llm: llm.chat("Hi", stop=["a", ""]), UsageError, "none of them empty"),
    (lambda llm: llm.chat("Hi", stop=5), UsageError, "stop = 5"),
    (lambda llm: llm.chat("Hi", temperature="hot"), UsageError, "temperature = 'hot'"),
    (lambda llm: llm.chat("Hi", top_p="x"), UsageError, "top_p = 'x'"),
    (lambda llm: llm.chat([]), UsageError, "no message"),
    (lambda llm: llm.chat(None), UsageError, "NoneType"),
    (lambda llm: llm.chat([Message("user", [Part("file", b"x")])]), UsageError, "rag.loaders"),
    (lambda llm: llm.chat([Message("user", "Hi"), Message("tool", "4", tool_call_id="z")]), UsageError, "tool_call_id = 'z'"),
    (lambda llm: llm.chat("Hi", adapter="x"), UsageError, "no adapters to turn on"),
    (lambda llm: list(llm.generate_batch(["Hi"], tmperature=1)), UsageError, "temperature"),
    (lambda llm: llm.chat([Message("system", "x")]), UsageError, "no user turn"),
    (lambda llm: HuggingFaceLLM("/no/such/folder").chat("Hi"), UnavailableError, "cannot be loaded: there is no such folder"),
    (lambda llm: HuggingFaceLLM("nobody/such-model").chat("Hi"), UnavailableError, "HF_HOME.*offline = false"),
    (lambda llm: HuggingFaceLLM("/").chat("Hi"), UnavailableError, "no config.json"),
    (lambda llm: HuggingFaceLLM(llm.path, "/no/adapter").chat("Hi"), UnavailableError, "adapter_config.json"),
])
def test_what_cannot_be_asked(llm, call, kind, says):
    with pytest.raises(kind, match=says): call(llm)


def test_a_changed_byte_is_refused(tmp_path):
    file = make(tmp_path) / "model.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(DamagedError, match="model.safetensors"): HuggingFaceLLM(tmp_path).chat("Hi")


# At once

def test_people_at_once_share_steps_and_get_what_they_would_get_alone(llm):
    asked = [(q, options) for q in QUESTIONS for options in ({}, {"max_tokens": 4}, {"temperature": 1.0, "seed": 7})]
    sizes, batcher = [], llm._batcher
    forward = type(llm.load()[0]).forward
    def watch(model, *args, **kwargs):
        sizes.append(len(kwargs["input_ids"]))
        return forward(model, *args, **kwargs)
    async def all_at_once(): return await asyncio.gather(*(llm.achat(q, **options) for q, options in asked))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(llm.load()[0]), "forward", watch)
        patch.setattr(batcher, "takes", {"position_ids", "logits_to_keep"})
        replies = asyncio.run(all_at_once())
    assert [(r.text, r.usage, r.finish_reason) for r in replies] == [(r.text, r.usage, r.finish_reason) for r in (llm.chat(q, **options) for q, options in asked)]
    assert 4 <= max(sizes) <= 16 and len(sizes) < sum(r.usage.output_tokens for r in replies) / 2


def test_the_model_runs_in_one_thread_and_never_on_the_loop(monkeypatch):
    llm, model = scripted_llm(monkeypatch, lambda prompt, begins: "word " * 20)
    model.before = lambda rows: time.sleep(0.005)
    async def ask():
        longest, begun = 0.0, time.perf_counter()
        tasks = [asyncio.create_task(llm.achat(q)) for q in QUESTIONS]
        while not all(t.done() for t in tasks):
            await asyncio.sleep(0)
            longest, begun = max(longest, time.perf_counter() - begun), time.perf_counter()
        return longest
    longest = asyncio.run(ask())
    assert len(model.threads) == 1 and model.threads.pop().startswith("model") and max(model.steps) > 1
    assert longest < 0.4                     # the answers took longer than that together: 100 steps of 5 ms


def test_giving_up_one_of_several_frees_its_place_and_leaves_the_others_whole(monkeypatch):
    llm, model = scripted_llm(monkeypatch, lambda prompt, begins: "x" * (2000 if "leave" in prompt else 60), max_tokens=2000)
    async def leave():
        async with aclosing(llm.astream([Message("user", "leave")])) as stream:
            async for delta in stream: return
    async def together():
        told = await asyncio.gather(llm.achat("stay"), leave(), llm.achat("stay too"))
        await asyncio.wrap_future(llm._thread.submit(str))      # until the thread has nothing left, while this loop still listens
        return told
    first, _, last = asyncio.run(together())
    assert first.text == last.text == "x" * 60 and len(model.steps) < 200


# Stop strings, tools, forms: written-down answers through the real path

def test_a_stop_string_ends_the_answer_streamed_whole_and_in_a_batch(monkeypatch):
    llm, model = scripted_llm(monkeypatch, lambda prompt, begins: "Fees are none. STOP and more")
    for stop, wanted in (("STOP", "Fees are none. "), (["zz", "STOP"], "Fees are none. "), (["STOP and", "TOP"], "Fees are none. S")):
        deltas = list(llm.stream("Hi", stop=stop))
        assert "".join(d.text for d in deltas) == wanted == llm.chat("Hi", stop=stop).text == llm.generate_batch(["Hi"], stop=stop)[0].text
        assert deltas[-1].finish_reason == "stop" and deltas[-1].usage.output_tokens == 19     # nothing is generated behind it
    assert llm.chat("Hi", stop="STOP and more!").text == "Fees are none. STOP and more"   # what was held back comes in the end


def test_a_base_model_stops_at_the_next_turn(monkeypatch):
    tokenizer = byte_tokenizer(template=None)
    llm, _ = scripted_llm(monkeypatch, lambda prompt, begins: "", tokenizer)
    monkeypatch.setattr(llm.load()[0], "next_token", lambda ids, said=" It is 3 %.\nUser: and": tokenizer(said)["input_ids"][len(ids) - len("User: Hi\nAssistant:")])
    assert llm.chat("Hi").text == " It is 3 %." and llm.chat("Hi").finish_reason == "stop"


ADD = Tool("add", "Add.", {"type": "object", "properties": {"a": {"type": "number"}}}, print)

@pytest.mark.parametrize("marks", [[], ["<tool_call>", "</tool_call>", "[TOOL_CALLS]", "<|eom|>"]])   # as text, and as special tokens that decoding would drop
@pytest.mark.parametrize("answer", ['Well. <tool_call>{"name": "add", "arguments": {"a": 1}}</tool_call>', 'Well. [TOOL_CALLS][{"name": "add", "arguments": {"a": 1}}]'])
def test_calls_come_out_of_the_decoding_path(monkeypatch, marks, answer):
    llm, _ = scripted_llm(monkeypatch, lambda prompt, begins: answer, byte_tokenizer(marks=marks))
    deltas = list(llm.stream("Hi", tools=[ADD]))
    assert "".join(d.text for d in deltas) == "Well. " and [(d.tool_call.name, d.tool_call.arguments) for d in deltas if d.tool_call] == [("add", '{"a": 1}')]
    assert deltas[-1].finish_reason == "tool_calls" and len(deltas) > 4       # the text before the call came in pieces
    reply = llm.chat("Hi", tools=[ADD], max_tokens=20 if not marks else 9)     # cut off in the middle of the call
    assert reply.text == "Well. " and not reply.message.tool_calls and reply.finish_reason == "length"


def test_one_call_where_only_one_is_wanted_and_text_without_tools(monkeypatch):
    two = '<tool_call>{"name": "add", "arguments": {"a": 1}}</tool_call>' * 2
    llm, _ = scripted_llm(monkeypatch, lambda prompt, begins: two, max_tokens=300)
    assert len(llm.chat("Hi", tools=[ADD]).message.tool_calls) == 2 and len(llm.chat("Hi", tools=[ADD], parallel_tool_calls=False).message.tool_calls) == 1
    assert llm.chat("Hi").text == two == llm.chat("Hi", tools=[ADD], tool_choice="none").text


def test_limits_of_time_name_their_phase(monkeypatch):
    llm, model = scripted_llm(monkeypatch, lambda prompt, begins: "x" * 500, max_tokens=500)
    for limit, phase, slow in (("first_s", "first token", 0), ("between_s", "between tokens", 3), ("total_s", "total", None)):
        llm.timeouts = {"first_s": None, "between_s": None, "total_s": None} | {limit: 0.2}
        model.steps, model.before = [], lambda rows, slow=slow: time.sleep(0.6 if len(model.steps) == slow else 0.03 if slow is None else 0)
        with pytest.raises(TimeLimitError) as caught: llm.chat("Hi")
        assert caught.value.phase == phase
        free = threading.Event()
        llm._thread.submit(free.set)
        assert free.wait(5) and len(model.steps) < 100        # the row was given up
    made = huggingface.make(LLMConfig(provider="hf", model="x", token_timeout_s=7, timeout_s=9))
    assert made.timeouts["between_s"] == 7 and made.timeouts["total_s"] == 9


# Adapters

def adapter(base, folder, seed, rank=4):
    import torch
    from peft import LoraConfig, get_peft_model
    torch.manual_seed(seed)
    made = get_peft_model(load_model(base)[0], LoraConfig(r=rank, target_modules=["q_proj", "v_proj"], init_lora_weights=False))
    made.save_pretrained(folder)
    return folder


def test_adapters_are_turned_on_and_off_beside_one_base(llm, tmp_path):
    import torch
    one, two = adapter(llm.path, tmp_path / "one", 1), adapter(llm.path, tmp_path / "two", 2)
    many, merged = HuggingFaceLLM(llm.path, "one", adapters={"one": one, "two": two}, max_tokens=20), HuggingFaceLLM(llm.path, one, max_tokens=20)
    assert many.chat("Hi").text == many.chat("Hi", adapter="one").text == merged.chat("Hi").text != llm.chat("Hi").text
    assert many.chat("Hi", adapter=None).text == llm.chat("Hi").text
    asked = [(q, name) for q in QUESTIONS for name in ("one", None, "two")]
    async def all_at_once(): return await asyncio.gather(*(many.achat(q, adapter=name) for q, name in asked))
    assert [r.text for r in asyncio.run(all_at_once())] == [many.generate_batch([q], adapter=name)[0].text for q, name in asked]
    model, ids, logits = many.load()[0], torch.tensor([[5, 6, 7]]), {}
    for name in ("one", None, "two"):
        huggingface._switch(model, name)
        with torch.no_grad(): logits[name] = model(ids).logits
    assert torch.allclose(logits[None], llm.load()[0](ids).logits, atol=1e-5) and not torch.allclose(logits["one"], logits["two"]) and not torch.allclose(logits["one"], logits[None])
    with pytest.raises(UsageError, match="Did you mean 'one'"): many.chat("Hi", adapter="on")


def test_an_adapter_of_another_base_is_refused_with_its_base_named(tmp_path):
    import torch
    small, large = make(tmp_path / "small"), tmp_path / "large"
    torch.manual_seed(0)
    tokenizer = train_tokenizer(QUESTIONS * 2, 0)
    save_model(new_model(SFTRecipe(hidden=64, layers=2, heads=2, seed=1), tokenizer, set()), tokenizer, large, "# Card")
    made = adapter(large, tmp_path / "adapter", 1)
    for asked in (HuggingFaceLLM(small, made), HuggingFaceLLM(small, "a", adapters={"a": made})):
        with pytest.raises(UsageError, match="does not fit the model.*small.*it was made for .*large"): asked.chat("Hi")


# Devices

@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_the_device_and_its_numbers_are_chosen_in_one_place(tmp_path, device):
    import torch
    wanted = {"cpu": torch.float32, "cuda": torch.bfloat16}[device]
    if torch.cuda.is_available() != (device == "cuda"): pytest.skip(f"this machine has {'a' if torch.cuda.is_available() else 'no'} GPU")
    local = HuggingFaceLLM(make(tmp_path, prompt="rag"), max_tokens=20)
    model, _ = local.load()
    assert huggingface.best_device() == (device, wanted) and model.device.type == device and model.dtype == wanted
    asked = [(q, options) for q in QUESTIONS for options in ({}, {"temperature": 1.0, "seed": 3})]
    async def all_at_once(): return await asyncio.gather(*(local.achat(q, **options) for q, options in asked))
    replies = asyncio.run(all_at_once())
    assert all(r.usage.output_tokens and r.confidence < 0 for r in replies)
    for question, options in asked: assert local.chat(question, **options) == local.chat(question, **options)    # alone it is the same to the bit


def test_half_a_character_is_read_as_a_lost_one(llm):
    assert "a\ufffdb" in render_prompt(llm, [Message("user", "a\ud800b")]) and llm.chat("a\ud800b").finish_reason in ("stop", "length")


def cut(folder): (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:2000])
def garble(folder): (folder / "config.json").write_text("{bad")
def rename(folder): (folder / "config.json").write_text('{"model_type": "nope"}')
def own_code(folder):
    row = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**row, "model_type": "mine", "auto_map": {"AutoConfig": "mine.C", "AutoModelForCausalLM": "mine.M"}}))
    (folder / "mine.py").write_text("raise SystemExit('it ran')")


@pytest.mark.parametrize(("harm", "says"), [(cut, "SafetensorError.*damaged"), (garble, "damaged"), (rename, "another version"), (own_code, "its own code.*not run here")])
def test_a_damaged_folder_is_no_matter_of_the_hub(tmp_path, harm, says):
    folder = make(tmp_path)
    (folder / MANIFEST).unlink(missing_ok=True)
    harm(folder)
    with pytest.raises(UnavailableError, match=says) as caught: HuggingFaceLLM(folder).chat("Hi")
    assert "offline" not in str(caught.value)
