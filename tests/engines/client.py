# SPDX-License-Identifier: Apache-2.0
"""A client of an OpenAI-style server: asks all that a server can be asked, and keeps what it was told."""

import http.client
import json
import secrets
import uuid
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from tests.engines.model import NAME

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
_PATIENCE = 120.0
_TOGETHER = 3
_LONG = 900
"""Tokens of an answer that is not waited for."""


class Ask(NamedTuple):
    """A request. `name` is what the client calls it (X-Request-Id), `trace` its trace and span id (traceparent)."""

    path: str
    body: Mapping[str, Any]
    name: str | None = None
    trace: tuple[bytes, bytes] | None = None
    leaves: bool = False
    """The client goes away while the answer comes."""

    @property
    def prompts(self) -> int:
        """Prompts in it: a list of texts is that many."""
        prompt = self.body.get("prompt")
        return len(prompt) if isinstance(prompt, list) else 1

    @property
    def headers(self) -> dict[str, str]:
        """Headers of the HTTP request."""
        found = {"content-type": "application/json"}
        if self.name:
            found["x-request-id"] = self.name
        if self.trace:
            found["traceparent"] = f"00-{self.trace[0].hex()}-{self.trace[1].hex()}-01"
        return found


class Seen(NamedTuple):
    """What came of it. `id` is the id of the answer; tokens are those of its usage, `choices` how many texts it had."""

    ask: Ask
    status: int
    id: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    choices: int = 0

    @property
    def answered(self) -> bool:
        """It was answered to the end."""
        return self.status == 200 and not self.ask.leaves


def chat(words: str, tokens: int, *, name: str | None = None, traced: bool = False, **more: Any) -> Ask:
    """Make a chat request of one message."""
    messages = [{"role": "user", "content": words}]
    return Ask(CHAT, {"model": NAME, "messages": messages, **_length(tokens), **more}, name, _trace(traced=traced))


def complete(
    prompt: str | list[str], tokens: int, *, name: str | None = None, traced: bool = False, **more: Any
) -> Ask:
    """Make a completion request."""
    return Ask(COMPLETIONS, {"model": NAME, "prompt": prompt, **_length(tokens), **more}, name, _trace(traced=traced))


def streamed(ask: Ask) -> Ask:
    """Make the same request, to be answered token by token."""
    return ask._replace(body={**ask.body, "stream": True, "stream_options": {"include_usage": True}})


def everything() -> list[Ask]:
    """Give some two dozen requests: all kinds, with and without ids, with one that is left and one that is refused."""
    return [
        *(chat("word " * number, 3 + number) for number in range(1, 6)),
        chat("greedy", 12, temperature=0),
        chat("one token", 1),
        chat("named", 6, name=_name()),
        chat("traced", 6, traced=True),
        chat("named and traced", 7, name=_name(), traced=True),
        chat("two answers", 8, n=2),
        chat("two answers, named and traced", 5, name=_name(), traced=True, n=2),
        complete("text", 9),
        complete("named", 4, name=_name()),
        complete("two texts", 5, name=_name(), n=2),
        complete(["list", "of prompts"], 6, name=_name(), traced=True),
        complete(["list", "of", "three"], 4),
        *(streamed(chat("stream " * number, 10 * number)) for number in range(1, 4)),
        streamed(chat("stream, named and traced", 15, name=_name(), traced=True)),
        streamed(complete("stream", 11, traced=True)),
        streamed(chat("leave", _LONG, name=_name(), traced=True))._replace(leaves=True),
        chat("refuse", 5, name=_name(), traced=True, model="another"),
    ]


def send(url: str, asks: Sequence[Ask]) -> list[Seen]:
    """Send them, a few at a time, and wait for all answers; give these in the order of the requests."""
    with ThreadPoolExecutor(_TOGETHER) as pool:
        return list(pool.map(lambda ask: _one(url, ask), asks))


def _one(url: str, ask: Ask) -> Seen:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=_PATIENCE)
    try:
        connection.request("POST", ask.path, json.dumps(ask.body), ask.headers)
        answer = connection.getresponse()
        if answer.status != 200:
            return Seen(ask, answer.status)
        if ask.leaves:
            return Seen(ask, answer.status, id=next(_events(answer))["id"])
        return _told(ask, list(_events(answer)) if ask.body.get("stream") else [json.loads(answer.read())])
    finally:
        connection.close()


def _events(answer: http.client.HTTPResponse) -> Iterator[dict[str, Any]]:
    """Read server-sent events."""
    for line in answer:
        data = line.removeprefix(b"data:").strip()
        if line.startswith(b"data:") and data != b"[DONE]":
            yield json.loads(data)


def _told(ask: Ask, messages: Sequence[Mapping[str, Any]]) -> Seen:
    """Put the messages of an answer together: one, or as many as it was streamed in; the usage is in the last."""
    (usage,) = [message["usage"] for message in messages if message.get("usage")]
    (name,) = {message["id"] for message in messages}
    choices = {choice["index"] for message in messages for choice in message["choices"]}
    return Seen(ask, 200, name, usage["prompt_tokens"], usage["completion_tokens"], len(choices))


def _length(tokens: int) -> dict[str, Any]:
    return {"max_tokens": tokens, "ignore_eos": True}


def _trace(*, traced: bool) -> tuple[bytes, bytes] | None:
    return (secrets.token_bytes(16), secrets.token_bytes(8)) if traced else None


def _name() -> str:
    return str(uuid.uuid4())
