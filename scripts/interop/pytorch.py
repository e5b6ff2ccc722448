"""Compare networks of PyTorch with what rnn-zoo makes of their files; scripts/interop/pytorch runs this file."""

import importlib.util
import json
import math
import random
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

MODELS, ALLOWED = 30, 1e-5
EMBEDDINGS = ["encoder", "embedding", "embed", "emb", "wte", "word_embeddings"]
STACKS = ["rnn", "lstm", "gru", "recurrent"]
DECODERS = ["decoder", "fc", "linear", "out", "lm_head", "proj", "hidden2tag", "classifier"]
WRAPPERS = ["", "module.", "_orig_mod.", "model.", "module._orig_mod."]


def rnn(program, *arguments):
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"rnn {' '.join(map(str, arguments))}\n{done.stderr}")
    return done.stdout


class Network(nn.Module):
    """An embedding, a recurrent layer and an output layer, of random kinds and sizes and under random names."""

    def __init__(self, draw):
        super().__init__()
        self.task = draw.choice(["lm", "classify", "tag"])
        both = self.task != "lm" and draw.random() < 0.6
        vocabulary, features, hidden = draw.randint(5, 40), draw.randint(2, 24), draw.randint(2, 32)
        kind = draw.choice([nn.RNN, nn.LSTM, nn.GRU])
        further = {"nonlinearity": draw.choice(["tanh", "relu"])} if kind is nn.RNN else {}
        if kind is nn.LSTM and draw.random() < 0.3:
            further["proj_size"] = draw.randint(1, hidden - 1)
        self.nonlinearity = further.get("nonlinearity")
        sizes = dict(num_layers=draw.randint(1, 3), bidirectional=both, bias=draw.random() < 0.7)
        stack = kind(features, hidden, batch_first=True, **sizes, **further)
        width = (further.get("proj_size") or hidden) * (2 if both else 1)
        outputs = vocabulary if self.task == "lm" else draw.randint(2, 9)
        self.names = draw.choice(EMBEDDINGS), draw.choice(STACKS), draw.choice(DECODERS)
        parts = nn.Embedding(vocabulary, features), stack, nn.Linear(width, outputs, bias=draw.random() < 0.8)
        for name, part in zip(self.names, parts):
            setattr(self, name, part)
        if self.task == "lm" and features == width:
            parts[2].weight = parts[0].weight

    def forward(self, tokens, lengths):
        embedding, stack, linear = (getattr(self, name) for name in self.names)
        packed = pack_padded_sequence(embedding(tokens), lengths, batch_first=True, enforce_sorted=False)
        ys, state = stack(packed)
        if self.task == "classify":
            h = state[0] if isinstance(stack, nn.LSTM) else state
            return linear(torch.cat([h[-2], h[-1]], 1) if stack.bidirectional else h[-1])
        return linear(pad_packed_sequence(ys, batch_first=True)[0])


def save(network, draw, folder):
    """Saves a network in one of the ways that people do."""
    prefix = draw.choice(WRAPPERS)
    tensors = {prefix + name: tensor for name, tensor in network.state_dict().items()}
    match draw.choice(["zip", "legacy", "checkpoint", "module", "safetensors"]):
        case "zip":
            torch.save(tensors, folder / "model.pt")
        case "legacy":
            torch.save(tensors, folder / "model.pth", _use_new_zipfile_serialization=False)
            return folder / "model.pth"
        case "checkpoint":
            torch.save({"epoch": 1, "state_dict": tensors}, folder / "model.pt")
        case "module":
            torch.save(network, folder / "model.pt")
        case "safetensors":
            save_file({name: tensor.clone() for name, tensor in tensors.items()}, folder / "model.safetensors")
            return folder / "model.safetensors"
    return folder / "model.pt"


