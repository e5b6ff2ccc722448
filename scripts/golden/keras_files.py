"""Golden files of Keras: small models as Keras 3 saves them, with their outputs.

The files go to tests/golden/keras/, one a case. tests/golden/keras_files.safetensors has, for each of them, the
parameters under the names of rnn-zoo, the tokens (batch, time) or features (batch, time, features), and the outputs for
them: logits, or probabilities of a model that ends with softmax or sigmoid.

Cases named `own-` are those of Keras's own layer tests: constant initial values, and np.arange as features.

Archives differ from run to run in their dates. Their arrays do not.
"""

import os
import struct

os.environ["KERAS_BACKEND"] = "torch"
os.environ["KERAS_TORCH_DEVICE"] = "cpu"

import h5py
import keras
import numpy as np
from keras import layers

from fixtures import BATCH, FOLDER, HIDDEN, INPUT, TIME, Fixture
from keras_layers import gates

VOCABULARY, OUTPUTS = 11, 5
FILES = FOLDER / "keras"
CONTAINERS = ["keras", "h5", "weights.h5", "json"]


def options_of(cell, number_of_layers=1, both=False, bias=True, **others):
    """The options of a case, with their defaults."""
    return {
        "cell": cell,
        "layers": number_of_layers,
        "bidirectional": both,
        "bias": bias,
        "merge": "concat",
        "reset": "after",
        "nonlinearity": "tanh",
        "task": "tag" if both else "lm",
        "end": "linear",
        "pool": None,
        "features": False,
        "form": "sequential",
        "mask_zero": False,
        "width": INPUT,
    } | others


def recurrent(o, sequences):
    usual = dict(return_sequences=sequences, use_bias=o["bias"])
    match o["cell"]:
        case "simple_rnn":
            layer = layers.SimpleRNN(HIDDEN, activation=o["nonlinearity"], **usual)
        case "lstm":
            layer = layers.LSTM(HIDDEN, **usual)
        case "gru":
            layer = layers.GRU(HIDDEN, reset_after=o["reset"] == "after", **usual)
    return layers.Bidirectional(layer, merge_mode=o["merge"]) if o["bidirectional"] else layer


def parts(o):
    """The layers of a model, first to last."""
    outputs = VOCABULARY if o["task"] == "lm" else OUTPUTS
    every = o["task"] != "classify" or o["pool"] is not None
    if o["features"]:
        yield layers.Masking()
    else:
        yield layers.Embedding(VOCABULARY, o["width"], mask_zero=o["mask_zero"])
    yield layers.SpatialDropout1D(0.1)
    for number in range(o["layers"]):
        yield recurrent(o, every or number + 1 < o["layers"])
        yield layers.Dropout(0.1)
    match o["pool"]:
        case "max":
            yield layers.GlobalMaxPooling1D()
        case "mean":
            yield layers.GlobalAveragePooling1D()
    match o["end"]:
        case "linear":
            yield layers.Dense(outputs)
        case "no bias":
            yield layers.Dense(outputs, use_bias=False)
        case "softmax":
            yield layers.Dense(outputs, activation="softmax")
        case "wrapped":
            yield layers.TimeDistributed(layers.Dense(outputs, activation="softmax"))
        case "apart":
            yield layers.TimeDistributed(layers.Dense(outputs))
            yield layers.Activation("softmax")
        case "sigmoid":
            yield layers.Dense(1, activation="sigmoid")
        case "tied":
            yield layers.Dense(outputs)
        case "projected":
            yield layers.Dense(o["width"], use_bias=False)
            yield layers.Dense(outputs)


def build(o):
    inputs = keras.Input((None, INPUT) if o["features"] else (None,))
    if o["form"] == "sequential":
        return keras.Sequential([inputs, *parts(o)])
    xs = inputs
    for layer in parts(o):
        xs = layer(xs)
    return keras.Model(inputs, xs)


