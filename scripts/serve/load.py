#!/usr/bin/env python3
"""Load `rnn serve` and print what it takes. The server runs on one core and this client on the others.

Prints tokens a second and the median time to the first token of one client and of 64; the server's memory after 500
and after 10,000 requests; the answers to 1,000 clients at once against 64 places and a queue of 64; the places after
clients that went away. `--url` measures a server that runs already, such as scripts/bench/serve_torch.py.
"""

import argparse
import asyncio
import collections
import json
import os
import statistics
import subprocess
import time

BUNDLE = "weights/lstm-shakespeare"
PROGRAM = "target/release/rnn"


async def request(address, body, path="/v1/completions"):
    """Post an object; return the status, the seconds to the first event and the number of events."""
    host, port = address
    began = time.perf_counter()
    reader, writer = await asyncio.open_connection(host, port)
    data = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n"
    writer.write(f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data)
    await writer.drain()
    status = int((await reader.readline()).split()[1])
    first, events = None, 0
    async for line in reader:
        if line.startswith(b"data: {"):
            first = first or time.perf_counter() - began
            events += 1
    writer.close()
    return status, first, events


def body(seed, length, stream=True):
    return {"prompt": "ROMEO:", "max_tokens": length, "seed": seed, "temperature": 0.8, "stream": stream}


async def streams(address, clients, length):
    """Run clients at once; return tokens a second and the median seconds to the first token."""
    began = time.perf_counter()
    found = await asyncio.gather(*(request(address, body(seed, length)) for seed in range(clients)))
    seconds = time.perf_counter() - began
    assert all(status == 200 and events >= length - 1 for status, _, events in found), found[:3]
    return clients * length / seconds, statistics.median(first for _, first, _ in found)


async def many(address, count, at_once, length):
    """Send requests, a number of them at a time; return the count of each status."""
    statuses = collections.Counter()
    numbers = iter(range(count))

    async def client():
        for number in numbers:
            status, _, _ = await request(address, body(number, length, stream=False))
            statuses[status] += 1

    await asyncio.gather(*(client() for _ in range(at_once)))
    return dict(statuses)


async def metric(address, name):
    reader, writer = await asyncio.open_connection(*address)
    writer.write(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    text = (await reader.read()).decode()
    writer.close()
    return float(next(line for line in text.splitlines() if line.startswith(name)).split()[-1])


def memory(process):
    """The resident memory of the server in MiB."""
    with open(f"/proc/{process.pid}/status") as status:
        line = next(line for line in status if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024


async def abandoned(address, clients):
    """Break connections in the middle of their streams; return the places that are taken a second later."""

    async def client(seed):
        try:
            await asyncio.wait_for(request(address, body(seed, 4000)), 0.5)
        except asyncio.TimeoutError:
            pass

    await asyncio.gather(*(client(seed) for seed in range(clients)))
    await asyncio.sleep(1)
    return await metric(address, "rnn_streams{")


async def throughput(address, length):
    await streams(address, 1, 100)
    one, first_of_one = await streams(address, 1, length)
    crowd, first = await streams(address, 64, length)
    print(f"1 client    {one:10.0f} tokens/s   first token {first_of_one * 1000:6.1f} ms")
    print(f"64 clients  {crowd:10.0f} tokens/s   first token {first * 1000:6.1f} ms   ratio {crowd / one:.2f}")


async def limits(address, process, requests):
    print("500 requests:", await many(address, 500, 16, 20))
    before = memory(process)
    print(f"{requests} requests:", await many(address, requests, 16, 20))
    print(f"memory: {before:.1f} MiB after 500 requests, {memory(process):.1f} MiB after {requests} more")
    print("1000 clients at once:", await many(address, 1000, 1000, 100))
    print(f"places taken after 64 clients went away: {await abandoned(address, 64):.0f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", help="measure the throughput of this server instead of starting one")
    parser.add_argument("--length", type=int, default=1000, help="tokens of a text")
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--precision", choices=["f32", "bf16", "int8"], default="f32", help="of the server")
    arguments = parser.parse_args()
    if arguments.url:
        host, port = arguments.url.removeprefix("http://").rstrip("/").split(":")
        asyncio.run(throughput((host, int(port)), arguments.length))
        return
    cores = sorted(os.sched_getaffinity(0))
    line = ["taskset", "-c", str(cores[0]), PROGRAM, "serve", BUNDLE, "--port", "0", "--threads", "1"]
    limit = ["--streams", "64", "--queue", "64", "--precision", arguments.precision]
    with subprocess.Popen(line + limit, stdout=subprocess.PIPE, text=True) as process:
        if len(cores) > 1:
            os.sched_setaffinity(0, cores[1:])
        host, port = process.stdout.readline().strip().removeprefix("http://").split(":")
        try:
            asyncio.run(throughput((host, int(port)), arguments.length))
            asyncio.run(limits((host, int(port)), process, arguments.requests))
        finally:
            process.terminate()


if __name__ == "__main__":
    main()
