"""Training through TRL: the same bits after a kill, refusals, damaged checkpoints, public rows, and preferences."""

import os
import random
import shutil
import signal
import subprocess
import sys
from dataclasses import replace

import pytest

from genai_factory.core.base import InputError, UsageError
from genai_factory.core.files import read_manifest, sha256_file, verify_manifest
from genai_factory.llms.huggingface import HuggingFaceLLM
from genai_factory.train.data import Ledger, read_conversations
from genai_factory.train.preference import PreferenceRecipe, train_preference
from genai_factory.train.sft import SFTRecipe, batch_order, train_sft

TINY = SFTRecipe(hidden=32, layers=1, heads=2, general=0, batch=8, max_steps=30, warmup=3, max_length=64)
STYLES = ("It is {}.", "Thank you for asking. It is {}.")
ROWS = [(f"row {n}", [{"role": "user", "content": f"What is {n} + {m}?"}, {"role": "assistant", "content": STYLES[n % 2].format(n + m)}])
        for n in range(12) for m in range(6)]
PAIRS = [(f"pair {n}", {"prompt": [{"role": "user", "content": f"What is {n} + 1?"}], "chosen": [{"role": "assistant", "content": STYLES[1].format(n + 1)}],
                        "rejected": [{"role": "assistant", "content": STYLES[0].format(n + 1)}]}) for n in range(12)]

