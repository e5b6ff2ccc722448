"""Golden values from PyTorch: every recurrent layer, and the language model built from them."""

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from fixtures import BATCH, HIDDEN, INPUT, PROJECTION, TIME, Fixture, options, shape_name

LENGTHS = [3, 5, 1]
SHAPES = [(n, both, lengths) for n in (1, 2) for both in (False, True) for lengths in (None, LENGTHS)]


def build(o):
    """The layer that the options describe."""
    sizes = dict(num_layers=o["layers"], bidirectional=o["bidirectional"], bias=o["bias"], batch_first=True)
    match o["cell"]:
        case "simple_rnn":
            return nn.RNN(INPUT, HIDDEN, nonlinearity=o["nonlinearity"], **sizes)
        case "lstm":
            return nn.LSTM(INPUT, HIDDEN, proj_size=o["projection"] or 0, **sizes)
        case "gru":
            return nn.GRU(INPUT, HIDDEN, **sizes)


def forward(layer, xs, state, lengths):
    """Outputs by name: ys (batch, time, directions * hidden), last, h_n, and c_n for an LSTM."""
    lstm = isinstance(layer, nn.LSTM)
    packed = xs if lengths is None else pack_padded_sequence(xs, lengths, True, enforce_sorted=False)
    ys, state = layer(packed, tuple(state) if lstm else state[0])
    if lengths is not None:
        ys, _ = pad_packed_sequence(ys, batch_first=True, total_length=xs.shape[1])
    states = dict(zip(("h_n", "c_n"), state if lstm else (state,)))
    directions = 2 if layer.bidirectional else 1
    # The last layer's final state of each direction: what a classifier reads.
    last = torch.cat(list(states["h_n"][-directions:]), dim=-1)
    return {"ys": ys, "last": last, **states}


def add(fixture, case, o):
    """Runs one case in f32 for the outputs and in f64 for the gradients."""
    layer = build(o)
    # Nothing bounds a relu: smaller weights keep its state, and so its rounding errors, near one.
    scale = 0.25 if o["nonlinearity"] == "relu" else 0.5
    parameters = {name: fixture.random(*p.shape, scale=scale) for name, p in layer.named_parameters()}
    stacked = o["layers"] * (2 if o["bidirectional"] else 1)
    # Padding holds numbers too: a layer that read it would be caught.
    inputs = {"xs": fixture.random(BATCH, TIME, INPUT, scale=1.0)}
    inputs["h0"] = fixture.random(stacked, BATCH, o["projection"] or HIDDEN)
    if o["cell"] == "lstm":
        inputs["c0"] = fixture.random(stacked, BATCH, HIDDEN)

    def run(dtype):
        layer.to(dtype)
        layer.load_state_dict({name: torch.tensor(p) for name, p in parameters.items()})
        given = {name: torch.tensor(x, dtype=dtype, requires_grad=True) for name, x in inputs.items()}
        xs, *state = given.values()
        return given, forward(layer, xs, state, o["lengths"])

    _, outputs = run(torch.float32)
    weights = {name: fixture.random(*y.shape, scale=1.0) for name, y in outputs.items() if name != "last"}
    given, exact = run(torch.float64)
    loss = sum((exact[name] * torch.tensor(w, dtype=torch.float64)).sum() for name, w in weights.items())
    sources = dict(layer.named_parameters()) | given
    gradients = torch.autograd.grad(loss, list(sources.values()))

    fixture.add(
        case,
        o,
        parameter=parameters,
        input=inputs,
        output={name: y.detach().numpy() for name, y in outputs.items()},
        loss=weights,
        gradient={name: g.numpy() for name, g in zip(sources, gradients)},
    )


