"""Golden files of Keras on TensorFlow: models of Keras 2, as the package tf_keras saves them, and a TextVectorization.

The files go to tests/golden/keras/. tests/golden/keras_tensorflow.safetensors has the tokens (batch, time) and the
outputs for them, and of each text its tokens, which a TextVectorization computes.
"""

import os

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import numpy as np
import tf_keras

from fixtures import BATCH, FOLDER, HIDDEN, INPUT, TIME, Fixture

VOCABULARY, OUTPUTS = 11, 5
FILES = FOLDER / "keras"
TEXTS = ["The cat sat.", "A dog; the dog ran!", "the cat's dog"]


def old_model(cell, both, layers=1):
    """A model of Keras 2: a tagger in both directions, or a classifier."""
    kept = tf_keras.layers
    made = []
    for number in range(layers):
        sequences = both or number + 1 < layers
        layer = getattr(kept, cell)(HIDDEN, return_sequences=sequences)
        made.append(kept.Bidirectional(layer) if both else layer)
    dense = kept.Dense(OUTPUTS)
    model = tf_keras.Sequential(
        [kept.Embedding(VOCABULARY, INPUT), *made, kept.Dropout(0.1), kept.TimeDistributed(dense) if both else dense]
    )
    model.build((None, None))
    return model


def add(fixture, name, model, o):
    for variable in model.trainable_variables:
        variable.assign(fixture.random(*variable.shape))
    tokens = fixture.rng.integers(1, VOCABULARY, size=(BATCH, TIME)).astype(np.uint32)
    outputs = model(tokens.astype(np.float32)).numpy()
    options = {"task": o, "outputs": OUTPUTS, "nonlinearity": "tanh", "tells": True}
    fixture.add(name, {"file": f"{name}.h5"} | options, input={"tokens": tokens}, output={"logits": outputs})
    model.save(FILES / f"{name}.h5")


def main():
    fixture = Fixture("keras_tensorflow", seed=17)
    FILES.mkdir(parents=True, exist_ok=True)
    add(fixture, "old-gru", old_model("GRU", True), "tag")
    add(fixture, "old-lstm", old_model("LSTM", False, 2), "classify")
    add(fixture, "old-simple-rnn", old_model("SimpleRNN", True), "tag")
    # Weights alone, whose layers have names of their own, and the configuration beside them.
    model = old_model("GRU", False)
    add(fixture, "old-weights", model, "classify")
    model.save_weights(FILES / "old-weights.h5")
    (FILES / "old-weights.json").write_text(model.to_json() + "\n")
    # The archive of Keras 2.
    model = old_model("LSTM", True)
    add(fixture, "old-archive", model, "tag")
    fixture.cases["old-archive"]["file"] = "old-archive.keras"
    model.save(FILES / "old-archive.keras")
    (FILES / "old-archive.h5").unlink()

    text = keras.layers.TextVectorization(max_tokens=12, output_sequence_length=6)
    text.adapt(TEXTS)
    layers = keras.layers
    inputs = [keras.Input((1,), dtype="string"), text, layers.Embedding(12, INPUT, mask_zero=True)]
    model = keras.Sequential([*inputs, layers.GRU(HIDDEN), layers.Dense(1, activation="sigmoid")])
    for variable in model.trainable_variables:
        variable.assign(fixture.random(*variable.shape))
    model.save(FILES / "text.keras")
    probability = model(np.array([[text] for text in TEXTS], dtype=object)).numpy()
    fixture.add(
        "text",
        {"file": "text.keras", "task": "classify", "outputs": 2, "nonlinearity": "tanh", "tells": True, "texts": TEXTS},
        input={"tokens": text(TEXTS).numpy().astype(np.uint32)},
        output={"probabilities": np.concatenate([1 - probability, probability], axis=1)},
    )
    fixture.write()


if __name__ == "__main__":
    main()
