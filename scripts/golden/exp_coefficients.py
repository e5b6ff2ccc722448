"""Coefficients of the polynomials under exp, sigmoid and tanh in `models/kernels/cpu/simd`, with NumPy.

Each approximation has the least possible relative error, found by Remez's exchange. For each the script prints the
coefficients, their error, and the error of those in the source, which are rounded to f32. It fails if one of those
has an error more than a third larger.

    python exp_coefficients.py
"""

import pathlib
import re

import numpy as np

SIMD = pathlib.Path(__file__).resolve().parents[2] / "models/kernels/cpu/simd"
POINTS = 20_001
ROUNDS = 60


def extremes(error):
    """The places of the greatest errors, in magnitude, between changes of sign."""
    ends = np.flatnonzero(np.diff(np.signbit(error))) + 1
    return np.array([start + np.argmax(np.abs(part)) for start, part in zip([0, *ends], np.split(error, ends))])


def fit(target, scale, top, bottom):
    """The c and d for which `scale * (sum(c top) / (1 + sum(d bottom)) - target)` is least at its greatest.

    Both sums are over columns. A quotient is found by linear fits, each weighted by the denominator before.
    """
    count = top.shape[1] + bottom.shape[1]
    signs = (-1.0) ** np.arange(count + 1)
    # The first places are the extremes of a Chebyshev polynomial.
    places = np.round((1 - np.cos(np.pi * np.arange(count + 1) / count)) / 2 * (len(target) - 1)).astype(int)
    denominator = np.ones(len(target))
    for _ in range(ROUNDS):
        levelled = signs * denominator[places] / scale[places]
        columns = [top[places], -target[places, None] * bottom[places], -levelled[:, None]]
        c, d, _ = np.split(np.linalg.solve(np.hstack(columns), target[places]), [top.shape[1], count])
        denominator = 1 + bottom @ d
        error = scale * (top @ c / denominator - target)
        places = extremes(error)
        assert len(places) == count + 1, "the error does not alternate"
    return c, d, np.abs(error).max()


def powers(x, exponents):
    return np.stack([x**exponent for exponent in exponents], axis=1)


def in_source(file, pattern):
    """The numbers between brackets that follow a pattern in a source file."""
    text = re.search(pattern + r"\s*\[(.*?)\]", (SIMD / file).read_text(), re.S).group(1)
    found = re.findall(r"\d[\d_]*\.[\d_]*(?:e-\d+)?", text)
    return np.array([np.float32(number.replace("_", "")) for number in found], dtype=float)


def report(name, coefficients, best, own):
    print(f"{name}: {', '.join(f'{c:.9g}' for c in coefficients)}")
    print(f"    error 2^{np.log2(best):.2f}; in the source 2^{np.log2(own):.2f}")
    assert own < best * 4 / 3, name


def main():
    # exp(r) = 1 + r + r^2 q(r), so that q is the sum of r^k / (k + 2)!.
    r = np.linspace(-np.log(2) / 2, np.log(2) / 2, POINTS + 1)
    factorials = np.cumprod([2.0, *range(3, 20)])
    q, scale = powers(r, range(len(factorials))) @ (1 / factorials), r**2 / np.exp(r)
    basis = powers(r, range(5))
    found, _, error = fit(q, scale, basis, np.empty((len(r), 0)))
    own = in_source("avx512.rs", r"rest,")
    report("q of exp", found, error, np.abs(scale * (basis @ own - q)).max())

    f = np.linspace(0, 1, POINTS)
    basis = powers(f, range(4))
    found, _, error = fit(2**f, 2**-f, basis, np.empty((len(f), 0)))
    own = in_source("avx512.rs", r"polynomial\(simd, rest,")
    report("2^f of the short sigmoid", found, error, np.abs(basis @ own / 2**f - 1).max())

    x = np.linspace(1e-3, 5, POINTS)
    odd, even = powers(x, [1, 3, 5]), powers(x, [2, 4])
    top, bottom, error = fit(np.tanh(x), 1 / np.tanh(x), odd, even)
    own = [in_source("math.rs", rf"SHORT_TANH_{name}: \[f32; 3\] =") for name in ["NUMERATOR", "DENOMINATOR"]]
    own = np.abs(odd @ own[0] / (powers(x, [0, 2, 4]) @ own[1]) / np.tanh(x) - 1).max()
    report("P of the short tanh", top, error, own)
    report("Q of the short tanh", [1, *bottom], error, own)


if __name__ == "__main__":
    main()