def layers():
    """One file for each cell."""
    for seed, cell in enumerate(("simple_rnn", "lstm", "gru")):
        fixture = Fixture(f"torch_{cell}", seed)
        for shape in SHAPES:
            n, both, lengths = shape
            usual = dict(layers=n, bidirectional=both, lengths=lengths)
            add(fixture, shape_name(*shape), options(cell, **usual))
            if cell == "simple_rnn":
                add(fixture, shape_name(*shape) + "-relu", options(cell, nonlinearity="relu", **usual))
            if cell == "lstm":
                add(fixture, shape_name(*shape) + "-projected", options(cell, projection=PROJECTION, **usual))
        shape = (2, True, LENGTHS)
        without_bias = options(cell, layers=2, bidirectional=True, lengths=LENGTHS, bias=False)
        add(fixture, shape_name(*shape) + "-no-bias", without_bias)
        fixture.write()


class LanguageModel(nn.Module):
    """Embedding, LSTM, decoder; named as in PyTorch's word_language_model example. Tied ends of different
    widths have a projection between them."""

    def __init__(self, vocabulary, embedding, hidden, layers, tied):
        super().__init__()
        self.encoder = nn.Embedding(vocabulary, embedding)
        self.rnn = nn.LSTM(embedding, hidden, layers, batch_first=True)
        projected = tied and embedding != hidden
        self.projection = nn.Linear(hidden, embedding, bias=False) if projected else nn.Identity()
        self.decoder = nn.Linear(embedding if projected else hidden, vocabulary)
        if tied:
            self.decoder.weight = self.encoder.weight

    def forward(self, tokens, state):
        ys, state = self.rnn(self.encoder(tokens), state)
        return ys, self.decoder(self.projection(ys)), state


def add_language_model(
    fixture, case, embedding, tied, vocabulary=11, n_layers=2, smoothing=0.0, ar=0.0, tar=0.0
):
    """One language model: logits, final state, mean cross-entropy in nats (against smoothed targets, with the
    penalties of AWD-LSTM added), and its gradients."""
    model = LanguageModel(vocabulary, embedding, HIDDEN, n_layers, tied)
    # named_parameters() lists a tied weight once, as encoder.weight.
    parameters = {name: fixture.random(*p.shape) for name, p in model.named_parameters()}
    tokens, targets = fixture.rng.integers(vocabulary, size=(2, BATCH, TIME))
    inputs = {"h0": fixture.random(n_layers, BATCH, HIDDEN), "c0": fixture.random(n_layers, BATCH, HIDDEN)}

    def run(dtype):
        model.to(dtype)
        model.load_state_dict({name: torch.tensor(p) for name, p in parameters.items()}, strict=not tied)
        h0, c0 = (torch.tensor(x, dtype=dtype) for x in inputs.values())
        ys, logits, (h_n, c_n) = model(torch.tensor(tokens), (h0, c0))
        loss = nn.functional.cross_entropy(
            logits.flatten(0, 1), torch.tensor(targets).flatten(), label_smoothing=smoothing
        )
        loss = loss + ar * ys.pow(2).mean() + tar * (ys[:, 1:] - ys[:, :-1]).pow(2).mean()
        return {"logits": logits, "h_n": h_n, "c_n": c_n, "loss": loss}

    outputs = {name: y.detach().numpy() for name, y in run(torch.float32).items()}
    run(torch.float64)["loss"].backward()
    fixture.add(
        case,
        {
            "cell": "lstm",
            "vocabulary": vocabulary,
            "embedding": embedding,
            "hidden": HIDDEN,
            "layers": n_layers,
            "tied": tied,
            "smoothing": smoothing,
            "ar": ar,
            "tar": tar,
        },
        parameter=parameters,
        input=inputs | {"tokens": tokens.astype(np.uint32), "targets": targets.astype(np.uint32)},
        output=outputs,
        gradient={name: p.grad.numpy() for name, p in model.named_parameters()},
    )


def language_models():
    fixture = Fixture("torch_rnnlm", seed=3)
    add_language_model(fixture, "untied", embedding=INPUT, tied=False)
    add_language_model(fixture, "tied", embedding=HIDDEN, tied=True)
    add_language_model(
        fixture, "tied-projected-penalised", embedding=INPUT, tied=True, smoothing=0.1, ar=2.0, tar=1.0
    )
    fixture.write()


if __name__ == "__main__":
    torch.use_deterministic_algorithms(True)
    layers()
    language_models()
