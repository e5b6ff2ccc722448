#!/usr/bin/env python3
"""Prints the test accuracy on TREC's questions of TF-IDF over words and pairs of words with logistic regression.

    python3 scripts/reproduce/trec_baseline.py FOLDER        with scikit-learn 1.9; FOLDER has train.csv and test.csv
"""

import csv
import sys
from pathlib import Path

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline


def records(path):
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [row["text"] for row in rows], [row["label"] for row in rows]


def main():
    folder = Path(sys.argv[1])
    model = make_pipeline(TfidfVectorizer(ngram_range=(1, 2)), LogisticRegression(C=10, max_iter=1000))
    model.fit(*records(folder / "train.csv"))
    print(f"accuracy {model.score(*records(folder / 'test.csv')):.3f}")


if __name__ == "__main__":
    main()
