"""Many answers at once: rows that join and leave at any token say what they say alone; stop strings in any cut; failures stay where they happen."""

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue

import pytest
import torch
from hypothesis import given, settings, strategies as st

from genai_factory.core.base import ContextLengthError, UnavailableError
from genai_factory.llms.batching import Batcher, Lane, Row, Text
from tests.integration.scripted_model import ScriptedModel, byte_tokenizer


class Bytes:
    "A token is a byte"
    eos_token_id, pad_token_id = 1, None
    def __call__(self, text, add_special_tokens=False): return {"input_ids": list(text.encode())}


class Here:
    "A thread that is this one: what was submitted runs before `submit` returns"
    def submit(self, function, *arguments): function(*arguments)


def network(seed=3, **more):
    from transformers import LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM
    torch.manual_seed(seed)
    config, model = (MistralConfig, MistralForCausalLM) if more else (LlamaConfig, LlamaForCausalLM)
    return model(config(vocab_size=256, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=2,
                        max_position_embeddings=256, initializer_range=0.5, bos_token_id=None, eos_token_id=1, pad_token_id=0, **more)).eval()


@pytest.fixture(scope="module")
def model(): return network()


def request(text, log=None, **options): return Row(write=lambda: text, tell=lambda row: log.append(row) if log is not None and (row.why or row.error) else None, **options)


def alone(model, text, **options):
    row = request(text, **options)
    Batcher(model, Bytes(), Here()).submit([row])
    assert row.error is None
    return row


TEXTS = st.text("abcdefgh ?", min_size=1, max_size=30)
OPTIONS = st.fixed_dictionaries({"max_tokens": st.integers(1, 14), "temperature": st.sampled_from([0.0, 0.0, 1.0]), "seed": st.integers(0, 3)})


@settings(max_examples=25, deadline=None, derandomize=True)   # draws that differ by rounding alone are no failure
@given(st.lists(st.tuples(TEXTS, OPTIONS, st.integers(0, 9)), min_size=2, max_size=6), st.integers(1, 4))
def test_rows_that_come_and_go_say_what_they_say_alone(model, asked, most):
    batcher, waiting = Batcher(model, Bytes(), Here(), most=most), []
    rows = [request(text, **options) for text, options, _ in asked]
    for row, (_, _, at) in zip(rows[1:], asked[1:]): waiting.append((at, row))
    steps = [0]
    def count(row):                       # the others come while the first is being answered
        steps[0] += 1
        for entry in [w for w in waiting if w[0] <= steps[0]]:
            waiting.remove(entry)
            batcher.submit([entry[1]])
    rows[0].tell = count
    batcher.submit(rows[:1])
    for _, row in waiting: batcher.submit([row])
    for row, (text, options, _) in zip(rows, asked, strict=True):
        wanted = alone(model, text, **options)
        assert (row.ids, row.why) == (wanted.ids, wanted.why) and row.total == pytest.approx(wanted.total, abs=1e-3)


def test_greedy_alone_is_what_transformers_says(model):
    for text in ("a", "hello there", "x" * 40):
        ids = torch.tensor([list(text.encode())])
        with torch.no_grad(): wanted = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=20, do_sample=False)[0, ids.shape[1]:].tolist()
        assert alone(model, text, max_tokens=20).ids == wanted


def test_models_with_a_window_start_together_and_say_the_same():
    windowed = network(sliding_window=8)
    texts = ["b" * 30, "a", "hello there, who is it", "cd", "efg"]      # the longest leaves first
    log: list[Row] = []
    rows = [request(text, log, max_tokens=6 + 3 * n) for n, text in enumerate(texts)]
    thread = ThreadPoolExecutor(1)
    gate = threading.Event()
    thread.submit(gate.wait)              # all five are waiting when the thread begins
    batcher = Batcher(windowed, Bytes(), thread, most=3)
    for row in rows: batcher.submit([row])
    gate.set()
    thread.shutdown()
    assert [row.ids for row in rows] == [alone(windowed, text, max_tokens=6 + 3 * n).ids for n, text in enumerate(texts)]
    assert [row.max_tokens for row in log] == [6, 9, 12, 15, 18]