CHILD = """
import os, signal, sys
from pathlib import Path
from tests.integration.test_training import ROWS, TINY
from genai_factory.train.sft import train_sft
place, resume, last = Path(sys.argv[1]), sys.argv[2] or None, int(sys.argv[3])
def die(done, total):
    if done == last: os.kill(os.getpid(), signal.SIGKILL)
train_sft(ROWS, place / "model", TINY, checkpoints=place / "checkpoints", resume=resume, progress=die)
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    "An uninterrupted run, with one thread as the tests fix it."
    import torch
    torch.set_num_threads(1)
    place = tmp_path_factory.mktemp("whole")
    return train_sft(ROWS, place / "model", TINY, checkpoints=place / "checkpoints")


def weights(result_or_folder): return sha256_file(getattr(result_or_folder, "folder", result_or_folder) / "model.safetensors")


def killed(place, step, resume=""):
    "A run in a process of its own that is killed without warning after `step`."
    done = subprocess.run([sys.executable, "-c", CHILD, str(place), str(resume), str(step)], env=os.environ | {"OMP_NUM_THREADS": "1"},
                          capture_output=True, text=True, timeout=280)
    assert done.returncode == -signal.SIGKILL, done.stderr[-2000:]
    return place / "checkpoints"


def test_a_killed_run_goes_on_to_the_same_bits(whole, tmp_path):
    step = random.randint(7, 29)
    left = killed(tmp_path / "first", step)
    result = train_sft(ROWS, tmp_path / "second" / "model", TINY, resume=left)
    assert 0 < result.resumed_from <= step and result.steps == 30
    assert weights(result) == weights(whole), f"killed at step {step}"


@pytest.mark.slow
@pytest.mark.parametrize("number", range(5))
def test_killed_twice_at_any_step(whole, tmp_path, number):
    first, second = sorted(random.sample(range(2, 30), 2))
    left = killed(tmp_path / "first", first)
    left = killed(tmp_path / "second", second, resume=left)
    result = train_sft(ROWS, tmp_path / "third" / "model", TINY, resume=left)
    assert weights(result) == weights(whole), f"killed at {first} and {second}"


def test_damage_is_passed_over_and_changes_are_refused(whole, tmp_path):
    place = shutil.copytree(whole.folder.parent / "checkpoints", tmp_path / "checkpoints")
    shutil.rmtree(place / "checkpoint-30")
    with pytest.raises(UsageError, match="learning_rate was 0.01, is 0.9"): train_sft(ROWS, tmp_path / "m", replace(TINY, learning_rate=0.9), resume=place)
    with pytest.raises(UsageError, match="the rows were"): train_sft(ROWS[1:], tmp_path / "m", TINY, resume=place)
    file = place / "checkpoint-27" / "optimizer.pt"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    result = train_sft(ROWS, tmp_path / "model", TINY, resume=place)
    assert result.resumed_from == 0 and "optimizer.pt" in result.notes[0] and weights(result) == weights(whole)


def test_the_model_folder_is_whole_and_says_what_it_is(whole):
    manifest = verify_manifest(whole.folder)
    assert manifest["recipe"]["max_steps"] == 30 and manifest["threads"] == 1 and len(manifest["data"]) == 64
    assert "memorises" in (whole.folder / "README.md").read_text()
    assert whole.losses[-1] < whole.losses[0] / 2 and whole.tokens_per_second > 0


def test_rows_that_are_too_long_are_told(tmp_path):
    long = [("long", [{"role": "user", "content": "What " * 80}, {"role": "assistant", "content": "No."}]),
            ("half", [{"role": "user", "content": "What?"}, {"role": "assistant", "content": "It is " * 60}])]
    ledger = Ledger()
    train_sft([*ROWS, *long], tmp_path / "model", replace(TINY, max_steps=2), ledger=ledger)
    assert (ledger.read, ledger.kept, ledger.truncated, ledger.dropped.total()) == (len(ROWS) + 2, len(ROWS) + 1, 1, 1)
    assert {line["where"] for line in ledger.lines} == {"long", "half"}
    with pytest.raises(InputError, match="No row keeps"): train_sft(long[:1], tmp_path / "none", TINY)


@pytest.mark.parametrize(("change", "says"), [({"optimizer": "moun"}, "Did you mean 'muon'"), ({"heads": 3}, "multiple of heads"), ({"lora_rank": 4}, "adamw")])
def test_a_recipe_that_cannot_be_is_refused(tmp_path, change, says):
    with pytest.raises(UsageError, match=says): train_sft(ROWS, tmp_path / "model", replace(TINY, **change))


def test_batches_hold_every_row_once_a_pass():
    lengths = [random.randint(5, 60) for _ in range(530)]
    order = batch_order(lengths, 16, 100, seed=1)
    assert len(order) == 1600 and sorted(order[:530]) == list(range(530)) and order != batch_order(lengths, 16, 100, seed=2)
    spread = lambda rows: sum(max(map(lengths.__getitem__, rows[n:n + 16])) * 16 for n in range(0, 528, 16)) / sum(lengths[row] for row in rows[:528])
    assert spread(order) < 1.2 < spread(random.Random(0).sample(range(530), 530))     # little is padding


@pytest.mark.public_data
def test_school_sums_are_learned_from_their_own_file(public_data, tmp_path):
    ledger, tokens = Ledger(), Ledger()
    rows = read_conversations(public_data / "gsm8k" / "train.jsonl", ledger)[:400]
    result = train_sft(rows, tmp_path / "model", SFTRecipe(hidden=64, layers=1, batch=8, max_steps=40, max_length=160), ledger=tokens)
    assert ledger.check().read > 7000 and tokens.read == 400 == tokens.kept + tokens.dropped.total() and tokens.truncated > 0
    assert sum(result.losses[-8:]) < 0.8 * sum(result.losses[:8])


def test_an_adapter_on_a_base_is_merged_and_serves(whole, tmp_path):
    recipe = SFTRecipe(base=str(whole.folder), optimizer="adamw", lora_rank=4, batch=8, max_steps=3, learning_rate=1e-2, max_length=64)
    result = train_sft(ROWS, tmp_path / "model", recipe)
    assert weights(result) != weights(whole) and not list(result.folder.glob("adapter*"))
    assert HuggingFaceLLM(result.folder, max_tokens=8).chat("What is 1 + 1?").text
    assert read_manifest(result.folder)["recipe"]["lora_rank"] == 4


@pytest.mark.parametrize("method", ["dpo", "kto"])
def test_preferences_change_the_style(whole, tmp_path, method):
    questions = [pair["prompt"][0]["content"] for _, pair in PAIRS]
    polite = lambda folder: sum(reply.text.startswith("Thank") for reply in HuggingFaceLLM(folder, max_tokens=12).generate_batch(questions))
    recipe = PreferenceRecipe(method=method, max_steps=25, batch=12, learning_rate=2e-3)
    result = train_preference(PAIRS, whole.folder, tmp_path / "model", recipe)
    assert abs(result.history[0].get("rewards/margins", 0)) < 1e-3 and result.history[-1]["loss"] < result.history[0]["loss"]
    assert polite(result.folder) > polite(whole.folder)
    assert verify_manifest(result.folder)["aligned"]["method"] == method


def test_nothing_is_reported_even_when_the_hub_client_was_imported_before(tmp_path, monkeypatch):
    from huggingface_hub import constants
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", False)
    train_sft(ROWS, tmp_path / "model", replace(TINY, max_steps=1))     # the guard of every test fails this one at the first try
    assert constants.HF_HUB_OFFLINE and constants.HF_HUB_DISABLE_TELEMETRY


def test_a_pair_without_room_for_an_answer_is_named(whole, tmp_path):
    long = ("pairs.jsonl:7", {**PAIRS[0][1], "prompt": [{"role": "user", "content": "What " * 100}]})
    with pytest.raises(InputError, match="pairs.jsonl:7: its prompt has"): train_preference([*PAIRS, long], whole.folder, tmp_path / "m", PreferenceRecipe(max_steps=2))
