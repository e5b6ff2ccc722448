"""Golden values of spans and their precision, recall and F1, for `src/tasks/spans.rs`.

Usage: python span_scores.py ../../tests/golden/span_scores.json

The values are those of seqeval in its default mode, which is that of conlleval. seqeval does not know the letters L and
U of BILOU: it reads E and S in their place, which mean the same. Half of the sequences are random tags, which break the
scheme: I after O, I of another type, E without a beginning.
"""

import json
import random
import sys
import warnings

from seqeval.metrics.sequence_labeling import get_entities, precision_recall_fscore_support

SCHEMES = {"IOB2": "BIO", "IOB1": "BIO", "BIOES": "BIOES", "BILOU": "BIOLU", "no types": "BIO"}
SENTENCES = 12


def valid(rng, scheme, types, length):
    """Tags that follow the scheme."""
    tags, before = [], None
    while len(tags) < length:
        size = min(rng.randint(1, 4), length - len(tags))
        if rng.random() < 0.4:
            tags += ["O"] * size
            before = None
            continue
        kind = rng.choice(types)
        parts = {
            "IOB2": ["B"] + ["I"] * (size - 1),
            "no types": ["B"] + ["I"] * (size - 1),
            "IOB1": ["B" if before == kind else "I"] + ["I"] * (size - 1),
            "BIOES": ["S"] if size == 1 else ["B"] + ["I"] * (size - 2) + ["E"],
            "BILOU": ["U"] if size == 1 else ["B"] + ["I"] * (size - 2) + ["L"],
        }[scheme]
        tags += [tag(part, kind) for part in parts]
        before = kind
    return tags


def tag(part, kind):
    return part if part == "O" or not kind else f"{part}-{kind}"


def any_tags(rng, letters, types, length):
    return [tag(rng.choice(letters), rng.choice(types)) for _ in range(length)]


def case(rng, scheme, broken):
    letters = SCHEMES[scheme]
    types = [""] if scheme == "no types" else ["PER", "LOC", "B-x", "한"][: rng.randint(1, 4)]
    truth, predicted = [], []
    for _ in range(SENTENCES):
        length = rng.randint(1, 14)
        right = any_tags(rng, letters, types, length) if broken else valid(rng, scheme, types, length)
        noise = any_tags(rng, letters, types, length)
        truth.append(right)
        predicted.append([n if rng.random() < 0.25 else r for r, n in zip(right, noise)])
    known = lambda tags: [{"L": "E", "U": "S"}.get(tag[0], tag[0]) + tag[1:] for tag in tags]
    seen = [known(tags) for tags in truth], [known(tags) for tags in predicted]
    precision, recall, f1, _ = precision_recall_fscore_support(*seen, average="micro")
    rows = precision_recall_fscore_support(*seen)
    spans = [get_entities(tags) for tags in seen[0]]
    kinds = sorted({span[0] for tags in (*seen[0], *seen[1]) for span in get_entities(tags)})
    join = lambda sentences: [" ".join(tags) for tags in sentences]
    return {
        "scheme": scheme,
        "truth": join(truth),
        "predicted": join(predicted),
        "spans": spans,
        "precision": float(precision),
        "recall": float(recall),
        "f1": float(f1),
        "types": [[kind, *map(float, row[:3]), int(row[3])] for kind, *row in zip(kinds, *rows)],
    }


def main(path):
    warnings.simplefilter("ignore")
    rng = random.Random(13)
    cases = [case(rng, scheme, broken) for scheme in SCHEMES for broken in (False, True) for _ in range(4)]
    with open(path, "w") as file:
        file.write("[\n" + ",\n".join(json.dumps(found, ensure_ascii=False) for found in cases) + "\n]\n")
    print(f"{len(cases)} cases")


if __name__ == "__main__":
    main(sys.argv[1])
