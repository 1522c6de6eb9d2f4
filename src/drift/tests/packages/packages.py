"""Answers questions on standard input with the packages that people know: one line of JSON each way.

A question names a function below and gives cases; the answer is a list with one value a case. NaN is answered as null,
an infinite number as text.
"""
import json
import math
import sys
import warnings

import numpy as np
import pandas as pd
import sklearn
from fairlearn import metrics as fair
from fairlearn.metrics._disaggregated_result import DisaggregatedResult
from scipy import stats
from sklearn import metrics


def binary(actual, predicted):
    return {
        "accuracy": metrics.accuracy_score(actual, predicted),
        "precision": metrics.precision_score(actual, predicted),
        "recall": metrics.recall_score(actual, predicted),
        "f1": metrics.f1_score(actual, predicted),
    }


def classes(actual, predicted):
    return {
        "accuracy": metrics.accuracy_score(actual, predicted),
        "error_rate": metrics.zero_one_loss(actual, predicted),
        "precision": metrics.precision_score(actual, predicted, average="macro"),
        "recall": metrics.recall_score(actual, predicted, average="macro"),
        "f1": metrics.f1_score(actual, predicted, average="macro"),
    }


def scores(actual, scores):
    both = np.column_stack([1 - np.array(scores), scores])
    return {
        "roc_auc": metrics.roc_auc_score(actual, scores),
        "log_loss": metrics.log_loss(actual, both, labels=[0, 1]),
    }


def numbers(actual, predicted):
    return {
        "mae": metrics.mean_absolute_error(actual, predicted),
        "mse": metrics.mean_squared_error(actual, predicted),
        "rmse": metrics.root_mean_squared_error(actual, predicted),
        "r2": metrics.r2_score(actual, predicted),
    }


class Drawn(np.random.RandomState):
    """A generator that draws the rows it is told."""

    def __init__(self, rows):
        super().__init__(0)
        self.rows = np.array(rows)

    def randint(self, low, high=None, size=None, dtype=int):
        assert (low, high, tuple(size)) == (0, self.rows.shape[1], self.rows.shape)
        return self.rows


def bootstrap(actual, predicted, level, drawn):
    def mean_absolute_error(actual, predicted, axis):
        return np.abs(actual - predicted).mean(axis=axis)

    result = stats.bootstrap(
        (np.array(actual), np.array(predicted)), mean_absolute_error, paired=True, vectorized=True,
        method="percentile", confidence_level=level, n_resamples=len(drawn), random_state=Drawn(drawn),
    )
    return {"low": result.confidence_interval.low, "high": result.confidence_interval.high}


def large_enough(features, minimum):
    """Which rows belong to a group of enough rows."""
    frame = pd.DataFrame(features)
    return frame.groupby(list(frame.columns))[frame.columns[0]].transform("size").to_numpy() >= minimum


def criteria(actual, predicted, features, minimum, method, aggregate):
    """Fairlearn's functions, over rows of groups that are large enough."""
    kept = large_enough(features, minimum)
    rows = {
        "y_true": np.array(actual)[kept],
        "y_pred": np.array(predicted)[kept],
        "sensitive_features": pd.DataFrame(features)[kept],
        "method": method,
    }
    return {
        "demographic_parity_difference": fair.demographic_parity_difference(**rows),
        "demographic_parity_ratio": fair.demographic_parity_ratio(**rows),
        "equal_opportunity_difference": fair.equal_opportunity_difference(**rows),
        "equal_opportunity_ratio": fair.equal_opportunity_ratio(**rows),
        "equalized_odds_difference": fair.equalized_odds_difference(**rows, agg=aggregate),
        "equalized_odds_ratio": fair.equalized_odds_ratio(**rows, agg=aggregate),
    }


BINARY = {
    "selection_rate": fair.selection_rate,
    "true_positive_rate": fair.true_positive_rate,
    "true_negative_rate": fair.true_negative_rate,
    "false_positive_rate": fair.false_positive_rate,
    "false_negative_rate": fair.false_negative_rate,
    "accuracy": metrics.accuracy_score,
    "error_rate": metrics.zero_one_loss,
}

NUMBERS = {
    "mean_absolute_error": metrics.mean_absolute_error,
    "mean_squared_error": metrics.mean_squared_error,
    "root_mean_squared_error": metrics.root_mean_squared_error,
    "r2": metrics.r2_score,
    "mean_prediction": fair.mean_prediction,
}


