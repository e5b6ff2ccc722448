"""The course's own example as a NumPy loop: every hidden state of a tanh cell.

Ten time steps of four features through eight hidden units, from a state of zeros.
"""

import numpy as np

from fixtures import Fixture, options

TIME, INPUT, HIDDEN = 10, 4, 8


def hidden_states(xs, w_x, w_h, b):
    """All hidden states (time, hidden) of h_t = tanh(W_x x_t + W_h h_{t-1} + b)."""
    h = np.zeros(HIDDEN, dtype=xs.dtype)
    states = []
    for x in xs:
        h = np.tanh(w_x @ x + w_h @ h + b)
        states.append(h)
    return np.stack(states)


if __name__ == "__main__":
    fixture = Fixture("course", seed=7)
    xs = fixture.random(TIME, INPUT, scale=1.0)
    w_x, w_h, b = fixture.random(HIDDEN, INPUT), fixture.random(HIDDEN, HIDDEN), fixture.random(HIDDEN)
    states = hidden_states(xs, w_x, w_h, b)
    assert states.shape == (10, 8)
    fixture.add(
        "all-hidden-states",
        options("simple_rnn", input=INPUT, hidden=HIDDEN),
        parameter={"weight_ih_l0": w_x, "weight_hh_l0": w_h, "bias_ih_l0": b, "bias_hh_l0": 0 * b},
        # The layer takes a batch: here of one sequence.
        input={"xs": xs[None], "h0": np.zeros((1, 1, HIDDEN), dtype=np.float32)},
        output={"ys": states[None], "last": states[None, -1], "h_n": states[None, None, -1]},
    )
    fixture.write()
