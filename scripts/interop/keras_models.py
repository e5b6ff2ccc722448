"""Compare models of Keras with what rnn-zoo makes of their files; scripts/interop/keras runs this file."""

import json
import logging
import math
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import keras
import numpy as np
import torch
from keras import layers

MODELS, ALLOWED = 30, 1e-5
MERGES = ["concat", "sum", "mul", "ave"]


def rnn(program, *arguments):
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"rnn {' '.join(map(str, arguments))}\n{done.stderr}")
    return done.stdout


class Random:
    """A model of random layers, sizes and options, with random arrays."""

    def __init__(self, draw):
        self.task = draw.choice(["lm", "classify", "tag"])
        self.reads_text = self.task != "classify" or draw.random() < 0.7
        self.vocabulary, self.features, units = draw.randint(5, 40), draw.randint(2, 24), draw.randint(2, 32)
        self.outputs = self.vocabulary if self.task == "lm" else draw.randint(2, 9)
        both = self.task != "lm" and draw.random() < 0.6
        self.merge = draw.choice(MERGES) if both else None
        self.pool = draw.choice([None, "mean", "max"]) if self.task == "classify" else None
        self.cell = draw.choice(["simple_rnn", "lstm", "gru"])
        self.usual = dict(use_bias=draw.random() < 0.7)
        if self.cell == "simple_rnn":
            self.usual["activation"] = draw.choice(["tanh", "relu"])
        if self.cell == "gru":
            self.usual["reset_after"] = draw.random() < 0.5
        self.units, self.count = units, draw.randint(1, 3)
        self.functional, self.softmax, self.wrapped = (draw.random() < 0.5 for _ in range(3))
        self.bias = draw.random() < 0.8
        self.model = self.build()
        for variable in self.model.trainable_variables:
            variable.assign(0.4 * torch.randn(*variable.shape))

    def recurrent(self, sequences):
        kinds = {"simple_rnn": layers.SimpleRNN, "lstm": layers.LSTM, "gru": layers.GRU}
        layer = kinds[self.cell](self.units, return_sequences=sequences, **self.usual)
        return layers.Bidirectional(layer, merge_mode=self.merge) if self.merge else layer

    def parts(self):
        if self.reads_text:
            yield layers.Embedding(self.vocabulary, self.features)
        yield layers.SpatialDropout1D(0.2)
        every = self.task != "classify" or self.pool is not None
        for number in range(self.count):
            yield self.recurrent(every or number + 1 < self.count)
            yield layers.Dropout(0.2)
        if self.pool:
            yield layers.GlobalAveragePooling1D() if self.pool == "mean" else layers.GlobalMaxPooling1D()
        dense = layers.Dense(self.outputs, use_bias=self.bias)
        yield layers.TimeDistributed(dense) if self.wrapped and self.task != "classify" else dense
        if self.softmax:
            yield layers.Activation("softmax")

    def build(self):
        inputs = keras.Input((None,) if self.reads_text else (None, self.features))
        if not self.functional:
            return keras.Sequential([inputs, *self.parts()])
        xs = inputs
        for part in self.parts():
            xs = part(xs)
        return keras.Model(inputs, xs)

    def save(self, draw, folder):
        """Saves the model in one of the ways that people do. Returns the file, and options for what it lacks."""
        match draw.choice(["keras", "h5", "weights", "json"]):
            case "keras":
                self.model.save(folder / "model.keras")
                return folder / "model.keras", []
            case "h5":
                self.model.save(folder / "model.h5")
                return folder / "model.h5", []
            case "json":
                (folder / "model.json").write_text(self.model.to_json())
            case "weights":
                resets = self.cell != "gru" or self.usual["reset_after"] or self.usual["use_bias"]
                if self.merge in (None, "concat") and resets:
                    self.model.save_weights(folder / "model.weights.h5")
                    further = [] if self.task == "lm" else ["--task", self.task]
                    activation = ["--nonlinearity", self.usual.get("activation", "tanh")]
                    return folder / "model.weights.h5", [*further, *activation]
                (folder / "model.json").write_text(self.model.to_json())
        self.model.save_weights(folder / "model.weights.h5")
        return folder / "model.weights.h5", []

    def inputs(self):
        if self.reads_text:
            return torch.randint(self.vocabulary, (4, 9)).numpy().astype(np.float32)
        return torch.randn(4, 9, self.features).numpy()


