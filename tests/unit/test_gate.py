"The gate: each verdict, its errors, and by simulation how often it is wrong."
import numpy as np
import pytest

from genai_factory.core.base import InputError, UsageError
from genai_factory.core.configs import load_config
from genai_factory.evaluators.statistics import mcnemar, tango
from genai_factory.train.release import compare, decide

RULES = load_config("rlhf").release


def rows_of(system: str, dataset: str, **metrics) -> list[dict]:
    n = len(next(iter(metrics.values())))
    return [{"id": f"{dataset}-{i}", "system": system, "set": dataset, **{name: float(v[i]) for name, v in metrics.items()}} for i in range(n)]


def share(n: int, value: float) -> list[int]:
    return [int(i < round(n * value)) for i in range(n)]


def evaluation(n=300, exact=0.9, own=0.6, new=(0.9, 0.7), old=(0.7, 0.7), against="baseline") -> list[dict]:
    "Rows of a whole evaluation; the weaker system is right on a part of what the stronger is right on."
    rows = rows_of("model", "paraphrase", exact_match=share(n, exact)) + rows_of("challenger", "natural", own_share=share(n, own))
    for dataset, good, bad in (("paraphrase", new[0], old[0]), ("natural", new[1], old[1])):
        rows += rows_of("challenger", dataset, answer_correct=share(n, good)) + rows_of(against, dataset, answer_correct=share(n, bad))
    return rows


def test_the_shipped_rules_are_the_ones_that_were_agreed():
    assert (RULES.margin, RULES.alpha, RULES.metric, RULES.superior_on, RULES.non_inferior_on) == (0.05, 0.025, "answer_correct", "paraphrase", ["natural"])
    assert RULES.floors == {"model.paraphrase.exact_match": 0.5, "challenger.natural.own_share": 0.3}


@pytest.mark.parametrize("verdict, given", [
    ("promote", {}),
    ("reject", {"exact": 0.49}), ("reject", {"own": 0.29}),
    ("reject", {"new": (0.9, 0.55)}),                                   # natural far below
    ("reject", {"new": (0.5, 0.7)}),                                    # paraphrase far below
    ("reject", {"exact": 0.0, "new": (0.99, 0.99)}),                    # a floor beats every gain
    ("need_more_data", {"new": (0.7, 0.7)}),                            # equal: not better
    ("need_more_data", {"new": (0.9, 0.66)}),                           # perhaps 4 points worse, perhaps more than the margin
    ("need_more_data", {"n": 8, "exact": 1, "own": 0.5}), ("need_more_data", {"n": 8, "exact": 1, "own": 0.25}),
    ("need_more_data", {"n": 8, "exact": 1, "own": 0.5, "new": (1, 0.75), "old": (0, 0.75)}),
    ("reject", {"n": 8, "exact": 0.0}),                                 # even eight questions show that none is right
])
def test_each_verdict(verdict, given):
    decision = decide(evaluation(**given), RULES)
    assert decision.verdict == verdict and decision.reasons and len(decision.table) == 4
    decisive = {"promote": "holds", "reject": "fails", "need_more_data": "open"}[verdict]
    assert [r.rule for r in decision.table if r.result == decisive] == [reason.split(" is ")[0] for reason in decision.reasons]


def test_the_champion_is_the_measure_once_there_is_one():
    against_baseline = evaluation()
    with_champion = against_baseline + [r for r in evaluation(against="champion", old=(0.9, 0.7)) if r["system"] == "champion"]
    assert (decide(against_baseline, RULES).verdict, decide(with_champion, RULES).verdict) == ("promote", "need_more_data")
    assert decide(with_champion, RULES).against == "champion"


def test_too_few_questions_says_how_many():
    decision = decide(evaluation(n=100, new=(0.74, 0.7)), RULES)
    reason = next(r for r in decision.reasons if "paraphrase" in r)
    assert decision.verdict == "need_more_data" and "smallest difference that 100 questions detect" in reason and "need about" in reason
    assert next(r for r in decision.table if r.rule.startswith("better")).more > 0


def test_the_order_of_rows_does_not_matter():
    rows = evaluation(new=(0.85, 0.72))
    assert decide(rows, RULES) == decide([rows[i] for i in np.random.default_rng(0).permutation(len(rows))], RULES)


