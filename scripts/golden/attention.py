"""Golden values from PyTorch of decoders with attention and input feeding (Luong et al. 2015).

The file is tests/golden/torch_attention.safetensors:

    parameter   the cell's under the names of a layer, and attention.key, query, score and combine
    input       xs (batch, target, input), memory (batch, source, features), h0 and c0 (1, batch, hidden), and a0, the
                attentional state before the first step
    output      ys and a_n, the attentional states, alignments (batch, target, source), h_n, c_n
"""

import torch
from torch import nn

from fixtures import BATCH, HIDDEN, INPUT, TIME, Fixture

SOURCE, MEMORY = 6, 5
LENGTHS = [6, 2, 4]
CELLS = {"simple_rnn": nn.RNNCell, "lstm": nn.LSTMCell, "gru": nn.GRUCell}


class Decoder(nn.Module):
    """One step: h = cell([y; a], h), softmax of the scores, a = tanh(C [context; h])."""

    def __init__(self, cell, score):
        super().__init__()
        self.cell = CELLS[cell](INPUT + HIDDEN, HIDDEN)
        self.key = nn.Linear(MEMORY, HIDDEN, bias=False)
        self.combine = nn.Linear(MEMORY + HIDDEN, HIDDEN, bias=False)
        if score == "concat":
            self.query = nn.Linear(HIDDEN, HIDDEN, bias=False)
            self.score = nn.Parameter(torch.empty(HIDDEN))

    def forward(self, xs, memory, h, c, a, lengths):
        padding = torch.arange(SOURCE)[None] >= torch.tensor(lengths or [SOURCE] * BATCH)[:, None]
        keys, ys, alignments = self.key(memory), [], []
        for x in xs.unbind(1):
            fed = torch.cat([x, a], 1)
            if c is None:
                h = self.cell(fed, h)
            else:
                h, c = self.cell(fed, (h, c))
            if hasattr(self, "query"):
                scores = torch.tanh(self.query(h)[:, None] + keys) @ self.score
            else:
                scores = torch.einsum("bsh,bh->bs", keys, h)
            weights = scores.masked_fill(padding, -torch.inf).softmax(1)
            context = torch.einsum("bs,bsm->bm", weights, memory)
            a = torch.tanh(self.combine(torch.cat([context, h], 1)))
            ys.append(a)
            alignments.append(weights)
        found = {"ys": torch.stack(ys, 1), "alignments": torch.stack(alignments, 1), "h_n": h[None], "a_n": a}
        return found if c is None else found | {"c_n": c[None]}


def renamed(name):
    """The name of a parameter in the fixture: that of a layer, or of the attention."""
    part, _, rest = name.partition(".")
    if part == "cell":
        return f"{rest}_l0"
    return "attention.score.weight" if name == "score" else f"attention.{name}"


def add(fixture, case, cell, score, lengths):
    """Runs one case in f32 for the outputs and in f64 for the gradients."""
    model = Decoder(cell, score)
    parameters = {name: fixture.random(*p.shape) for name, p in model.named_parameters()}
    inputs = {
        "xs": fixture.random(BATCH, TIME, INPUT, scale=1.0),
        "memory": fixture.random(BATCH, SOURCE, MEMORY, scale=1.0),
        "h0": fixture.random(1, BATCH, HIDDEN),
        "a0": fixture.random(BATCH, HIDDEN),
    }
    if cell == "lstm":
        inputs["c0"] = fixture.random(1, BATCH, HIDDEN)

    def run(dtype):
        model.to(dtype)
        model.load_state_dict({name: torch.tensor(p) for name, p in parameters.items()})
        given = {name: torch.tensor(x, dtype=dtype, requires_grad=True) for name, x in inputs.items()}
        c = given["c0"][0] if "c0" in given else None
        return given, model(given["xs"], given["memory"], given["h0"][0], c, given["a0"], lengths)

    _, outputs = run(torch.float32)
    # The states and the alignments have no gradient: only ys is in the loss.
    weights = {"ys": fixture.random(*outputs["ys"].shape, scale=1.0)}
    given, exact = run(torch.float64)
    loss = (exact["ys"] * torch.tensor(weights["ys"], dtype=torch.float64)).sum()
    sources = {renamed(name): p for name, p in model.named_parameters()} | given
    gradients = torch.autograd.grad(loss, list(sources.values()))
    fixture.add(
        case,
        {
            "cell": cell,
            "score": score,
            "input": INPUT,
            "hidden": HIDDEN,
            "memory": MEMORY,
            "lengths": lengths,
        },
        parameter={renamed(name): p for name, p in parameters.items()},
        input=inputs,
        output={name: y.detach().numpy() for name, y in outputs.items()},
        loss=weights,
        gradient={name: g.numpy() for name, g in zip(sources, gradients)},
    )


if __name__ == "__main__":
    torch.use_deterministic_algorithms(True)
    fixture = Fixture("torch_attention", seed=6)
    for cell in CELLS:
        for score in ("general", "concat"):
            for name, lengths in (("full", None), ("padded", LENGTHS)):
                add(fixture, f"{cell}-{score}-{name}", cell, score, lengths)
    fixture.write()
