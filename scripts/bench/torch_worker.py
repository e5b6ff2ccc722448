"""The PyTorch worker of compare.py: eager mode, time-major, in inference_mode where nothing is trained."""

import torch
import torch.ao.quantization
from serve import STEPS, THREADS, median_seconds, serve
from torch import nn

LAYERS = {"simple-rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
CELLS = {"simple-rnn": nn.RNNCell, "lstm": nn.LSTMCell, "gru": nn.GRUCell}
ADAMS = {"fused": {"fused": True}, "foreach": {"foreach": True}, "plain": {"foreach": False}}


def layer(request):
    """Time a layer; in bf16 as a module in bfloat16 and under autocast, and return the faster of each quantity."""
    precision = request.get("precision", "f32")
    if precision == "int8":
        return int8_layer(request)
    if precision == "f32":
        return layer_times(request, torch.float32, autocast=False)
    found = [layer_times(request, torch.bfloat16, autocast=False), layer_times(request, torch.float32, autocast=True)]
    return {quantity: min(times[quantity] for times in found) for quantity in found[0]}


def layer_times(request, dtype, autocast):
    rnn = LAYERS[request["cell"]](request["input"], request["hidden"]).to(dtype)
    xs = torch.randn(request["time"], request["batch"], request["input"]).to(dtype)
    repeat = request["repeat"]

    @torch.inference_mode()
    def forward():
        with bf16(autocast):
            rnn(xs)

    inputs = xs.clone().requires_grad_()

    def train():
        rnn.zero_grad(set_to_none=True)
        inputs.grad = None
        with bf16(autocast):
            loss = rnn(inputs)[0].sum()
        loss.backward()

    forward_seconds = median_seconds(forward, repeat)
    return {"forward_ms": forward_seconds * 1e3, "train_ms": median_seconds(train, repeat) * 1e3}


def int8_layer(request):
    """Time a layer after `quantize_dynamic`, which knows LSTM and GRU."""
    if request["cell"] == "simple-rnn":
        return {}
    rnn = quantised(LAYERS[request["cell"]](request["input"], request["hidden"]))
    xs = torch.randn(request["time"], request["batch"], request["input"])

    @torch.inference_mode()
    def forward():
        rnn(xs)

    return {"forward_ms": median_seconds(forward, request["repeat"]) * 1e3}


def quantised(module):
    """The module with weights in int8 and activations that are quantised as they come."""
    kinds = {*LAYERS.values(), *CELLS.values()} - {nn.RNN}
    return torch.ao.quantization.quantize_dynamic(nn.Sequential(module), kinds, dtype=torch.qint8)[0]


def bf16(enabled):
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled)


def step(request):
    """Time one step with a layer and with a cell, and return the faster."""
    run = [cell_steps(request)]
    if request.get("precision") != "int8" or request["cell"] != "simple-rnn":
        run.append(layer_steps(request))
    seconds = min(median_seconds(steps, request["repeat"]) for steps in run)
    return {"step_us": seconds / STEPS * 1e6}


def layer_steps(request):
    rnn = LAYERS[request["cell"]](request["input"], request["hidden"])
    if request.get("precision") == "int8":
        rnn = quantised(rnn)
    x = torch.randn(1, 1, request["input"])

    @torch.inference_mode()
    def steps():
        state = None
        for _ in range(STEPS):
            _, state = rnn(x, state)

    return steps


def cell_steps(request):
    cell = CELLS[request["cell"]](request["input"], request["hidden"])
    if request.get("precision") == "int8":
        cell = quantised(cell)
    x = torch.randn(1, request["input"])

    @torch.inference_mode()
    def steps():
        state = None
        for _ in range(STEPS):
            state = cell(x, state)

    return steps


class LanguageModel(nn.Module):
    def __init__(self, vocab, embedding, hidden, layers):
        super().__init__()
        self.embedding = nn.Embedding(vocab, embedding)
        self.rnn = nn.LSTM(embedding, hidden, layers)
        self.decoder = nn.Linear(hidden, vocab)

    def forward(self, tokens, state=None):
        ys, state = self.rnn(self.embedding(tokens), state)
        return self.decoder(ys).flatten(0, 1), state


def train_step(model, optimizer, tokens, targets, state=None, autocast=False):
    optimizer.zero_grad(set_to_none=True)
    with bf16(autocast):
        logits, state = model(tokens, state)
        loss = nn.functional.cross_entropy(logits, targets.flatten())
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return state


def language_model(request):
    """Time a training step with each of PyTorch's three implementations of Adam, and return the fastest."""
    seconds = {name: language_model_seconds(request, options) for name, options in ADAMS.items()}
    fastest = min(seconds, key=seconds.get)
    return {"step_ms": seconds[fastest] * 1e3, "adam": fastest}


def language_model_seconds(request, options):
    model = LanguageModel(*(request[size] for size in ("vocab", "embedding", "hidden", "layers")))
    optimizer = torch.optim.Adam(model.parameters(), **options)
    size = request["time"] * request["batch"]
    tokens = (torch.arange(size) * 7919 % request["vocab"]).view(request["time"], request["batch"])
    autocast = request.get("precision", "f32") == "bf16"
    return median_seconds(lambda: train_step(model, optimizer, tokens, tokens, None, autocast), request["repeat"])


def peak(request):
    """Measure the product of two square matrices, in billions of floating-point operations a second."""
    side = request["side"]
    a, b = torch.randn(side, side), torch.randn(side, side)
    out = torch.empty(side, side)
    seconds = median_seconds(lambda: torch.mm(a, b, out=out), request["repeat"])
    return {"gflops": 2 * side**3 / seconds / 1e9}


if __name__ == "__main__":
    torch.set_num_threads(THREADS)
    serve({"layer": layer, "step": step, "lm": language_model, "peak": peak})