def test_systems_that_answered_other_questions_are_not_compared():
    rows = evaluation()
    rows.remove(next(r for r in rows if r["system"] == "baseline"))
    with pytest.raises(InputError, match="same questions"): decide(rows, RULES)


def test_a_floor_without_values_and_a_floor_misnamed():
    for name, error, said in (("model.natural.exact_match", InputError, "model.natural.exact_match"), ("exact_match", UsageError, "system.set.metric")):
        with pytest.raises(error, match=said): decide(evaluation(), RULES.model_copy(update={"floors": {name: 0.5}}))
    with pytest.raises(InputError, match="values of challenger.natural.own_share"):
        decide([{**r, "own_share": float("nan")} if "own_share" in r else r for r in evaluation()], RULES)


def pairs(rng, n: int, discordant: float, gain: float) -> tuple[np.ndarray, np.ndarray]:
    "Scores of an old and a new system on n questions; `gain` is the true difference."
    kind = rng.choice(4, size=n, p=[(discordant + gain) / 2, (discordant - gain) / 2, 0.7 - discordant / 2, 0.3 - discordant / 2])
    return np.isin(kind, [0, 2]).astype(int), np.isin(kind, [1, 2]).astype(int)


def promoted(rng, n: int, discordant: float, gain: float, natural_gain: float | None = None) -> str:
    rows = rows_of("model", "paraphrase", exact_match=share(n, 0.9)) + rows_of("challenger", "natural", own_share=share(n, 0.6))
    for dataset, true in (("paraphrase", gain), ("natural", gain if natural_gain is None else natural_gain)):
        new, old = pairs(rng, n, discordant, true)
        rows += rows_of("challenger", dataset, answer_correct=new) + rows_of("baseline", dataset, answer_correct=old)
    return decide(rows, RULES).verdict


@pytest.mark.parametrize("discordant", [0.1, 0.2, 0.4])
def test_equal_systems_are_wrongly_promoted_in_at_most_5_percent(discordant):
    "1,000 pairs of equal systems, the gate's two comparisons as `compare` makes them."
    rng, seen = np.random.default_rng(5), {}
    wrong = 0
    for _ in range(1000):
        new, old = pairs(rng, 300, discordant, 0.0)
        wins, losses = int((new > old).sum()), int((new < old).sum())
        wrong += mcnemar(wins, losses) <= RULES.alpha and wins > losses
        seen[wins, losses] = seen.get((wins, losses), 0) + 1
    assert wrong / 1000 <= 0.05
    (wins, losses), _ = max(seen.items(), key=lambda item: item[1])     # and the gate does compute just that
    new, old = [1] * wins + [0] * losses + [1] * (300 - wins - losses), [0] * wins + [1] * losses + [1] * (300 - wins - losses)
    rows = rows_of("challenger", "natural", answer_correct=new) + rows_of("baseline", "natural", answer_correct=old)
    seen_by_gate = compare(rows, "challenger", "baseline", "natural", RULES)
    assert seen_by_gate.p_better == mcnemar(wins, losses) and seen_by_gate.difference == tango(wins, losses, 300)


def test_a_true_gain_of_8_points_is_promoted_and_equal_systems_are_not():
    "Through `decide` itself, small; the full size is marked slow."
    rng = np.random.default_rng(6)
    assert np.mean([promoted(rng, 300, 0.2, 0.08) == "promote" for _ in range(80)]) >= 0.75      # 0.8 less the error of 80 draws
    assert np.mean([promoted(rng, 300, 0.2, 0.0) == "promote" for _ in range(80)]) <= 0.05


@pytest.mark.slow
@pytest.mark.parametrize("discordant", [0.1, 0.2, 0.3, 0.4])
def test_level_power_and_margin_at_full_size(discordant, record_property):
    rng = np.random.default_rng(7)
    rates = {gain: np.mean([promoted(rng, 300, discordant, gain) == "promote" for _ in range(1000)]) for gain in (0.0, 0.08)}
    worse = np.mean([promoted(rng, 300, discordant, 0.08, natural_gain=-RULES.margin) == "promote" for _ in range(1000)])
    record_property("promoted", {"discordant": discordant, **rates, "at the margin": worse})
    assert rates[0.0] <= 0.05 and worse <= 0.05
    if discordant <= 0.2: assert rates[0.08] >= 0.8
