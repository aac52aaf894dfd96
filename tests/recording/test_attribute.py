# SPDX-License-Identifier: Apache-2.0
"""`joulespan attribute`: what it makes of recordings of agents and of Collectors, and what it says of bad ones."""

import json
import os
import pty
import re
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from agent.__main__ import main
from agent.otlp.json_form import request_to_json
from agent.recording.lines import files_of
from tests.accuracy.simulated import MODELS, Case, observe
from tests.recording.made import energy, metrics, record, request, spans_of, traces, truth, write

UUID = "GPU-aaaaaaaa-0000-4000-8000-00000000000"
TOTAL = re.compile(r"attributed (\S+) \+ idle (\S+) \+ unattributed (\S+) = measured (\S+) J, (\d+) GPUs, (\S+) s")


def gpu(number: int = 0, watts: float = 200.0, seconds: int = 20, **told: Any) -> dict[str, Any]:
    """The energy counter of a GPU, read each second."""
    times = [float(second) for second in range(seconds + 1)]
    return energy(times, [1000 + watts * time for time in times], hw__id=f"{UUID}{number}", hw__type="gpu", **told)


def folder(path: Path, *lines: dict[str, Any]) -> Path:
    write(path / "recording" / "data.jsonl", *lines)
    return path / "recording"


def totals(printed: str) -> list[float]:
    """Attributed, idle, unattributed, measured, GPUs, s."""
    found = TOTAL.search(printed)
    assert found, printed
    return [float(one) for one in found.groups()]


def attributed(place: Path) -> list[dict[str, Any]]:
    return [told for _, told in spans_of(place / "attributed.jsonl")]


def error(capsys: pytest.CaptureFixture[str], code: int, *argv: str | Path) -> str:
    """Run it; give what it says about the error, which is one line."""
    assert main(["attribute", *map(str, argv)]) == code
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_a_recording_of_a_simulated_engine_gives_each_request_nearly_its_true_energy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = observe(Case(MODELS[1], rate=2.0, seconds=200.0))
    place = record(seen, tmp_path / "recording")
    assert main(["attribute", str(place)]) == 0
    told, true = attributed(place), truth(seen)
    assert len(told) == len(true)
    long = [at for at, one in enumerate(told) if one.get("joulespan.energy") and one["gen_ai.latency.e2e"] >= 1]
    errors = [abs(told[at]["joulespan.energy"] / true[at] - 1) for at in long]
    assert np.median(errors) < 0.03
    assert np.quantile(errors, 0.9) < 0.1
    assert {told[at]["joulespan.attribution.method"] for at in long} == {"calibrated_iterations"}
    printed = capsys.readouterr().out
    given, idle, nobody, measured, _, _ = totals(printed)
    assert given + idle + nobody == pytest.approx(measured, abs=0.2)
    assert measured == pytest.approx(float(seen.joules[0][-1] - seen.joules[0][0]), abs=0.1)
    assert re.search(rf"^engine +- +{len(true)} ", printed, re.MULTILINE)


