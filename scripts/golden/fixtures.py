"""What the golden scripts share: seeded inputs, and the file format that tests/golden.rs reads.

A fixture file is one safetensors file with many cases. Its tensors are named CASE/KIND/TENSOR, where
KIND is one of

    parameter   under PyTorch's names
    input       xs, h0, c0, or the tokens and targets of a language model
    output      ys, last, h_n, c_n, or the logits and loss of a language model; in f32
    loss        the weights w of the scalar  sum(ys * w.ys) + sum(h_n * w.h_n) + sum(c_n * w.c_n)
    gradient    of that scalar, by parameter or input; computed in f64, stored as f32

attention.py and crf.py name the tensors of their own cases.

Its metadata has one entry, `cases`: a JSON object from case to the options that build its layer.
"""

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

FOLDER = Path(__file__).resolve().parents[2] / "tests" / "golden"

BATCH, TIME, INPUT, HIDDEN, PROJECTION = 3, 5, 4, 6, 3


class Fixture:
    """The cases of one file, and a generator for their random numbers."""

    def __init__(self, name, seed):
        self.path = FOLDER / f"{name}.safetensors"
        self.rng = np.random.default_rng(seed)
        self.cases = {}
        self.tensors = {}

    def random(self, *shape, scale=0.5):
        """Normal numbers, f32, small enough to keep the gates out of saturation."""
        return (scale * self.rng.standard_normal(shape)).astype(np.float32)

    def add(self, case, options, **kinds):
        """Adds a case: its options, then {tensor name: array} for each kind."""
        self.cases[case] = options
        for kind, tensors in kinds.items():
            for name, array in tensors.items():
                array = np.asarray(array)
                if array.dtype == np.float64:
                    array = array.astype(np.float32)
                self.tensors[f"{case}/{kind}/{name}"] = array.copy(order="C")

    def write(self):
        FOLDER.mkdir(parents=True, exist_ok=True)
        # One metadata entry only: safetensors does not keep the order of several.
        save_file(self.tensors, self.path, metadata={"cases": json.dumps(self.cases)})
        print(f"{self.path.name}: {len(self.cases)} cases, {self.path.stat().st_size / 1024:.0f} KiB")


def options(cell, *, layers=1, bidirectional=False, lengths=None, **others):
    """The options of a case, with the defaults that the test would otherwise have to know."""
    defaults = {
        "input": INPUT,
        "hidden": HIDDEN,
        "merge": "concat",
        "bias": True,
        "projection": None,
        "nonlinearity": "tanh",
        "reset": "after",
    }
    return defaults | {
        "cell": cell,
        "layers": layers,
        "bidirectional": bidirectional,
        "lengths": lengths,
    } | others


def shape_name(layers, bidirectional, lengths):
    """The part of a case's name that says how many layers, which directions, and whether it is padded."""
    return "-".join(
        [
            "1-layer" if layers == 1 else f"{layers}-layers",
            "both-directions" if bidirectional else "one-direction",
            "full" if lengths is None else "padded",
        ]
    )
