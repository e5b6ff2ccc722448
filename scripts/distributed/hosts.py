"""Train on two hosts, which are network namespaces of this machine with one core each, over links of several speeds.

Usage: hosts.py RNN [CHECK...], checks `speed` and `lost`. Prints Markdown. Open MPI starts a daemon in the second
namespace with `ip netns exec`, where other clusters have ssh, and connects the processes over TCP alone. The model is
that of scaling.py: a step with half of the batch on one core, and the exchange at the speed of the link.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import medium

HOSTS = {"rnn-a": "10.77.0.1", "rnn-b": "10.77.0.2"}
SWITCH = "rnn-switch"
SPEEDS = [1000, 2000, None]  # Mbit/s; the last is not shaped

STEPS = 15

# Detect a daemon whose host has gone within seconds; the default is 8 minutes.
KEEPALIVE = {"oob_tcp_keepalive_time": 4, "oob_tcp_keepalive_intvl": 2, "oob_tcp_keepalive_probes": 3}


def ip(line):
    subprocess.run(["ip", *line.split()], check=True)


def connect():
    """Make the namespaces, joined by a bridge in a third one."""
    ip(f"netns add {SWITCH}")
    ip(f"-n {SWITCH} link add bridge type bridge")
    ip(f"-n {SWITCH} link set bridge up")
    for host, address in HOSTS.items():
        ip(f"netns add {host}")
        ip(f"link add eth0 netns {host} type veth peer name {host} netns {SWITCH}")
        ip(f"-n {host} address add {address}/24 dev eth0")
        ip(f"-n {host} link set lo up")
        ip(f"-n {host} link set eth0 up")
        ip(f"-n {SWITCH} link set {host} master bridge up")


def disconnect():
    for name in [*HOSTS, SWITCH]:
        subprocess.run(["ip", "netns", "delete", name], stderr=subprocess.DEVNULL)


def shape(speed):
    """Limit what each host sends to `speed` Mbit/s."""
    for host in HOSTS:
        subprocess.run(["tc", "-n", host, "qdisc", "del", "dev", "eth0", "root"], stderr=subprocess.DEVNULL)
        if speed:
            limit = f"rate {speed}mbit burst 256kb latency 50ms"
            subprocess.run(
                ["tc", "-n", host, "qdisc", "add", "dev", "eth0", "root", "tbf", *limit.split()], check=True
            )


def write_agent(folder):
    """Write the command that starts Open MPI's daemon on another host: ADDRESS COMMAND. Each gets a name of its own."""
    cases = "".join(f"  {address}) host={host} ;;\n" for host, address in HOSTS.items())
    agent = folder / "agent"
    agent.write_text(
        f'#!/bin/sh\ncase "$1" in\n{cases}esac\nshift\n'
        'exec ip netns exec "$host" unshare --uts sh -c "hostname $host; exec taskset -c 1 $*"\n'
    )
    agent.chmod(0o755)
    return agent


def launcher(agent, settings=None):
    """The command that starts a process on each host, from the first."""
    first = next(iter(HOSTS))
    settings = {
        "plm_rsh_agent": agent,
        "pml": "ob1",
        "btl": "tcp,self",
        "btl_tcp_if_include": "10.77.0.0/24",
        "oob_tcp_if_include": "10.77.0.0/24",
        **(settings or {}),
    }
    flags = [text for name, value in settings.items() for text in ("--mca", name, str(value))]
    names = ",".join(f"{address}:1" for address in HOSTS.values())
    inside = ["ip", "netns", "exec", first, "taskset", "-c", "0"]
    return [*inside, "mpirun", "-H", names, "-n", "2", "--bind-to", "none", *flags]


def speed(rnn, folder, agent):
    """Print the times of sums and steps by the speed of the links, beside those of the model."""
    alone = statistics.median(medium.laps(rnn, folder, [], 1, STEPS, batch=medium.BATCH // 2))
    print(f"Half of the batch on one core: {alone:.0f} ms\n")
    print("| link | sum, ms | model, ms | step, ms | model, ms | with bf16, ms | model, ms |")
    print("|---|---|---|---|---|---|---|")
    size = count_of(folder) * 4
    for limit in SPEEDS:
        shape(limit)
        start = launcher(agent)
        line = f"bench reduce --numbers {size // 4} --threads 1 --repeat 5 --json"
        done = subprocess.run([*start, rnn, *line.split()], capture_output=True, text=True, check=True)
        cells = [f"{json.loads(done.stdout)['reduce_ms']:.0f}", exchange(size, limit)]
        for form, part in (("f32", 1), ("bf16", 0.5)):
            laps = medium.laps(rnn, folder, start, 1, STEPS, more=f"--reduce {form}")
            cells += [f"{statistics.median(laps):.0f}", exchange(size * part, limit, alone)]
        name = f"{limit / 1000:g} Gbit/s" if limit else "not shaped"
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def exchange(size, limit, alone=0):
    """The milliseconds of an exchange of two hosts by the alpha-beta model, after `alone` milliseconds."""
    return f"{alone + size * 8 / (limit * 1e3):.0f}" if limit else "-"


def count_of(folder):
    """The number of parameters of the trained model."""
    with (folder / "bundle/model.safetensors").open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    counts = (tensor["data_offsets"] for name, tensor in header.items() if name != "__metadata__")
    return sum(end - begin for begin, end in counts) // 4


def lost(rnn, folder, agent):
    """Cut off the second host in the middle of a run. Print how long the first takes to end, what is said, and the
    loss of the run that goes on from the last checkpoint on the first host alone.
    """
    shape(None)
    line = (
        "train lstm --data builtin:story --hidden 64 --batch-size 16 --bptt 16 --eval-every 50 --max-steps 100000"
        f" --threads 1 --out {folder}/lost --force"
    )
    errors = folder / "stderr.txt"
    with errors.open("w") as file:
        started = subprocess.Popen([*launcher(agent, KEEPALIVE), rnn, *line.split()], stderr=file, stdout=file)
        while not (folder / "lost/training").exists():
            if started.poll() is not None:
                sys.exit(errors.read_text())
            time.sleep(0.1)
        time.sleep(2)
        ip(f"-n {SWITCH} link set rnn-b down")
        began = time.monotonic()
        started.wait(timeout=500)
    seconds = time.monotonic() - began
    said = [line for line in errors.read_text().splitlines() if line.strip() and not line.startswith(("step", "  "))]
    print(f"\nThe second host disappears: `mpirun` ends after {seconds:.1f} s with exit code {started.returncode}:\n")
    print("\n".join(said[-12:]))
    state = json.loads((folder / "lost/training/state.json").read_text())
    step = state["state"]["progress"]["step"]
    resume = f"train --resume {folder}/lost --max-steps {step + 100} --threads 1"
    done = subprocess.run([rnn, *resume.split()], capture_output=True, text=True)
    print(f"\nThe run goes on from step {step} on one host: exit code {done.returncode}\n")
    print("\n".join(line for line in done.stderr.splitlines() if not line.startswith("  ")))
    ip(f"-n {SWITCH} link set rnn-b up")


CHECKS = {"speed": speed, "lost": lost}


def main():
    rnn, names = sys.argv[1], sys.argv[2:] or list(CHECKS)
    disconnect()
    connect()
    try:
        with tempfile.TemporaryDirectory() as folder:
            folder = Path(folder)
            medium.write_data(folder)
            agent = write_agent(folder)
            for name in names:
                CHECKS[name](rnn, folder, agent)
    finally:
        disconnect()


main()