def compare(program, draw, folder):
    """Takes one random model through rnn-zoo and back to Keras. Returns the largest difference of the outputs."""
    made = Random(draw)
    file, further = made.save(draw, folder)
    tokens = ["<unk>", "<eos>", *(f"w{word}" for word in range(2, made.vocabulary))]
    (folder / "words.txt").write_text("\n".join(tokens) + "\n")
    (folder / "labels.txt").write_text("".join(f"L{label}\n" for label in range(made.outputs)))
    if made.reads_text:
        further = [*further, "--vocab", folder / "words.txt"]
    if made.task != "lm":
        further = [*further, "--labels", folder / "labels.txt"]
    rnn(program, "convert", file, "--out", folder / "bundle", *further)
    rnn(program, "export", folder / "bundle", "--format", "keras", "--out", folder / "back.keras")
    back = keras.models.load_model(folder / "back.keras")
    returned = [keras.ops.convert_to_numpy(variable) for variable in back.trainable_variables]
    for variable in made.model.trainable_variables:
        array = keras.ops.convert_to_numpy(variable)
        if not any(array.shape == other.shape and np.array_equal(array, other) for other in returned):
            sys.exit(f"{variable.path} has other bytes than before")
    inputs = made.inputs()
    expected, found = made.model(inputs), back(inputs)
    if made.softmax:
        found = torch.softmax(found, dim=-1)
    return float((found - expected).abs().max())


def characters(text, numbers):
    return np.array([numbers[character] for character in text])


def train(text, vocabulary, steps, batch=32, time=50):
    """The model of Keras's text generation: characters, an LSTM, scores of the next character."""
    model = keras.Sequential(
        [
            keras.Input((None,)),
            layers.Embedding(vocabulary, 32),
            layers.LSTM(96, return_sequences=True),
            layers.Dense(vocabulary),
        ]
    )
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.optimizer.learning_rate = 0.01
    starts = np.random.default_rng(16).integers(len(text) - time - 1, size=steps * batch)
    windows = text[starts[:, None] + np.arange(time + 1)]
    model.fit(windows[:, :-1].astype(np.float32), windows[:, 1:], batch_size=batch, shuffle=False, verbose=0)
    return model


def perplexity(model, text, start):
    """The perplexity of the whole text as one sequence, which follows the token `start`."""
    embedding, lstm, dense = model.layers
    inputs = keras.Input((None,))
    h, c = keras.Input((lstm.units,)), keras.Input((lstm.units,))
    stepper = keras.layers.LSTM(lstm.units, return_sequences=True, return_state=True)
    ys, *state = stepper(embedding(inputs), initial_state=[h, c])
    whole = keras.Model([inputs, h, c], [dense(ys), *state])
    stepper.set_weights(lstm.get_weights())
    before = torch.tensor(np.concatenate([[start], text[:-1]]), dtype=torch.float32)
    state, total = [torch.zeros(1, lstm.units)] * 2, 0.0
    for at in range(0, len(text), 500):
        with torch.no_grad():
            scores, *state = whole([before[None, at : at + 500], *state])
        targets = torch.tensor(text[at : at + 500])
        total += float(torch.nn.functional.cross_entropy(scores[0].double(), targets, reduction="sum"))
    return math.exp(total / len(text))


def text_generation(program, folder, path):
    keras.utils.set_random_seed(16)
    text = path.read_text(encoding="utf-8")
    vocabulary = sorted(set(text))
    numbers = {character: number for number, character in enumerate(vocabulary)}
    (folder / "data").mkdir()
    splits = {"train": text[:-60_000], "valid": text[-60_000:-20_000], "test": text[-20_000:]}
    for name, part in splits.items():
        (folder / "data" / f"{name}.txt").write_text(part, encoding="utf-8")
    model = train(characters(splits["train"], numbers), len(vocabulary), steps=300)
    model.save(folder / "model.keras")
    (folder / "characters.json").write_text(json.dumps(vocabulary))
    bundle = folder / "bundle"
    rnn(program, "convert", folder / "model.keras", "--out", bundle, "--vocab", folder / "characters.json")
    answer = rnn(program, "eval", bundle, "--data", folder / "data", "--split", "test", "--batch-size", 1, "--json")
    ours = json.loads(answer)["perplexity"]
    theirs = perplexity(model, characters(splits["test"], numbers), numbers["\n"])
    print(f"text generation, test perplexity: Keras {theirs:.4f}, rnn-zoo {ours:.4f}")
    return f"{theirs:.4g}" == f"{ours:.4g}"


def main():
    # Threads of PyTorch spin while they wait, which on a busy machine takes many times as long as one thread.
    torch.set_num_threads(1)
    logging.getLogger("absl").setLevel(logging.ERROR)
    program = str(Path(sys.argv[1]).resolve())
    draw = random.Random(16)
    keras.utils.set_random_seed(16)
    differences = []
    for _ in range(MODELS):
        with tempfile.TemporaryDirectory() as folder, torch.no_grad():
            differences.append(compare(program, draw, Path(folder)))
    print(f"{len(differences)} models to bundles and back to Keras: largest difference {max(differences):.1e}")
    agree = max(differences) <= ALLOWED
    if len(sys.argv) > 2:
        with tempfile.TemporaryDirectory() as folder:
            agree &= text_generation(program, Path(folder), Path(sys.argv[2]).resolve())
    sys.exit(0 if agree else "the results differ")


if __name__ == "__main__":
    main()
