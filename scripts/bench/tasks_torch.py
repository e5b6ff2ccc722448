"""Times the training step of a task in PyTorch: TASK FOLDER STEPS EVERY PRECISION. Prints one JSON object.

Written as a user of PyTorch who cares for speed would: packed sequences, batches of similar lengths, fused Adam.
"""

import csv
import json
import statistics
import sys
import time
from pathlib import Path

import torch
from serve import THREADS
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

PAD = 0


class Numbers(dict):
    """Numbers of tokens, from 4 on."""

    def __missing__(self, token):
        self[token] = len(self) + 4
        return self[token]

    def of(self, tokens):
        return torch.tensor([self[token] for token in tokens])

    def count(self):
        return len(self) + 4


def batches(examples, size, length):
    """Lists of `size` examples of similar length, in a fixed random order."""
    examples = sorted(examples, key=length)
    lists = [examples[at : at + size] for at in range(0, len(examples) - size + 1, size)]
    order = torch.randperm(len(lists), generator=torch.Generator().manual_seed(1))
    return [lists[at] for at in order]


def packed(rnn, xs, lengths):
    return rnn(pack_padded_sequence(xs, lengths, batch_first=True, enforce_sorted=False))


class Classifier(nn.Module):
    def __init__(self, words, labels):
        super().__init__()
        self.embedding = nn.Embedding(words, 200)
        self.rnn = nn.GRU(200, 200, batch_first=True, bidirectional=True)
        self.decoder = nn.Linear(400, labels)

    def loss(self, tokens, lengths, labels):
        _, h = packed(self.rnn, self.embedding(tokens), lengths)
        return nn.functional.cross_entropy(self.decoder(h.transpose(0, 1).flatten(1)), labels)


def classify(folder):
    words, labels, examples = Numbers(), Numbers(), []
    with (folder / "train.csv").open() as rows:
        for row in csv.DictReader(rows):
            examples.append((words.of(row["text"].split()), labels[row["label"]] - 4))
    made = []
    for batch in batches(examples, 64, lambda example: len(example[0])):
        texts, classes = zip(*batch)
        lengths = torch.tensor([len(text) for text in texts])
        made.append((pad_sequence(texts, batch_first=True), lengths, torch.tensor(classes)))
    return Classifier(words.count(), len(labels)), made


class Tagger(nn.Module):
    def __init__(self, words, characters, tags):
        super().__init__()
        self.embedding = nn.Embedding(words, 100)
        self.characters = nn.Embedding(characters, 25)
        self.spelling = nn.LSTM(25, 25, batch_first=True, bidirectional=True)
        self.rnn = nn.LSTM(150, 200, batch_first=True, bidirectional=True)
        self.decoder = nn.Linear(400, tags)

    def loss(self, tokens, lengths, spellings, letters, counts, tags):
        _, (h, _) = packed(self.spelling, self.characters(letters), counts)
        spelled = h.transpose(0, 1).flatten(1)[spellings]  # of the distinct words of the batch
        ys, _ = packed(self.rnn, torch.cat([self.embedding(tokens), spelled], 2), lengths)
        ys, _ = pad_packed_sequence(ys, batch_first=True)
        return nn.functional.cross_entropy(self.decoder(ys).flatten(0, 1), tags.flatten(), ignore_index=-1)


def tag(folder):
    words, characters, tags, examples = Numbers(), Numbers(), Numbers(), []
    for sentence in (folder / "train.txt").read_text().strip().split("\n\n"):
        pairs = [line.split() for line in sentence.splitlines()]
        examples.append(([word for word, _ in pairs], torch.tensor([tags[tag] - 4 for _, tag in pairs])))
    made = []
    for batch in batches(examples, 32, lambda example: len(example[0])):
        sentences, labels = zip(*batch)
        distinct = {word: at for at, word in enumerate(dict.fromkeys(word for s in sentences for word in s))}
        letters = [characters.of(word) for word in distinct]
        made.append((
            pad_sequence([words.of(sentence) for sentence in sentences], batch_first=True),
            torch.tensor([len(sentence) for sentence in sentences]),
            pad_sequence([torch.tensor([distinct[word] for word in s]) for s in sentences], batch_first=True),
            pad_sequence(letters, batch_first=True),
            torch.tensor([len(word) for word in letters]),
            pad_sequence(labels, batch_first=True, padding_value=-1),
        ))
    return Tagger(words.count(), characters.count(), len(tags)), made


