"""ONNX files of tf2onnx: small networks of Keras, with their outputs. It needs older packages than the other scripts:

    pip install numpy==1.26.4 onnx==1.16.2 safetensors tensorflow-cpu==2.15.1 tf2onnx==1.17.0

tests/golden/onnx_keras.safetensors has, for each of them, the file as bytes under input/model, tokens (batch, time),
and the outputs for them.
"""

import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np
import tensorflow as tf
import tf2onnx
from tensorflow.keras import layers as kl

from fixtures import BATCH, HIDDEN, INPUT, TIME, Fixture

VOCABULARY, OUTPUTS = 11, 5


def cases():
    """The layers between the embedding and the output layer, and the output layer with its task."""
    words, classes = kl.Dense(VOCABULARY), lambda **further: kl.Dense(OUTPUTS, **further)
    steps = {"return_sequences": True}
    yield "lstm", "lm", [kl.LSTM(HIDDEN, **steps), kl.LSTM(HIDDEN, **steps)], words
    yield "gru", "classify", [kl.GRU(HIDDEN)], classes(activation="softmax")
    yield "lstm-no-bias", "classify", [kl.LSTM(HIDDEN, use_bias=False)], classes(use_bias=False)
    both = kl.Bidirectional(kl.LSTM(HIDDEN, **steps))
    yield "both-steps", "tag", [both, kl.Dropout(0.5)], kl.TimeDistributed(classes(activation="softmax"))
    yield "both-last", "classify", [kl.Bidirectional(kl.GRU(HIDDEN))], classes()
    for merge in ("sum", "mul", "ave"):
        layer = kl.Bidirectional(kl.LSTM(HIDDEN), merge_mode=merge)
        yield f"both-{merge}", "classify", [layer], classes()
    yield "max", "classify", [kl.GRU(HIDDEN, **steps), kl.GlobalMaxPooling1D()], classes()
    yield "mean", "classify", [kl.LSTM(HIDDEN, **steps), kl.GlobalAveragePooling1D()], classes()
    yield "binary", "classify", [kl.LSTM(HIDDEN)], kl.Dense(1, activation="sigmoid")
    yield "loop", "refused", [kl.SimpleRNN(HIDDEN)], classes()
    yield "masked", "refused", [kl.LSTM(HIDDEN)], classes()


def main():
    fixture = Fixture("onnx_keras", seed=15)
    for name, task, middle, top in cases():
        embedding = kl.Embedding(VOCABULARY, INPUT, mask_zero=name == "masked")
        model = tf.keras.Sequential([kl.InputLayer((None,), dtype=tf.int32), embedding, *middle, top])
        model.set_weights([fixture.random(*weight.shape) for weight in model.get_weights()])
        tokens = fixture.rng.integers(VOCABULARY, size=(BATCH, TIME)).astype(np.int32)
        proto, _ = tf2onnx.convert.from_keras(model, opset=13)
        graph = np.frombuffer(proto.SerializeToString(deterministic=True), np.uint8)
        fixture.add(
            name,
            {"task": task, "end": getattr(getattr(top, "layer", top), "activation").__name__},
            input={"tokens": tokens.astype(np.uint32), "model": graph},
            output={"logits": model(tokens).numpy()},
        )
    fixture.write()


if __name__ == "__main__":
    main()
