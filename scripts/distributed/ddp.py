"""One of two processes that train the model of medium.py in PyTorch with DistributedDataParallel on gloo.

Usage: ddp.py STEPS, with torch.distributed's variables RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT. Rank 0 prints the
milliseconds of a step, means over stretches of EVERY, without the first. Each process has one thread on one core.
"""

import json
import os
import sys
import time

import torch
from medium import BATCH, EVERY, HIDDEN, LAYERS, TIME, VOCABULARY
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel


class LanguageModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, HIDDEN)
        self.rnn = nn.LSTM(HIDDEN, HIDDEN, LAYERS)
        self.decoder = nn.Linear(HIDDEN, VOCABULARY)

    def forward(self, tokens, state):
        ys, state = self.rnn(self.embedding(tokens), state)
        return self.decoder(ys).flatten(0, 1), state


def main():
    steps, rank, size = int(sys.argv[1]), int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[rank]})
    torch.set_num_threads(1)
    torch.manual_seed(1)
    distributed.init_process_group("gloo")
    model = DistributedDataParallel(LanguageModel(), gradient_as_bucket_view=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=1, fused=True)
    rows = BATCH // size
    zero = torch.zeros(LAYERS, rows, HIDDEN)
    state, laps, began = (zero, zero), [], 0
    for step in range(steps):
        if step % EVERY == 0:
            laps.append((time.perf_counter() - began) / EVERY * 1e3)
            began = time.perf_counter()
        tokens = torch.randint(VOCABULARY, (TIME + 1, rows))
        optimizer.zero_grad(set_to_none=True)
        logits, state = model(tokens[:-1], state)
        nn.functional.cross_entropy(logits, tokens[1:].flatten()).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5)
        optimizer.step()
        state = tuple(part.detach() for part in state)
    if rank == 0:
        print(json.dumps(laps[2:]))
    distributed.destroy_process_group()


main()
