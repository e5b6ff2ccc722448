#!/usr/bin/env python3
"""Prints README.md's table of speed: geometric means of the ratios of each cell in the tables of docs/speed.md."""

import re
import statistics
from pathlib import Path

SPEED = Path(__file__).resolve().parents[2] / "docs/speed.md"
ROWS = ("simple-rnn", "lstm", "gru", "language model")
PEERS = ("PyTorch", "ONNX Runtime", "candle-nn", "Burn")


def cells(line):
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def ratios(text):
    """Yield (row, peer, ratio) for every ratio in the tables of PyTorch and others."""
    peers = []
    for line in text.splitlines():
        if not line.startswith("|"):
            peers = []
            continue
        label, *values = cells(line)
        if not peers:
            # "PyTorch in bf16" is not a column of this table.
            peers = [next((peer for peer in PEERS if re.match(rf"{peer}( [\d(]|$)", value)), None) for value in values]
            continue
        if cell := re.match(r"(simple-rnn|lstm|gru) \d", label):
            row = cell[1]
        elif re.fullmatch(r"\d+(x\d+){5}", label):
            row = "language model"
        else:
            continue
        for peer, value in zip(peers, values):
            if peer and re.fullmatch(r"[\d.]+", value):
                yield row, peer, float(value)


def main():
    found = {}
    for row, peer, ratio in ratios(SPEED.read_text(encoding="utf-8")):
        found.setdefault((row, peer), []).append(ratio)
    print(f"| | {' | '.join(PEERS)} |\n|---|{'---|' * len(PEERS)}")
    for row in ROWS:
        means = [statistics.geometric_mean(found[row, peer]) if (row, peer) in found else None for peer in PEERS]
        print(f"| {row} | {' | '.join('' if mean is None else f'{mean:.2f}' for mean in means)} |")


if __name__ == "__main__":
    main()
