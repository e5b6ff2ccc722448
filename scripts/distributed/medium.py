"""The medium language model of Penn Treebank in rnn-zoo, on one process or several: the times of its training steps."""

import json
import os
import subprocess
from pathlib import Path

# Two layers of 650 units over 10 000 words, as Zaremba, Sutskever and Vinyals (2014), without dropout.
VOCABULARY, HIDDEN, LAYERS, TIME, BATCH = 10000, 650, 2, 35, 20
OPTIONS = (
    f"rnnlm --hidden {HIDDEN} --embedding {HIDDEN} --layers {LAYERS} --dropout 0 --state-reset 0 --bptt {TIME}"
    " --optimizer sgd --lr 1 --clip 5"
)

EVERY = 5  # steps that are timed together


def write_data(folder):
    """Link the training text into `folder`. Only a few lines of validation data: a run ends with an evaluation."""
    corpus = Path(os.environ["RNN_ZOO_DATA"]) / "ptb"
    (folder / "train.txt").symlink_to(corpus / "train.txt")
    lines = (corpus / "valid.txt").read_text().splitlines()
    for name in ("valid", "test"):
        (folder / f"{name}.txt").write_text("\n".join(lines[:80]) + "\n")


def launcher(processes, bind="core"):
    """The command of Open MPI that starts so many processes of this machine, each on a core of its own."""
    return ["mpirun", "-n", str(processes), "--bind-to", bind] if processes > 1 else []


def laps(rnn, folder, start, threads, steps, batch=BATCH, more=""):
    """Train, and return the milliseconds of a step, means over stretches of EVERY, without the first."""
    out = folder / "bundle"
    line = f"{OPTIONS} --batch-size {batch} --threads {threads} --max-steps {steps} --log-every {EVERY} {more}"
    line = f"train {line} --eval-every 1000000 --data {folder} --out {out} --force"
    done = subprocess.run([*start, rnn, *line.split()], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    records = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    seconds = [record["seconds"] for record in records if record["split"] == "train"]
    return [(after - before) / EVERY * 1e3 for before, after in zip(seconds, seconds[1:])]
