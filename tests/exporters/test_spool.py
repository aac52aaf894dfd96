# SPDX-License-Identifier: Apache-2.0
"""What a back end could not take is kept on disk: bounded, in order, over restarts, whatever becomes of the files."""

import errno
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.clock import FakeClock
from agent.otlp.parcel import Parcel
from exporters import otlp_parcels
from exporters import spool as spool_module
from exporters.otlp_forward import OtlpForward, OtlpSettings
from exporters.otlp_parcels import FULL, STOPPED, ParcelQueue
from exporters.spool import Spool
from tests.exporters.receivers import Answers, free_port, until
from tests.exporters.test_otlp_forward import names, own, spans

ROOM = 1 << 20


def parcel(number: int, size: int = 8) -> Parcel:
    return Parcel(number.to_bytes(4) + os.urandom(size), {"otlp": 1})


def numbers(parcels: Sequence[Parcel]) -> list[int]:
    return [int.from_bytes(one.body[:4]) for one in parcels]


def rest(spool: Spool) -> list[int]:
    """Take everything that is left."""
    found: list[int] = []
    while parcels := spool.take():
        found += numbers(parcels)
        spool.done()
    return found


def files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.otlp"))


def away() -> str:
    return f"http://127.0.0.1:{free_port()}"


def kept(folder: Path, endpoint: str, **more: object) -> OtlpForward:
    chosen = OtlpSettings(endpoint=endpoint, protocol="http/protobuf", timeout=0.5)
    return OtlpForward("traces", chosen, FakeClock(), {}, spool=Spool(folder, ROOM), **more)  # type: ignore[arg-type]


def told(forward: OtlpForward) -> dict[str, float]:
    return own(forward)


def test_what_was_written_is_taken_in_order_and_gone_when_it_was_sent(tmp_path: Path) -> None:
    spool = Spool(tmp_path, ROOM)
    for number in range(3):
        assert spool.write([parcel(2 * number), Parcel(parcel(2 * number + 1).body, Counter(a=2))]) == (True, [])
    assert spool.usage == sum(one.stat().st_size for one in files(tmp_path)) > 0
    assert numbers(spool.take()) == [0, 1]
    assert len(files(tmp_path)) == 3, "what is not sent yet is still there"
    spool.done()
    assert len(files(tmp_path)) == 2
    assert rest(spool) == [2, 3, 4, 5]
    assert spool.usage == 0
    spool.close()
    assert list(tmp_path.iterdir()) == []


def test_what_one_agent_left_the_next_one_sends_and_nobody_takes_it_from_one_that_lives(tmp_path: Path) -> None:
    first = Spool(tmp_path, ROOM)
    first.write([parcel(1)])
    first.write([parcel(2)])
    beside = Spool(tmp_path, ROOM)
    assert beside.take() == ()
    first.take()
    first.close()
    beside.write([parcel(3)])
    beside.adopt()
    assert rest(beside) == [1, 2, 3]


def test_of_an_agent_that_was_killed_everything_is_there(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from agent.otlp.parcel import Parcel;"
        "from exporters.spool import Spool; spool = Spool(Path(sys.argv[1]), 1 << 20);"
        "[spool.write([Parcel(n.to_bytes(4), {'otlp': 1})]) for n in range(5)]; print('written', flush=True);"
        "time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        ours = Spool(tmp_path, ROOM)
        assert ours.take() == ()
        process.send_signal(signal.SIGKILL)
        process.wait()
    ours.adopt()
    assert rest(ours) == [0, 1, 2, 3, 4]


def test_what_others_left_is_found_however_much_there_is_to_send(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(otlp_parcels, "_ADOPT", 0.05)
    other, queue = Spool(tmp_path, ROOM), ParcelQueue(ROOM, Spool(tmp_path, ROOM))
    other.write([parcel(7)])
    other.close()
    for _ in range(100):
        queue.put([parcel(1)])
        if numbers(queue.next(4)) == [7]:
            break
        queue.done()
        time.sleep(0.01)
    else:
        pytest.fail("it was never sent")


def test_a_full_spool_gives_back_the_oldest(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 4096)
    gone = [one for number in range(8) for one in spool.write([parcel(number, 900)]).gone]
    assert numbers(gone) == [0, 1, 2, 3]
    assert spool.usage <= 4096
    assert numbers(spool.write([parcel(9, 5000)]).gone) == [4, 5, 6, 7, 9], "what finds no room costs all and itself"
    assert spool.usage == 0


def test_what_is_too_large_to_be_read_again_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool_module, "_LARGEST", 1000)
    spool = Spool(tmp_path, ROOM)
    assert numbers(spool.write([parcel(1, 2000)]).gone) == [1]
    assert spool.usage == 0
    assert spool.write([parcel(2)]) == (True, [])
    assert rest(spool) == [2]


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: b"",
        lambda data: data[: len(data) // 2],
        lambda data: data[:-1] + bytes([data[-1] ^ 1]),
        lambda data: b"\x00" * len(data),
        lambda data: data + b"x",
    ],
)
def test_a_file_that_is_not_as_it_was_written_costs_only_itself(tmp_path: Path, damage: object) -> None:
    assert callable(damage)
    spool = Spool(tmp_path, ROOM)
    for number in range(3):
        spool.write([parcel(number)])
    middle = files(tmp_path)[1]
    middle.write_bytes(damage(middle.read_bytes()))
    assert rest(spool) == [0, 2]
    assert spool.failures == {"corrupt": 1}
    assert files(tmp_path) == []


