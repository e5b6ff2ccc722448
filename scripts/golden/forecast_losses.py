"""Golden values of the losses and quantiles of forecasters, for `src/tasks/forecast/`.

Usage: python forecast_losses.py ../../tests/golden/forecast_losses.json

Distributions are those of SciPy; the other losses are written out from their definitions. Outputs are drawn from a
seeded generator: (windows, steps, outputs of a step). A value that is missing is null. Counts have a scale for all
their steps.
"""

import json
import sys

import numpy as np
from scipy import stats

WINDOWS, STEPS = 4, 5
LEVELS = [0.05, 0.5, 0.8]


def softplus(x):
    return np.log1p(np.exp(x))


def mean(losses, known):
    return float(losses[known].mean())


def points(outputs, values, known, centre, scale, log):
    errors = outputs[..., 0] - values
    forecast, truth = (numbers * scale[:, None] + centre[:, None] for numbers in (outputs[..., 0], values))
    if log:
        forecast, truth = np.exp(forecast), np.exp(truth)
    smape = 2 * abs(forecast - truth) / (abs(forecast) + abs(truth))
    return {"mse": mean(errors**2, known), "mae": mean(abs(errors), known), "smape": mean(smape, known)}


def pinball(outputs, values, known):
    errors = values[..., None] - outputs
    levels = np.array(LEVELS)
    return mean(np.maximum(levels * errors, (levels - 1) * errors).mean(-1), known)


def distributions(outputs, values, known):
    scale = softplus(outputs[..., 1]) + 1e-4
    freedom = softplus(outputs[..., 2]) + 2
    normal = stats.norm(outputs[..., 0], scale)
    student = stats.t(freedom, outputs[..., 0], scale)
    return {
        "gaussian": mean(-normal.logpdf(values), known),
        "student-t": mean(-student.logpdf(values), known),
        "gaussian_quantiles": [normal.ppf(level).tolist() for level in LEVELS],
        "student-t_quantiles": [student.ppf(level).tolist() for level in LEVELS],
    }


def case(rng, log):
    values = rng.normal(size=(WINDOWS, STEPS))
    known = rng.random((WINDOWS, STEPS)) > 0.2
    outputs = rng.normal(size=(WINDOWS, STEPS, 3)) * [1, 2, 3]
    centre, scale = rng.normal(size=WINDOWS), rng.uniform(0.1, 3, WINDOWS)
    return {
        "log": log,
        "values": [[float(v) if k else None for v, k in zip(*row)] for row in zip(values, known)],
        "outputs": outputs.tolist(),
        "centre": centre.tolist(),
        "scale": scale.tolist(),
        **points(outputs, values, known, centre, scale, log),
        "pinball": pinball(outputs, values, known),
        **distributions(outputs, values, known),
    }


def counts(rng, scale):
    outputs = rng.normal(size=(3 * STEPS, 2)) * [2, 3]
    mean = scale * (softplus(outputs[:, 0]) + 1e-4)
    shape = softplus(outputs[:, 1]) + 1e-4
    # The number of successes and their probability: the variance is mean + shape * mean^2.
    binomial = stats.nbinom(1 / shape, 1 / (1 + shape * mean))
    values = rng.poisson(mean * rng.uniform(0, 2, len(mean)))
    return {
        "scale": scale,
        "outputs": outputs.tolist(),
        "counts": values.astype(float).tolist(),
        "losses": (-binomial.logpmf(values)).tolist(),
        "means": mean.tolist(),
        "quantiles": np.stack([binomial.ppf(level) for level in LEVELS], 1).tolist(),
    }


def main(path):
    rng = np.random.default_rng(13)
    with open(path, "w") as file:
        cases = [case(rng, log) for log in (False, True, False)]
        golden = {"levels": LEVELS, "cases": cases, "counts": [counts(rng, scale) for scale in (0.2, 1, 30, 1e5)]}
        json.dump(golden, file, indent=1)
        file.write("\n")


if __name__ == "__main__":
    main(sys.argv[1])
