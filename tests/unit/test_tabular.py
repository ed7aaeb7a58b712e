"""Credit figures, measures and scorecards: what is refused, what the formulas say, and that points are the model."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st
from sklearn.metrics import brier_score_loss, roc_auc_score

from genai_factory.core.base import InputError
from genai_factory.train import scorecard, tabular
from genai_factory.train.tabular import PERSONAL, UNITS, auroc, by_group, calibration, candidates, cost_per_row, fit, log_odds, read_credit, reliability

CREDITS = Path(__file__).parents[2] / "data/credit/german_credit.csv"


@pytest.fixture(scope="module")
def credits(): return read_credit(CREDITS)


def test_the_table(credits):
    table, bad = credits
    assert table.shape == (515, 20) and bad.sum() == 165 and list(table) == list(tabular.CODES)
    assert table.iloc[0].to_dict() | {"age": 67, "duration": 6, "purpose": "radio or television", "checking_account": "below 0"} == table.iloc[0].to_dict()


@pytest.mark.parametrize(("change", "told"), [
    (lambda lines: [lines[0].replace("duration", "duratio"), *lines[1:]], r"line 1: there is no column 'duration'\. Did you mean 'duratio'"),
    (lambda lines: [*lines[:3], lines[3].replace("A201", "A203"), *lines[4:]], r"line 4, column 'foreign_worker': unknown code 'A203'"),
    (lambda lines: [*lines[:3], lines[3].replace(",A14,", ",,", 1), *lines[4:]], r"line 4, column 'checking_account': unknown code ''"),
    (lambda lines: [lines[0], lines[1].replace(",6,A34", ",-6,A34"), *lines[2:]], r"line 2, column 'duration': '-6' is not a whole number"),
    (lambda lines: [lines[0], lines[1].replace(",6,A34", ",six,A34"), *lines[2:]], r"line 2, column 'duration': 'six' is not a whole number"),
    (lambda lines: [lines[0], lines[1][:-1] + "3", *lines[2:]], r"line 2, column 'target': '3' is neither 1"),
    (lambda lines: [lines[0], lines[1] + ",9", *lines[2:]], r"line 2: too many fields; the first line names 22"),
    (lambda lines: [lines[0], lines[1].rsplit(",", 2)[0], *lines[2:]], r"line 2: too few fields"),
    (lambda lines: [*lines[:3], lines[1], *lines[3:]], r"line 4, column 'row_id': 0 stands on line 2 already"),
    (lambda lines: lines[:20], r"19 rows are not enough"),
    (lambda lines: [lines[0], *(line.rpartition(",")[0] + ",1" for line in lines[1:])], r"rows have the same target"),
    (lambda lines: [*lines[:3], "x" * 200_000, *lines[3:]], r"line 4: longer than 10,000 characters"),
    (lambda lines: [lines[0] + ",target", *(line + ",1" for line in lines[1:])], r"'target' stands there twice"),
    (lambda lines: [line for line in lines if not line.endswith(",2")], r"all 350 rows have the same target"),
    (lambda lines: [], r"line 1: there is no column"),
])
def test_a_wrong_table_is_refused_by_line_and_column(tmp_path, change, told):
    file = tmp_path / "credits.csv"
    file.write_text("\n".join(change(CREDITS.read_text().splitlines())))
    with pytest.raises(InputError, match=told): read_credit(file)


def test_files_that_are_none(tmp_path):
    (tmp_path / "x.csv").write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "x.csv", tmp_path / "none.csv", tmp_path):
        with pytest.raises(InputError, match="cannot be read"): read_credit(path)


scores = st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=6, max_size=40).filter(lambda rows: 2 <= sum(b for b, _ in rows) <= len(rows) - 2)

@settings(max_examples=80, deadline=None)
@given(scores)
def test_auroc_is_scikit_learn_s(rows):
    bad, score = [b for b, _ in rows], [s for _, s in rows]
    (value, low, high), = auroc(bad, score)
    assert math.isclose(value, roc_auc_score(bad, score), abs_tol=1e-12) and low <= value <= high


def test_delong_s_variance_is_the_plain_double_sum():
    rng = np.random.default_rng(0)
    bad, one, two = rng.random(60) < 0.4, rng.normal(size=60).round(1), rng.normal(size=60).round(1)
    def parts(score):
        wins = (score[bad][:, None] > score[~bad]) + 0.5 * (score[bad][:, None] == score[~bad])
        return wins.mean(1), wins.mean(0)
    (v10, v01), (w10, w01) = parts(one), parts(two)
    spread = np.cov(v10, w10) / bad.sum() + np.cov(v01, w01) / (~bad).sum()
    first, second, gap = auroc(bad, one, two)
    z = 1.959963984540054
    assert np.allclose([(x[2] - x[0]) / z for x in (first, second)], np.sqrt(np.diag(spread))) and np.isclose((gap[2] - gap[0]) / z, math.sqrt(spread[0, 0] + spread[1, 1] - 2 * spread[0, 1]))
    assert np.isclose(gap[0], first[0] - second[0])


def test_delong_s_interval_holds_the_truth_as_often_as_it_says():
    rng, held = np.random.default_rng(1), 0
    truth = 0.5 * (1 + math.erf(0.5))     # two normals one apart: Phi(1 / sqrt(2))
    for _ in range(400):
        bad = np.arange(120) < 40
        (value, low, high), = auroc(bad, rng.normal(size=120) + bad)
        held += low <= truth <= high
    assert 0.91 <= held / 400 <= 0.98


def test_cost_and_calibration():
    bad, risk = [1, 0, 0, 1], [0.1, 0.2, 0.1, 0.9]
    assert cost_per_row(bad, risk) == 1.5 and cost_per_row(bad, risk, threshold=0.05) == 0.5 and cost_per_row(bad, [1 / 6] * 4) == 0.5
    rng = np.random.default_rng(0)
    risk = rng.random(5000)
    bad = rng.random(5000) < risk
    told = calibration(bad, risk)
    assert told["ece"] < 0.03 and math.isclose(told["brier"], brier_score_loss(bad, risk)) and calibration(bad, risk ** 3)["ece"] > 0.1
    best = min(np.linspace(0.02, 0.98, 97), key=lambda cut: cost_per_row(bad, risk, cut))
    assert abs(best - 1 / 6) < 0.05     # where theory puts it
    rows = reliability(bad, risk, 7)
    assert sum(row["rows"] for row in rows) == 5000 and max(row["rows"] for row in rows) - min(row["rows"] for row in rows) <= 1
    assert len(reliability([0, 1], [0.2, 0.4])) == 2


def test_groups():
    told = by_group([1, 0, 0, 0], [0.9, 0.5, 0.1, 0.1], ["a", "a", "b", "b"])
    assert told[0] == {"group": "a", "rows": 2, "bad": 0.5, "predicted": 0.7, "called bad": 1.0, "good but called bad": 1.0} and told[1]["good but called bad"] == 0.0


@pytest.fixture(scope="module")
def cards(credits):
    "Every candidate, fitted on half of the rows, with its card"
    table, bad = credits
    half = {name: fit(parts, table.iloc[::2], bad[::2]) for name, parts in candidates(table, seed=3).items()}
    return {name: (fitted, scorecard.make_card(fitted, table.iloc[::2], UNITS)) for name, fitted in half.items()}


def within(card, table): return [row for row in range(len(table)) if not scorecard.card_problems(card, table.iloc[[row]].reset_index(drop=True))]


@pytest.mark.parametrize("name", ["baseline", "shrunk", "binned", "stumps", "binned and stumps"])
def test_a_card_is_its_model(credits, cards, name):
    table, (fitted, card) = credits[0], cards[name]
    unseen = table.iloc[within(card, table)]
    told = scorecard.judge(card, unseen)
    assert len(unseen) > 480 and np.abs(told["log_odds"] - log_odds(fitted, unseen)).max() < 1e-9
    effects = scorecard.card_effects(card, unseen)
    assert np.allclose(effects.sum(axis=1) + card["base"], told["log_odds"], atol=1e-9)
    assert np.allclose(scorecard.card_effects(card, table.iloc[::2]).mean(), 0, atol=1e-9)      # against the average credit


def test_an_effect_is_what_a_change_of_that_feature_does(credits, cards):
    "The reason for a feature is the model's own answer to a change of it, all else equal"
    table, (fitted, card) = credits[0], cards["binned and stumps"]
    row = table.iloc[[0]]
    for name, value in {"duration": 48, "credit_amount": 9000, "purpose": "new car", "checking_account": "none", "age": 30}.items():
        changed = row.assign(**{name: value})
        moved = scorecard.card_effects(card, changed)[name].iloc[0] - scorecard.card_effects(card, row)[name].iloc[0]
        assert math.isclose(moved, (log_odds(fitted, changed) - log_odds(fitted, row))[0], abs_tol=1e-9)


@pytest.mark.parametrize(("change", "told"), [({"duration": 400}, "duration = 400 is not a whole number from"), ({"duration": 12.5}, "is not a whole number"), ({"duration": float("nan")}, "duration = nan"),
                                              ({"duration": True}, "duration = True"), ({"duration": "12"}, "duration = '12'"), ({"purpose": "yacht"}, "purpose = 'yacht' is unknown; allowed: .*new car"), ({"purpose": None}, "is unknown")])
def test_what_the_model_has_not_seen_is_refused(credits, cards, change, told):
    with pytest.raises(ValueError, match=told): scorecard.judge(cards["binned"][1], pd.DataFrame([credits[0].iloc[0].to_dict() | change]))
    with pytest.raises(ValueError, match="there is no feature 'age'"): scorecard.judge(cards["binned"][1], credits[0].drop(columns="age").head(1))


def test_bands_begin_where_they_say(cards):
    card = cards["binned"][1] | {"features": {"duration": {"unit": "", "center": 0.0, "minimum": 0, "maximum": 99, "slope": 0.0, "steps": []}}}
    for risk, band in [(0.1, "low"), (1 / 6 + 1e-9, "medium"), (0.4999, "medium"), (0.50001, "high")]:
        assert scorecard.judge(card | {"base": math.log(risk / (1 - risk))}, pd.DataFrame({"duration": [12]}))["band"][0] == band


def test_unseen_rows_are_unseen_and_seeds_decide_all(credits, monkeypatch):
    table, bad = credits[0].iloc[:200], credits[1][:200]
    stumps = [log_odds(fit(candidates(table, seed=5)["stumps"], table, bad), table) for _ in range(2)]
    assert (stumps[0] == stumps[1]).all()
    monkeypatch.setattr(tabular, "candidates", lambda table, seed=0: {name: parts for name, parts in candidates(table, seed).items() if "stumps" not in name})    # the quick ones
    use = [name for name in table if name not in PERSONAL]
    first, again, other = (tabular.cross_validate(table, bad, use, folds=2, seed=seed) for seed in (0, 0, 1))
    assert (first.risk == again.risk).all() and first.folds == again.folds and not (first.risk == other.risk).all()
    shuffled = np.random.default_rng(0).permutation(bad)
    blind = tabular.cross_validate(table, shuffled, use, folds=2, seed=0)
    assert auroc(shuffled, blind.risk)[0][0] < 0.65          # nothing leaks: outcomes without meaning cannot be foretold
    assert [entry["fold"] for entry in first.folds] == [1, 2] and first.risk.shape == first.baseline.shape == (200,)