def test_a_collectors_files_are_read_oldest_first_whatever_form_their_numbers_have(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "collector"
    whole = {"hw__id": f"{UUID}0", "hw__type": "gpu", "hw__name": "gpu0"}
    spare = {"hw__id": f"{UUID}1", "hw__type": "gpu", "hw__name": "gpu1"}
    old = place / "metrics-2026-11-25T17-00-00.000.jsonl"
    write(old, metrics(energy([0, 5], ["100", "1100"], "asInt", **whole), energy([0, 5], [7, 7], "asInt", **spare)))
    write(place / "metrics.jsonl", metrics(energy([10, 15, 20], [2100, 3100.5, 4100], **whole)))
    write(place / "traces.json", traces("vllm-a", [request(1, 4.0, 14.0)]))
    assert files_of(place)[0] == old
    config = tmp_path / "config.yaml"
    config.write_text("engines: [{name: llama, service_name: vllm-a, gpus: [0]}]")
    assert main(["attribute", str(place), "--config", str(config), "--out", str(tmp_path / "out.jsonl")]) == 0
    printed = capsys.readouterr().out
    given, idle, nobody, measured, gpus, seconds = totals(printed)
    assert (measured, gpus, seconds) == (4000, 2, 20)
    assert given + idle + nobody == pytest.approx(measured)
    assert printed.splitlines()[1].startswith("llama ")
    ((_, told),) = spans_of(tmp_path / "out.jsonl")
    assert told["joulespan.energy"] == pytest.approx(2000, rel=0.01)
    assert told["joulespan.energy"] == pytest.approx(told["joulespan.energy.prefill"] + told["joulespan.energy.decode"])
    assert not (place / "attributed.jsonl").exists()


def test_one_file_may_hold_both_signals_and_the_only_engine_has_all_gpus(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    both = {**metrics(gpu(0), gpu(1)), **traces("vllm-a", [request(1, 2.0, 4.0)])}
    path = write(tmp_path / "all.jsonl", both)
    assert main(["attribute", str(path)]) == 0
    (told,) = attributed(tmp_path)
    assert told["joulespan.gpu.ids"] == {"values": [{"stringValue": f"{UUID}{one}"} for one in (0, 1)]}
    assert totals(capsys.readouterr().out)[3] == 8000


def test_energy_of_cpus_and_modules_is_not_divided_and_needs_no_word(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    others = [
        energy([0, 5], [0, 9000], hw__id=f"{kind}0", hw__type=kind) for kind in ("cpu", "memory", "module", "fan")
    ]
    both = {**metrics(gpu(0), *others), **traces("vllm-a", [request(1, 2.0, 4.0)])}
    assert main(["attribute", str(write(tmp_path / "all.jsonl", both))]) == 0
    assert totals(capsys.readouterr().out)[3] == 4000
    # Of the fan, which nobody expects there.
    assert [one.getMessage() for one in caplog.records] == ["1 points are left out: hw.energy of what is no GPU"]


def test_what_is_not_known_of_two_engines_is_not_guessed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    named = request(1, 2.0, 4.0, hw__id=f"{UUID}0")
    place = folder(
        tmp_path,
        metrics(gpu(0), gpu(1)),
        traces("a", [named]),
        traces("b", [request(number, 3.0, 5.0) for number in (2, 3)]),
    )
    assert main(["attribute", str(place)]) == 0
    printed = capsys.readouterr().out
    assert "2 requests of b have no GPUs: nothing says on which GPUs it runs; name them under `engines:`" in printed
    assert ["joulespan.energy" in one for one in attributed(place)] == [True, False, False]


def test_the_gpus_that_an_agent_knew_are_those_of_the_engine(tmp_path: Path) -> None:
    info = {**gpu(1, engine="b", source="pid"), "name": "joulespan.engine.gpu.info", "unit": ""}
    place = folder(tmp_path, metrics(gpu(0), gpu(1), info), traces("b", [request(2, 3.0, 5.0)]))
    assert main(["attribute", str(place)]) == 0
    (told,) = attributed(place)
    assert told["joulespan.gpu.ids"] == {"values": [{"stringValue": f"{UUID}1"}]}


def test_attributing_what_was_attributed_replaces_what_was_said(tmp_path: Path) -> None:
    place = folder(tmp_path, metrics(gpu()), traces("a", [request(1, 2.0, 4.0)]))
    main(["attribute", str(place)])
    first = (place / "attributed.jsonl").read_text()
    (place / "data.jsonl").write_text(json.dumps(metrics(gpu())) + "\n" + first)
    main(["attribute", str(place)])
    assert (place / "attributed.jsonl").read_text() == first
    (line,) = first.splitlines()
    keys = [pair["key"] for pair in json.loads(line)["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["attributes"]]
    assert len(keys) == len(set(keys))


def test_nothing_of_a_span_is_lost_but_what_an_attribution_said(tmp_path: Path) -> None:
    sent = {**request(1, 2.0, 4.0), "droppedLinksCount": 3, "ofTheFuture": {"traceId": "no hex"}}
    place = folder(tmp_path, metrics(gpu()), traces("a", [sent]))
    main(["attribute", str(place)])
    ((found, _),) = spans_of(place / "attributed.jsonl")
    count = len(sent["attributes"])
    assert {**found, "attributes": found["attributes"][:count]} == sent


def test_a_torn_line_is_skipped_and_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    place = folder(tmp_path, metrics(gpu()), traces("a", [request(1, 2.0, 4.0)]))
    with (place / "data.jsonl").open("a") as file:
        file.write('{"resourceSpans": [{"scopeSpans": 7}]}\n{"resourceMetrics": [{"scopeMe')
    assert main(["attribute", str(place)]) == 0
    said = [one.getMessage() for one in caplog.records]
    assert said[0] == f"{place}/data.jsonl, line 3: scopeSpans is no list of objects; the line is skipped"
    assert re.fullmatch(rf"{place}/data.jsonl, line 4: .*truncated.*; the line is skipped", said[1])
    assert len(attributed(place)) == 1


def test_a_span_that_came_twice_is_charged_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sent = traces("a", [request(1, 2.0, 4.0)])
    place = folder(tmp_path, metrics(gpu()), sent, sent)
    assert main(["attribute", str(place)]) == 0
    assert "1 spans came twice; each counts once" in capsys.readouterr().out
    assert ["joulespan.energy" in one for one in attributed(place)] == [True, False]


def test_increases_are_added_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = energy([0, 1, 2, 3], [0, 50, 60, 70], hw__id=f"{UUID}0")
    told["sum"]["aggregationTemporality"] = 1
    place = folder(tmp_path, metrics(told), traces("a", [request(1, 0.0, 1.0)]))
    assert main(["attribute", str(place)]) == 0
    assert totals(capsys.readouterr().out)[3] == 180


def test_a_request_beyond_the_counters_says_no_energy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = folder(tmp_path, metrics(gpu()), traces("a", [request(1, 15.0, 25.0), request(2, -5.0, 5.0)]))
    assert main(["attribute", str(place)]) == 0
    assert "2 requests reach beyond the energy counters" in capsys.readouterr().out
    first, second = attributed(place)
    assert "joulespan.energy" not in first | second
    assert second["joulespan.attribution.coverage"] == pytest.approx(0.5, abs=0.01)


def test_times_that_no_clock_says_cost_only_their_own_requests(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = [request(number, 2.0, 4.0) for number in range(4)]
    odd[0]["startTimeUnixNano"] = odd[0]["endTimeUnixNano"] = "0"
    odd[1]["endTimeUnixNano"] = str((1 << 64) - 1)
    odd[2]["startTimeUnixNano"], odd[2]["endTimeUnixNano"] = odd[2]["endTimeUnixNano"], odd[2]["startTimeUnixNano"]
    place = folder(tmp_path, metrics(gpu()), traces("a", [*odd, request(9, 15.0, 17.0)]))
    assert main(["attribute", str(place)]) == 0
    given, idle, nobody, measured, _, _ = totals(capsys.readouterr().out)
    assert given + idle + nobody == pytest.approx(measured, abs=0.2)
    assert measured == 4000
    assert attributed(place)[-1]["joulespan.energy"] > 0


def test_on_a_terminal_too_narrow_for_a_row_each_engine_is_a_column(tmp_path: Path) -> None:
    place = folder(tmp_path, metrics(gpu()), traces("llama", [request(1, 2.0, 4.0)]))
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (25, 80))
    command = [sys.executable, "-m", "agent", "attribute", str(place)]
    env = {**os.environ, "TERM": "xterm", "NO_COLOR": "1"}
    env.pop("COLUMNS", None)
    subprocess.run(command, stdout=theirs, stderr=subprocess.PIPE, env=env, check=True, timeout=60)
    os.close(theirs)
    with os.fdopen(ours, "rb", buffering=0) as screen:
        shown = screen.read(1 << 16) or b""
    text = re.sub(r"\x1b\[[0-9;]*m", "", shown.decode())
    assert re.search(r"^ *engine +llama *\r$", text, re.MULTILINE)
    assert re.search(r"^ *method +time_share *\r$", text, re.MULTILINE)


def test_workers_are_charged_and_not_the_front_end_that_tells_of_the_same_request(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sent = sorted((Path(__file__).parents[1] / "fixtures/telemetry/dynamo-disaggregated").glob("spans_*.pb"))
    lines = [json.loads(request_to_json(ExportTraceServiceRequest.FromString(one.read_bytes()))) for one in sent]
    place = tmp_path / "recording"
    path = write(place / "traces.jsonl", *lines)
    begins = [int(one["startTimeUnixNano"]) for one, _ in spans_of(path)]
    ends = [int(one["endTimeUnixNano"]) for one, _ in spans_of(path)]
    counters = gpu(0)
    for at, point in enumerate(counters["sum"]["dataPoints"]):
        point["timeUnixNano"] = str(min(begins) + (max(ends) - min(begins)) * at // 20)
    write(place / "metrics.jsonl", metrics(counters))
    config = tmp_path / "config.yaml"
    names = {one["resourceSpans"][0]["resource"]["attributes"][0]["value"]["stringValue"] for one in lines}
    config.write_text(json.dumps({"engines": [{"name": name, "gpus": [f"{UUID}0"]} for name in sorted(names)]}))
    assert main(["attribute", str(place), "--config", str(config)]) == 0
    printed = capsys.readouterr().out
    found = re.search(r"(\d+) requests are those of front ends", printed)
    assert found
    charged: dict[str, set[str]] = {}
    for one, told in spans_of(place / "attributed.jsonl"):
        if "joulespan.gpu.ids" in told:
            charged.setdefault(one["traceId"], set()).add(one["name"])
    # A front end whose worker sent nothing is all that is known of its request.
    assert all(len(names) == 1 for names in charged.values())
    assert sum(names == {"handle_payload"} for names in charged.values()) >= int(found[1]) > 0


def test_a_recording_without_energy_says_what_to_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = energy([0, 1], [1, 2], hw__id="PSU-1", hw__type="power_supply")
    place = folder(tmp_path, metrics(other), traces("a", [request(1, 0.0, 1.0)]))
    assert "no hw.energy of a GPU; record with `joulespan record`" in error(capsys, 1, place)


def test_a_recording_without_requests_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = folder(tmp_path, metrics(gpu()))
    assert error(capsys, 1, place).endswith(
        "0 spans, and no request of an engine among them; switch its tracing on, see docs/engines.md"
    )


def test_clocks_that_do_not_overlap_are_both_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = folder(tmp_path, metrics(gpu()), traces("a", [request(1, 3600.0, 3601.0)]))
    assert error(capsys, 1, place) == (
        "joulespan: the clocks do not overlap: energy was read from 2026-09-21T14:13:20.000Z to "
        "2026-09-21T14:13:40.000Z, requests ran from 2026-09-21T15:13:20.000Z to 2026-09-21T15:13:21.000Z; record "
        "both on one node, or set its clock"
    )


def test_a_counter_of_another_year_is_no_reason_to_take_all_memory(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = energy([0, 1, 4e8], [0, 50, 60], hw__id=f"{UUID}0")
    place = folder(tmp_path, metrics(told), traces("a", [request(1, 0.0, 1.0)]))
    assert "too long: 1 GPUs from 2026-" in error(capsys, 1, place)


@pytest.mark.parametrize("body", [b"", b"no\n", b"\x28\xb5\x2f\xfd" * 40], ids=["empty", "text", "compressed"])
def test_what_is_no_recording_is_told(body: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "traces.jsonl").write_bytes(body)
    assert "no line can be read; the first: " in error(capsys, 1, tmp_path)


def test_a_folder_that_is_not_there_or_has_nothing_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert error(capsys, 1, tmp_path / "no") == f"joulespan: {tmp_path}/no: cannot be read: No such file or directory"
    assert "has no *.jsonl file" in error(capsys, 1, tmp_path)


def test_the_output_never_replaces_a_part_of_the_recording(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = folder(tmp_path, metrics(gpu()), traces("a", [request(1, 2.0, 4.0)]))
    assert "would be read as a part of the recording" in error(capsys, 2, place, "--out", place / "data.jsonl")
    assert "cannot be written: No such file" in error(capsys, 1, place, "--out", tmp_path / "no" / "out.jsonl")
