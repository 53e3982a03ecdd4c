"""Makes agreement.json: figures of krippendorff 0.9, scikit-learn and SciPy for random and hand-made ratings."""

import json
import os

import krippendorff
import numpy as np
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import cohen_kappa_score

rng = np.random.default_rng(3)
cases = []
for raters, units, values, missing, noise in [
    (3, 40, 4, 0.0, 0.3), (3, 40, 4, 0.4, 0.5), (2, 25, 2, 0.1, 0.2), (5, 60, 4, 0.6, 1.0), (4, 12, 5, 0.3, 0.1), (8, 30, 3, 0.7, 0.4),
]:
    truth = rng.integers(0, values, size=units)
    data = np.where(rng.random((raters, units)) < noise, rng.integers(0, values, size=(raters, units)), truth).astype(float)
    data[rng.random((raters, units)) < missing] = np.nan
    cases.append(data)
cases.append(np.array([[1, 2, 3, 3, 2, 1, 4, 1, 2, np.nan, np.nan, np.nan], [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, np.nan, 3],
                       [np.nan, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, np.nan], [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, np.nan]]))
alphas = []
for data in cases:
    alphas.append({
        "units": [[int(v) for v in column if not np.isnan(v)] for column in data.T],
        **{level: float(krippendorff.alpha(data, level_of_measurement=level)) for level in ("nominal", "ordinal", "interval")},
    })
kappas, correlations = [], []
for size, values in [(30, 4), (80, 4), (12, 2), (50, 6)]:
    a = rng.integers(0, values, size=size)
    b = np.clip(a + rng.integers(-1, 2, size=size), 0, values - 1)
    kappas.append({"a": a.tolist(), "b": b.tolist(), "none": float(cohen_kappa_score(a, b)),
                   "linear": float(cohen_kappa_score(a, b, weights="linear")), "quadratic": float(cohen_kappa_score(a, b, weights="quadratic"))})
    x = np.round(rng.random(size), 2)
    y = np.round(x * 0.5 + rng.random(size) * 0.7, 1)
    correlations.append({"a": x.tolist(), "b": y.tolist(), "pearson": float(pearsonr(x, y).statistic), "spearman": float(spearmanr(x, y).statistic)})
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "agreement.json"), "w") as f:
    json.dump({"alphas": alphas, "kappas": kappas, "correlations": correlations}, f, separators=(",", ":"))
    f.write("\n")