def renamed(model, o):
    """The arrays of a model under the names of rnn-zoo."""
    ours, number, projection = {}, 0, None
    for layer in model.layers:
        arrays = [np.asarray(keras.ops.convert_to_numpy(v)) for v in layer.trainable_variables]
        match type(layer).__name__:
            case "Embedding":
                ours["encoder.weight"] = arrays[0]
            case "SimpleRNN" | "LSTM" | "GRU" | "Bidirectional":
                arrays = iter([gates(array, o["cell"]) for array in arrays])
                for direction in ("", "_reverse") if o["bidirectional"] else ("",):
                    suffix = f"_l{number}{direction}"
                    ours[f"weight_ih{suffix}"] = next(arrays).T
                    ours[f"weight_hh{suffix}"] = next(arrays).T
                    if o["bias"]:
                        bias = next(arrays)
                        both = bias if bias.ndim == 2 else (bias, np.zeros_like(bias))
                        ours[f"bias_ih{suffix}"], ours[f"bias_hh{suffix}"] = both
                number += 1
            case "Dense" | "TimeDistributed" if o["end"] == "projected" and projection is None:
                projection = ours["projection.weight"] = arrays[0].T
            case "Dense" | "TimeDistributed":
                kernel = arrays[0].T
                bias = arrays[1] if len(arrays) > 1 else np.zeros(len(kernel), np.float32)
                if o["end"] == "sigmoid":
                    kernel, bias = (np.concatenate([np.zeros_like(array), array]) for array in (kernel, bias))
                if o["end"] not in ("tied", "projected"):
                    ours["decoder.weight"] = kernel
                ours["decoder.bias"] = bias
    return {name if "." in name else f"rnn.{name}": array for name, array in ours.items()}


def tie(model):
    """Gives the last layer the matrix of the embedding."""
    embedding = next(layer for layer in model.layers if isinstance(layer, layers.Embedding))
    matrix = keras.ops.convert_to_numpy(embedding.trainable_variables[0])
    model.layers[-1].trainable_variables[0].assign(matrix.T)


def write(model, container, name):
    """Saves a model in a container. Returns the file's name."""
    match container:
        case "keras" | "h5":
            path = FILES / f"{name}.{container}"
            model.save(path)
        case "weights.h5":
            path = FILES / f"{name}.weights.h5"
            model.save_weights(path)
        case "json":
            path = FILES / f"{name}.weights.h5"
            model.save_weights(path)
            (FILES / f"{name}.json").write_text(model.to_json() + "\n")
    return path.name


def cases():
    shapes = [(n, both, bias) for n in (1, 2) for both in (False, True) for bias in (True, False)]
    for cell, reset in [("simple_rnn", "after"), ("lstm", "after"), ("gru", "after"), ("gru", "before")]:
        for n, both, bias in shapes:
            directions = "both-directions" if both else "one-direction"
            title = f"{cell}-{reset}" if cell == "gru" else cell
            yield f"{title}-{n}-{directions}-{'bias' if bias else 'none'}", options_of(cell, n, both, bias, reset=reset)
    for cell in ("simple_rnn", "lstm", "gru"):
        for merge in ("sum", "mul", "ave"):
            yield f"{cell}-{merge}", options_of(cell, 2, True, merge=merge, end="wrapped")
    yield "relu", options_of("simple_rnn", nonlinearity="relu", end="softmax")
    yield "tied", options_of("lstm", 1, end="tied", width=HIDDEN)
    yield "projected", options_of("gru", 2, end="projected")
    yield "functional", options_of("lstm", 2, form="functional", end="apart")
    yield "functional-masked", options_of("gru", form="functional", mask_zero=True, end="no bias")
    yield "classifier", options_of("gru", 2, task="classify", end="softmax")
    yield "classifier-both-directions", options_of("lstm", 1, True, task="classify", merge="ave")
    yield "classifier-sigmoid", options_of("lstm", task="classify", end="sigmoid", mask_zero=True)
    yield "classifier-mean", options_of("gru", 1, True, task="classify", pool="mean")
    yield "classifier-max", options_of("lstm", 2, task="classify", pool="max", form="functional")
    yield "numbers", options_of("lstm", 1, True, task="classify", features=True, end="softmax")


def tells(o):
    """Whether the arrays alone tell the layers."""
    resets = o["cell"] == "gru" and o["reset"] == "before" and not o["bias"]
    return o["merge"] == "concat" and o["end"] != "projected" and not resets and not o["features"]


def own(fixture):
    """The layers of Keras's own tests, each under an output layer that changes nothing."""
    constant = dict(
        kernel_initializer=keras.initializers.Constant(0.01),
        recurrent_initializer=keras.initializers.Constant(0.02),
        bias_initializer=keras.initializers.Constant(0.03),
    )
    made = {
        "simple_rnn": lambda: layers.SimpleRNN(3, **constant),
        "lstm": lambda: layers.LSTM(3, **constant),
        "gru-after": lambda: layers.GRU(3, reset_after=True, **constant),
        "gru-before": lambda: layers.GRU(3, reset_after=False, **constant),
    }
    features = np.arange(72).reshape(3, 6, 4).astype(np.float32)
    for name, make in made.items():
        # Directions are merged in the same way whatever the cell.
        for merge in (None, "concat", "sum", "mul", "ave") if name == "lstm" else (None, "concat"):
            layer = make() if merge is None else layers.Bidirectional(make(), merge_mode=merge)
            width = 6 if merge == "concat" else 3
            identity = layers.Dense(width, use_bias=False, kernel_initializer=keras.initializers.Identity())
            model = keras.Sequential([keras.Input((None, 4)), layer, identity])
            title = f"own-{name}" + (f"-{merge}" if merge else "")
            o = {"file": write(model, "keras", title), "task": "classify", "outputs": width, "nonlinearity": "tanh"}
            outputs = keras.ops.convert_to_numpy(layer(features))
            fixture.add(title, o, input={"features": features}, output={"logits": outputs})


