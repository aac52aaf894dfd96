# SPDX-License-Identifier: Apache-2.0
"""`joulespan doctor`: what this node can and cannot be asked, and what to do about it."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Literal

import msgspec

from agent.commands.engines import ADVICE, Engine, Engines, ask
from agent.commands.host_findings import host_findings
from agent.commands.network_findings import network_findings
from agent.commands.owner_sources import in_kubernetes, owner_checks
from agent.config import Config, OwnersCollector
from agent.config_file import load
from agent.config_values import Address
from agent.errors import ConfigError
from agent.reader.examine import GpuReport, Group, Report
from agent.reader.progress import SharedProgress
from agent.system import host
from agent.system.processes import foreign_descriptors_readable

_TIMEOUT = 30.0
"""Seconds that the driver gets: without persistence mode it initialises every GPU first."""
_RIGHTS = {
    "nvmlDeviceGetSramEccErrorStatus": "SRAM error threshold: root",
    "nvmlGpmSampleGet": "GPM: CAP_SYS_ADMIN, or NVreg_RestrictProfilingToAdminUsers=0 for the nvidia module",
    "nvmlDeviceGetBAR1MemoryInfo": "BAR1 of a GPU in MIG mode: root",
    "nvmlDeviceGetComputeRunningProcesses_v3": "processes of a GPU in MIG mode: root",
    "nvmlDeviceGetGraphicsRunningProcesses_v3": "processes of a GPU in MIG mode: root",
}


class Finding(msgspec.Struct):
    """Something about the node: how bad it is, what it is, what to do."""

    level: Literal["ok", "hint", "broken"]
    what: str
    advice: str = ""


class Diagnosis(msgspec.Struct):
    """What `--json` prints."""

    findings: list[Finding]
    report: Report
    engines: Engines


def doctor(*, as_json: bool) -> int:
    """Print the diagnosis; return 1 if something a user would want is broken."""
    diagnosis = diagnose()
    if as_json:
        print(msgspec.json.encode(diagnosis).decode())
    else:
        _print(diagnosis)
    return int(any(finding.level == "broken" for finding in diagnosis.findings))


def diagnose() -> Diagnosis:
    """Look at the host, ask the GPUs, and ask the agent that runs here."""
    report, hang = _ask()
    found = [*host_findings(), *network_findings()]
    findings = [*_driver(report, hang), *_host(report), *(Finding(*one) for one in found)]
    for gpu in report.gpus:
        findings += _gpu(gpu)
    findings += [Finding(*check) for check in owner_checks(_owners(), Path("/"), in_pod=in_kubernetes())]
    address, wrong = _listens()
    engines = ask(address)
    findings += [*wrong, *_sight(readable=foreign_descriptors_readable()), *_engines(engines)]
    return Diagnosis(findings, report, engines)


def _ask() -> tuple[Report, str | None]:
    """Run the examination in a process with a deadline; on a hang also say in which call."""
    fd = SharedProgress.create()
    progress = SharedProgress(fd)
    command = [sys.executable, "-P", "-m", "agent.reader.examine", str(fd)]
    with subprocess.Popen(command, pass_fds=[fd], stdout=subprocess.PIPE) as process:  # noqa: S603 - our own module
        try:
            output, _ = process.communicate(timeout=_TIMEOUT)
            return msgspec.json.decode(output, type=Report), None
        except subprocess.TimeoutExpired:
            call = progress.current()
            process.kill()
            where = f"{call.name} on gpu{call.device}" if call else "the first call"
            return Report(error=f"no answer within {_TIMEOUT:g} s"), where
        except msgspec.DecodeError:
            return Report(error=f"the examination ended with code {process.wait()}"), None
        finally:
            os.close(fd)


def _driver(report: Report, hang: str | None) -> list[Finding]:
    if hang:
        advice = "the driver hangs: look for Xid 119/120 in the kernel log; the GPU needs a reset or the node a reboot"
        return [Finding("broken", f"driver: {hang} does not return", advice)]
    if report.error:
        return [Finding("broken", f"driver: {report.error}", _driver_advice())]
    if not report.gpus:
        return [Finding("broken", "driver: answers, but has no GPU", _driver_advice())]
    return [Finding("ok", f"driver {report.driver}, CUDA {report.cuda}, {len(report.gpus)} GPUs")]


def _driver_advice() -> str:
    kind = host.container()
    if kind:
        return (
            f"in a {kind} container: run it with the nvidia runtime (runtimeClassName: nvidia, or --gpus all), "
            "NVIDIA_VISIBLE_DEVICES=all and NVIDIA_DRIVER_CAPABILITIES=utility"
        )
    if not host.nvidia_pci_functions():
        return "no NVIDIA GPU on the PCI bus; `joulespan demo` shows the agent with simulated ones"
    if not host.kernel_module():
        return "a GPU is there but the nvidia kernel module is not loaded: modprobe nvidia, or install the driver"
    return "libnvidia-ml.so.1 does not match the loaded module: reload the module or reboot after a driver update"


def _host(report: Report) -> list[Finding]:
    findings: list[Finding] = []
    files = host.device_files()
    if report.gpus and not files:
        advice = "run nvidia-modprobe or nvidia-persistenced before the agent: without root NVML cannot make them"
        findings.append(Finding("hint", "device files: there is no /dev/nvidiactl", advice))
    for file, usable in files.items():
        if not usable:
            advice = "check its mode and group, DeviceAllow= of the systemd unit, and the container's device cgroup"
            findings.append(Finding("broken", f"device files: {file} cannot be opened", advice))
    if not host.kernel_log_readable():
        advice = "CAP_SYSLOG and /dev/kmsg; without it XIDs come from NVML alone, which misses some while it is stuck"
        findings.append(Finding("hint", "kernel log: not readable", advice))
    if sleeping := host.asleep():
        findings.append(Finding("hint", f"asleep: {', '.join(sleeping)}", "reading them keeps them awake"))
    return findings


def _gpu(gpu: GpuReport) -> list[Finding]:
    name = f"gpu{gpu.index}"
    if gpu.error:
        return [
            Finding("broken", f"{name}: {gpu.error}", "see the kernel log for its Xid; it needs a reset or a reboot")
        ]
    findings: list[Finding] = []
    if gpu.persistence == "disabled":
        advice = "nvidia-smi -pm 1 or nvidia-persistenced; without it counters start again whenever no client is there"
        findings.append(Finding("hint", f"{name}: persistence mode is off", advice))
    for group in gpu.groups:
        needs = {_RIGHTS.get(reading.split(" ")[0], reading) for reading in group.missing.get("NoPermission", ())}
        findings += [Finding("hint", f"{name}: {group.collector} needs a right", need) for need in sorted(needs)]
        if failing := [reading for reason, some in group.missing.items() if reason in _FAILURES for reading in some]:
            what = f"{name}: {group.collector} fails: {', '.join(failing[:3])}"
            findings.append(Finding("broken", what, "the driver answers with an error; see its log"))
        if group.collector == "gpu_energy" and not group.series:
            findings.append(Finding("broken", f"{name}: no energy counter", "joules need Volta or later"))
    return findings


def _listens() -> tuple[Address, list[Finding]]:
    """Tell where the agent listens, as far as that is known without its configuration file."""
    try:
        return load(None, os.environ).listen, []
    except ConfigError as error:
        advice = "correct or unset the variable; the agent does not start with it"
        return Config().listen, [Finding("broken", f"environment: {error}", advice)]


def _owners() -> OwnersCollector:
    try:
        return load(None, os.environ).collectors.owners
    except ConfigError:  # Told by _listens.
        return OwnersCollector()


def _sight(*, readable: bool | None) -> list[Finding]:
    if readable is not False:
        return []
    advice = (
        "CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH; without them a connection does not lead to the process behind it, and "
        "the metrics of engines that root runs on the host's network are not found: name their metrics_url"
    )
    return [Finding("hint", "processes: this user may not look into /proc/PID/fd of other users", advice)]


def _engines(engines: Engines) -> list[Finding]:
    if engines.error:
        what = f"engines: not known: {engines.agent} (JOULESPAN_LISTEN names another address): {engines.error}"
        return [Finding("hint", what)]
    failing = [one for one in engines.engines if one.failure]
    return [
        Finding("broken", f"engines: {one.name}: {one.url} does not give its metrics: {one.failure}", one.advice)
        for one in failing
    ] + [
        Finding(
            "hint",
            f"engines: {one.requests} requests of {one.engine} without GPUs: {one.reason}",
            ADVICE.get(one.reason, "this doctor is older than the agent"),
        )
        for one in engines.unmapped
    ]


_FAILURES = {"Unavailable", "DeviceLost"}


def _print(diagnosis: Diagnosis) -> None:
    marks = {"ok": "ok    ", "hint": "hint  ", "broken": "BROKEN"}
    for finding in diagnosis.findings:
        print(f"{marks[finding.level]} {finding.what}")
        if finding.advice:
            print(f"         {finding.advice}")
    for gpu in diagnosis.report.gpus:
        print(f"\ngpu{gpu.index}  {gpu.model or ''}  {gpu.uuid or 'cannot be opened'}")
        for group in gpu.groups:
            print(f"  {group.collector:<16} {_summary(group)}")
    _print_engines(diagnosis)


def _print_engines(diagnosis: Diagnosis) -> None:
    known = diagnosis.engines
    if known.error:
        return
    print(f"\nengines  as the agent at {known.agent} knows them")
    names = {gpu.uuid: f"gpu{gpu.index}" for gpu in diagnosis.report.gpus}
    for engine in known.engines:
        gpus = ", ".join(names.get(gpu, gpu) for gpu in engine.gpus) or "no GPU that is known"
        by = f"  by {', '.join(engine.sources)}" if engine.sources else ""
        print(f"  {engine.name:<16} {gpus}{by}")
        if engine.url:
            print(f"  {'':<16} {_page(engine)}")
    if not known.engines:
        print("  none in the last 15 minutes")


def _page(engine: Engine) -> str:
    """Say what is known of an engine's page, in a line."""
    kind = engine.kind or "of no kind that is known"
    models = f" serving {', '.join(engine.models)}" if engine.models else ""
    scraped = "never scraped" if engine.last_scrape is None else f"last scraped {_ago(engine.last_scrape)}"
    failure = f", failing: {engine.failure}" if engine.failure else ""
    return f"{kind}{models} at {engine.url}, found by {engine.found_by}, {scraped}{failure}"


def _ago(unix: float) -> str:
    return f"{max(0.0, time.time() - unix):.0f} s ago"


def _summary(group: Group) -> str:
    parts = [f"{group.series:4} series" if group.series else "   no series"]
    names = {"NotSupported": "not supported", "NoPermission": "needs a right"}
    for reason, readings in group.missing.items():
        shown = ", ".join(readings[:2]) + (", …" if len(readings) > 2 else "")  # noqa: PLR2004 - a line's worth
        parts.append(f"{len(readings)} {names.get(reason, reason)} ({shown})")
    return "; ".join(parts)
