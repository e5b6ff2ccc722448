"""Golden values of layers with layer normalisation, from the equations in plain Python.

Neither PyTorch nor Keras has recurrent layers with layer normalisation. This is an implementation of the equations of
Ba, Kiros and Hinton (2016) that shares nothing with the Rust code: one sequence and one number at a time, in f64. The
normalisation is that of torch.nn.functional.layer_norm: the biased variance, plus 1e-5.

Gradients are complex-step derivatives, Im f(x + ih) / h with h = 1e-30, which have no rounding error of a difference.

Needs Python's standard library alone, and writes the format that fixtures.py describes:

    python scripts/golden/layer_norm.py
"""

import cmath
import json
import random
import struct
from pathlib import Path

PATH = Path(__file__).resolve().parents[2] / "tests" / "golden" / "layer_norm.safetensors"

BATCH, TIME, INPUT, HIDDEN, PROJECTION = 3, 5, 4, 6, 3
LENGTHS = [3, 5, 1]
GATES = {"simple_rnn": 1, "lstm": 4, "gru": 3}
EPSILON = 1e-5
STEP = 1e-30

VARIANTS = {
    "simple_rnn": {"cell": "simple_rnn"},
    "simple_rnn-relu": {"cell": "simple_rnn", "nonlinearity": "relu"},
    "lstm": {"cell": "lstm"},
    "lstm-projected": {"cell": "lstm", "projection": PROJECTION},
    "gru": {"cell": "gru"},
}
SHAPES = {
    "1-layer-one-direction-full": {"layers": 1, "bidirectional": False, "lengths": None},
    "2-layers-both-directions-padded": {"layers": 2, "bidirectional": True, "lengths": LENGTHS},
}


class Array:
    """Numbers in row-major order with a shape."""

    def __init__(self, shape, numbers):
        self.shape, self.numbers = list(shape), list(numbers)

    def rows(self):
        """A matrix as a list of rows."""
        width = self.shape[-1]
        return [self.numbers[at : at + width] for at in range(0, len(self.numbers), width)]


def as_f32(number):
    return struct.unpack("<f", struct.pack("<f", number))[0]


def sigmoid(x):
    return 1 / (1 + cmath.exp(-x))


def relu(x):
    return x if x.real > 0 else 0.0


def product(matrix, vector):
    return [sum(a * b for a, b in zip(row, vector)) for row in matrix.rows()]


def layer_norm(x, weight, bias):
    mean = sum(x) / len(x)
    variance = sum((a - mean) ** 2 for a in x) / len(x)
    deviation = cmath.sqrt(variance + EPSILON)
    return [(a - mean) / deviation * w + b for a, w, b in zip(x, weight.numbers, bias.numbers)]


def step(o, p, suffix, x, h, c):
    """One step of one sequence: the new hidden state and cell state."""

    def normalised(name, vector):
        return layer_norm(vector, p[f"norm_{name}_weight_{suffix}"], p[f"norm_{name}_bias_{suffix}"])

    def gates(name, vector):
        summed = normalised(name, product(p[f"weight_{name}_{suffix}"], vector))
        summed = [a + b for a, b in zip(summed, p[f"bias_{name}_{suffix}"].numbers)]
        return [summed[at : at + HIDDEN] for at in range(0, len(summed), HIDDEN)]

    of_x, of_h = gates("ih", x), gates("hh", h)
    if o["cell"] == "simple_rnn":
        function = relu if o["nonlinearity"] == "relu" else cmath.tanh
        return [function(a + b) for a, b in zip(of_x[0], of_h[0])], None
    if o["cell"] == "gru":
        (r_x, z_x, n_x), (r_h, z_h, n_h) = of_x, of_h
        new = []
        for unit in range(HIDDEN):
            r, z = sigmoid(r_x[unit] + r_h[unit]), sigmoid(z_x[unit] + z_h[unit])
            n = cmath.tanh(n_x[unit] + r * n_h[unit])
            new.append((1 - z) * n + z * h[unit])
        return new, None
    i, f, g, o_gate = ([a + b for a, b in zip(x_part, h_part)] for x_part, h_part in zip(of_x, of_h))
    c = [sigmoid(f[u]) * c[u] + sigmoid(i[u]) * cmath.tanh(g[u]) for u in range(HIDDEN)]
    h = [sigmoid(a) * cmath.tanh(b) for a, b in zip(o_gate, normalised("c", c))]
    if o["projection"] is not None:
        h = product(p[f"weight_hr_{suffix}"], h)
    return h, c


