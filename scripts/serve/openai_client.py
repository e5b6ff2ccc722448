"""Drive `rnn serve` with the openai package: models, texts, streams, tokens, errors."""

import subprocess
import sys

import openai

MODEL = "lstm-shakespeare"
REQUEST = {"model": MODEL, "prompt": "ROMEO:", "max_tokens": 80, "seed": 7}


def main(url: str) -> None:
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
    assert MODEL in [model.id for model in client.models.list()]
    assert client.models.retrieve(MODEL).owned_by == "rnn-zoo"

    whole = client.completions.create(**REQUEST)
    command = ["target/release/rnn", "generate", f"weights/{MODEL}"]
    flags = ["--prompt", "ROMEO:", "--length", "80", "--seed", "7"]
    written = subprocess.run(command + flags, check=True, capture_output=True, text=True).stdout
    assert "ROMEO:" + whole.choices[0].text + "\n" == written
    assert whole.usage is not None and whole.usage.completion_tokens == 80

    pieces = client.completions.create(**REQUEST, stream=True)
    assert "".join(piece.choices[0].text for piece in pieces) == whole.choices[0].text

    several = client.completions.create(**REQUEST | {"n": 2, "best_of": 4, "logprobs": 5, "stop": "\n"})
    assert [choice.index for choice in several.choices] == [0, 1]
    for choice in several.choices:
        assert choice.logprobs is not None and choice.logprobs.top_logprobs is not None
        assert "\n" not in choice.text and len(choice.logprobs.top_logprobs[0]) == 5

    first = client.completions.create(**REQUEST | {"max_tokens": 30}, extra_body={"return_state": True})
    state = first.choices[0].model_extra["state"]
    rest = client.completions.create(model=MODEL, prompt="", max_tokens=50, extra_body={"state": state})
    assert first.choices[0].text + rest.choices[0].text == whole.choices[0].text

    try:
        client.completions.create(**REQUEST | {"temperature": -1})
        raise AssertionError("a wrong temperature is accepted")
    except openai.BadRequestError as error:
        assert error.param == "temperature", error
    try:
        client.completions.create(**REQUEST | {"model": "gpt"})
        raise AssertionError("an unknown model is accepted")
    except openai.NotFoundError as error:
        assert error.code == "model_not_found", error
    print("openai: ok")


if __name__ == "__main__":
    main(sys.argv[1])
