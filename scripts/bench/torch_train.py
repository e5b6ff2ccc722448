"""Trains the word-level language model of compare.py in PyTorch, to measure its peak memory: TRAIN-FILE STEPS."""

import sys
from pathlib import Path

import torch
from serve import THREADS
from torch_worker import LanguageModel, train_step

EMBEDDING = HIDDEN = 200
LAYERS, TIME, BATCH = 2, 20, 20


def read(path):
    """The words of the text as numbers, in BATCH columns of consecutive text, and the number of word types."""
    numbers = {}
    with Path(path).open(encoding="utf-8") as lines:
        tokens = [numbers.setdefault(word, len(numbers)) for line in lines for word in (*line.split(), "<eos>")]
    rows = len(tokens) // BATCH
    return torch.tensor(tokens[: rows * BATCH]).view(BATCH, rows).t().contiguous(), len(numbers)


def main(path, steps):
    torch.set_num_threads(THREADS)
    columns, vocab = read(path)
    model = LanguageModel(vocab, EMBEDDING, HIDDEN, LAYERS)
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    state = None
    for at in range(steps):
        first = at * TIME % (len(columns) - TIME - 1)
        window = columns[first : first + TIME + 1]
        state = train_step(model, optimizer, window[:-1], window[1:], state)
        state = tuple(part.detach() for part in state)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
