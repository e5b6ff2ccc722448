"""Golden values of BLEU and chrF, for `src/tasks/bleu.rs`, `src/tasks/chrf.rs` and `tests/corpora.rs`.

Usage: python translation_scores.py ../../tests/golden/translation_scores.json [MULTI30K]

The values are those of sacrebleu with its defaults and one reference a line. The sentences were written for this
script. MULTI30K is the folder of `val.de` and `test_2016_flickr.de`: of these the scores alone are written, because the
corpus is no part of the repository. Without it, the scores that the file has are kept.
"""

import json
import random
import sys
from pathlib import Path

from sacrebleu.metrics import BLEU, CHRF

SENTENCES = [
    "A man in a blue shirt is standing on a ladder, cleaning the window.",
    "Zwei Männer stehen am Herd und bereiten Essen zu.",
    'She said: "It costs $3,500.75 (or 2.5 %), doesn\'t it?" -- and left...',
    "한국어 문장은 어절 사이를 띄어 쓴다. 그래서 점수를 이렇게 계산한다!",
    "나는 어제 서울에서 부산까지 KTX를 타고 갔다 (2시간 30분, 59,800원).",
    "Tom &amp; Jerry &lt;b&gt;bold&lt;/b&gt; &quot;quoted&quot; &amp;lt; &apos;kept&apos; R&D",
    "e.g. 3.14, 1,000,000; 10-12 a.m. on 2016-05-04, U.S.A., v1.2.3, .5 and 5.",
    "state-of-the-art re-\u00adencoding, ein E-Mail-Konto, 90-jährig, x-1, 1-x",
    "<skipped> is removed, as in a<skipped>b; [brackets] {braces} a/b a\\b a_b ^ ` ~ | # @ *",
    "«Ça coûte 12,5 €», dit-il… “Wirklich?” ¿Qué? – l’été",
    "これは日本語の文です。句読点、「括弧」も、ある。",
    "the the the the the the the",
    "tabs\tand\u00a0no-break\u3000ideographic\x1cseparator\u2028blanks  double ",
    "..,,..a.,b,.c 1.,2,.3 ,1 1, a,1 1,a",
    "٣,٤ and ५.६ and ½,5 are no ASCII digits",
    "An emoji 🙂👍🏽, a combined e\u0301, and a zero\u200bwidth space.",
]
ALPHABET = "ab1 2.,-'\"&;/()<>ße한. , - 0"
WORDS = "the a cat dog sat on mat , . red 3.5 big-eared isn't ran".split()


def changed(rng, sentence):
    """A translation that is partly right: words lost, doubled, exchanged or replaced."""
    words = []
    for word in sentence.split(" "):
        draw = rng.random()
        words += [] if draw < 0.12 else [word, word] if draw < 0.17 else [rng.choice(WORDS)] if draw < 0.3 else [word]
    if rng.random() < 0.3 and len(words) > 1:
        at = rng.randrange(len(words) - 1)
        words[at], words[at + 1] = words[at + 1], words[at]
    return " ".join(words)


def random_line(rng):
    if rng.random() < 0.5:
        return "".join(rng.choice(ALPHABET) for _ in range(rng.randint(1, 40)))
    return " ".join(rng.choice(WORDS) for _ in range(rng.randint(1, 15)))


def corpora(rng):
    for sentence in SENTENCES:
        yield [(changed(rng, sentence), sentence)]
    for size in (1, 2, 3, 5, 8, 13, 21):
        for _ in range(3):
            sentences = [rng.choice(SENTENCES) for _ in range(size)]
            yield [(changed(rng, sentence), sentence) for sentence in sentences]
    for size in (1, 1, 1, 4, 16):
        yield [(random_line(rng), random_line(rng)) for _ in range(size)]
    # Translations that are empty, short, blank or of other words. A reference is never empty, but can be blank.
    yield [("", "a cat sat on the mat")]
    yield [("", "a cat sat"), ("the dog ran on the mat", "the dog ran on the red mat")]
    yield [("a cat", "a cat")]
    yield [("a cat sat", "a cat sat"), ("the", "the")]
    yield [("x y z u v w", "a b c d e f")]
    yield [("a b c d e f", " ")]
    yield [(" ", " "), ("a b c d e", "a b c d e f g h")]
    yield [("a b", "a b c d e f"), ("a c d e f", "b b")]
    yield [("A Cat Sat On The Mat", "a cat sat on the mat")]


def scores(pairs):
    translations, references = [list(side) for side in zip(*pairs)]
    bleu = BLEU().corpus_score(translations, [references])
    chrf = CHRF()
    statistics = [sum(column) for column in zip(*chrf._extract_corpus_statistics(translations, [references]))]
    return {
        "bleu": bleu.score,
        "brevity_penalty": bleu.bp,
        "right": bleu.counts,
        "total": bleu.totals,
        "length": bleu.sys_len,
        "reference_length": bleu.ref_len,
        "chrf": chrf.corpus_score(translations, [references]).score,
        "chrf_counts": [statistics[at : at + 3] for at in range(0, len(statistics), 3)],
    }


def multi30k(folder):
    """Scores of lines that lost each fifth word, and of the lines before their references."""
    found = {}
    for name in ("val.de", "test_2016_flickr.de"):
        lines = (folder / name).read_text("utf-8").split("\n")[:-1]
        thinned = [
            " ".join(word for at, word in enumerate(line.split(" ")) if (number + at) % 5)
            for number, line in enumerate(lines)
        ]
        for rule, pairs in (("thinned", zip(thinned, lines)), ("shifted", zip(lines, lines[1:]))):
            row = scores(list(pairs))
            found[f"{name} {rule}"] = [row["bleu"], row["chrf"]]
    return found


def main(path, corpus=None):
    rng = random.Random(30)
    tokenizer = BLEU().tokenizer
    lines = SENTENCES + [random_line(rng) for _ in range(300)]
    result = {
        "tokens": [[line, tokenizer(line.rstrip())] for line in lines],
        "corpora": [
            {"translations": [a for a, _ in pairs], "references": [b for _, b in pairs], **scores(pairs)}
            for pairs in corpora(rng)
        ],
        "multi30k": multi30k(Path(corpus)) if corpus else json.loads(Path(path).read_text("utf-8"))["multi30k"],
    }
    rows = [f'"{key}": [\n' + ",\n".join(json.dumps(row, ensure_ascii=False) for row in result[key]) + "\n]"
            for key in ("tokens", "corpora")]
    rows.append(f'"multi30k": {json.dumps(result["multi30k"])}')
    Path(path).write_text("{\n" + ",\n".join(rows) + "\n}\n", "utf-8")
    print(f"{len(lines)} lines, {len(result['corpora'])} corpora; {result['multi30k']}")


if __name__ == "__main__":
    main(*sys.argv[1:])