def module_of(path):
    """The `model` of an exported Python file, and its module."""
    spec = importlib.util.spec_from_file_location("exported", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.model


def in_onnx(path, tokens, lengths):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    feeds = {"tokens": tokens.numpy(), "lengths": lengths.numpy().astype(np.int32)}
    for value in session.get_inputs():
        if value.name in ("h0", "c0"):
            layers, _, width = value.shape
            feeds[value.name] = np.zeros((layers, len(tokens), width), np.float32)
    return torch.tensor(session.run(["logits"], feeds)[0])


def compare(program, draw, folder):
    """Takes one random network through rnn-zoo. Returns the largest differences: through the bundle to PyTorch, and in
    ONNX Runtime, or None where ONNX has no such layer."""
    network = Network(draw).eval()
    embedding, stack, linear = (getattr(network, name) for name in network.names)
    file, bundle = save(network, draw, folder), folder / "bundle"
    tokens = ["<unk>", "<eos>", *(f"w{word}" for word in range(2, embedding.num_embeddings))]
    (folder / "words.txt").write_text("\n".join(tokens) + "\n")
    (folder / "labels.txt").write_text("".join(f"L{label}\n" for label in range(linear.out_features)))
    further = [] if network.task == "lm" else ["--task", network.task, "--labels", folder / "labels.txt"]
    if network.nonlinearity:
        further += ["--nonlinearity", network.nonlinearity]
    rnn(program, "convert", file, "--out", bundle, "--vocab", folder / "words.txt", *further)
    rnn(program, "export", bundle, "--format", "pytorch", "--out", folder / "back.safetensors")

    ours = dict(zip(network.names, ("encoder", "rnn", "decoder")))
    back = load_file(folder / "back.safetensors")
    for name, tensor in network.state_dict().items():
        module, parameter = name.split(".")
        if not torch.equal(back[f"{ours[module]}.{parameter}"], tensor):
            sys.exit(f"{name} has other bytes than before")

    lengths = torch.tensor([draw.randint(1, 12) for _ in range(4)])
    tokens = torch.randint(embedding.num_embeddings, (4, int(lengths.max())))
    expected = network(tokens, lengths)
    inside = torch.arange(tokens.shape[1]) < lengths[:, None]

    def difference(found):
        where = slice(None) if network.task == "classify" else inside
        return float((found[where] - expected[where]).abs().max())

    model = module_of(folder / "back.py")
    returned = model(tokens)[0] if network.task == "lm" else model(tokens, lengths)
    if getattr(stack, "proj_size", 0):
        return difference(returned), None
    rnn(program, "export", bundle, "--format", "onnx", "--out", folder / "graph.onnx")
    return difference(returned), difference(in_onnx(folder / "graph.onnx", tokens, lengths))


class WordModel(nn.Module):
    """The layout of PyTorch's word_language_model example: encoder, rnn, decoder, with dropout."""

    def __init__(self, vocabulary, size, hidden):
        super().__init__()
        self.drop = nn.Dropout(0.2)
        self.encoder = nn.Embedding(vocabulary, size)
        self.rnn = nn.LSTM(size, hidden, 2, dropout=0.2)
        self.decoder = nn.Linear(hidden, vocabulary)
        nn.init.uniform_(self.encoder.weight, -0.1, 0.1)
        nn.init.uniform_(self.decoder.weight, -0.1, 0.1)
        nn.init.zeros_(self.decoder.bias)

    def forward(self, tokens, state):
        """Tokens (time, batch) to scores (time * batch, vocabulary)."""
        ys, state = self.rnn(self.drop(self.encoder(tokens)), state)
        return self.decoder(self.drop(ys)).flatten(0, 1), state


class Corpus:
    """Words by number in the order of their first use, a line's end as <eos>, as the example numbers them."""

    def __init__(self, folder):
        self.words = {}
        self.train, self.valid, self.test = (self.read(folder / f"{split}.txt") for split in ("train", "valid", "test"))

    def read(self, path):
        lines = path.read_text(encoding="utf-8").splitlines()
        words = (word for line in lines for word in [*line.split(), "<eos>"])
        return torch.tensor([self.words.setdefault(word, len(self.words)) for word in words])


def train(model, tokens, steps, batch=20, bptt=35):
    """Truncated backpropagation through time with plain SGD, as in the example."""
    columns = tokens[: len(tokens) // batch * batch].view(batch, -1).t()  # (time, batch)
    state = None
    for step in range(steps):
        at = step * bptt
        state = state and tuple(part.detach() for part in state)
        scores, state = model(columns[at : at + bptt], state)
        loss = nn.functional.cross_entropy(scores, columns[at + 1 : at + 1 + bptt].flatten())
        model.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.25)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter -= 20 * parameter.grad


@torch.no_grad()
def perplexity(model, tokens, start):
    """The perplexity of the whole text as one sequence, which follows the token `start`; in f64."""
    model = model.eval().double()
    inputs, state, total = torch.cat([torch.tensor([start]), tokens[:-1]])[:, None], None, 0.0
    for at in range(0, len(tokens), 1000):
        scores, state = model(inputs[at : at + 1000], state)
        total += float(nn.functional.cross_entropy(scores, tokens[at : at + 1000], reduction="sum"))
    return math.exp(total / len(tokens))


def word_language_model(program, folder, ptb):
    torch.manual_seed(1)
    corpus = Corpus(ptb)
    model = WordModel(len(corpus.words), 100, 100)
    train(model, corpus.train, steps=200)
    torch.save(model, folder / "model.pt")
    (folder / "words.txt").write_text("\n".join(corpus.words) + "\n", encoding="utf-8")
    bundle = folder / "bundle"
    rnn(program, "convert", folder / "model.pt", "--out", bundle, "--vocab", folder / "words.txt")
    text = rnn(program, "eval", bundle, "--data", ptb, "--split", "test", "--batch-size", 1, "--json")
    ours = json.loads(text)["perplexity"]
    theirs = perplexity(model, corpus.test, corpus.words["<eos>"])
    print(f"word_language_model, test perplexity: PyTorch {theirs:.4f}, rnn-zoo {ours:.4f}")
    return f"{theirs:.4g}" == f"{ours:.4g}"


def main():
    warnings.simplefilter("ignore")
    # Threads of PyTorch spin while they wait, which on a busy machine takes many times as long as one thread.
    torch.set_num_threads(1)
    program = str(Path(sys.argv[1]).resolve())
    draw = random.Random(15)
    torch.manual_seed(15)
    through, onnx = [], []
    for _ in range(MODELS):
        with tempfile.TemporaryDirectory() as folder, torch.no_grad():
            back, graph = compare(program, draw, Path(folder))
        through.append(back)
        onnx += [] if graph is None else [graph]
    print(f"{len(through)} networks to bundles and back to PyTorch: largest difference {max(through):.1e}")
    print(f"{len(onnx)} of them in ONNX Runtime: largest difference {max(onnx):.1e}")
    agree = max(through + onnx) <= ALLOWED
    if len(sys.argv) > 2:
        with tempfile.TemporaryDirectory() as folder:
            agree &= word_language_model(program, Path(folder), Path(sys.argv[2]).resolve())
    sys.exit(0 if agree else "the results differ")


if __name__ == "__main__":
    main()
