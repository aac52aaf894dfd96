# SPDX-License-Identifier: Apache-2.0
"""XIDs by what they ask of the person on call, after NVIDIA's catalogue of XIDs (Ampere and later).

A code that the catalogue answers with a restart of the application is the application's, one that it answers with a
reset, a restart of the node or service is hardware, and one of NVLink is the fabric's. Hardware that goes on working is
worn. Those of tests, and 154, which only says what others ask for, are in no class.
"""

from typing import NamedTuple

from agent.promql import Regex


class XidClass(NamedTuple):
    """Codes that are answered alike."""

    name: str
    codes: frozenset[int]
    brief: str

    @property
    def pattern(self) -> Regex:
        """Match the label of any of them."""
        return Regex("|".join(map(str, sorted(self.codes))))


APPLICATION = XidClass(
    "application",
    frozenset({
        *(8, 11, 13, 25, 31, 32, 37, 39, 40, 41, 43, 44, 45, 60, 66, 67, 68, 69, 70, 71, 72, 75, 76, 77, 78, 80),
        *range(82, 87), 88, 89, *range(96, 106), *range(126, 136), 137, 139, 141, 142, 159,
    }),
    "A program asked for what it must not, or was ended. The GPU is well; restart the program.",
)  # fmt: skip
HARDWARE = XidClass(
    "hardware",
    frozenset({38, 46, 48, 54, 62, 64, 79, 95, 109, 110, 119, 120, 140, 143, 151, 158, 167, 169, 171, 172}),
    "The GPU, its firmware or its slot failed. It needs a reset, a restart of the node, or service.",
)
FABRIC = XidClass(
    "fabric",
    frozenset({74, 136, *range(144, 151), 166, 170}),
    "NVLink failed between this GPU and another or a switch; the cause may be at the other end.",
)
WORN = XidClass(
    "worn",
    frozenset({63, 92, 93, 94, 121, 155, 156, 157, 160, 161, 163, 164, 165, 168}),
    "An error was contained, repaired or foreseen. Work goes on; reset or replace when convenient.",
)
SILENT = XidClass("silent", frozenset({106, 107, 154, 162}), "Tests, and what other XIDs or alerts tell.")
CLASSES = (APPLICATION, HARDWARE, FABRIC, WORN, SILENT)
