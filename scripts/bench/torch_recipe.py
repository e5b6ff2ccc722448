"""Trains a recipe of `rnn train` in PyTorch, as a PyTorch user would write it: RECIPE DATA VALID STEPS EVERY.

The model is an LSTM language model over words or characters; KNOWN lists the keys that a recipe may have. DATA and
VALID are text files. Prints a line of JSON at every evaluation: step, seconds of training, nats a token. If the recipe
keeps an average of the parameters, the average is evaluated.
"""

import json
import math
import sys
import time
import tomllib
from pathlib import Path

import torch
from serve import THREADS
from torch import nn
from torch.nn import functional as F

LANES, WINDOW = 16, 256  # of an evaluation, as in rnn-zoo

# Keys that this script implements. A recipe with others is refused.
KNOWN = {
    "model", "cell", "tied", "embedding", "hidden", "layers", "dropout", "locked-dropout", "weight-drop",
    "embedding-dropout", "ar", "tar", "batch-size", "bptt", "state-reset", "optimizer", "lr", "weight-decay",
    "warmup", "clip", "average", "schedule", "epochs", "max-steps", "data", "valid-fraction", "test-fraction",
    "eval-every", "log-every", "seed",
}  # fmt: skip


REQUIRED = {"model", "hidden", "layers", "dropout", "batch-size", "bptt", "optimizer", "lr", "clip"}


def check(recipe):
    # The defaults of the two programs may differ.
    missing = REQUIRED - recipe.keys() | ({"embedding"} - recipe.keys() if not recipe.get("tied") else set())
    if missing:
        sys.exit(f"this recipe lacks keys whose defaults may differ between the programs: {', '.join(sorted(missing))}")
    asked = [key for key in recipe if key not in KNOWN]
    width = recipe.get("embedding", recipe["hidden"])
    asked += [f"{key} = {recipe[key]}" for key, only in [
        ("optimizer", ("sgd", "adamw")), ("schedule", ("cosine",)), ("cell", ("lstm",)), ("model", ("rnnlm", "lstm")),
    ] if key in recipe and recipe[key] not in only]  # fmt: skip
    asked += ["tied ends of different widths"] * (bool(recipe.get("tied")) and width != recipe["hidden"])
    average = recipe.get("average", "ema:0")
    asked += [f"average = {average}"] * (not average.startswith("ema:"))
    asked += ["dropout that is not locked"] * (recipe["dropout"] > 0 and not recipe.get("locked-dropout"))
    asked += ["no clipping"] * (recipe["clip"] <= 0)
    if asked:
        sys.exit(f"torch_recipe.py does not implement keys of this recipe: {', '.join(asked)}")


def tokens_of(path, words, numbers, grows):
    text = Path(path).read_text(encoding="utf-8")
    units = (w for line in text.splitlines() for w in (*line.split(), "<eos>")) if words else iter(text)
    if grows:
        return torch.tensor([numbers.setdefault(unit, len(numbers)) for unit in units])
    return torch.tensor([numbers.get(unit, 0) for unit in units])


def columns(tokens, count):
    """(time, count): consecutive text in every column."""
    length = len(tokens) // count
    return tokens[: length * count].view(count, length).t().contiguous()


def locked(xs, p, training):
    """One mask of features for all steps of (time, batch, features)."""
    if not training or p == 0:
        return xs
    return xs * xs.new_empty(1, *xs.shape[1:]).bernoulli_(1 - p).div_(1 - p)


class LanguageModel(nn.Module):
    def __init__(self, vocabulary, recipe):
        super().__init__()
        self.recipe = recipe
        embedding, hidden = recipe.get("embedding", recipe["hidden"]), recipe["hidden"]
        self.encoder = nn.Embedding(vocabulary, embedding)
        sizes = [embedding] + [hidden] * (recipe["layers"] - 1)
        self.rnn = nn.ModuleList(nn.LSTM(size, hidden) for size in sizes)
        self.decoder = nn.Linear(hidden, vocabulary)
        nn.init.uniform_(self.encoder.weight, -0.1, 0.1)
        nn.init.uniform_(self.decoder.weight, -0.1, 0.1)
        nn.init.zeros_(self.decoder.bias)
        if recipe.get("tied"):
            self.decoder.weight = self.encoder.weight

    def embed(self, tokens):
        p = self.recipe.get("embedding-dropout", 0.0)
        weight = self.encoder.weight
        if self.training and p > 0:
            weight = weight * weight.new_empty(len(weight), 1).bernoulli_(1 - p).div_(1 - p)
        return F.embedding(tokens, weight)

    def layer(self, lstm, xs, state):
        p = self.recipe.get("weight-drop", 0.0)
        if not self.training or p == 0:
            return lstm(xs, state)
        weights = [
            lstm.weight_ih_l0, F.dropout(lstm.weight_hh_l0, p), lstm.bias_ih_l0, lstm.bias_hh_l0
        ]
        ys, h, c = torch._VF.lstm(xs, state, weights, True, 1, 0.0, True, False, False)
        return ys, (h, c)

    def forward(self, tokens, states):
        drop = lambda xs: locked(xs, self.recipe["dropout"], self.training)
        xs, after = drop(self.embed(tokens)), []
        for lstm, state in zip(self.rnn, states):
            ys, state = self.layer(lstm, xs, state)
            after.append(state)
            xs = drop(ys)
        return self.decoder(xs), after, (xs, ys)

    def zero_states(self, batch):
        zeros = lambda: torch.zeros(1, batch, self.recipe["hidden"])
        return [(zeros(), zeros()) for _ in self.rnn]


