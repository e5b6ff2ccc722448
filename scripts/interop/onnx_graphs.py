"""Compare random networks of PyTorch with what rnn-zoo makes of the graphs that PyTorch's exporters write of them.

scripts/interop/onnx --rnn RNN runs this file. Each network goes through torch.onnx.export and `rnn convert` to a
bundle, and through `rnn export` to ONNX Runtime. Its outputs are compared with those of PyTorch and of the exporter's
own graph. Once more with the bundle in int8: as a graph of integers, against PyTorch with the weights that int8 holds.
The graph comes back by `rnn convert` with the bytes of the bundle.
"""

import logging
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from safetensors.torch import load_file

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "golden"))
from onnx_files import Network, case, export  # noqa: E402

MODELS, BATCH = 30, 4


def rnn(program, *arguments):
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"rnn {' '.join(map(str, arguments))}\n{done.stderr}")


def options(draw):
    """A random network, and a random way to write it."""
    task = draw.choice(["lm", "tag", "classify"])
    cell = draw.choice(["simple_rnn", "lstm", "gru"])
    both = task != "lm" and draw.random() < 0.6
    readouts = ["state", "mean", "max", "ends" if both else "step"]
    return case(
        cell,
        draw.randint(1, 3),
        both,
        draw.random() < 0.7,
        task=task,
        vocabulary=draw.randint(5, 40),
        input=draw.randint(2, 24),
        hidden=draw.randint(2, 32),
        outputs=draw.randint(2, 9),
        nonlinearity=draw.choice(["tanh", "relu"]) if cell == "simple_rnn" else "tanh",
        batch_first=draw.random() < 0.7,
        readout=draw.choice(readouts) if task == "classify" else "",
        output_bias=draw.random() < 0.8,
        states=task == "lm" and draw.random() < 0.4,
        # The dynamo exporter writes nn.RNN as single steps.
        dynamo=cell != "simple_rnn" and draw.random() < 0.5,
        folded=draw.random() < 0.8,
    )


def run(path, feeds):
    """The first output of a graph, for the inputs that it has."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    return torch.tensor(session.run(None, {name: feeds[name] for name in names if name in feeds})[0])


def compare(program, draw, folder):
    """Takes one random network through rnn-zoo. Returns the largest differences: of the converted network to PyTorch
    and to the exporter's graph, and of the network in int8 to PyTorch."""
    o = options(draw)
    if not o["dynamo"]:
        o["opset"] = draw.choice([9, 11, 13, 17, 20])
    network = Network(o).eval()
    tokens = torch.randint(o["vocabulary"], (BATCH, draw.randint(2, 12)))
    zeros = torch.zeros(o["layers"] * (2 if o["both"] else 1), BATCH, o["hidden"])
    states = [zeros.clone() for _ in range(2 if o["cell"] == "lstm" else 1)] if o["states"] else []
    with torch.no_grad():
        export(network, (tokens, *states), folder / "theirs.onnx")
        expected = network(tokens, *states)
    (folder / "words.txt").write_text("".join(f"w{word}\n" for word in range(o["vocabulary"])))
    (folder / "labels.txt").write_text("".join(f"L{label}\n" for label in range(o["outputs"])))
    labels = [] if o["task"] == "lm" else ["--task", o["task"], "--labels", folder / "labels.txt"]
    vocabulary = ["--vocab", folder / "words.txt", "--unknown", "w0"]
    rnn(program, "convert", folder / "theirs.onnx", "--out", folder / "bundle", *vocabulary, *labels)
    rnn(program, "export", folder / "bundle", "--format", "onnx", "--out", folder / "ours.onnx")
    rnn(program, "export", folder / "bundle", "--dtype", "int8", "--out", folder / "int8")
    rnn(program, "export", folder / "int8", "--format", "onnx", "--out", folder / "int8.onnx")
    rnn(program, "convert", folder / "int8.onnx", "--out", folder / "again")
    if (folder / "again/model.safetensors").read_bytes() != (folder / "int8/model.safetensors").read_bytes():
        sys.exit("an int8 graph came back with other bytes")

    def rows(scores):
        """Scores as (batch, ...), whatever the network's own order is."""
        scores = scores[0] if isinstance(scores, tuple) else scores
        if o["batch_first"] or o["task"] == "classify":
            return scores
        return scores.reshape(tokens.shape[1], BATCH, -1).transpose(0, 1)

    feeds = {"tokens": tokens.numpy(), "lengths": np.full(BATCH, tokens.shape[1], np.int32)}
    feeds |= {name: zeros.numpy() for name in ("h0", "c0")}
    expected = rows(expected)
    theirs = {"tokens": feeds["tokens"]} | {f"{name}0": zeros.numpy() for name in "hc"}
    # The dynamo exporter names the states by their place in the arguments.
    theirs |= {f"state_{place}": zeros.numpy() for place in range(2)}
    ours = run(folder / "ours.onnx", feeds)
    to_pytorch = float((ours - expected).abs().max())
    to_graph = float((ours - rows(run(folder / "theirs.onnx", theirs))).abs().max())

    rounded = load_file_of(program, folder)
    for name, tensor in network.state_dict().items():
        tensor.copy_(rounded[name])
    with torch.no_grad():
        expected = rows(network(tokens, *states))
    in_int8 = float((run(folder / "int8.onnx", feeds) - expected).abs().max())
    return to_pytorch, to_graph, in_int8


def load_file_of(program, folder):
    """The parameters that an int8 bundle holds, as floats."""
    rnn(program, "export", folder / "int8", "--dtype", "f32", "--out", folder / "rounded")
    parameters = load_file(folder / "rounded/model.safetensors")
    parameters.setdefault("decoder.weight", parameters["encoder.weight"])
    return parameters


def compare_all(program, seed, allowed):
    logging.disable(logging.WARNING)
    # Threads of PyTorch spin while they wait, which on a busy machine takes many times as long as one thread.
    torch.set_num_threads(1)
    draw = random.Random(seed)
    torch.manual_seed(seed)
    found = []
    for _ in range(MODELS):
        with tempfile.TemporaryDirectory() as folder:
            found.append(compare(program, draw, Path(folder)))
    pytorch, graph, int8 = (max(column) for column in zip(*found))
    print(f"{MODELS} networks of PyTorch through torch.onnx.export, rnn convert and rnn export, in ONNX Runtime:")
    print(f"largest difference to PyTorch {pytorch:.1e}, to the exporter's graph in ONNX Runtime {graph:.1e}")
    print(f"as int8 graphs, to PyTorch with the same rounded weights {int8:.1e}")
    return 0 if max(pytorch, graph, int8) <= allowed else "the results differ"
