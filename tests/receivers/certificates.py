# SPDX-License-Identifier: Apache-2.0
"""Certificates for tests, made by openssl."""

import shutil
import subprocess
from pathlib import Path

import pytest

from agent.config import Web


class Certificates:
    """An authority, and a certificate of it for localhost that serves both ends."""

    def __init__(self, folder: Path) -> None:
        """Make them. The test is skipped where there is no openssl."""
        self._openssl = shutil.which("openssl") or pytest.skip(
            "openssl, which makes the certificates, is not installed"
        )
        self.authority = folder / "ca.pem"
        self.key = folder / "key.pem"
        self.certificate = folder / "certificate.pem"
        authority_key = folder / "ca.key"
        new = ("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-x509", "-days", "2")
        # From Python 3.13 on an authority must say that it signs certificates, and a certificate whose it is.
        signs = ("-addext", "keyUsage=critical,keyCertSign,cRLSign")
        self._run(*new, *signs, "-subj", "/CN=test authority", "-keyout", authority_key, "-out", self.authority)
        signed = (
            "-CA",
            self.authority,
            "-CAkey",
            authority_key,
            "-addext",
            "subjectAltName=DNS:localhost,IP:127.0.0.1",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
            "-addext",
            "authorityKeyIdentifier=keyid",
        )
        self._run(*new, "-subj", "/CN=localhost", *signed, "-keyout", self.key, "-out", self.certificate)

    def web(self) -> Web:
        """Give the settings of a server that asks clients for a certificate."""
        return Web(certificate=str(self.certificate), key=str(self.key), client_ca=str(self.authority))

    def _run(self, *arguments: str | Path) -> None:
        subprocess.run([self._openssl, *arguments], check=True, capture_output=True)