@torch.no_grad()
def evaluate(model, tokens):
    model.eval()
    text = columns(tokens, LANES)
    states, total = model.zero_states(LANES), 0.0
    for first in range(0, len(text) - 1, WINDOW):
        last = min(first + WINDOW, len(text) - 1)
        scores, states, _ = model(text[first:last], states)
        total += F.cross_entropy(scores.flatten(0, 1), text[first + 1 : last + 1].flatten(), reduction="sum").item()
    model.train()
    return total / (LANES * (len(text) - 1))


def rate(recipe, step, total):
    warmup = int(recipe.get("warmup", 0))
    if step < warmup:
        return recipe["lr"] * (step + 1) / (warmup + 1)
    return recipe["lr"] * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (total - warmup)))


def optimizer_of(model, recipe):
    decay = recipe.get("weight-decay", 0.0)
    matrices = [p for name, p in model.named_parameters() if p.dim() > 1 and not name.startswith("encoder")]
    others = [p for name, p in model.named_parameters() if p.dim() < 2 or name.startswith("encoder")]
    groups = [{"params": matrices, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]
    if recipe["optimizer"] == "sgd":
        return torch.optim.SGD(groups, lr=recipe["lr"], foreach=True)
    return torch.optim.AdamW(groups, lr=recipe["lr"], fused=True)


def main(recipe_path, train_path, valid_path, steps, every):
    torch.set_num_threads(THREADS)
    torch.manual_seed(1)
    recipe = tomllib.loads(Path(recipe_path).read_text(encoding="utf-8"))
    check(recipe)
    words, numbers = recipe["model"] == "rnnlm", {}
    train = columns(tokens_of(train_path, words, numbers, True), recipe["batch-size"])
    valid = tokens_of(valid_path, words, numbers, False)
    model = LanguageModel(len(numbers), recipe)
    optimizer = optimizer_of(model, recipe)
    kind, _, decay = recipe.get("average", "").partition(":")
    average = None
    states, seconds = None, 0.0
    bptt = recipe["bptt"]
    windows = range(0, len(train) - 1, bptt)
    for step in range(steps):
        began = time.perf_counter()
        first = windows[step % len(windows)]
        last = min(first + bptt, len(train) - 1)
        if first == 0:
            states = model.zero_states(recipe["batch-size"])
        keep = (torch.rand(1, recipe["batch-size"], 1) >= recipe.get("state-reset", 0.0)).float()
        states = [(h.detach() * keep, c.detach() * keep) for h, c in states]
        for group in optimizer.param_groups:
            group["lr"] = rate(recipe, step, steps)
        optimizer.zero_grad(set_to_none=True)
        scores, states, (dropped, ys) = model(train[first:last], states)
        loss = F.cross_entropy(scores.flatten(0, 1), train[first + 1 : last + 1].flatten())
        if recipe.get("ar", 0.0) > 0:
            loss = loss + recipe["ar"] * dropped.pow(2).mean()
        if recipe.get("tar", 0.0) > 0:
            loss = loss + recipe["tar"] * (ys[1:] - ys[:-1]).pow(2).mean()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), recipe["clip"], foreach=True)
        optimizer.step()
        if kind == "ema":
            share = 1 - min(float(decay), (2 + step) / (11 + step))
            with torch.no_grad():
                if average is None:
                    average = [p.clone() for p in model.parameters()]
                else:
                    torch._foreach_lerp_(average, list(model.parameters()), share)
        seconds += time.perf_counter() - began
        if (step + 1) % every == 0 or step + 1 == steps:
            trained = [p.detach().clone() for p in model.parameters()]
            with torch.no_grad():
                for p, kept in zip(model.parameters(), average or trained):
                    p.copy_(kept)
                nats = evaluate(model, valid)
                for p, kept in zip(model.parameters(), trained):
                    p.copy_(kept)
            print(json.dumps({"step": step + 1, "seconds": seconds, "loss": nats}), flush=True)


if __name__ == "__main__":
    recipe, train, valid, steps, every = sys.argv[1:]
    main(recipe, train, valid, int(steps), int(every))