def forward(o, p, inputs):
    """Outputs by name: ys (batch, time, directions * output), last, h_n, and c_n for an LSTM."""
    directions = 2 if o["bidirectional"] else 1
    output = o["projection"] or HIDDEN
    lengths = o["lengths"] or [TIME] * BATCH
    final_h = [[None] * BATCH for _ in range(o["layers"] * directions)]
    final_c = [[None] * BATCH for _ in range(o["layers"] * directions)]
    h0, xs = inputs["h0"].rows(), inputs["xs"].rows()
    c0 = inputs["c0"].rows() if o["cell"] == "lstm" else None
    ys = []
    for row, length in enumerate(lengths):
        sequence = xs[row * TIME : row * TIME + length]
        for layer in range(o["layers"]):
            merged = [[] for _ in range(length)]
            for direction in range(directions):
                index = layer * directions + direction
                suffix = f"l{layer}" + ("_reverse" if direction else "")
                h, c = h0[index * BATCH + row], c0 and c0[index * BATCH + row]
                ordered = list(enumerate(sequence))
                outputs = [None] * length
                for t, x in reversed(ordered) if direction else ordered:
                    h, c = step(o, p, suffix, x, h, c)
                    outputs[t] = h
                merged = [a + b for a, b in zip(merged, outputs)]
                final_h[index][row], final_c[index][row] = h, c
            sequence = merged
        ys += sequence + [[0.0] * (directions * output)] * (TIME - length)

    def flat(nested):
        return [number for vector in nested for number in vector]

    stacked = o["layers"] * directions
    results = {
        "ys": Array([BATCH, TIME, directions * output], flat(ys)),
        "h_n": Array([stacked, BATCH, output], flat(flat(final_h))),
        "last": Array(
            [BATCH, directions * output],
            flat(flat(top[row] for top in final_h[-directions:]) for row in range(BATCH)),
        ),
    }
    if o["cell"] == "lstm":
        results["c_n"] = Array([stacked, BATCH, HIDDEN], flat(flat(final_c)))
    return results


def parameter_shapes(o):
    """The shapes of all parameters by name."""
    rows, output = GATES[o["cell"]] * HIDDEN, o["projection"] or HIDDEN
    directions = ["", "_reverse"] if o["bidirectional"] else [""]
    shapes = {}
    for layer in range(o["layers"]):
        width = INPUT if layer == 0 else output * len(directions)
        for direction in directions:
            suffix = f"l{layer}{direction}"
            shapes |= {f"weight_ih_{suffix}": [rows, width], f"weight_hh_{suffix}": [rows, output]}
            shapes |= {f"bias_ih_{suffix}": [rows], f"bias_hh_{suffix}": [rows]}
            if o["projection"] is not None:
                shapes[f"weight_hr_{suffix}"] = [output, HIDDEN]
            norms = {"ih": rows, "hh": rows} | ({"c": HIDDEN} if o["cell"] == "lstm" else {})
            for name, size in norms.items():
                shapes |= {f"norm_{name}_weight_{suffix}": [size], f"norm_{name}_bias_{suffix}": [size]}
    return shapes


def case(o, rng):
    """The tensors of a case by kind and name."""

    def draw(shape, mean=0.0, scale=0.5):
        count = 1
        for size in shape:
            count *= size
        return Array(shape, (as_f32(rng.gauss(mean, scale)) for _ in range(count)))

    parameters = {
        name: draw(shape, mean=1.0 if "norm" in name and "weight" in name else 0.0)
        for name, shape in parameter_shapes(o).items()
    }
    stacked = o["layers"] * (2 if o["bidirectional"] else 1)
    inputs = {"xs": draw([BATCH, TIME, INPUT], scale=1.0)}
    inputs["h0"] = draw([stacked, BATCH, o["projection"] or HIDDEN])
    if o["cell"] == "lstm":
        inputs["c0"] = draw([stacked, BATCH, HIDDEN])
    outputs = forward(o, parameters, inputs)
    weights = {name: draw(outputs[name].shape, scale=1.0) for name in outputs if name != "last"}

    def loss():
        results = forward(o, parameters, inputs)
        return sum(
            a * b for name, w in weights.items() for a, b in zip(results[name].numbers, w.numbers)
        )

    gradients = {}
    for name, array in (parameters | inputs).items():
        slopes = []
        for at, number in enumerate(array.numbers):
            array.numbers[at] = complex(number, STEP)
            slopes.append(complex(loss()).imag / STEP)
            array.numbers[at] = number
        gradients[name] = Array(array.shape, slopes)
    return {
        "parameter": parameters,
        "input": inputs,
        "output": outputs,
        "loss": weights,
        "gradient": gradients,
    }


def options(variant, shape):
    """The options of a case, as fixtures.py writes them."""
    defaults = {"input": INPUT, "hidden": HIDDEN, "merge": "concat", "bias": True, "layer_norm": True}
    defaults |= {"projection": None, "nonlinearity": "tanh", "reset": "after"}
    return defaults | variant | shape


def write(cases, tensors):
    """Write a safetensors file: the length of the header, the header as JSON, the numbers as f32."""
    header, data = {"__metadata__": {"cases": json.dumps(cases)}}, b""
    for name, array in sorted(tensors.items()):
        numbers = [complex(number).real for number in array.numbers]
        encoded = struct.pack(f"<{len(numbers)}f", *numbers)
        offsets = [len(data), len(data) + len(encoded)]
        header[name] = {"dtype": "F32", "shape": array.shape, "data_offsets": offsets}
        data += encoded
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    PATH.write_bytes(struct.pack("<Q", len(text)) + text + data)


def main():
    rng = random.Random(11)
    cases, tensors = {}, {}
    for variant_name, variant in VARIANTS.items():
        for shape_name, shape in SHAPES.items():
            name = f"{variant_name}-{shape_name}"
            cases[name] = options(variant, shape)
            for kind, arrays in case(cases[name], rng).items():
                tensors |= {f"{name}/{kind}/{tensor}": array for tensor, array in arrays.items()}
    write(cases, tensors)
    print(f"{PATH.name}: {len(cases)} cases, {PATH.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
