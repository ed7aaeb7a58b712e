"""Checkpoints: sealed, found, passed over when damaged, refused when they belong to another run."""

import os

import pytest

from genai_factory.core.base import FactoryError, UsageError
from genai_factory.train.checkpoints import check_numbers, differences, find_checkpoint, seal

RECIPE = {"learning_rate": 0.01, "batch": 32, "seed": 0}


@pytest.fixture
def place(tmp_path):
    for step in (9, 10, 100):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        for name in ("model.safetensors", "optimizer.pt", "rng_state.pth"): (folder / name).write_bytes(os.urandom(500))
        seal(folder, "rows", RECIPE, threads=2)
    return tmp_path


def test_the_newest_by_number_is_found(place):
    found = find_checkpoint(place, "rows", RECIPE)
    assert (found.step, found.threads, found.notes) == (100, 2, [])


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.pt", "rng_state.pth"])
@pytest.mark.parametrize("damage", ["cut", "flip", "remove", "unsealed"])
def test_a_damaged_checkpoint_is_passed_over(place, name, damage):
    file = place / "checkpoint-100" / name
    if damage == "cut": file.write_bytes(file.read_bytes()[:-1])
    if damage == "flip": file.write_bytes(bytes([file.read_bytes()[0] ^ 1]) + file.read_bytes()[1:])
    if damage == "remove": file.unlink()
    if damage == "unsealed": (place / "checkpoint-100" / "manifest.json").unlink()
    found = find_checkpoint(place, "rows", RECIPE)
    assert found.step == 10 and len(found.notes) == 1 and "checkpoint-100" in found.notes[0]


def test_nothing_intact_means_a_fresh_start(place):
    for step in (9, 10, 100): (place / f"checkpoint-{step}" / "optimizer.pt").unlink()
    found = find_checkpoint(place, "rows", RECIPE)
    assert found.folder is None and found.step == 0 and len(found.notes) == 3


@pytest.mark.parametrize(("data", "recipe", "says"), [
    ("other rows", RECIPE, "the rows were rows, are other rows"),
    ("rows", RECIPE | {"learning_rate": 0.9}, "learning_rate was 0.01, is 0.9"),
    ("rows", {"learning_rate": 0.01, "batch": 32}, "seed was 0, is None"),
])
def test_a_checkpoint_of_another_run_is_refused_and_the_difference_named(place, data, recipe, says):
    with pytest.raises(UsageError) as error: find_checkpoint(place, data, recipe)
    assert says in str(error.value)


def test_differences_name_each_setting():
    assert differences({"a": 1, "b": 2}, {"a": 1, "b": 3, "c": 4}) == ["b was 2, is 3", "c was None, is 4"]


@pytest.mark.parametrize(("numbers", "step", "says"), [
    ({"loss": float("nan")}, 7, "step 7"), ({"loss": float("inf")}, 7, "learning rate"), ({"loss": 0.7, "rewards/margins": -0.2}, 1, "it must be 0"),
])
def test_numbers_that_cannot_be_stop_the_run(numbers, step, says):
    with pytest.raises(FactoryError, match=says): check_numbers(numbers, step)


def test_a_margin_later_on_is_fine(): check_numbers({"loss": 0.2, "rewards/margins": 3.0}, 2)
