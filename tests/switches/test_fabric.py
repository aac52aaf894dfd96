# SPDX-License-Identifier: Apache-2.0
"""NVLink and InfiniBand switches from pages: what NMX and UFM name, in base units."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from agent.catalogue import switch
from agent.clock import NS, FakeClock
from agent.config import SwitchCollector, SwitchPage
from agent.config_values import Duration, PageUrl
from agent.dialects.switches.fabric import IN_WORDS
from agent.scraping.switches import ScrapedPage, SwitchPages
from agent.switch_entities import SwitchPageFault
from tests.scraping.server import nonsense, serving
from tests.scraping.server import page as served
from tests.switches.told import FIXTURES, T0, Hearing

GOLDEN = Path(__file__).parents[1] / "golden"
NVLINK_SWITCH = "0x330aa4a4f4f01b2c"


@pytest.mark.parametrize(("fixture", "kind"), [("nmx.prom", "nvlink"), ("ufm.prom", "infiniband")])
def test_a_page_comes_out_whole(fixture: str, kind: str) -> None:
    found = Hearing().scrape(fixture, kind).text()
    golden = GOLDEN / f"switch-{kind}.txt"
    if not golden.exists():
        golden.write_text(found)
    assert found == golden.read_text()


def test_data_is_counted_in_words_of_four_bytes_unless_the_configuration_says_bytes() -> None:
    sent = {"switch_port": "1", "network_io_direction": "transmit"}
    assert Hearing().scrape("nmx.prom", "nvlink").value(switch.PORT_IO, **sent) == 4_000_000
    assert Hearing().scrape("nmx.prom", "nvlink", data_unit="bytes").value(switch.PORT_IO, **sent) == 1_000_000


def test_the_wait_of_infiniband_is_in_ticks_and_no_time() -> None:
    hearing = Hearing().scrape("ufm.prom", "infiniband", include="b2c0")
    assert hearing.value(switch.PORT_WAIT_TICKS, switch_port="1") == 912345
    assert hearing.value(switch.PORT_WAIT) is None


def test_only_switches_that_are_asked_for_are_taken() -> None:
    hearing = Hearing().scrape("ufm.prom", "infiniband", include="0x0c42")
    assert hearing.sources() == {"0x0c42a103008d1e10"}


def test_ports_say_what_they_are_of_and_the_switch_its_domain() -> None:
    hearing = Hearing().scrape("nmx.prom", "nvlink")
    assert hearing.value(switch.PORT_INFO, switch_port="1", switch_port_type="GPU") == 1
    domain = "3fbe0d7a-91f2-4f10-b0f0-6a6a4c55d001"
    assert hearing.value(switch.INFO, switch_kind="nvlink", source="page", nvlink_domain=domain) == 1


def test_a_page_that_nobody_fills_any_more_is_not_believed() -> None:
    hearing = Hearing().scrape("nmx.prom", "nvlink")
    for _ in range(11):
        hearing.clock.advance(30)
        hearing.scrape("nmx.prom", "nvlink")
    assert hearing.sources() == set()
    later = Hearing()
    later.clock.epoch = T0
    later.scrape("nmx.prom", "nvlink")
    assert later.sources() == set()
    assert any(one.series.entity == ("old",) for one in later.told)


def test_no_name_is_read_and_left_out() -> None:
    for table in IN_WORDS.values():
        assert [name for name in table.names() if table.leaves_out(name)] == []


def page(url: str, name: str = "rack") -> SwitchPage:
    return SwitchPage(name=name, metrics_url=PageUrl(url), kind="nvlink", interval=Duration(1))


def test_a_scrape_is_told_whether_it_succeeds_or_why_it_does_not() -> None:
    clock, hearing = FakeClock(epoch_ns=T0 - 1_000 * NS), Hearing()
    with serving(served((FIXTURES / "nmx.prom").read_bytes())) as server:
        scraped = ScrapedPage(page(server.url), SwitchCollector(), hearing.switches, clock)
        assert told(scraped) == {"joulespan.switch.page.up": 1}
        hearing.look()
        assert hearing.sources() == {NVLINK_SWITCH}
        for answer, reason in ((served(b"", status="401 Unauthorized"), "status_401"), (nonsense, "malformed")):
            server.answer = answer
            found = told(scraped)
            assert (found["joulespan.switch.page.up"], found[reason]) == (0, 1)


def test_pages_are_scraped_in_a_thread_and_the_thread_ends() -> None:
    hearing, taken = Hearing(), threading.Event()

    class Waiting:
        def page(self, *given: Any) -> None:
            hearing.switches.page(*given)
            taken.set()

    with serving(served((FIXTURES / "nmx.prom").read_bytes())) as server:
        pages = SwitchPages([page(server.url)], SwitchCollector(), Waiting(), hearing.clock)
        pages.start()
        assert taken.wait(20)
        pages.stop(20)
        assert not pages._thread.is_alive()
    hearing.look()
    assert hearing.sources() == {NVLINK_SWITCH}


def told(scraped: ScrapedPage) -> dict[str, float]:
    """Scrape, and give what is said of it: failures by reason."""
    asyncio.run(scraped.scrape())
    found = {}
    for series, value in scraped.samples():
        if isinstance(series.entity, SwitchPageFault):
            found[series.entity.reason] = value
        elif series.metric is switch.PAGE_UP:
            found[series.metric.name] = value
    return found
