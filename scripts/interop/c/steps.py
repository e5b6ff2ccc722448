"""Read tokens one by one and write the scores after each: steps.py BUNDLE TOKENS SCORES.

The same as steps.c, by ctypes and the standard library alone. RNN_ZOO_C_LIBRARY is the shared library.
"""

import ctypes
import os
import sys
from array import array

library = ctypes.CDLL(os.environ["RNN_ZOO_C_LIBRARY"])
FLOATS = ctypes.POINTER(ctypes.c_float)
for name, result, arguments in [
    ("rnn_zoo_last_error", ctypes.c_char_p, []),
    ("rnn_zoo_model_load", ctypes.c_int, [ctypes.c_char_p, ctypes.POINTER(ctypes.c_void_p)]),
    ("rnn_zoo_model_free", None, [ctypes.c_void_p]),
    ("rnn_zoo_model_vocabulary_size", ctypes.c_size_t, [ctypes.c_void_p]),
    ("rnn_zoo_stream_open", ctypes.c_int, [ctypes.c_void_p, ctypes.POINTER(ctypes.c_void_p)]),
    ("rnn_zoo_stream_close", None, [ctypes.c_void_p]),
    ("rnn_zoo_stream_step", ctypes.c_int, [ctypes.c_void_p, ctypes.c_uint32]),
    ("rnn_zoo_stream_scores", ctypes.c_int, [ctypes.c_void_p, FLOATS, ctypes.c_size_t]),
    ("rnn_zoo_stream_state_size", ctypes.c_size_t, [ctypes.c_void_p]),
    ("rnn_zoo_stream_state", ctypes.c_int, [ctypes.c_void_p, FLOATS, ctypes.c_size_t]),
    ("rnn_zoo_stream_set_state", ctypes.c_int, [ctypes.c_void_p, FLOATS, ctypes.c_size_t]),
]:
    function = getattr(library, name)
    function.restype, function.argtypes = result, arguments


def check(code):
    """End the program with the library's message if a call has failed."""
    if code != 0:
        sys.exit(f"steps.py: {library.rnn_zoo_last_error().decode()} (code {code})")


def opened(model):
    stream = ctypes.c_void_p()
    check(library.rnn_zoo_stream_open(model, ctypes.byref(stream)))
    return stream


def continued(model, stream):
    """Return a new stream that goes on where `stream` is, and close `stream`."""
    size = library.rnn_zoo_stream_state_size(stream)
    state = (ctypes.c_float * size)()
    check(library.rnn_zoo_stream_state(stream, state, size))
    after = opened(model)
    check(library.rnn_zoo_stream_set_state(after, state, size))
    library.rnn_zoo_stream_close(stream)
    return after


def main(bundle, tokens, out):
    model = ctypes.c_void_p()
    check(library.rnn_zoo_model_load(bundle.encode(), ctypes.byref(model)))
    stream = opened(model)
    count = library.rnn_zoo_model_vocabulary_size(model)
    scores = (ctypes.c_float * count)()
    with open(tokens, "rb") as file, open(out, "wb") as written:
        for step, token in enumerate(array("I", file.read())):
            if step == 5000:
                stream = continued(model, stream)
            check(library.rnn_zoo_stream_step(stream, token))
            check(library.rnn_zoo_stream_scores(stream, scores, count))
            written.write(bytes(scores))
    library.rnn_zoo_stream_close(stream)
    library.rnn_zoo_model_free(model)


if __name__ == "__main__":
    main(*sys.argv[1:])
