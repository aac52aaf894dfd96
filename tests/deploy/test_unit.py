# SPDX-License-Identifier: Apache-2.0
"""The systemd unit is correct and closed, as systemd itself judges it."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

UNITS = Path(__file__).parents[2] / "deploy" / "systemd"
EXPOSURE = 25
"""Tenths of systemd-analyze's points, of which a unit without restrictions has about 96."""

pytestmark = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")


@pytest.fixture(params=["", *sorted(path.stem for path in (UNITS / "joulespan.service.d").glob("*.example"))])
def unit(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The unit with a program that exists, alone and with each of its example drop-ins."""
    place = tmp_path / "joulespan.service"
    text = (UNITS / "joulespan.service").read_text()
    text, programs = re.subn(r"^ExecStart=\S+", f"ExecStart={sys.executable}", text, flags=re.MULTILINE)
    assert programs == 1
    place.write_text(text)
    if request.param:
        (tmp_path / "joulespan.service.d").mkdir()
        example = UNITS / "joulespan.service.d" / f"{request.param}.example"
        shutil.copy(example, tmp_path / "joulespan.service.d" / request.param)
    return place


def analyze(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run systemd-analyze."""
    command = ["systemd-analyze", "--no-pager", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_systemd_has_nothing_to_say_about_the_unit(unit: Path) -> None:
    answer = analyze("verify", str(unit))
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "", "")


def test_the_unit_exposes_little(unit: Path) -> None:
    answer = analyze("security", "--offline=yes", f"--threshold={EXPOSURE}", str(unit))
    assert answer.returncode == 0, answer.stdout
    assert "Overall exposure level" in answer.stdout


def test_every_line_of_the_environment_file_is_a_comment_or_a_variable() -> None:
    for line in (UNITS / "joulespan.default").read_text().splitlines():
        assert re.fullmatch(r"|#.*|[A-Z][A-Z0-9_]*=.*", line), line


def test_the_unit_is_installed_for_its_place_and_what_the_administrator_wrote_stays(tmp_path: Path) -> None:
    written = tmp_path / "etc" / "joulespan" / "config.yaml"
    written.parent.mkdir(parents=True)
    written.write_text("attribution: { lateness: 5s }\n")
    script = UNITS.parents[1] / "scripts" / "install_unit.sh"
    subprocess.run(["sh", script, "/srv/joulespan", "/etc/systemd/system", tmp_path], check=True)
    unit = (tmp_path / "etc" / "systemd" / "system" / "joulespan.service").read_text()
    assert "ExecStart=/srv/joulespan/bin/joulespan run --config /etc/joulespan/config.yaml" in unit
    assert written.read_text() == "attribution: { lateness: 5s }\n"
    assert (tmp_path / "etc" / "default" / "joulespan").stat().st_mode & 0o777 == 0o600
    examples = {path.name for path in (tmp_path / "srv" / "joulespan" / "share" / "doc" / "drop-ins").iterdir()}
    assert examples == {path.name for path in (UNITS / "joulespan.service.d").glob("*.example")}
    assert (tmp_path / "usr" / "local" / "bin" / "joulespan").readlink() == Path("/srv/joulespan/bin/joulespan")