def selection_rate_of_a(actual, predicted):
    return fair.selection_rate(actual, predicted, pos_label="a")


def macro_f1(actual, predicted):
    return metrics.f1_score(actual, predicted, average="macro")


CLASSES = {
    "accuracy": metrics.accuracy_score,
    "macro_f1": macro_f1,
    "selection_rate_of_a": selection_rate_of_a,
}


def frame(kind, actual, predicted, features, minimum):
    """A MetricFrame of every metric of a kind; groups that are not large enough count in the overall value alone."""
    functions = {"binary": BINARY, "numbers": NUMBERS, "classes": CLASSES}[kind]
    whole = fair.MetricFrame(
        metrics=functions, y_true=actual, y_pred=predicted, sensitive_features=pd.DataFrame(features)
    )
    sizes = pd.DataFrame(features).groupby(list(features)).size()
    by_group = whole.by_group[sizes.reindex(whole.by_group.index) >= minimum]
    result = DisaggregatedResult(whole.overall, by_group)
    answer = {}
    for name in functions:
        answer[name] = {"overall": whole.overall[name], "by_group": list(by_group[name])}
        for method in ["between_groups", "to_overall"]:
            answer[name][f"difference {method}"] = result.difference(method=method)[name]
            answer[name][f"ratio {method}"] = result.ratio(method=method)[name]
    return answer


def wilson(part, whole, level):
    interval = stats.binomtest(part, whole).proportion_ci(level, method="wilson")
    return {"low": interval.low, "high": interval.high}


def distance(production, candidate):
    distances = np.abs(np.array(production) - np.array(candidate))
    return {
        "mean_absolute": distances.mean(), "percentile_95": np.percentile(distances, 95), "maximum": distances.max()
    }


def kolmogorov_smirnov(first, second):
    result = stats.ks_2samp(first, second, method="asymp")
    return {"statistic": result.statistic, "p_value": result.pvalue}


def kolmogorov_smirnov_of_steps(first, second, shift):
    return kolmogorov_smirnov(np.arange(first) / first, np.arange(second) / second + shift)


def slices(number, letter, errors, minimum):
    """Rows, mean error and share of all errors of every slice of two features, one alone and both."""
    number = pd.Series(number, dtype=float)
    quartile = pd.qcut(number, 4, labels=False, duplicates="drop") if number.nunique() > 1 else number
    frame = pd.DataFrame({"number": quartile, "letter": letter, "error": errors})
    found = []
    for features in [["number"], ["letter"], ["number", "letter"]]:
        groups = frame.groupby(features, dropna=False)["error"]
        found += zip(groups.size(), groups.mean(), groups.sum())
    total = sum(errors)
    large = [[rows, error, sum / total if total > 0 else 0] for rows, error, sum in found if rows >= minimum]
    return {"error": np.mean(errors), "slices": large, "left_out": len(found) - len(large)}


def quality(before, after, letters_before, letters):
    before, after = np.array(before, dtype=float), np.array(after, dtype=float)
    known = {letter for letter in letters_before if letter is not None}
    numbers = before[~np.isnan(before)]
    nulls = np.isnan(after).mean()
    outside = ((after < numbers.min()) | (after > numbers.max())).mean() if numbers.size else math.nan
    unseen = [letter is not None and letter not in known for letter in letters]
    return {
        "null_rate": nulls,
        "null_rate_increase": nulls - np.isnan(before).mean(),
        "out_of_range_rate": outside,
        "unseen_category_rate": np.mean(unseen) if known else math.nan,
        "row_count_change": abs(after.size - before.size) / before.size if before.size else math.nan,
    }


def plain(value):
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain(item) for item in value]
    if isinstance(value, (str, bool, int)) or value is None:
        return value
    value = float(value)
    return value if math.isfinite(value) else None if math.isnan(value) else str(value)


warnings.simplefilter("ignore")
np.seterr(all="ignore")
# Arguments are right; without the look at them, small frames take half the time.
sklearn.set_config(assume_finite=True, skip_parameter_validation=True)
FUNCTIONS = [
    binary, classes, scores, numbers, bootstrap, criteria, frame, wilson, distance, kolmogorov_smirnov,
    kolmogorov_smirnov_of_steps, slices, quality,
]
BY_NAME = {function.__name__: function for function in FUNCTIONS}
for line in sys.stdin:
    question = json.loads(line)
    answers = [plain(BY_NAME[question["function"]](**case)) for case in question["cases"]]
    print(json.dumps(answers, allow_nan=False), flush=True)
