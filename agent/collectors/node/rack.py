# SPDX-License-Identifier: Apache-2.0
"""This node's place in its rack and part in its NVLink domain, from what its GPUs say."""

from collections.abc import Iterator

from agent.collectors.node import Node, NodeCollector, Read
from agent.metric import Sample
from agent.processors.rack import RackView


def _open(node: Node) -> Read:
    view = RackView()

    def read() -> Iterator[Sample]:
        return view.samples(node.snapshot())

    return read


COLLECTOR = NodeCollector("rack", _open)
