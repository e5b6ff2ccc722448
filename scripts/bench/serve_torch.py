#!/usr/bin/env python3
"""Serve weights/lstm-shakespeare with PyTorch behind FastAPI, as a good user would write it.

A task batches all requests: each step embeds the last tokens of all texts, runs nn.LSTM once, samples on the whole
batch and hands each text its token. Texts join and leave at any step. Run it on one core, then measure it with
`scripts/serve/load.py --url`:

    pip install fastapi==0.121.1 uvicorn==0.38.0 uvloop==0.22.1 httptools==0.7.1 safetensors==0.8.0 torch==2.15.0
    taskset -c 0 python scripts/bench/serve_torch.py --port 8090
    taskset -c 1 python scripts/serve/load.py --url http://127.0.0.1:8090
"""

import argparse
import asyncio
import contextlib
import json
from pathlib import Path

import torch
import uvicorn
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from pydantic import BaseModel
from safetensors.torch import load_file
from torch import nn

BUNDLE = Path("weights/lstm-shakespeare")


class Model(nn.Module):
    """The language model of the bundle, under the names of its parameters."""

    def __init__(self, bundle: Path) -> None:
        super().__init__()
        rnn = json.loads((bundle / "config.json").read_text())["network"]["rnn"]
        self.ids = json.loads((bundle / "tokenizer.json").read_text())["model"]["vocab"]
        self.names = {number: token for token, number in self.ids.items()}
        self.encoder = nn.Embedding(len(self.ids), rnn["input_size"])
        self.rnn = nn.LSTM(rnn["input_size"], rnn["hidden_size"], rnn["num_layers"], batch_first=True)
        self.decoder = nn.Linear(rnn["hidden_size"], len(self.ids))
        self.load_state_dict(load_file(bundle / "model.safetensors"))
        self.eval()

    def forward(self, tokens, state):
        """Scores of the next tokens after tokens (batch, time)."""
        hidden, state = self.rnn(self.encoder(tokens), state)
        return self.decoder(hidden[:, -1]), state


class Request(BaseModel):
    prompt: str = ""
    max_tokens: int = 16
    temperature: float = 1.0
    seed: int = 0
    stream: bool = True


class Batcher:
    """Texts that are written side by side."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.joining: list = []
        self.wake = asyncio.Event()

    async def run(self) -> None:
        h = c = tokens = temperatures = None
        texts: list = []
        with torch.inference_mode():
            while True:
                if not texts and not self.joining:
                    self.wake.clear()
                    await self.wake.wait()
                for request, queue in self.joining:
                    ids = [self.model.ids.get("\n", 0)] + [self.model.ids.get(x, 0) for x in request.prompt]
                    _, (new_h, new_c) = self.model(torch.tensor([ids[:-1] or ids]), None)
                    last, temperature = torch.tensor([[ids[-1]]]), torch.tensor([[max(request.temperature, 1e-6)]])
                    h = new_h if h is None else torch.cat([h, new_h], 1)
                    c = new_c if c is None else torch.cat([c, new_c], 1)
                    tokens = last if tokens is None else torch.cat([tokens, last])
                    temperatures = temperature if temperatures is None else torch.cat([temperatures, temperature])
                    texts.append([request.max_tokens, queue])
                self.joining.clear()
                scores, (h, c) = self.model(tokens, (h, c))
                tokens = torch.multinomial(torch.softmax(scores / temperatures, -1), 1)
                for text, token in zip(texts, tokens[:, 0].tolist(), strict=True):
                    text[0] -= 1
                    text[1].put_nowait(self.model.names[token])
                    if text[0] == 0:
                        text[1].put_nowait(None)
                kept = [at for at, text in enumerate(texts) if text[0] > 0]
                if len(kept) < len(texts):
                    texts = [texts[at] for at in kept]
                    rows = torch.tensor(kept, dtype=torch.long)
                    h, c, tokens, temperatures = h[:, rows], c[:, rows], tokens[rows], temperatures[rows]
                    if not kept:
                        h = c = tokens = temperatures = None
                await asyncio.sleep(0)


def application(model: Model) -> FastAPI:
    batcher = Batcher(model)

    @contextlib.asynccontextmanager
    async def life(_):
        task = asyncio.create_task(batcher.run())
        yield
        task.cancel()

    app = FastAPI(lifespan=life)

    @app.post("/v1/completions")
    async def completions(request: Request):
        queue: asyncio.Queue = asyncio.Queue()
        batcher.joining.append((request, queue))
        batcher.wake.set()

        async def events():
            while (text := await queue.get()) is not None:
                yield f"data: {json.dumps({'choices': [{'index': 0, 'text': text}]})}\n\n"
            yield "data: [DONE]\n\n"

        return StreamingResponse(events(), media_type="text/event-stream")

    return app


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=8090)
    torch.set_num_threads(1)
    port = parser.parse_args().port
    uvicorn.run(application(Model(BUNDLE)), port=port, log_level="warning", loop="uvloop", http="httptools")


if __name__ == "__main__":
    main()
