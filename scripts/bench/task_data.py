"""Corpora of random words and numbers for tasks.py, the same for every contender."""

import random

WORDS, LABELS, SERIES, STEPS = 8000, 20, 20, 3000
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def vocabulary(rng):
    """Distinct words of 2 to 10 letters."""
    words = {}
    while len(words) < WORDS:
        words["".join(rng.choices(LETTERS, k=rng.randint(2, 10)))] = None
    return list(words)


def sentences(rng, words, count, longest):
    """Sentences of 4 to `longest` words, whose frequencies fall as in Zipf's law."""
    weights = [1 / (rank + 3) for rank in range(len(words))]
    return [rng.choices(words, weights, k=rng.randint(4, longest)) for _ in range(count)]


def classify(folder, rng):
    words = vocabulary(rng)
    for split, count in (("train", 6400), ("valid", 64)):
        rows = (f"l{rng.randrange(6)},{' '.join(words)}\n" for words in sentences(rng, words, count, 40))
        (folder / f"{split}.csv").write_text("label,text\n" + "".join(rows))


def tag(folder, rng):
    words = vocabulary(rng)
    for split, count in (("train", 3200), ("valid", 32)):
        lines = (
            "".join(f"{word} t{rng.randrange(LABELS)}\n" for word in sentence) + "\n"
            for sentence in sentences(rng, words, count, 40)
        )
        (folder / f"{split}.txt").write_text("".join(lines))


def forecast(folder, rng):
    rows = ["series,time,value\n"]
    for series in range(SERIES):
        value = rng.uniform(50, 100)
        for step in range(STEPS):
            value += rng.gauss(0, 1)
            day, hour = divmod(step, 24)
            rows.append(f"s{series},2020-{1 + day // 28 % 12:02}-{1 + day % 28:02} {hour:02}:00:00,{value:.3f}\n")
    (folder / "series.csv").write_text("".join(rows))


def translate(folder, rng):
    words = {"xx": vocabulary(rng), "yy": vocabulary(rng)}
    for split, count in (("train", 6400), ("valid", 64)):
        pairs = {language: sentences(rng, words[language], count, 26) for language in words}
        # Translations have about the length of their source.
        for source, target in zip(*pairs.values()):
            target[:] = (target * 8)[: max(4, len(source) + rng.randint(-2, 2))]
        for language, texts in pairs.items():
            (folder / f"{split}.{language}").write_text("".join(" ".join(text) + "\n" for text in texts))


WRITERS = {"classify": classify, "tag": tag, "forecast": forecast, "translate": translate}


def write(folder):
    """Write the data of every task to a folder of its own."""
    for task, writer in WRITERS.items():
        (folder / task).mkdir(parents=True, exist_ok=True)
        writer(folder / task, random.Random(task))
