# SPDX-License-Identifier: Apache-2.0
"""The image, as far as it can be judged without an engine: what its file says, and what its steps make."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.deploy.conftest import COMMIT_TIME, CONTAINER, PREFIX, ROOT
from tests.exporters.receivers import free_port

NOBODY = 65532

# A root that holds the system's libraries and Python, the image's files, /proc and devices, all read-only, and nothing
# to write but the state: what the chart gives the container. No capability is left, and no new one can be had.
INSIDE = """
set -eu
tree=$1 root=$2; shift 2
mount -t tmpfs -o size=16m tmpfs "$root"
mkdir -p "$root/usr" "$root/proc" "$root/dev" "$root/sys" "$root/etc/joulespan" "$root/var/lib/joulespan"
mount --bind /usr "$root/usr"
mount -t overlay overlay -o "lowerdir=$tree/usr:/usr" "$root/usr"
for link in lib lib64 bin; do ln -s "usr/$link" "$root/$link"; done
mount --rbind /proc "$root/proc"
mount --rbind /dev "$root/dev"
: >"$root/etc/joulespan/config.yaml"
chown 65532:65532 "$root/var/lib/joulespan"
mount --bind "$root/var/lib/joulespan" "$root/var/lib/joulespan"
mount -o remount,ro "$root"
mount -o remount,rw,bind "$root/var/lib/joulespan"
exec chroot "$root" setpriv --reuid 65532 --regid 65532 --clear-groups --bounding-set=-all --inh-caps=-all \
    --no-new-privs "$@"
"""


def instructions() -> list[tuple[str, str]]:
    """Read the file: each instruction and its arguments."""
    text = re.sub(r"^#.*\n", "", (CONTAINER / "Containerfile").read_text(), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines) if word]


def packages(tree: Path) -> Path:
    (found,) = (tree / PREFIX.lstrip("/") / "lib").glob("python3.*")
    return found / "site-packages"


def last(name: str) -> str:
    return [rest for word, rest in instructions() if word == name][-1]


def test_what_runs_is_not_root_and_has_no_shell_in_front_of_it() -> None:
    assert last("USER") == f"{NOBODY}:{NOBODY}"
    assert json.loads(last("ENTRYPOINT")) == [f"{PREFIX}/bin/joulespan"]
    assert json.loads(last("CMD")) == ["run", "--config", "/etc/joulespan/config.yaml"]
    stages = [rest for word, rest in instructions() if word == "FROM"]
    assert stages == ["${BUILD} AS build", "${RUNTIME}"]
    after = instructions()[[word for word, _ in instructions()].index("USER") - 4 :]
    assert "RUN" not in {word for word, _ in after}


def test_every_file_that_the_build_needs_is_sent_and_nothing_else(context: Path) -> None:
    sent = {path.relative_to(context).parts[0] for path in context.rglob("*") if path.is_file()}
    copied = re.search(r"^for part in (.*?); do", (ROOT / "scripts" / "install.sh").read_text(), re.MULTILINE)
    assert copied
    assert sent == {*copied[1].split(), "scripts", "requirements.txt"}
    assert not list(context.rglob("*.json"))


def test_the_step_of_the_build_is_the_one_that_is_tried_here() -> None:
    (step,) = [rest for word, rest in instructions() if word == "RUN" and "install.sh" in rest]
    assert shlex.split(step)[:5] == ["sh", "scripts/install.sh", "/usr/bin/python3", PREFIX, "/image"]


def test_neither_pip_nor_tests_nor_the_place_of_the_build_are_left(tree: Path, context: Path) -> None:
    names = {path.name for path in (tree / PREFIX.lstrip("/") / "bin").iterdir()}
    assert names == {"joulespan", "python", "python3", packages(tree).parent.name}
    assert not [path for path in packages(tree).iterdir() if path.name.startswith(("pip", "setuptools"))]
    assert not list(tree.rglob("tests"))
    for path in tree.rglob("*"):
        if path.is_file() and not path.is_symlink():
            text = path.read_bytes()
            assert str(tree).encode() not in text, path
            assert str(context).encode() not in text, path


def test_every_file_has_the_time_of_the_commit(tree: Path) -> None:
    assert {int(path.lstat().st_mtime) for path in (tree / PREFIX.lstrip("/")).rglob("*")} == {COMMIT_TIME}


def test_it_lists_its_packages(tree: Path) -> None:
    bill = json.loads((tree / PREFIX.lstrip("/") / "share/doc/sbom.json").read_text())
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    there = {path.name.partition("-")[0].lower() for path in packages(tree).glob("*.dist-info")}
    listed = {one["name"].replace("-", "_") for one in [bill["metadata"]["component"], *bill["components"]]}
    assert {name.replace(".", "_") for name in listed} == {name.replace(".", "_") for name in there}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change its root directory")
def test_the_agent_runs_on_a_root_that_cannot_be_written_without_capabilities(tree: Path, tmp_path: Path) -> None:
    listen = f"127.0.0.1:{free_port()}"
    script, root = tmp_path / "inside.sh", tmp_path / "root"
    script.write_text(INSIDE)
    root.mkdir()
    settings = [f"listen={listen}", "receivers.otlp.grpc=127.0.0.1:0", "receivers.otlp.http=127.0.0.1:0"]
    settings += ["state_directory=/var/lib/joulespan"]
    options = [word for one in settings for word in ("--set", one)]
    program = [f"{PREFIX}/bin/joulespan", "demo", "--config", "/etc/joulespan/config.yaml", *options]
    command = ["unshare", "--mount", "sh", str(script), str(tree), str(root), *program]
    log = tmp_path / "log"
    environment = {"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"}
    with log.open("w") as output, subprocess.Popen(command, stdout=output, stderr=output, env=environment) as agent:
        try:
            ask = f"import urllib.request as r; print(r.urlopen('http://{listen}/metrics', timeout=5).read().decode())"
            deadline = time.monotonic() + 30
            page = ""
            while "hw_power_watts" not in page:
                assert agent.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                page = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=False).stdout
            status = Path(f"/proc/{agent.pid}/status").read_text()
            assert re.search(r"^Uid:\s+65532\s", status, re.MULTILINE)
            assert re.search(r"^Cap(Eff|Bnd):\s+0{16}$", status, re.MULTILINE)
        finally:
            agent.send_signal(signal.SIGTERM)
    assert agent.returncode == 0
    assert "Traceback" not in log.read_text()