def test_a_place_is_freed_by_giving_up_and_the_next_gets_it(model):
    batcher, log = Batcher(model, Bytes(), Here(), most=1), []
    long, short = request("abc", log, max_tokens=200), request("de", log, max_tokens=3)
    def tell(row):
        if len(row.ids) == 2: batcher.submit([short])
        if len(row.ids) == 5: row.given_up = True
    long.tell = tell
    batcher.submit([long])
    assert len(long.ids) == 5 and long.why is None and short.ids == alone(model, "de", max_tokens=3).ids


def test_one_that_was_given_up_while_it_waited_is_never_read(model):
    row = request("abc")
    row.given_up, row.write = True, lambda: pytest.fail("read")
    Batcher(model, Bytes(), Here()).submit([row])


def test_lanes_take_turns_so_no_adapter_waits_for_another(model):
    order: list[str | None] = []
    batcher = Batcher(model, Bytes(), Here(), switch=order.append)
    batcher._waiting.append(([request("a", max_tokens=5, adapter="x")], False))
    batcher._waiting.append(([request("b", max_tokens=5)], False))
    last = request("c", max_tokens=5, adapter="y")
    batcher.submit([last])
    assert order[:6] == ["x", None, "y"] * 2 and last.why


def test_a_lane_that_never_empties_does_not_grow(model):
    widths, batcher = [], Batcher(model, Bytes(), Here(), most=2)
    forward = model.forward
    def watch(input_ids, attention_mask, position_ids, past_key_values, use_cache, logits_to_keep):
        widths.append(attention_mask.shape[1])
        return forward(input_ids=input_ids, attention_mask=attention_mask, position_ids=position_ids, past_key_values=past_key_values, use_cache=use_cache, logits_to_keep=logits_to_keep)
    left = [40]
    def again(row):
        if (row.why or len(row.ids) == 2) and left[0]:
            left[0] -= 1
            batcher.submit([request("abcd", max_tokens=6, temperature=1.0, seed=left[0], log=None)])
            batcher._waiting[-1][0][0].tell = again
    first = request("abcd", max_tokens=6)
    first.tell = again
    model.forward = watch
    try: batcher.submit([first])
    finally: del model.forward
    assert left == [0] and len(widths) > 50 and max(widths) <= 4 + 6


def test_a_step_that_fails_fails_its_rows_and_the_next_ones_are_answered():
    scripted, log = ScriptedModel(byte_tokenizer(), lambda prompt, begins: "fine"), []
    batcher = Batcher(scripted, scripted.tokenizer, Here())
    def fail_once(rows):
        if len(scripted.steps) == 2: scripted.before = lambda rows: None; raise torch.OutOfMemoryError("tried to allocate 3 GiB")
    scripted.before = fail_once
    broken = request("<|assistant|>", log)
    batcher.submit([broken])
    assert isinstance(broken.error, UnavailableError) and "fewer answers at once" in str(broken.error) and log == [broken]
    good = request("<|assistant|>", log)
    batcher.submit([good])
    assert good.why == "stop" and good.error is None


def test_a_failing_switch_ends_the_request_and_not_the_thread(model):
    def switch(name):
        if name: raise RuntimeError("no such adapter")
    batcher, broken = Batcher(model, Bytes(), Here(), switch=switch), request("a", adapter="x")
    batcher.submit([broken])
    assert "no such adapter" in str(broken.error) and alone(model, "a", max_tokens=2).why


def test_what_is_wrong_with_one_prompt_stays_with_it(model):
    log: list[Row] = []
    rows = [request("x" * 300, log), request("", log), request("abc", log, max_tokens=3), request("y" * 254, log, max_tokens=99)]
    thread, gate = ThreadPoolExecutor(1), threading.Event()
    thread.submit(gate.wait)
    batcher = Batcher(model, Bytes(), thread)
    for row in rows: batcher.submit([row])
    gate.set()
    thread.shutdown()
    assert isinstance(rows[0].error, ContextLengthError) and "300 tokens, more than the 256" in str(rows[0].error)
    assert "empty" in str(rows[1].error) and rows[2].ids == alone(model, "abc", max_tokens=3).ids
    assert len(rows[3].ids) == 2 and rows[3].why == "length"       # what the model can still read


