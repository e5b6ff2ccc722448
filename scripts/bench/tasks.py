#!/usr/bin/env python3
"""Compares the training step of each task with PyTorch; prints Markdown. Both have BENCH_THREADS threads, or two.

    scripts/bench/tasks [--rounds N] [--steps N] [--only TASK] [--precision f32|bf16]

Both train on the same random data (task_data.py) with the same sizes, Adam and clipped gradients. PyTorch's batches
have sentences of similar length; so have ours, but for the tagger, whose F1 is better without. A round trains with one
after the other; a figure is the median over rounds of the median time of ten steps. Ours is a run of `rnn train` and
makes its batches in the step; PyTorch's are made beforehand.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import task_data
from serve import THREADS

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
EVERY = 10  # steps that are timed together
COMMON = (
    f"--dropout 0 --clip 1 --lr 0.001 --seed 1 --threads {THREADS} --log-every {EVERY} --eval-every 1000000 "
    "--force"
)
TASKS = {
    "classify": "gru --data {data} --label-column label --bidirectional --readout last --tokenizer word "
    "--embedding 200 --hidden 200 --layers 1 --batch-size 64",
    "tag": "lstm --data {data} --task tag --embedding 100 --hidden 200 --characters 25 --batch-size 32",
    "forecast": "gru --task forecast --data {data}/series.csv --series-column series --target value --window 168 "
    "--horizon 48 --segment 1 --linear=false --loss mae --hidden 128 --layers 1 --batch-size 64",
    "translate": "gru --data {data} --source-lang xx --target-lang yy --tokenizer word --embedding 256 --hidden 256 "
    "--layers 1 --batch-size 64",
}


def ours(task, data, steps, precision):
    """Milliseconds of a step: the median over stretches of `EVERY` steps, without the first."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "bundle"
        line = f"{TASKS[task].format(data=data)} {COMMON} --precision {precision} --max-steps {steps} --out {out}"
        command = [ROOT / "target/release/rnn", "train", *line.split()]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
        records = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    seconds = [record["seconds"] for record in records if record["split"] == "train"]
    return statistics.median(after - before for before, after in zip(seconds, seconds[1:])) / EVERY * 1e3


def torch(task, data, steps, precision):
    command = [sys.executable, HERE / "tasks_torch.py", task, data, str(steps), str(EVERY), precision]
    keep = dict.fromkeys(("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"), "4000000000")
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=os.environ | keep).stdout
    return json.loads(out)["step_ms"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--only", choices=list(TASKS))
    parser.add_argument("--precision", choices=["f32", "bf16"], default="f32")
    a = parser.parse_args()
    data = ROOT / "target/bench/tasks"
    task_data.write(data)
    print(f"{THREADS} threads, {a.precision}, {a.rounds} rounds, load {os.getloadavg()[0]:.1f}\n")
    print("| task | ours ms | PyTorch ms | PyTorch / ours |\n|---|---|---|---|")
    for task in [a.only] if a.only else TASKS:
        rounds = [[run(task, data / task, a.steps, a.precision) for run in (ours, torch)] for _ in range(a.rounds)]
        our_ms, torch_ms = (statistics.median(column) for column in zip(*rounds))
        print(f"| {task} | {our_ms:.1f} | {torch_ms:.1f} | {torch_ms / our_ms:.2f} |", flush=True)


if __name__ == "__main__":
    main()
