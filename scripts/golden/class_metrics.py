"""Golden values of precision, recall, F1 and their macro averages, for `src/tasks/confusion.rs`.

Usage: python class_metrics.py ../../tests/golden/class_metrics.json

The values are computed here from their definitions, in exact fractions, because the pinned requirements have no
scikit-learn. The definitions are those of its `precision_recall_fscore_support` with `zero_division=0`: a macro average
is over the labels that occur in the truth or in the prediction. If scikit-learn is installed, the script checks that it
gives the same values.
"""

import json
import random
import sys
from fractions import Fraction


def ratio(part, whole):
    return Fraction(part, whole) if whole else Fraction(0)


def case(truth, predicted):
    labels = sorted(set(truth) | set(predicted))
    classes = []
    for label in labels:
        right = sum(t == p == label for t, p in zip(truth, predicted))
        support, claimed = truth.count(label), predicted.count(label)
        precision, recall = ratio(right, claimed), ratio(right, support)
        f1 = ratio(2 * precision * recall, precision + recall) if precision + recall else Fraction(0)
        classes.append((label, precision, recall, f1, support))
    mean = [sum(row[column] for row in classes) / len(labels) for column in (1, 2, 3)]
    return {
        "truth": truth,
        "predicted": predicted,
        "accuracy": float(Fraction(sum(t == p for t, p in zip(truth, predicted)), len(truth))),
        "macro_precision": float(mean[0]),
        "macro_recall": float(mean[1]),
        "macro_f1": float(mean[2]),
        "classes": [[row[0], *map(float, row[1:4]), row[4]] for row in classes],
        "never_predicted": [[row[0], row[4]] for row in classes if row[0] not in predicted],
    }


def check(found):
    """Compare with scikit-learn, if it is installed."""
    try:
        from sklearn.metrics import precision_recall_fscore_support
    except ImportError:
        return False
    expected = precision_recall_fscore_support(
        found["truth"], found["predicted"], average="macro", zero_division=0
    )
    for name, value in zip(("macro_precision", "macro_recall", "macro_f1"), expected):
        assert abs(found[name] - value) < 1e-12, (name, found[name], value)
    return True


def main(path):
    rng = random.Random(20)
    cases = []
    for count in range(2, 32):
        classes = rng.randint(1, 6)
        truth = [rng.randrange(classes) for _ in range(count)]
        # Half of the predictions are right; some classes are never predicted, and some never occur.
        allowed = [label for label in range(classes + 1) if rng.random() < 0.7] or [0]
        predicted = [t if t in allowed and rng.random() < 0.5 else rng.choice(allowed) for t in truth]
        cases.append(case(truth, predicted))
    checked = [check(found) for found in cases]
    with open(path, "w") as file:
        file.write("[\n" + ",\n".join(json.dumps(found) for found in cases) + "\n]\n")
    print(f"{len(cases)} cases, {'checked' if all(checked) else 'not checked'} with scikit-learn")


if __name__ == "__main__":
    main(sys.argv[1])
