#!/usr/bin/env python3
"""Compares the speed of rnn-zoo and its peers on two threads of this machine, or as many as BENCH_THREADS says. Prints
Markdown. `run` builds all of them.

Every figure is a ratio of medians, the peer's time / ours: above 1, ours is faster. For each row, ours and every peer
are measured alternately for several rounds. Each round gives a median over repetitions; the median of these counts.
Peers are worker processes that wait on stdin while another one is measured. A measurement that other programs disturbed
is repeated, because two threads that wait for each other lose much more time than was taken from them. Linux only.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from serve import THREADS

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BUILT = ROOT / "target/bench"
CELLS = ("simple-rnn", "lstm", "gru")
LAYER_SIZES = ("time", "batch", "input", "hidden")
LAYER_SHAPES = [
    (20, 20, 200, 200),
    (35, 20, 650, 650),
    (50, 50, 128, 512),
    (128, 32, 256, 256),
    (100, 1, 128, 256),
]
STEP_SIZES = (256, 512, 1024)
LM_SIZES = ("vocab", "embedding", "hidden", "layers", "time", "batch")
LM_SHAPES = [
    (10000, 200, 200, 2, 20, 20),
    (10000, 650, 650, 2, 35, 20),
    (65, 128, 512, 2, 50, 50),
]
GROWTH = {  # size that grows: its values, and the other sizes
    "time": ((64, 256, 1024, 4096, 8192), {"batch": 16, "input": 128, "hidden": 128}),
    "hidden": ((64, 128, 256, 512, 1024, 2048), {"time": 16, "batch": 16}),
    "batch": ((1, 4, 16, 64, 256, 512), {"time": 16, "input": 256, "hidden": 256}),
    "threads": ((1, 2), {"time": 35, "batch": 20, "input": 650, "hidden": 650}),
}
MEMORY_STEPS = 300
TICKS = os.sysconf("SC_CLK_TCK")
TRIES, PATIENCE = 5, 900  # measurements of one request, and seconds of a run, spent on waiting for a quiet machine
# glibc returns large buffers to the system at once, which clears every page at the next use. Peers are told to keep the
# buffers, with which PyTorch trains up to a third faster. Ours runs without settings.
PEERS_ENVIRONMENT = {
    **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"), str(THREADS)),
    **dict.fromkeys(("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"), "4000000000"),
}


class Ours:
    """`rnn bench`, a fresh process for every measurement."""

    name = "rnn-zoo"

    def __init__(self, rnn):
        self.rnn = rnn

    def measure(self, request):
        sizes = {"threads": THREADS} | {key: value for key, value in request.items() if key not in ("work", "cell")}
        flags = [text for key, value in sizes.items() for text in (f"--{key}", str(value))]
        command = [self.rnn, "bench", request["work"], "--model", request["cell"], *flags, "--json"]
        return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)

    def cpu_seconds(self):
        """CPU time of all processes so far."""
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime


class Peer:
    """A worker process that answers each JSON line with one. An answer has no times if the peer lacks the layer."""

    def __init__(self, name, *command):
        self.name = name
        environment, pipe = os.environ | PEERS_ENVIRONMENT, subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment)

    def cpu_seconds(self):
        """CPU time of the worker so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:13])) / TICKS

    def measure(self, request):
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            sys.exit(f"{self.name}: the worker ended during {request}")
        return json.loads(answer)


PEERS = {
    "pytorch": ("PyTorch", sys.executable, HERE / "torch_worker.py"),
    "onnxruntime": ("ONNX Runtime", sys.executable, HERE / "onnx_worker.py"),
    "candle": ("candle-nn", BUILT / "peers/release/candle-worker"),
    "burn": ("Burn", BUILT / "peers/release/burn-worker"),
}


