"""Golden values of balanced class weights, for `src/tasks/class_weights.rs`.

Usage: python class_weights.py ../../tests/golden/class_weights.json

The weight of a class is n / (k * count), with n examples, k classes and `count` examples of the class: the formula of
scikit-learn's `compute_class_weight("balanced", ..)`. The values are computed here in exact fractions, so that the
script needs no package. If scikit-learn is installed, the script checks that it gives the same values.
"""

import json
import random
import sys
from fractions import Fraction


def case(counts):
    total, classes = sum(counts), len(counts)
    return {"counts": counts, "weights": [float(Fraction(total, classes * count)) for count in counts]}


def check(found):
    """Compare with scikit-learn, if it is installed."""
    try:
        import numpy
        from sklearn.utils.class_weight import compute_class_weight
    except ImportError:
        return False
    labels = numpy.arange(len(found["counts"]))
    examples = numpy.repeat(labels, found["counts"])
    expected = compute_class_weight("balanced", classes=labels, y=examples)
    assert numpy.allclose(found["weights"], expected, rtol=1e-12, atol=0), (found, expected)
    return True


def main(path):
    rng = random.Random(13)
    # Even and uneven classes, and one class of 99 % of the examples.
    cases = [case(counts) for counts in ([5, 5], [6, 3, 1], [990, 10], [1, 1, 1, 1])]
    cases += [case([rng.randint(1, 1000) for _ in range(rng.randint(2, 12))]) for _ in range(20)]
    checked = [check(found) for found in cases]
    with open(path, "w") as file:
        file.write("[\n" + ",\n".join(json.dumps(found) for found in cases) + "\n]\n")
    print(f"{len(cases)} cases, {'checked' if all(checked) else 'not checked'} with scikit-learn")


if __name__ == "__main__":
    main(sys.argv[1])
