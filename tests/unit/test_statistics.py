"Intervals that cover, a test that keeps its level, and sample sizes that do what they promise."
import math

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy import stats

from genai_factory.core.base import UsageError
from genai_factory.evaluators import statistics as s


@given(st.integers(1, 400), st.data())
@settings(max_examples=60)
def test_wilson_equals_scipy_and_holds_the_estimate(n, data):
    hits = data.draw(st.integers(0, n))
    ours, theirs = s.wilson(hits, n), stats.binomtest(hits, n).proportion_ci(method="wilson")
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-9)
    assert ours.low <= ours.value <= ours.high


@given(st.integers(0, 60), st.integers(0, 60))
@settings(max_examples=60)
def test_mcnemar_equals_the_exact_binomial_test(wins, losses):
    expected = stats.binomtest(wins, wins + losses, alternative="greater").pvalue if wins + losses else 1.0
    assert s.mcnemar(wins, losses) == pytest.approx(expected)


@pytest.mark.parametrize("wins, losses, n", [(1, 0, 44), (14, 6, 100), (0, 5, 30), (43, 17, 300)])
def test_tango_ends_are_where_the_score_test_rejects(wins, losses, n):
    "The ends against a score computed from a likelihood that is maximised on a grid, not by the closed formula."
    def score(delta: float) -> float:
        lose = np.linspace(max(0.0, -delta) + 1e-9, (1 - delta) / 2 - 1e-9, 200_001)
        with np.errstate(divide="ignore", invalid="ignore"):
            terms = [k * np.log(p) if k else 0 for k, p in ((losses, lose), (wins, lose + delta), (n - wins - losses, 1 - delta - 2 * lose))]
        best = lose[np.nanargmax(sum(terms))]
        return (wins - losses - n * delta) / math.sqrt(n * (2 * best + delta - delta ** 2))
    ends = s.tango(wins, losses, n)
    assert score(ends.low) == pytest.approx(1.96, abs=0.01) and score(ends.high) == pytest.approx(-1.96, abs=0.01)


@given(st.integers(1, 300), st.data())
@settings(max_examples=80)
def test_tango_holds_the_estimate_stays_in_range_and_turns_with_the_sign(n, data):
    wins = data.draw(st.integers(0, n)); losses = data.draw(st.integers(0, n - wins))
    one, other = s.tango(wins, losses, n), s.tango(losses, wins, n)
    assert -1 <= one.low <= one.value <= one.high <= 1 and one.low < one.high
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low), abs=1e-6)


@pytest.mark.parametrize("discordant, delta, n", [(0.1, 0.0, 40), (0.2, 0.08, 300), (0.4, -0.05, 100), (0.02, 0.0, 300)])
def test_tango_covers_the_truth(discordant, delta, n):
    "2,000 draws: at least 94 % of the 95 % intervals hold the true difference (the standard error of this share is 0.5 points)."
    rng = np.random.default_rng(1)
    draws = rng.multinomial(n, [(discordant + delta) / 2, (discordant - delta) / 2, 1 - discordant], size=2000)
    seen = {(w, l): s.tango(w, l, n) for w, l in {(int(w), int(l)) for w, l, _ in draws}}
    covered = np.mean([seen[int(w), int(l)].low <= delta <= seen[int(w), int(l)].high for w, l, _ in draws])
    assert covered >= 0.935


def test_eight_equal_answers_prove_nothing():
    result = s.paired([1] * 8, [1] * 8)
    assert result.difference.low < -0.3 and result.p_better == 1


def test_paired_uses_the_pairs():
    old = [0, 1] * 100
    better = [1 if i % 10 == 0 else v for i, v in enumerate(old)]                       # 20 wins, no loss
    unpaired = better[:1] + better[2:] + better[1:2]                                    # the same mean, other pairs
    assert s.paired(better, old).difference.low > 0 > s.paired(unpaired, old).difference.low


def test_measured_quantities_are_resampled_with_a_fixed_seed():
    rng = np.random.default_rng(2)
    old, gain = rng.normal(1, 0.3, 200), rng.normal(0.1, 0.1, 200)
    first, again = s.paired(old + gain, old, seed=3), s.paired(old + gain, old, seed=3)
    assert first == again and first.difference.low > 0 and first.p_better < 0.01
    assert s.paired(old, old + gain).p_better > 0.99


def test_unequal_lists_are_refused():
    with pytest.raises(UsageError, match="same questions"): s.paired([1, 0], [1])


@pytest.mark.parametrize("discordant", [0.1, 0.2, 0.4])
def test_needed_and_detectable_are_inverse_and_give_the_power_they_promise(discordant):
    delta = 0.08
    n = s.needed(delta, discordant)
    assert s.detectable(n, discordant) == pytest.approx(delta, abs=1e-3)
    rng = np.random.default_rng(4)
    draws = rng.multinomial(n, [(discordant + delta) / 2, (discordant - delta) / 2, 1 - discordant], size=2000)
    power = np.mean([s.mcnemar(int(w), int(l)) <= 0.025 for w, l, _ in draws])
    assert 0.72 <= power <= 0.86   # the exact test is a little cautious, the formula is an approximation


def test_needed_for_not_worse_counts_the_margin():
    assert s.needed(0.0, 0.2, margin=0.05) == math.ceil(((s.normal_quantile(0.975) + s.normal_quantile(0.8)) / 0.05) ** 2 * 0.2)
    assert s.needed(-0.06, 0.2, margin=0.05) is None
    assert s.needed(0.05, 0.2, margin=0.05) < s.needed(0.0, 0.2, margin=0.05)


def test_empty_sets_have_no_estimate_but_no_crash():
    assert math.isnan(s.wilson(0, 0).value) and math.isnan(s.mean_interval([]).value) and s.tango(0, 0, 0).low == -1 and s.detectable(0, 0.2) == 1
