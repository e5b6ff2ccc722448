"""Golden values from Keras, with its layouts mapped to PyTorch's, which are ours.

Keras keeps a kernel as (input, gates * units) and the gates in the order i, f, c, o (LSTM) and z, r, h
(GRU). We keep (gates * hidden, input), and i, f, g, o and r, z, n. Where Keras has a single bias it goes
to bias_ih and bias_hh is zero. A GRU with reset_after=True has two, as we do.

At a padded step Keras repeats the output before it, and we return zeros, as PyTorch does: the outputs
are zeroed there before they are stored and before the loss.
"""

import os

os.environ["KERAS_BACKEND"] = "torch"
os.environ["KERAS_TORCH_DEVICE"] = "cpu"

import keras
import numpy as np
import torch

from fixtures import BATCH, HIDDEN, INPUT, TIME, Fixture, options, shape_name

# No sequence fills the batch: the last step is padding for every one.
LENGTHS = [2, 4, 1]
MERGES = ("concat", "sum", "mul", "ave")
# Where each of our gates stands in Keras's order.
GATES = {"simple_rnn": [0], "lstm": [0, 1, 2, 3], "gru": [1, 0, 2]}


def build(o, dtype, return_sequences=True):
    """The layers of a stack, first to last; only the last may leave the sequence out."""
    layers = []
    for index in range(o["layers"]):
        sequences = return_sequences or index + 1 < o["layers"]
        usual = dict(return_sequences=sequences, return_state=True, dtype=dtype)
        match o["cell"]:
            case "simple_rnn":
                layer = keras.layers.SimpleRNN(HIDDEN, **usual)
            case "lstm":
                layer = keras.layers.LSTM(HIDDEN, **usual)
            case "gru":
                layer = keras.layers.GRU(HIDDEN, reset_after=o["reset"] == "after", **usual)
        if o["bidirectional"]:
            layer = keras.layers.Bidirectional(layer, merge_mode=o["merge"], dtype=dtype)
        layers.append(layer)
    return layers


def suffixes(o):
    """The endings of parameter names, in the order in which Keras lists its weights and states."""
    directions = ["", "_reverse"] if o["bidirectional"] else [""]
    return [f"_l{layer}{direction}" for layer in range(o["layers"]) for direction in directions]


def gates(array, cell):
    """Reorders the gates along the last axis."""
    return np.concatenate([np.split(array, len(GATES[cell]), axis=-1)[g] for g in GATES[cell]], axis=-1)


def renamed(arrays, o):
    """Keras's kernel, recurrent_kernel and bias of every layer and direction, under PyTorch's names."""
    ours = {}
    arrays = iter([gates(array, o["cell"]) for array in arrays])
    for suffix in suffixes(o):
        ours[f"weight_ih{suffix}"] = next(arrays).T
        ours[f"weight_hh{suffix}"] = next(arrays).T
        bias = next(arrays)
        ours[f"bias_ih{suffix}"], ours[f"bias_hh{suffix}"] = bias if bias.ndim == 2 else (bias, 0 * bias)
    return ours


def forward(layers, xs, state, o):
    """Outputs by name: ys, or last where the sequence is left out; h_n, and c_n for an LSTM."""
    mask = None
    if o["lengths"] is not None:
        mask = torch.arange(TIME)[None, :] < torch.tensor(o["lengths"])[:, None]
    per_layer = len(state) // len(layers)
    ys, finals = xs, []
    for index, layer in enumerate(layers):
        initial = state[index * per_layer : (index + 1) * per_layer]
        ys, *final = layer(ys, mask=mask, initial_state=initial)
        finals += final
    if ys.ndim == 3 and mask is not None:
        ys = ys * mask[:, :, None]
    outputs = {"ys" if ys.ndim == 3 else "last": ys}
    if o["cell"] == "lstm":
        return outputs | {"h_n": torch.stack(finals[0::2]), "c_n": torch.stack(finals[1::2])}
    return outputs | {"h_n": torch.stack(finals)}


def add(fixture, case, o):
    """Runs one case in f32 for the outputs and in f64 for the gradients."""
    stacked = o["layers"] * (2 if o["bidirectional"] else 1)
    inputs = {"xs": fixture.random(BATCH, TIME, INPUT, scale=1.0)}
    for name in ("h0", "c0") if o["cell"] == "lstm" else ("h0",):
        inputs[name] = fixture.random(stacked, BATCH, HIDDEN)
    values = None

    def run(dtype, return_sequences=True):
        nonlocal values
        layers = build(o, dtype, return_sequences)
        given = {n: torch.tensor(x.astype(dtype), requires_grad=True) for n, x in inputs.items()}
        xs, *state = given.values()
        # Keras wants h and c of one direction beside each other.
        state = [s[index] for index in range(stacked) for s in state]
        forward(layers, xs, state, o)  # the first call makes the weights
        variables = [v for layer in layers for v in layer.trainable_variables]
        values = values or [fixture.random(*v.shape) for v in variables]
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
        return given, [v.value for v in variables], forward(layers, xs, state, o)

    _, _, outputs = run("float32")
    _, _, shorter = run("float32", return_sequences=False)
    weights = {name: fixture.random(*y.shape, scale=1.0) for name, y in outputs.items()}
    given, variables, exact = run("float64")
    loss = sum((exact[name] * torch.tensor(w, dtype=torch.float64)).sum() for name, w in weights.items())
    gradients = torch.autograd.grad(loss, [*variables, *given.values()])
    gradients = [g.numpy() for g in gradients]
    by_parameter = renamed(gradients[: len(variables)], o)
    if o["cell"] != "gru" or o["reset"] == "before":
        # Keras has no second bias here; a sum of two biases has one gradient.
        by_parameter |= {n.replace("_ih", "_hh"): g for n, g in by_parameter.items() if "bias_ih" in n}

    outputs["last"] = shorter["last"]
    fixture.add(
        case,
        o,
        parameter=renamed(values, o),
        input=inputs,
        output={name: y.detach().numpy() for name, y in outputs.items()},
        loss=weights,
        gradient=by_parameter | dict(zip(given, gradients[len(variables) :])),
    )


def main():
    cells = {"simple_rnn": ["after"], "lstm": ["after"], "gru": ["after", "before"]}
    for seed, (cell, resets) in enumerate(cells.items(), start=4):
        fixture = Fixture(f"keras_{cell}", seed)
        for reset in resets:
            ending = f"-reset-{reset}" if cell == "gru" else ""
            for lengths in (None, LENGTHS):
                usual = dict(reset=reset, lengths=lengths)
                for n in (1, 2):
                    name = shape_name(n, False, lengths) + ending
                    add(fixture, name, options(cell, layers=n, **usual))
                    for merge in MERGES:
                        name = shape_name(n, True, lengths) + f"-{merge}" + ending
                        add(fixture, name, options(cell, layers=n, bidirectional=True, merge=merge, **usual))
        fixture.write()


if __name__ == "__main__":
    main()
