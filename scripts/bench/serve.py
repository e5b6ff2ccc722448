"""A timer and a request loop for the Python workers."""

import json
import os
import statistics
import sys
import time

THREADS = int(os.environ.get("BENCH_THREADS", "2"))
STEPS = 50  # single steps that are timed together, as in `rnn bench step`


def median_seconds(run, repeat):
    """The median time of `repeat` calls, in seconds, after three calls that are not timed."""
    for _ in range(3):
        run()
    seconds = []
    for _ in range(repeat):
        began = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def serve(works):
    """Answer each JSON line of stdin with one, until stdin ends. A worker that waits uses no CPU time."""
    for line in sys.stdin:
        request = json.loads(line)
        work = works.get(request["work"])
        print(json.dumps(work(request) if work else {}), flush=True)