def hostile():
    """Files of weights that are made to harm the program that reads them."""
    folder = FILES / "hostile"
    folder.mkdir(exist_ok=True)
    with h5py.File(folder / "cyclic.weights.h5", "w") as file:
        file.create_group("layers/embedding")["vars"] = file["/"]
    with h5py.File(folder / "huge.weights.h5", "w") as file:
        usual = dict(dtype="f4", compression="gzip")
        file.create_dataset("layers/embedding/vars/0", (1 << 30, 4), chunks=(1 << 20, 1), **usual)
        file.create_dataset("layers/lstm/cell/vars/1", (4, 16), "f4")
        file.create_dataset("layers/lstm/cell/vars/0", (4, 16), "f4")
        file.create_dataset("layers/dense/vars/0", (4, 1 << 30), chunks=(1, 1 << 20), **usual)
    with h5py.File(folder / "bomb.weights.h5", "w") as file:
        zeros = np.zeros((1 << 22, 4), np.float32)
        file.create_dataset("layers/embedding/vars/0", data=zeros, chunks=(1 << 20, 4), compression="gzip")
        file.create_dataset("layers/lstm/cell/vars/1", data=np.zeros((4, 16), np.float32))
        file.create_dataset("layers/lstm/cell/vars/0", data=np.zeros((4, 16), np.float32))
        file.create_dataset("layers/dense/vars/0", data=np.zeros((4, 3), np.float32))
    # A tree of 60 levels, whose nodes each have the node below as both of their children.
    path = folder / "shared.weights.h5"
    with h5py.File(path, "w", libver="earliest") as file:
        group = file.create_group("layers")
        for number in range(3):
            group.create_group(f"lstm_{number}")
    data = bytearray(path.read_bytes())
    leaves = [at for at in range(len(data)) if data[at : at + 4] == b"TREE" and data[at + 6 : at + 8] == b"\1\0"]
    size, child = len(data), leaves[-1]
    for level in range(1, 61):
        keys = b"".join(struct.pack("<QQ", 0, child) for _ in range(2)) + struct.pack("<Q", 8)
        child = len(data)
        data += b"TREE" + bytes([0, level, 2, 0]) + b"\xff" * 16 + keys
    for old, new in [(leaves[-1], child), (size, len(data))]:
        # The first bytes have the length of the file; references to the tree come after.
        at = data.find(struct.pack("<Q", old))
        while 0 <= at < size:
            data[at : at + 8] = struct.pack("<Q", new)
            at = data.find(struct.pack("<Q", old), at + 8)
    path.write_bytes(data)


def main():
    fixture = Fixture("keras_files", seed=16)
    FILES.mkdir(parents=True, exist_ok=True)
    for number, (name, o) in enumerate(cases()):
        model = build(o)
        for variable in model.trainable_variables:
            variable.assign(fixture.random(*variable.shape))
        if o["end"] in ("tied", "projected"):
            tie(model)
        # Token 0 is padding in models with a mask.
        tokens = fixture.rng.integers(1, VOCABULARY, size=(BATCH, TIME)).astype(np.uint32)
        inputs = {"tokens": tokens}
        if o["features"]:
            inputs = {"features": fixture.random(BATCH, TIME, INPUT, scale=1.0)}
        outputs = keras.ops.convert_to_numpy(model(next(iter(inputs.values())).astype(np.float32)))
        kind = "logits"
        if o["end"] in ("softmax", "wrapped", "apart", "sigmoid"):
            kind = "probabilities"
        if o["end"] == "sigmoid":
            outputs = np.concatenate([1 - outputs, outputs], axis=-1)
        container = CONTAINERS[(number + number // len(CONTAINERS)) % len(CONTAINERS)]
        if container == "weights.h5" and not tells(o):
            container = "json"
        options = {
            "file": write(model, container, name),
            "task": o["task"],
            "outputs": outputs.shape[-1],
            "nonlinearity": o["nonlinearity"],
            "tells": container != "weights.h5",
        }
        fixture.add(name, options, parameter=renamed(model, o), input=inputs, output={kind: outputs})
    own(fixture)
    hostile()
    fixture.write()


if __name__ == "__main__":
    main()