class Forecaster(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(1, 128, batch_first=True)
        self.decoder = nn.Linear(128, 48)

    def loss(self, past, future):
        _, h = self.rnn(past)
        return nn.functional.l1_loss(self.decoder(h[0]), future)


def forecast(folder):
    series = {}
    with (folder / "series.csv").open() as rows:
        for row in csv.DictReader(rows):
            series.setdefault(row["series"], []).append(float(row["value"]))
    windows = []
    for values in series.values():
        values = torch.tensor(values)
        for at in range(0, len(values) - 216, 37):
            window = values[at : at + 216]
            windows.append((window - window[:168].mean()) / (window[:168].std() + 1e-6))
    made = [torch.stack(batch) for batch in batches(windows, 64, len)]
    return Forecaster(), [(batch[:, :168, None].contiguous(), batch[:, 168:].contiguous()) for batch in made]


class Translator(nn.Module):
    """A bidirectional encoder, and a decoder with attention (Luong et al. 2015, general) and input feeding."""

    def __init__(self, source, target, width=256):
        super().__init__()
        self.source, self.target = nn.Embedding(source, width), nn.Embedding(target, width)
        self.encoder = nn.GRU(width, width, batch_first=True, bidirectional=True)
        self.bridge = nn.Linear(2 * width, width)
        self.cell = nn.GRUCell(2 * width, width)
        self.key = nn.Linear(2 * width, width, bias=False)
        self.combine = nn.Linear(3 * width, width, bias=False)
        self.decoder = nn.Linear(width, target)

    def loss(self, source, lengths, read, written):
        ys, h = packed(self.encoder, self.source(source), lengths)
        ys, _ = pad_packed_sequence(ys, batch_first=True)
        keys, padding = self.key(ys), source == PAD
        h = torch.tanh(self.bridge(h.transpose(0, 1).flatten(1)))
        attentional, states = torch.zeros_like(h), []
        for x in self.target(read).unbind(1):
            h = self.cell(torch.cat([x, attentional], 1), h)
            scores = torch.bmm(keys, h.unsqueeze(2)).squeeze(2).masked_fill(padding, float("-inf"))
            context = torch.bmm(scores.softmax(1).unsqueeze(1), ys).squeeze(1)
            attentional = torch.tanh(self.combine(torch.cat([context, h], 1)))
            states.append(attentional)
        logits = self.decoder(torch.stack(states, 1))
        return nn.functional.cross_entropy(logits.flatten(0, 1), written.flatten(), ignore_index=PAD)


def translate(folder):
    start, end = 1, 2
    numbers = {"xx": Numbers(), "yy": Numbers()}
    sides = [
        [numbers[language].of(line.split()) for line in (folder / f"train.{language}").read_text().splitlines()]
        for language in numbers
    ]
    made = []
    for batch in batches(list(zip(*sides)), 64, lambda pair: (len(pair[0]), len(pair[1]))):
        sources, targets = zip(*batch)
        read = pad_sequence([torch.cat([torch.tensor([start]), text]) for text in targets], batch_first=True)
        written = pad_sequence([torch.cat([text, torch.tensor([end])]) for text in targets], batch_first=True)
        lengths = torch.tensor([len(text) for text in sources])
        made.append((pad_sequence(sources, batch_first=True), lengths, read, written))
    return Translator(numbers["xx"].count(), numbers["yy"].count()), made


def main(task, folder, steps, every, precision):
    torch.set_num_threads(THREADS)
    torch.manual_seed(1)
    model, made = {"classify": classify, "tag": tag, "forecast": forecast, "translate": translate}[task](Path(folder))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)

    def step(batch):
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"):
            loss = model.loss(*batch)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    seconds, at = [], 0
    for _ in range(int(steps) // int(every)):
        began = time.perf_counter()
        for _ in range(int(every)):
            step(made[at % len(made)])
            at += 1
        seconds.append(time.perf_counter() - began)
    print(json.dumps({"step_ms": statistics.median(seconds[1:]) / int(every) * 1e3}))


if __name__ == "__main__":
    main(*sys.argv[1:])
