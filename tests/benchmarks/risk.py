"""The credit-risk model on rows it has not seen, ten folds, beside one-hot logistic regression on all features in the same folds; and how much the folds' seed matters."""

import json
from pathlib import Path

from genai_factory.train.tabular import PERSONAL, auroc, calibration, cost_per_row, cross_validate, read_credit

SEEDS = (0, 1, 2)


def main() -> None:
    table, bad = read_credit(Path(__file__).parents[2] / "data/credit/german_credit.csv")
    use = [name for name in table if name not in PERSONAL]
    judged = [cross_validate(table, bad, use, folds=10, seed=seed) for seed in SEEDS]
    (value, low, high), base, gain = auroc(bad, judged[0].risk, judged[0].baseline)
    others = [{"seed": seed, "auroc": round(auroc(bad, one.risk)[0][0], 4), "baseline": round(auroc(bad, one.baseline)[0][0], 4), "cost": round(cost_per_row(bad, one.risk), 4),
               "baseline_cost": round(cost_per_row(bad, one.baseline), 4)} for seed, one in zip(SEEDS, judged)]
    print(json.dumps({"value": round(value, 4), "low": round(low, 4), "high": round(high, 4), "n": len(bad), "at_least": round(base[0], 4), "unit": "AUROC, pooled out-of-fold scores, DeLong 95 %",
                      "gain": [round(x, 4) for x in gain], "cost": others[0]["cost"], "cost_at_most": 0.55, **{k: round(v, 4) for k, v in calibration(bad, judged[0].risk).items()}, "seeds": others}))


if __name__ == "__main__": main()