def busy_seconds():
    """CPU time of all programs of the machine so far, with the share that the host took."""
    user, nice, system, _, _, irq, softirq, steal = map(int, Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / TICKS


class Quiet:
    """Repeats measurements that other programs disturbed, until `PATIENCE` seconds are spent."""

    def __init__(self):
        self.patience, self.disturbed = PATIENCE, 0

    def wait(self):
        while self.patience > 0:
            before = busy_seconds()
            time.sleep(0.2)
            if busy_seconds() - before < 0.04:
                return
            time.sleep(1)
            self.patience -= 1.2

    def measure(self, contender, request):
        """Measure a contender alone on the machine, or, once the patience is spent, as the machine is."""
        for _ in range(TRIES):
            self.wait()
            began, busy, used = time.monotonic(), busy_seconds(), contender.cpu_seconds()
            found = contender.measure(request)
            elapsed = time.monotonic() - began
            others = busy_seconds() - busy - (contender.cpu_seconds() - used)
            if others < 0.05 * elapsed + 0.04:
                return found
            if self.patience <= 0:
                break
            self.patience -= elapsed
        self.disturbed += 1
        return found


@dataclass
class Bench:
    """Ours, the peers, and all medians so far."""

    ours: Ours
    peers: dict
    rounds: int
    repeat: int | None
    results: dict
    quiet: Quiet

    def row(self, request, flop, peers=None):
        """The medians over all rounds: {contender: {quantity: value}}."""
        request = request | {"repeat": self.repeat or repetitions(flop)}
        peers = self.peers if peers is None else peers
        found = {}
        for _ in range(self.rounds):
            for contender in (self.ours, *peers.values()):
                for quantity, value in self.quiet.measure(contender, request).items():
                    if quantity.endswith(("_ms", "_us", "_gflops")) and value is not None:
                        found.setdefault(contender.name, {}).setdefault(quantity, []).append(value)
        medians = {
            name: {quantity: statistics.median(values) for quantity, values in quantities.items()}
            for name, quantities in found.items()
        }
        self.results.setdefault(request["work"], []).append({"request": request, "medians": medians})
        return medians

    def names(self):
        return [peer.name for peer in self.peers.values()]


def repetitions(flop):
    """The number of repetitions that a fast implementation finishes in about half a second."""
    return max(5, min(50, round(0.5 * 100e9 / flop)))


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    print("\n".join(lines) + "\n", flush=True)


def shown(ratio):
    return "" if ratio is None else f"{ratio:.2f}"


def ratios(medians, quantity, names):
    ours = medians[Ours.name][quantity]
    return [medians[name][quantity] / ours if quantity in medians.get(name, {}) else None for name in names]


def print_ratios(title, what, rows, names):
    """Print a table of `rows`, each (label, ratios). A peer without ratios has no column."""
    kept = [at for at in range(len(names)) if any(found[at] is not None for _, found in rows)]
    print(f"### {title}\n")
    body = []
    for label, found in rows:
        found = [found[at] for at in kept]
        body.append((label, [*found, min((ratio for ratio in found if ratio is not None), default=None)]))
    columns = [[ratio for ratio in column if ratio is not None] for column in zip(*(found for _, found in body))]
    for label, summary in (("geometric mean", statistics.geometric_mean), ("least", min)):
        body.append((f"**{label}**", [summary(column) if column else None for column in columns]))
    body = [[label, *map(shown, found)] for label, found in body]
    table([what, *(names[at] for at in kept), "least of the row"], body)


def layer_flop(cell, time, batch, width, hidden):
    """Operations of a forward pass: a multiplication and an addition for each weight, step and sequence."""
    gates = {"simple-rnn": 1, "lstm": 4, "gru": 3}[cell]
    return 2 * time * batch * gates * hidden * (width + hidden)


def layer(bench):
    found = []
    for cell in CELLS:
        for shape in LAYER_SHAPES:
            request = {"work": "layer", "cell": cell} | dict(zip(LAYER_SIZES, shape))
            found.append((f"{cell} {'x'.join(map(str, shape))}", bench.row(request, 4 * layer_flop(cell, *shape))))
    for quantity, title in (("forward_ms", "A layer, forward"), ("train_ms", "A layer, forward and backward")):
        rows = [(label, ratios(medians, quantity, bench.names())) for label, medians in found]
        print_ratios(title, "cell, time x batch x input x hidden", rows, bench.names())


def step(bench):
    rows = []
    for cell in CELLS:
        for size in STEP_SIZES:
            request = {"work": "step", "cell": cell, "input": size, "hidden": size}
            medians = bench.row(request, 50 * layer_flop(cell, 1, 1, size, size))
            rows.append((f"{cell} {size}", ratios(medians, "step_us", bench.names())))
    print_ratios("One step at batch 1", "cell, input = hidden", rows, bench.names())


def lm_flop(vocab, embedding, hidden, layers, time, batch):
    """Operations of a training step: the backward pass has twice as many as the forward pass."""
    recurrent = sum(4 * hidden * ((hidden if at else embedding) + hidden) for at in range(layers))
    return 6 * batch * time * (recurrent + hidden * vocab)


def lm(bench):
    rows = []
    for shape in LM_SHAPES:
        request = {"work": "lm", "cell": "lstm"} | dict(zip(LM_SIZES, shape))
        medians = bench.row(request, lm_flop(*shape))
        rows.append(("x".join(map(str, shape)), ratios(medians, "step_ms", bench.names())))
    what = "vocabulary x embedding x hidden x layers x time x batch"
    print_ratios("A training step of an LSTM language model, with Adam and clipping", what, rows, bench.names())


def peak(bench):
    """Compare our training steps with PyTorch's matrix product, in operations a second."""
    torch = bench.peers.get("pytorch")
    if torch is None:
        print("Peak: skipped, because it needs PyTorch's matrix product\n")
        return
    request = {"work": "peak", "side": 2048, "repeat": 10}
    gflops = max(bench.quiet.measure(torch, request)["gflops"] for _ in range(bench.rounds))
    bench.results["peak_gflops"] = gflops
    if "lm" not in bench.results:
        alone = Bench(bench.ours, {}, bench.rounds, bench.repeat, bench.results, bench.quiet)
        for shape in LM_SHAPES:
            alone.row({"work": "lm", "cell": "lstm"} | dict(zip(LM_SIZES, shape)), lm_flop(*shape))
    rows = []
    for entry in bench.results["lm"]:
        shape = [entry["request"][size] for size in LM_SIZES]
        reached = lm_flop(*shape) / entry["medians"][Ours.name]["step_ms"] / 1e6
        rows.append(["x".join(map(str, shape)), f"{reached:.1f}", f"{reached / gflops:.0%}"])
    print("### Training steps beside PyTorch's matrix product\n")
    print(f"2048 x 2048 matrix product in f32 (PyTorch): {gflops:.0f} GFLOP/s\n")
    table(["our training step", "GFLOP/s", "relative to PyTorch's product"], rows)


def memory(bench):
    """Peak resident memory of training the same language model on the Penn Treebank."""
    corpus = Path(os.environ.get("RNN_ZOO_DATA", ROOT / "data")) / "ptb"
    print("### Peak memory of training\n")
    if not (corpus / "train.txt").exists():
        print(f"skipped: there is no {corpus}; docs/corpora.md says where to get it (or set RNN_ZOO_DATA)\n")
        return
    sizes = "--embedding 200 --hidden 200 --layers 2 --bptt 20 --batch-size 20".split()
    with tempfile.TemporaryDirectory() as folder:
        ours = [bench.ours.rnn, "train", "rnnlm", "--data", corpus, "--out", f"{folder}/rnnlm", *sizes]
        ours += ["--max-steps", MEMORY_STEPS, "--eval-every", 100000, "--threads", THREADS]
        found = {Ours.name: peak_mb(ours)}
    torch = [sys.executable, HERE / "torch_train.py", corpus / "train.txt"]
    found["PyTorch"] = peak_mb([*torch, MEMORY_STEPS])
    found["PyTorch, no step taken"] = peak_mb([*torch, 0])
    bench.results["memory_mb"] = found
    rows = [[name, f"{mb:.0f}", f"{found[Ours.name] / mb:.2f}"] for name, mb in found.items()]
    table(["LSTM 2x200, vocabulary 10000, bptt 20, batch 20", "MB", "ours / this"], rows)
    print("PyTorch is the Linux package of PyPI, which includes CUDA's libraries.\n")


def peak_mb(command):
    process = subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    complaint = process.stderr.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{command[0]} failed:\n{complaint}")
    return usage.ru_maxrss / 1024


def growth(bench):
    """Measure our time per operation while one size grows. 1 is the best of a row."""
    print("### Time per operation as a layer grows (LSTM; 1 is the best of the row)\n")
    for grown, (values, fixed) in GROWTH.items():
        rows = {"forward_gflops": ["forward"], "train_gflops": ["forward and backward"]}
        found = [grow(bench, grown, value, fixed) for value in values]
        for quantity, row in rows.items():
            best = max(medians[quantity] for medians in found)
            row += [shown(best / medians[quantity]) for medians in found]
        where = ", ".join(f"{size} {value}" for size, value in fixed.items())
        table([f"{grown} ({where})", *map(str, values)], rows.values())


def grow(bench, grown, value, fixed):
    request = {"work": "layer", "cell": "lstm"} | fixed | {grown: value}
    request.setdefault("input", request["hidden"])
    flop = 4 * layer_flop("lstm", *(request[size] for size in LAYER_SIZES))
    request["repeat"] = bench.repeat or repetitions(flop)
    found = [bench.quiet.measure(bench.ours, request) for _ in range(bench.rounds)]
    medians = {name: statistics.median(one[name] for one in found) for name in ("forward_gflops", "train_gflops")}
    bench.results.setdefault("growth", []).append({"request": request, "medians": medians})
    return medians


def bf16(bench):
    """Compare layers and training steps in bf16 with PyTorch in bf16, and with ours in f32."""
    peers = {name: peer for name, peer in bench.peers.items() if name == "pytorch"}
    names = [peer.name for peer in peers.values()]
    rows = {"forward_ms": [], "train_ms": [], "step_ms": []}

    def measure(label, request, flop):
        medians = bench.row(request | {"precision": "bf16"}, flop, peers)
        in_f32 = bench.row(request, flop, {})[Ours.name]
        for quantity, value in in_f32.items():
            if quantity in rows:
                found = ratios(medians, quantity, names)
                rows[quantity].append((label, [*found, value / medians[Ours.name][quantity]]))

    for cell in CELLS:
        for shape in LAYER_SHAPES:
            request = {"work": "layer", "cell": cell} | dict(zip(LAYER_SIZES, shape))
            measure(f"{cell} {'x'.join(map(str, shape))}", request, 4 * layer_flop(cell, *shape))
    for shape in LM_SHAPES:
        request = {"work": "lm", "cell": "lstm"} | dict(zip(LM_SIZES, shape))
        measure(f"language model {'x'.join(map(str, shape))}", request, lm_flop(*shape))
    print(f"Instructions for bf16: {bf16_features()}\n")
    titles = {
        "forward_ms": "A layer in bf16, forward",
        "train_ms": "A layer in bf16, forward and backward",
        "step_ms": "A training step in bf16",
    }
    for quantity, title in titles.items():
        print_ratios(title, "shape", rows[quantity], [f"{name} in bf16" for name in names] + ["ours in f32"])


def int8(bench):
    """Compare layers and steps in int8 with PyTorch and ONNX Runtime in int8, and with ours in f32."""
    peers = {name: peer for name, peer in bench.peers.items() if name in ("pytorch", "onnxruntime")}
    names = [peer.name for peer in peers.values()]
    rows = {"forward_ms": [], "step_us": []}

    def measure(quantity, label, request, flop):
        medians = bench.row(request | {"precision": "int8"}, flop, peers)
        in_f32 = bench.row(request, flop, {})[Ours.name]
        found = ratios(medians, quantity, names)
        rows[quantity].append((label, [*found, in_f32[quantity] / medians[Ours.name][quantity]]))

    for cell in CELLS:
        for shape in LAYER_SHAPES:
            request = {"work": "layer", "cell": cell} | dict(zip(LAYER_SIZES, shape))
            measure("forward_ms", f"{cell} {'x'.join(map(str, shape))}", request, 4 * layer_flop(cell, *shape))
        for size in STEP_SIZES:
            request = {"work": "step", "cell": cell, "input": size, "hidden": size}
            measure("step_us", f"{cell} {size}", request, 50 * layer_flop(cell, 1, 1, size, size))
    print(f"Instructions for int8: {features('amx_int8', 'avx512_vnni', 'avx_vnni', 'avx512f', 'avx2')}\n")
    columns = [f"{name} in int8" for name in names] + ["ours in f32"]
    print_ratios("A layer in int8, forward", "cell, time x batch x input x hidden", rows["forward_ms"], columns)
    print_ratios("One step in int8 at batch 1", "cell, input = hidden", rows["step_us"], columns)


def bf16_features():
    """The processor's features for products of bf16."""
    return features("amx_bf16", "avx512_bf16", "avx512f", "avx2")


def features(*names):
    """Those of these features that the processor has."""
    flags = next(line for line in Path("/proc/cpuinfo").open() if line.startswith("flags")).split()
    return ", ".join(sorted(flag for flag in flags if flag in names)) or "none"


WORKS = {
    "bf16": bf16, "int8": int8, "layer": layer, "step": step, "lm": lm, "peak": peak, "memory": memory, "growth": growth
}


def machine(rnn):
    """The machine, and the versions of everything that is compared."""
    cpuinfo = Path("/proc/cpuinfo")
    models = [line.split(":")[1].strip() for line in cpuinfo.open() if line.startswith("model name")]
    ours = subprocess.run([rnn, "--version"], check=True, capture_output=True, text=True).stdout.split()[-1]
    lock = (HERE / "peers/Cargo.lock").read_text(encoding="utf-8")
    crates = {name: lock.split(f'name = "{name}"\nversion = "')[1].split('"')[0] for name in ("candle-nn", "burn")}
    return {
        "CPU": f"{models[0] if models else platform.processor()}, {os.cpu_count()} cores, {THREADS} threads used",
        "rnn-zoo": ours,
        "PyTorch": version("torch"),
        "ONNX Runtime": version("onnxruntime"),
        "candle-nn": crates["candle-nn"],
        "Burn": crates["burn"],
    }


def chosen(known):
    """A parser for argparse: a comma-separated list of names in `known`, returned in the order of `known`."""

    def parse(text):
        names = text.split(",")
        if unknown := set(names) - set(known):
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: choose from {', '.join(known)}")
        return [name for name in known if name in names]

    return parse


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", type=chosen(WORKS), default=list(WORKS), metavar=",".join(WORKS))
    parser.add_argument("--peers", type=chosen(PEERS), default=list(PEERS), metavar=",".join(PEERS))
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each, in turn [5]")
    parser.add_argument("--repeat", type=int, help="timed repetitions of a measurement [by its size]")
    parser.add_argument("--rnn", type=Path, default=ROOT / "target/release/rnn", help="our program")
    return parser.parse_args()


def main():
    given = arguments()
    about = machine(given.rnn)
    print("".join(f"{name}: {value}  \n" for name, value in about.items()), flush=True)
    print(f"peer's time / ours, medians of {given.rounds} rounds: above 1, ours is faster\n", flush=True)
    peers = {name: Peer(*map(str, PEERS[name])) for name in given.peers}
    bench = Bench(Ours(given.rnn), peers, given.rounds, given.repeat, {"about": about}, Quiet())
    for work in given.only:
        WORKS[work](bench)
        BUILT.mkdir(parents=True, exist_ok=True)
        (BUILT / "results.json").write_text(json.dumps(bench.results, indent=1), encoding="utf-8")
    if bench.quiet.disturbed:
        print(f"Other programs disturbed {bench.quiet.disturbed} of the measurements above.")


if __name__ == "__main__":
    main()
