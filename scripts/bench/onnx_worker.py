"""The ONNX Runtime worker of compare.py: one RNN, LSTM or GRU node with inputs and outputs bound beforehand."""

import tempfile
from pathlib import Path

import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic
from serve import STEPS, THREADS, median_seconds, serve

OPERATORS = {"simple-rnn": ("RNN", 1), "lstm": ("LSTM", 4), "gru": ("GRU", 3)}  # the gates of each
OPSET, IR = 22, 10


def random(*shape):
    return np.random.default_rng(1).uniform(-0.1, 0.1, shape).astype(np.float32)


def session(cell, time, batch, width, hidden, int8=False):
    """A session of a model with the inputs `x`, `h` and `c` and the outputs `ys`, `h_next` and `c_next`; with `int8`,
    of one after `quantize_dynamic`."""
    operator, gates = OPERATORS[cell]
    weights = {"w": (1, gates * hidden, width), "r": (1, gates * hidden, hidden), "b": (1, 2 * gates * hidden)}
    states = ["h", "c"] if cell == "lstm" else ["h"]
    shapes = {"x": (time, batch, width), "ys": (time, 1, batch, hidden)}
    shapes |= {name: (1, batch, hidden) for state in states for name in (state, f"{state}_next")}
    inputs, outputs = ["x", *states], ["ys", *(f"{state}_next" for state in states)]
    options = {"linear_before_reset": 1} if cell == "gru" else {}
    # The empty name stands for the sequence lengths, an optional input.
    node = helper.make_node(operator, ["x", *weights, "", *states], outputs, hidden_size=hidden, **options)

    def declare(names):
        return [helper.make_tensor_value_info(name, TensorProto.FLOAT, shapes[name]) for name in names]

    constants = [numpy_helper.from_array(random(*shape), name) for name, shape in weights.items()]
    graph = helper.make_graph([node], "layer", declare(inputs), declare(outputs), constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR)
    model = quantised(model) if int8 else model.SerializeToString()
    opened = ort.InferenceSession(model, options_of_session(), ["CPUExecutionProvider"])
    return opened, inputs, outputs, {name: ort.OrtValue.ortvalue_from_numpy(random(*shapes[name])) for name in shapes}


def quantised(model):
    """The model with weights in int8 and activations that are quantised as they come."""
    with tempfile.TemporaryDirectory() as folder:
        before, after = Path(folder, "f32.onnx"), Path(folder, "int8.onnx")
        before.write_bytes(model.SerializeToString())
        quantize_dynamic(before, after, weight_type=QuantType.QInt8, op_types_to_quantize=["LSTM"])
        return after.read_bytes()


def lacks(request):
    """Whether ONNX Runtime has no such layer in int8: it quantises LSTM alone."""
    return request.get("precision") == "int8" and request["cell"] != "lstm"


def options_of_session():
    options = ort.SessionOptions()
    options.intra_op_num_threads = THREADS
    options.inter_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    return options


def bind(opened, inputs, outputs, values):
    binding = opened.io_binding()
    for name in inputs:
        binding.bind_ortvalue_input(name, values[name])
    for name in outputs:
        binding.bind_ortvalue_output(name, values[name])
    return binding


def layer(request):
    if lacks(request):
        return {}
    shape = (request[size] for size in ("time", "batch", "input", "hidden"))
    opened, inputs, outputs, values = session(request["cell"], *shape, request.get("precision") == "int8")
    binding = bind(opened, inputs, outputs, values)
    seconds = median_seconds(lambda: opened.run_with_iobinding(binding), request["repeat"])
    return {"forward_ms": seconds * 1e3}


def step(request):
    """Time steps with two bindings, each of which writes the state that the other reads, so that no state is copied."""
    if lacks(request):
        return {}
    shape = (1, 1, request["input"], request["hidden"])
    opened, inputs, outputs, values = session(request["cell"], *shape, request.get("precision") == "int8")
    swapped = {name: name.removesuffix("_next") if name.endswith("_next") else f"{name}_next" for name in values}
    swapped_values = {name: values.get(swapped[name], values[name]) for name in values}
    bindings = [bind(opened, inputs, outputs, values) for values in (values, swapped_values)]

    def steps():
        for at in range(STEPS):
            opened.run_with_iobinding(bindings[at % 2])

    return {"step_us": median_seconds(steps, request["repeat"]) / STEPS * 1e6}


if __name__ == "__main__":
    serve({"layer": layer, "step": step})
