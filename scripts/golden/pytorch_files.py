"""Golden files of PyTorch: small networks as torch.save and safetensors write them, with their outputs.

The files go to tests/golden/pytorch/, one a case. tests/golden/pytorch_files.safetensors has, for each of them, the
parameters under the names of rnn-zoo, tokens (batch, time), and the outputs for them.

Files of whole modules and of the legacy format differ from run to run, as PyTorch names objects in them by their
address. Their tensors do not differ.
"""

import warnings
from unittest.mock import patch

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from fixtures import BATCH, FOLDER, HIDDEN, INPUT, PROJECTION, TIME, Fixture

VOCABULARY, OUTPUTS = 11, 5
FILES = FOLDER / "pytorch"

# Names that people give to the embedding, the recurrent layer and the output layer.
NAMES = [
    ("encoder", "rnn", "decoder"),
    ("embedding", "lstm", "fc"),
    ("word_embeddings", "gru", "hidden2tag"),
    ("wte", "recurrent", "lm_head"),
]


class Network(nn.Module):
    """An embedding, a recurrent layer and an output layer under the given names; see `case` for the options."""

    def __init__(self, o, names):
        super().__init__()
        self.o, self.names = o, names
        further = {"lstm": {"proj_size": o["projection"]}, "simple_rnn": {"nonlinearity": o["nonlinearity"]}}
        kind = {"simple_rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}[o["cell"]]
        sizes = dict(num_layers=o["layers"], bidirectional=o["bidirectional"], bias=o["bias"], batch_first=True)
        rnn = kind(INPUT, HIDDEN, **sizes, **further.get(o["cell"], {}))
        width = (o["projection"] or HIDDEN) * (2 if o["bidirectional"] else 1)
        outputs = VOCABULARY if o["task"] == "lm" else OUTPUTS
        if o["tied"] and width != INPUT:
            self.projection = nn.Linear(width, INPUT, bias=False)
            width = INPUT
        parts = nn.Embedding(VOCABULARY, INPUT), rnn, nn.Linear(width, outputs, bias=names[2] != "lm_head")
        for name, part in zip(names, parts):
            setattr(self, name, part)
        if o["tied"]:
            getattr(self, names[2]).weight = getattr(self, names[0]).weight

    def forward(self, tokens):
        embedding, rnn, linear = (getattr(self, name) for name in self.names)
        ys, state = rnn(embedding(tokens))
        if self.o["task"] == "classify":
            h = state[0] if self.o["cell"] == "lstm" else state
            ys = torch.cat([h[-2], h[-1]], 1) if self.o["bidirectional"] else h[-1]
        return linear(self.projection(ys) if hasattr(self, "projection") else ys)


def write(network, container, name):
    """Saves a network in one of the ways that people save them. Returns the file's name."""
    tensors = network.state_dict()
    wrapped = {"module." + name: tensor for name, tensor in tensors.items()}
    optimizer = torch.optim.Adam(network.parameters()).state_dict()
    legacy = {"_use_new_zipfile_serialization": False}
    match container:
        case "safetensors":
            # Names that share a tensor are refused, so each has a copy.
            path = FILES / f"{name}.safetensors"
            save_file({name: tensor.clone() for name, tensor in tensors.items()}, path)
            return path.name
        case "zip":
            file, content, options = f"{name}.pt", tensors, {}
        case "legacy":
            file, content, options = f"{name}.pth", tensors, legacy
        case "checkpoint":
            content = {"epoch": 3, "loss": 0.5, "model_state_dict": wrapped, "optimizer": optimizer}
            file, options = f"{name}.bin", {}
        case "module":
            file, content, options = f"{name}.pt", network, {}
        case "legacy module":
            file, content, options = f"{name}.pth", network, legacy
    # The legacy format would hold the source code of PyTorch's modules, and where it lies.
    with patch("torch.serialization.get_source_lines_and_file", side_effect=OSError), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.save(content, FILES / file, **options)
    return file


CONTAINERS = ["zip", "legacy", "safetensors", "checkpoint", "module", "legacy module"]


def case(cell, layers=1, bidirectional=False, bias=True, **others):
    """The options of a case: a language model, or a tagger where it reads both directions."""
    defaults = {"task": "tag" if bidirectional else "lm", "projection": 0, "nonlinearity": "tanh", "tied": False}
    return defaults | {"cell": cell, "layers": layers, "bidirectional": bidirectional, "bias": bias} | others


def cases():
    shapes = [(layers, both, bias) for layers in (1, 2) for both in (False, True) for bias in (True, False)]
    for cell in ("simple_rnn", "lstm", "gru"):
        for layers, both, bias in shapes:
            directions = "both-directions" if both else "one-direction"
            yield f"{cell}-{layers}-{directions}-{'bias' if bias else 'none'}", case(cell, layers, both, bias)
    for layers, both, bias in shapes:
        directions = "both-directions" if both else "one-direction"
        name = f"projected-{layers}-{directions}-{'bias' if bias else 'none'}"
        yield name, case("lstm", layers, both, bias, projection=PROJECTION)
    yield "relu", case("simple_rnn", nonlinearity="relu")
    yield "tied", case("lstm", 2, tied=True)
    yield "tied-width", case("lstm", projection=INPUT, tied=True)
    yield "classifier", case("gru", task="classify")
    yield "classifier-both-directions", case("lstm", 2, True, task="classify")


def main():
    fixture = Fixture("pytorch_files", seed=15)
    FILES.mkdir(parents=True, exist_ok=True)
    for number, (name, o) in enumerate(cases()):
        names = NAMES[number % len(NAMES)]
        network = Network(o, names).eval()
        network.load_state_dict({n: torch.tensor(fixture.random(*p.shape)) for n, p in network.state_dict().items()})
        ours = dict(zip(names, ("encoder", "rnn", "decoder"))) | {"projection": "projection"}
        parameters = {}
        for key, tensor in network.named_parameters():
            module, parameter = key.split(".")
            parameters[f"{ours[module]}.{parameter}"] = tensor.detach().numpy()
        tokens = fixture.rng.integers(VOCABULARY, size=(BATCH, TIME))
        outputs = network(torch.tensor(tokens)).detach().numpy()
        # Shifted by one after each round, so that each container meets each of the names.
        container = CONTAINERS[(number + number // len(CONTAINERS)) % len(CONTAINERS)]
        fixture.add(
            name,
            {"file": write(network, container, name), "task": o["task"], "nonlinearity": o["nonlinearity"]},
            parameter=parameters,
            input={"tokens": tokens.astype(np.uint32)},
            output={"logits": outputs},
        )
    fixture.write()


if __name__ == "__main__":
    main()
