# SPDX-License-Identifier: Apache-2.0
"""What a page of metrics of NVLink or InfiniBand switches says, line by line."""

from collections import Counter
from collections.abc import Callable, Iterator
from math import isnan

from agent.clock import NS
from agent.dialects.switches.reading import Malformed, Number, SwitchReader
from agent.dialects.switches.state import Outcome
from agent.exposition import Page

_OLD = 900 * NS
"""A page may go on being served when nobody fills it any more; its lines then say when they were true."""


def lines(
    reader: SwitchReader, page: Page, arrived: int, wants: Callable[[str], bool], outcomes: Counter[Outcome]
) -> Iterator[tuple[str, tuple[Number, ...]]]:
    """Give what each line says, and of which switch; those that say nothing are counted in `outcomes`.

    `arrived` is unix ns: the time of lines that have none. `wants` tells of a switch whether it is asked for.
    """
    table = reader.table
    by = table.labels["switch"]
    for line in page.lines():
        if not table.find(line.name):
            outcomes[Outcome.LEFT_OUT if table.leaves_out(line.name) else Outcome.UNKNOWN] += 1
            continue
        labels = dict(line.labels)
        switch, time = " ".join(labels.get(by, "").split()), line.time or arrived
        if not switch or isnan(line.value):
            outcomes[Outcome.MALFORMED] += 1
        elif not wants(switch):
            outcomes[Outcome.LEFT_OUT] += 1
        elif arrived - time > _OLD:
            outcomes[Outcome.OLD] += 1
        else:
            try:
                told = reader.numbers(line.name, line.labels, line.value, time)
            except Malformed:
                outcomes[Outcome.MALFORMED] += 1
            else:
                yield switch, told
