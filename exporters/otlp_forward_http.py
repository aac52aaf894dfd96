# SPDX-License-Identifier: Apache-2.0
"""OTLP over HTTP, of requests that are encoded already."""

import gzip
from http import HTTPStatus

from requests import Request, RequestException, Response, Session
from urllib3.exceptions import InvalidHeader
from urllib3.util import Retry

from agent.errors import ConfigError
from agent.version import VERSION
from exporters.otlp_answer import Outcome, Verdict, accepted, line
from exporters.otlp_settings import Signal, Target

_RETRYABLE = frozenset({429, 502, 503, 504})
"""Statuses after which the OTLP specification has a client try again. After any other 4xx and 5xx it must not."""
_ABOUT_THE_CONTENT = frozenset({400, 413, 415, 422, 500})
"""Statuses that another request, with less in it, may not get."""
_LONGEST_ANSWER = 1 << 16
_LEVEL = 6
"""The compression that gRPC uses too: half of level 9's time for a few percent more bytes."""


class HttpBackend:
    """A server of OTLP over HTTP."""

    def __init__(self, target: Target, signal: Signal) -> None:
        """Prepare to send; nothing is connected yet. Raises ConfigError."""
        self._target = target
        self._signal = signal
        self._session = Session()
        self._headers = {"content-type": "application/x-protobuf", "user-agent": f"joulespan/{VERSION}"}
        self._headers |= {"content-encoding": "gzip"} if target.gzip else {}
        self._headers |= target.headers
        # A path wins over the REQUESTS_CA_BUNDLE of the environment only when it comes with each request.
        self._verify = target.certificate or None
        self._cert = (target.client_certificate, target.client_key) if target.client_certificate else None
        try:
            self._session.get_adapter(target.url)
            Request("POST", target.url, self._headers).prepare()
        except (RequestException, ValueError) as error:
            message = f"cannot send {signal}: {error}"
            raise ConfigError(message) from error

    def send(self, body: bytes) -> Outcome:
        """Send, and wait for the answer: for the timeout to connect, and again for each piece of it. From one thread.

        A redirect is not followed: it would carry telemetry, and its credentials, to where nobody sent it.
        """
        try:
            with self._session.post(
                self._target.url,
                gzip.compress(body, _LEVEL) if self._target.gzip else body,
                headers=self._headers,
                timeout=self._target.timeout,
                allow_redirects=False,
                verify=self._verify,
                cert=self._cert,
                stream=True,
            ) as response:
                return _outcome(self._signal, response, _beginning(response))
        except OSError as error:  # RequestException is one, and so is a certificate that is just being replaced.
            return Outcome(Verdict.AWAY, line(str(error) or type(error).__name__))

    def close(self) -> None:
        """Close the connections that are idle. What is in flight ends with its timeout."""
        self._session.close()


def _outcome(signal: Signal, response: Response, answer: bytes) -> Outcome:
    status = response.status_code
    if status < HTTPStatus.MULTIPLE_CHOICES:
        return accepted(signal, answer)
    cause = f"{status} {response.reason}"
    if status < HTTPStatus.BAD_REQUEST:
        return Outcome(Verdict.BARRED, line(f"{cause}: moved to {response.headers.get('location')}"))
    cause = line(f"{cause}: {answer.decode(errors='replace')}")
    if status in _RETRYABLE:
        return Outcome(Verdict.AWAY, cause, _retry_after(response.headers.get("retry-after")))
    return Outcome(Verdict.REFUSED if status in _ABOUT_THE_CONTENT else Verdict.BARRED, cause)


def _beginning(response: Response) -> bytes:
    """Read an answer, but not without end."""
    found = bytearray()
    for piece in response.iter_content(_LONGEST_ANSWER):
        found += piece
        if len(found) >= _LONGEST_ANSWER:
            break
    return bytes(found[:_LONGEST_ANSWER])


def _retry_after(text: str | None) -> float | None:
    """Read Retry-After: a number of seconds, or a date."""
    try:
        return None if text is None else Retry().parse_retry_after(text)
    except (InvalidHeader, ValueError, OverflowError):
        return None
