"""What the Python workers share: a clock, and a loop that answers one JSON line for each JSON line it reads."""

import json
import statistics
import sys
import time

THREADS = 2
STEPS = 50  # single steps that are timed together, as `rnn bench step` does


def median_seconds(run, repeat):
    """The median seconds of `repeat` calls, after a few that only warm up."""
    for _ in range(3):
        run()
    seconds = []
    for _ in range(repeat):
        began = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def serve(works):
    """Answers requests until stdin ends; blocked on it, a worker leaves the processor to the others."""
    for line in sys.stdin:
        request = json.loads(line)
        work = works.get(request["work"])
        print(json.dumps(work(request) if work else {}), flush=True)