def test_a_listener_that_raises_gives_its_row_up(model):
    row, beside = request("abc", max_tokens=50), request("de", max_tokens=4)
    row.tell = lambda row: 1 / 0
    batcher = Batcher(model, Bytes(), Here())
    batcher._waiting.append(([beside], False))
    batcher.submit([row])
    assert row.given_up and len(row.ids) == 1 and beside.ids == alone(model, "de", max_tokens=4).ids


def test_drawing_with_a_seed_is_the_same_in_company(model):
    wanted = [alone(model, "abc", temperature=1.2, top_p=0.9, seed=seed, max_tokens=12).ids for seed in range(4)]
    rows = [request("abc", temperature=1.2, top_p=0.9, seed=seed, max_tokens=12) for seed in (0, 1, 2, 3)]
    beside = [request(text, temperature=0.7, max_tokens=9) for text in ("zz", "some longer prompt")]
    Batcher(model, Bytes(), Here()).submit([*rows, *beside])
    assert [row.ids for row in rows] == wanted and len({tuple(ids) for ids in wanted}) > 1


# Stop strings and characters

def reference(text, stops):
    "The text before the stop string that is completed first; of those completed at once, the one that began first"
    ends = [(text.find(stop) + len(stop), text.find(stop)) for stop in stops if stop in text]
    return text[:min(ends)[1]] if ends else text


@settings(max_examples=300, deadline=None)
@given(st.text("abAB \n☂ö", max_size=60), st.lists(st.text("abAB \n☂", min_size=1, max_size=4), max_size=3), st.randoms(use_true_random=False))
def test_a_stop_string_ends_the_text_however_it_was_cut(text, stops, rnd):
    data, table, tokens = text.encode(), [], []
    while data:                            # tokens of one to five bytes, in the middle of characters too
        size = rnd.randint(1, 5)
        tokens.append(len(table))
        table.append(data[:size])
        data = data[size:]
    growing, sent = Text(lambda ids: b"".join(table[i] for i in ids).decode(errors="replace"), tuple(stops)), ""
    wanted = reference(text, stops)
    for token in tokens:
        growing.add(token)
        sent += growing.take(growing.stopped)
        assert wanted.startswith(sent)     # nothing that has to be taken back
        if growing.stopped: break
    growing.settle()
    sent += growing.take(last=True)
    assert sent == growing.text == wanted


@pytest.mark.parametrize("kind", ["bytes", "own"])
def test_text_in_pieces_is_the_whole_text(kind):
    from genai_factory.train.words import train_tokenizer
    tokenizer = byte_tokenizer() if kind == "bytes" else train_tokenizer(["The rate of the blue loan is 3 %."] * 2, 200)
    rnd = random.Random(4)
    for _ in range(40):
        ids = [rnd.randrange(2, len(tokenizer)) for _ in range(rnd.randint(1, 120))]
        growing, pieces = Text(lambda ids: tokenizer.decode(ids, skip_special_tokens=True)), []
        for token in ids:
            growing.add(token)
            pieces.append(growing.take())
        growing.settle()
        assert "".join(pieces) + growing.take(last=True) == tokenizer.decode(ids, skip_special_tokens=True)


def test_a_lane_joins_and_leaves_where_the_scripts_say_so():
    "The scripted model's cache is token ids: it complains when a row is cut or padded wrongly"
    answers = {"a": "one", "bbbbbbbbbbbb": "two words and more", "cc": "x" * 40}
    scripted = ScriptedModel(byte_tokenizer(), lambda prompt, begins: answers[prompt.removesuffix("<|assistant|>")])
    batcher, ended = Batcher(scripted, scripted.tokenizer, ThreadPoolExecutor(1), most=2), SimpleQueue()
    rows = [Row(write=lambda text=text: f"{text}<|assistant|>", tell=lambda row: ended.put(row) if row.why or row.error else None) for text in [*answers] * 3]
    for row in rows: batcher.submit([row])
    for _ in rows:
        if error := ended.get(timeout=20).error: raise error
    assert [scripted.tokenizer.decode(row.ids[:-1]) for row in rows] == list(answers.values()) * 3 and max(scripted.steps) == 2
    assert Lane(None, 1).rows == []
