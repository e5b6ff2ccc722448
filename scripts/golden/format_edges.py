"""Golden files of PyTorch whose tensors alone do not tell the network: one output, an nn.RNN with relu, layers without
parameters, and a projection that the exporter drops.

tests/golden/format_edges.safetensors holds the files themselves, tokens (batch, time), and the outputs for them.
"""

import contextlib
import io
import logging
import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn

from fixtures import BATCH, HIDDEN, INPUT, PROJECTION, TIME, Fixture
from pytorch_files import VOCABULARY


class Network(nn.Module):
    """An embedding, a recurrent layer, a layer between or none, and an output layer; see `main` for the options."""

    def __init__(self, rnn, outputs, width=HIDDEN, between=None, every=True, end=None):
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, INPUT)
        self.rnn = rnn
        if between:
            self.between = between
        self.fc = nn.Linear(width, outputs)
        self.every, self.end = every, end

    def forward(self, tokens):
        ys = self.rnn(self.embedding(tokens))[0]
        ys = self.between(ys) if hasattr(self, "between") else ys
        scores = self.fc(ys if self.every else ys[:, -1])
        return torch.sigmoid(scores).squeeze(-1) if self.end == "squeeze" else scores


def lstm(**options):
    return nn.LSTM(INPUT, HIDDEN, batch_first=True, **options)


def cases():
    """The name of each file, its network, and its container."""
    yield "one-output", Network(lstm(), 1, every=False), "dict"
    relu = nn.RNN(INPUT, HIDDEN, nonlinearity="relu", batch_first=True)
    yield "relu-module", Network(relu, VOCABULARY, between=nn.Dropout(0.1)), "module"
    yield "between-module", Network(lstm(), VOCABULARY, between=nn.ReLU()), "module"
    for exporter in ("traced", "dynamo"):
        yield f"one-output-{exporter}", Network(lstm(), 1, every=False), exporter
        yield f"squeezed-{exporter}", Network(lstm(), 1, every=False, end="squeeze"), exporter
    yield "projected-dynamo", Network(lstm(proj_size=PROJECTION), VOCABULARY, PROJECTION), "dynamo"
    # The same size as the features that the layer reads.
    yield "projected-alike-dynamo", Network(lstm(proj_size=INPUT), VOCABULARY, INPUT), "dynamo"


def cleaned(path):
    """Removes what differs from machine to machine from a graph."""
    model = onnx.load(path)
    graph = model.graph
    for message in (model, graph, *graph.node, *graph.initializer, *graph.input, *graph.output):
        for field in ("metadata_props", "doc_string"):
            with contextlib.suppress(ValueError):
                message.ClearField(field)
    graph.ClearField("value_info")
    onnx.save(model, path)


def content(network, container, tokens):
    """The bytes of the file of a network."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(folder) / "model"
        match container:
            case "dict":
                torch.save(network.state_dict(), path)
            case "module":
                torch.save(network, path)
            case "traced":
                axes = {"dynamic_axes": {"tokens": {0: "batch", 1: "time"}}, "input_names": ["tokens"]}
                torch.onnx.export(network, (tokens,), path, dynamo=False, **axes)
            case "dynamo":
                sizes = {at: torch.export.Dim(name, min=1, max=1000) for at, name in enumerate(("batch", "time"))}
                with contextlib.redirect_stdout(io.StringIO()):
                    shapes = {"dynamic_shapes": (sizes,), "verbose": False, "external_data": False}
                    torch.onnx.export(network, (tokens,), path, dynamo=True, **shapes)
        if container in ("traced", "dynamo"):
            cleaned(path)
        return np.frombuffer(path.read_bytes(), np.uint8)


def main():
    logging.disable(logging.WARNING)
    fixture = Fixture("format_edges", seed=16)
    for name, network, container in cases():
        network.eval()
        network.load_state_dict({n: torch.tensor(fixture.random(*p.shape)) for n, p in network.state_dict().items()})
        tokens = torch.tensor(fixture.rng.integers(VOCABULARY, size=(BATCH, TIME)))
        outputs = network(tokens).detach().numpy()
        model = content(network, container, tokens)
        inputs = {"tokens": tokens.numpy().astype(np.uint32), "model": model}
        fixture.add(name, {}, input=inputs, output={"scores": outputs})
    fixture.write()


if __name__ == "__main__":
    main()
