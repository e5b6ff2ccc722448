"""ONNX files of PyTorch's two exporters: small networks as torch.onnx.export writes them, with their outputs.

tests/golden/onnx_files.safetensors has, for each of them, the file as bytes under input/model, the data beside it if
there is any under input/data, the parameters under the names of rnn-zoo, tokens (batch, time), and the outputs for
them.
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

from fixtures import BATCH, HIDDEN, INPUT, TIME, Fixture

VOCABULARY, OUTPUTS = 11, 5
DATA = "model.onnx.data"


class Network(nn.Module):
    """An embedding, a recurrent layer and an output layer; see `case` for the options."""

    def __init__(self, o):
        super().__init__()
        self.o = o
        further = {"nonlinearity": o["nonlinearity"]} if o["cell"] == "simple_rnn" else {}
        kind = {"simple_rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}[o["cell"]]
        sizes = dict(num_layers=o["layers"], bidirectional=o["both"], bias=o["bias"], batch_first=o["batch_first"])
        self.encoder = nn.Embedding(o["vocabulary"], o["input"])
        self.dropout = nn.Dropout(0.5)
        self.rnn = kind(o["input"], o["hidden"], **sizes, **further)
        width = o["hidden"] * (2 if o["both"] else 1)
        if o["tied"]:
            self.projection = nn.Linear(width, o["input"], bias=False)
            width = o["input"]
        outputs = {"lm": o["vocabulary"], "binary": 1}.get(o["task"], o["outputs"])
        self.decoder = nn.Linear(width, outputs, bias=o["output_bias"])
        if o["tied"]:
            self.decoder.weight = self.encoder.weight

    def read(self, ys, h):
        """The vector of a sequence that a classifier reads."""
        time, hidden = 1 if self.o["batch_first"] else 0, self.o["hidden"]
        match self.o["readout"]:
            case "state":
                return torch.cat([h[-2], h[-1]], 1) if self.o["both"] else h[-1]
            case "swapped":
                return torch.cat([h[-1], h[-2]], 1)
            case "view":
                h = h.view(self.o["layers"], 2, -1, hidden)[-1]
                return torch.cat([h[0], h[1]], 1)
            case "step":
                return ys.select(time, -1)
            case "ends":
                return torch.cat([ys.select(time, -1)[:, :hidden], ys.select(time, 0)[:, hidden:]], 1)
            case "mean":
                return ys.mean(time)
            case "max":
                return ys.max(time).values
            case "pool":
                return nn.functional.adaptive_max_pool1d(ys.transpose(1, 2), 1).squeeze(2)
        return ys

    def forward(self, tokens, *state):
        if not self.o["batch_first"]:
            tokens = tokens.t()
        xs = self.dropout(self.encoder(tokens))
        ys, last = self.rnn(xs, state if len(state) == 2 else state[0]) if state else self.rnn(xs)
        ys = self.read(ys, last[0] if isinstance(last, tuple) else last)
        if hasattr(self, "projection"):
            ys = self.projection(ys)
        scores = self.decoder(self.dropout(ys))
        if self.o["task"] == "lm" and not self.o["batch_first"]:
            scores = scores.reshape(-1, self.o["vocabulary"])  # as PyTorch's word_language_model
        match self.o["end"]:
            case "softmax":
                scores = torch.softmax(scores, -1)
            case "log_softmax":
                scores = torch.log_softmax(scores, -1)
            case "sigmoid":
                scores = torch.sigmoid(scores)
        return (scores, *(last if isinstance(last, tuple) else [last])) if state else scores


def case(cell, layers=1, both=False, bias=True, **others):
    """The options of a case: a language model, or a tagger where it reads both directions."""
    defaults = {
        "vocabulary": VOCABULARY,
        "input": INPUT,
        "hidden": HIDDEN,
        "outputs": OUTPUTS,
        "task": "tag" if both else "lm",
        "nonlinearity": "tanh",
        "tied": False,
        "output_bias": True,
        "batch_first": True,
        "states": False,
        "readout": "",
        "end": "",
        "dynamo": False,
        "static": False,
        "folded": True,
        "external": False,
        "opset": None,
    }
    return defaults | {"cell": cell, "layers": layers, "both": both, "bias": bias} | others


def cases():
    for cell in ("simple_rnn", "lstm", "gru"):
        for layers in (1, 2):
            for both in (False, True):
                for bias in (True, False):
                    directions = "both-directions" if both else "one-direction"
                    name = f"{cell}-{layers}-{directions}-{'bias' if bias else 'none'}"
                    yield name, case(cell, layers, both, bias)
    for cell in ("lstm", "gru"):  # the other exporter writes nn.RNN step by step
        for layers, both, bias in ((1, False, True), (2, True, True), (2, False, False)):
            directions = "both-directions" if both else "one-direction"
            name = f"dynamo-{cell}-{layers}-{directions}-{'bias' if bias else 'none'}"
            yield name, case(cell, layers, both, bias, dynamo=True)
    yield "relu", case("simple_rnn", 2, True, nonlinearity="relu")
    yield "states", case("lstm", 2, states=True)
    yield "dynamo-states", case("gru", 2, states=True, dynamo=True)
    yield "static", case("lstm", 2, static=True)
    yield "dynamo-static", case("gru", 2, True, static=True, dynamo=True)
    yield "unfolded", case("gru", 2, True, folded=False)
    yield "external", case("lstm", dynamo=True, external=True)
    yield "opset-9", case("lstm", 2, opset=9)
    yield "opset-11", case("gru", 1, True, opset=11)
    yield "opset-13", case("simple_rnn", 2, opset=13)
    yield "time-first", case("lstm", 2, batch_first=False, end="log_softmax")
    yield "dynamo-time-first", case("gru", 1, batch_first=False, dynamo=True)
    yield "tied", case("lstm", 1, tied=True)
    yield "no-output-bias", case("gru", 1, output_bias=False)
    for dynamo in (False, True):
        start = "dynamo-" if dynamo else ""
        classifier = {"task": "classify", "dynamo": dynamo}
        yield f"{start}state", case("lstm", 2, **classifier, readout="state")
        yield f"{start}state-both", case("gru", 2, True, **classifier, readout="state", end="softmax")
        yield f"{start}swapped", case("lstm", 1, True, **classifier, readout="swapped")
        yield f"{start}view", case("lstm", 2, True, **classifier, readout="view")
        yield f"{start}step", case("gru", 1, **classifier, readout="step")
        yield f"{start}ends", case("lstm", 1, True, **classifier, readout="ends")
        yield f"{start}mean", case("gru", 1, True, **classifier, readout="mean", end="log_softmax")
        yield f"{start}max", case("lstm", 1, **classifier, readout="max")
        yield f"{start}pool", case("lstm", 1, True, **classifier, readout="pool")
    yield "binary", case("lstm", 1, task="binary", readout="state", end="sigmoid")


def export(network, arguments, path):
    """Exports a network without what differs from machine to machine."""
    o = network.o
    version = {"opset_version": o["opset"]} if o["opset"] else {}
    names = ["tokens", *("h0", "c0")[: len(arguments) - 1]]
    quiet = contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO())
    with warnings.catch_warnings(), quiet[0], quiet[1]:
        warnings.simplefilter("ignore")
        if o["dynamo"]:
            batch, time = (torch.export.Dim(name, min=1, max=1000) for name in ("batch", "time"))
            states = [tuple({1: batch} for _ in arguments[1:])] if o["states"] else []
            shapes = {"dynamic_shapes": ({0: batch, 1: time}, *states)} if not o["static"] else {}
            torch.onnx.export(network, arguments, path, dynamo=True, verbose=False, **shapes, **version)
        else:
            axes = {"tokens": {0: "batch", 1: "time"}} | {name: {1: "batch"} for name in names[1:]}
            shapes = {} if o["static"] else {"dynamic_axes": axes}
            folding = {"do_constant_folding": o["folded"]}
            torch.onnx.export(network, arguments, path, dynamo=False, input_names=names, **shapes, **folding, **version)
    model = onnx.load(path)
    graph = model.graph
    for message in (model, graph, *graph.node, *graph.initializer, *graph.input, *graph.output):
        for field in ("metadata_props", "doc_string"):
            with contextlib.suppress(ValueError):
                message.ClearField(field)
    graph.ClearField("value_info")
    external = dict(save_as_external_data=True, location=DATA, size_threshold=64) if o["external"] else {}
    onnx.save(model, path, **external)


def parameters(network):
    """The parameters under our names."""
    named = {name: tensor.detach().numpy() for name, tensor in network.named_parameters()}
    if network.o["task"] == "binary":  # two classes; a softmax over 0 and x is a sigmoid of x
        for name in ("decoder.weight", "decoder.bias"):
            named[name] = np.concatenate([np.zeros_like(named[name]), named[name]])
    if network.o["readout"] == "swapped":
        named["decoder.weight"] = np.roll(named["decoder.weight"], HIDDEN, 1)
    return named


def main():
    logging.disable(logging.WARNING)
    fixture = Fixture("onnx_files", seed=15)
    for name, o in cases():
        network = Network(o).eval()
        network.load_state_dict({n: torch.tensor(fixture.random(*p.shape)) for n, p in network.state_dict().items()})
        tokens = torch.tensor(fixture.rng.integers(VOCABULARY, size=(BATCH, TIME)))
        zeros = torch.zeros(o["layers"] * (2 if o["both"] else 1), BATCH, HIDDEN)
        # A state of its own for each input: equal ones would become one.
        states = [zeros.clone() for _ in range(2 if o["cell"] == "lstm" else 1)] if o["states"] else []
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.onnx"
            export(network, (tokens, *states), path)
            files = {"model": np.frombuffer(path.read_bytes(), np.uint8)}
            if o["external"]:
                files["data"] = np.frombuffer((Path(folder) / DATA).read_bytes(), np.uint8)
        with torch.no_grad():
            outputs = network(tokens, *states)
        outputs = outputs[0] if states else outputs
        if not o["batch_first"]:
            outputs = outputs.view(TIME, BATCH, -1).transpose(0, 1)
        fixture.add(
            name,
            {"task": "classify" if o["task"] == "binary" else o["task"], "end": o["end"]},
            parameter=parameters(network),
            input={"tokens": tokens.numpy().astype(np.uint32), **files},
            output={"logits": outputs.numpy()},
        )
    fixture.write()


if __name__ == "__main__":
    main()