@given(st.binary(max_size=300))
@settings(max_examples=200)
def test_whatever_stands_in_a_file_nothing_is_raised(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    folder = tmp_path_factory.mktemp("spool")
    spool = Spool(folder, ROOM)
    spool.write([parcel(1)])
    files(folder)[0].write_bytes(data)
    assert spool.take() == ()
    assert spool.usage == 0
    spool.close()


def test_half_a_file_and_what_is_none_of_ours_are_passed_over(tmp_path: Path) -> None:
    first = Spool(tmp_path, ROOM)
    first.write([parcel(1)])
    (files(tmp_path)[0].parent / "00000000000000000001.new").write_bytes(b"half")
    (tmp_path / "readme").write_text("not ours")
    (tmp_path / "empty").mkdir()
    first.close()
    assert rest(Spool(tmp_path, ROOM)) == [1]
    assert (tmp_path / "readme").exists()


def test_when_the_clock_was_set_back_the_order_stays(tmp_path: Path) -> None:
    times = iter([9_000, 9_000, 5, 4, 3])
    spool = Spool(tmp_path, ROOM, lambda: next(times, 1))
    for number in range(4):
        spool.write([parcel(number)])
    assert rest(spool) == [0, 1, 2, 3]


def test_a_disk_that_is_full_is_said_once_and_what_waits_stays_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    spool = Spool(tmp_path, ROOM)
    queue = ParcelQueue(ROOM, spool)
    queue.put([parcel(number) for number in range(3)])

    def full(self: Path, _: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        for _ in range(3):
            assert queue.spill() == ([], FULL)
    assert spool.failures == {"write": 3}
    assert [record.getMessage() for record in caplog.records if "cannot be kept" in record.getMessage()][1:] == []
    assert "No space left on device" in caplog.text
    queue.spill()
    assert spool.usage > 0
    assert numbers(queue.next(ROOM)) == [0, 1, 2]


def test_where_there_is_no_folder_to_be_had_it_is_said_and_nothing_is_lost_before_the_end(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("a file")
    spool = Spool(tmp_path / "spool", ROOM)
    assert spool.failures == {"write": 1}, "what others left cannot be looked for either"
    queue = ParcelQueue(ROOM, spool)
    queue.put([parcel(1), parcel(2)])
    queue.spill()
    assert spool.failures == {"write": 2}
    assert numbers(queue.next(ROOM)) == [1, 2]
    queue.put_back()
    queue.close()
    left = queue.abandon()
    assert (numbers(left.stopped.parcels), left.stopped.reason, left.kept) == ([1, 2], STOPPED, 0)


def test_what_is_on_disk_goes_before_what_came_later_and_never_falls_from_memory(tmp_path: Path) -> None:
    queue = ParcelQueue(4096, Spool(tmp_path, ROOM))
    queue.put([parcel(1), parcel(2)])
    queue.spill()
    queue.put([parcel(3)])
    assert numbers(queue.next(4)) == [1]
    dropped = queue.put([parcel(number, 1000) for number in range(4, 10)])
    assert 1 not in numbers(dropped.parcels)
    assert 2 not in numbers(dropped.parcels)
    queue.put_back()
    sent: list[int] = []
    queue.close()
    while parcels := queue.next(4):
        sent += numbers(parcels)
        assert queue.done()
    assert sent[:2] == [1, 2]
    assert sorted([*sent, *numbers(dropped.parcels)]) == list(range(1, 10))
    assert files(tmp_path) == []


def test_a_bad_parcel_on_disk_costs_only_itself(tmp_path: Path) -> None:
    queue = ParcelQueue(ROOM, Spool(tmp_path, ROOM))
    queue.put([parcel(number) for number in range(5)])
    queue.spill()
    queue.close()
    sent: list[list[int]] = []
    while parcels := queue.next(ROOM):
        if len(parcels) > 1 and 3 in numbers(parcels):
            queue.put_back_halves()
            continue
        sent.append(numbers(parcels))
        queue.done()
    assert sent == [[0, 1], [2], [3], [4]]
    assert files(tmp_path) == []


@given(st.lists(st.sampled_from(["put", "spill", "send", "fail", "halve", "restart"]), max_size=40))
@settings(deadline=None)
def test_nothing_is_lost_and_the_order_stays(tmp_path_factory: pytest.TempPathFactory, steps: Sequence[str]) -> None:
    folder = tmp_path_factory.mktemp("queue")
    sent: list[int] = []
    queue, count = ParcelQueue(ROOM, Spool(folder, ROOM)), 0
    for step in (*steps, "restart"):
        if step == "put":
            queue.put([parcel(count), parcel(count + 1)])
            count += 2
        elif step == "spill":
            assert not queue.spill().parcels
        elif step == "restart":
            queue.close()
            left = queue.abandon()
            assert not left.stopped.parcels
            queue = ParcelQueue(ROOM, Spool(folder, ROOM))
        elif count > len(set(sent)):
            parcels = queue.next(20)
            if step == "fail":
                queue.put_back()
            elif step == "halve" and len(parcels) > 1:
                queue.put_back_halves()
            else:
                sent += numbers(parcels)
                queue.done()
    queue.close()
    while parcels := queue.next(ROOM):
        sent += numbers(parcels)
        queue.done()
    assert set(sent) == set(range(count))
    # What a file had beside what was sent of it before a restart is sent again; but for that, all comes in order.
    fresh = list(dict.fromkeys(sent))
    assert all(one < other for one, other in pairwise(fresh))


@pytest.mark.parametrize("killed", [False, True])
def test_spans_that_a_back_end_missed_come_from_the_next_agent(tmp_path: Path, killed: bool) -> None:
    gone = away()
    first = kept(tmp_path, gone)
    first.put([spans("a", "b"), spans("c")])
    first.start()
    until(lambda: told(first)["queue.disk.usage traces"] > 0)
    if not killed:
        first.put([spans("d")])
        first.stop(0.2)
        assert first.tally() == {}, "nothing was dropped"
    else:  # Its lock is free when its process is gone.
        assert first._spool
        os.close(first._spool._lock)
    with Answers(200).running() as server:
        second = kept(tmp_path, server.endpoint)
        second.start()
        wanted = 3 if killed else 4
        until(lambda: sum(second.tally().values()) >= wanted)
        second.put([spans("e")])
        until(lambda: sum(second.tally().values()) >= wanted + 1)
        second.stop(1)
    came = [name for request in server.requests for name in names(request.body)]
    assert came == (["a", "b", "c", "e"] if killed else ["a", "b", "c", "d", "e"])
    assert told(second)["queue.disk.usage traces"] == 0


def test_what_waits_goes_to_disk_while_the_back_end_is_away_and_comes_back_in_order(tmp_path: Path) -> None:
    with Answers(503).running() as server:
        server.headers = {"retry-after": "1"}
        forward = kept(tmp_path, server.endpoint)
        forward.start()
        for number in range(20):
            forward.put([spans(str(number), padding=1000)])
            time.sleep(0.02)
        until(lambda: told(forward)["queue.disk.usage traces"] > 0)
        server.requests.clear()
        server.status = 200
        until(lambda: forward.tally() == {("otlp", "forwarded", None): 20})
        forward.stop(1)
    came = [name for request in server.requests for name in names(request.body)]
    assert list(dict.fromkeys(came)) == [str(number) for number in range(20)]


def test_a_spool_that_is_full_drops_the_oldest_and_counts_them(tmp_path: Path) -> None:
    chosen = OtlpSettings(endpoint=away(), protocol="http/protobuf", timeout=0.5)
    forward = OtlpForward("traces", chosen, FakeClock(), {}, spool=Spool(tmp_path, 4096))
    forward.start()
    for _ in range(8):
        forward.put([Parcel(os.urandom(1500), {"otlp": 7})])
        time.sleep(0.05)
    until(lambda: told(forward)["queue.dropped traces"] >= 2, 60)
    dropped: Mapping[tuple[str, str, str | None], int] = forward.tally()
    assert dropped.keys() == {("otlp", "dropped", FULL)}
    assert sum(dropped.values()) >= 14
    assert told(forward)["queue.disk.usage traces"] <= 4096
    assert told(forward)["queue.utilization traces"] > 0.3
    forward.stop(0.1)
