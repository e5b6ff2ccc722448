"""The ONNX project's own node tests of RNN, LSTM and GRU: its graphs, inputs and expected outputs.

The onnx package makes them from numbers that it fixes; nothing is drawn here. Weights, which are inputs of its graphs,
become constants, as they are in the files of exporters. Each case has its graph as bytes under input/model.
"""

import warnings

import numpy as np
from onnx import checker, numpy_helper
from onnx.backend.test.case.node import collect_testcases

from fixtures import Fixture

CONSTANTS = ["W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P"]
NAMES = ("test_simple_rnn_", "test_rnn_", "test_lstm_", "test_gru_")


def main():
    fixture = Fixture("onnx_nodes", seed=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tests of other operators overflow on purpose
        tests = [test for test in collect_testcases(None) if test.name.startswith(NAMES)]
    for test in sorted(tests, key=lambda test: test.name):
        (inputs, outputs), *_ = test.data_sets
        model, values = test.model, {}
        for declared, array in zip(list(model.graph.input), inputs):
            if declared.name in CONSTANTS:
                model.graph.initializer.append(numpy_helper.from_array(array, declared.name))
                model.graph.input.remove(declared)
            else:
                values[declared.name] = array
        checker.check_model(model)
        expected = {declared.name: array for declared, array in zip(model.graph.output, outputs)}
        graph = np.frombuffer(model.SerializeToString(deterministic=True), np.uint8)
        fixture.add(test.name, {}, input={"model": graph, **values}, output=expected)
    fixture.write()


if __name__ == "__main__":
    main()
