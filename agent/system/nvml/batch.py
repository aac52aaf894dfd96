# SPDX-License-Identifier: Apache-2.0
"""Batches of NVML fields in a kept buffer, read with few calls even when entries spoil each other.

Outer success of nvmlDeviceGetFieldValues says nothing of the entries, and on some systems one entry
makes others fail (GB200: ECC totals beside NVLINK_COUNT_*, NVIDIA/DCGM#265). An entry that fails in
company is therefore asked alone. If it answers alone, the batch is split, until no entry is spoilt;
if it does not, the device is taken at its word and is not asked for it again.
"""

import struct
from collections.abc import Callable, Sequence
from ctypes import Array, c_char
from typing import NamedTuple

from agent.errors import DeviceLost, Unavailable
from agent.system.nvml.device import Notes
from agent.system.nvml.fields import Field, bit_error_rate

ENTRY = struct.Struct("=IIqqIIQ")
"""nvmlFieldValue_t: fieldId, scopeId, timestamp us, latency us, valueType, nvmlReturn, value."""

SUCCESS = 0
_DOUBLE, _UINT, _ULONG, _ULONG_LONG, _LONG_LONG, _INT, _USHORT = range(7)
_WORD = 1 << 32
_MASKS = {_UINT: _WORD - 1, _ULONG: (1 << 64) - 1, _ULONG_LONG: (1 << 64) - 1, _USHORT: (1 << 16) - 1}


class FieldError(NamedTuple):
    """What an entry's return code means to the batch."""

    name: str
    permanent: bool


Call = Callable[["Array[c_char]", int], None]
"""Asks for `count` entries of a buffer; raises for the device as a whole."""
Explain = Callable[[int], FieldError]
"""Names an entry's return code; raises when it means that the whole device is lost or the driver gone."""


class _Part:
    """Entries that are read in one call."""

    def __init__(self, positions: Sequence[int], fields: Sequence[Field]) -> None:
        self.positions = tuple(positions)
        self.buffer = (c_char * (ENTRY.size * len(self.positions)))()
        self._answers = struct.Struct("=" + "24xIIQ" * len(self.positions))
        # Once types are known: the bits that count, and what the number is multiplied and divided by.
        self.kinds: tuple[int, ...] = ()
        self.scales: list[tuple[int, int, int]] = []
        # Slots whose number takes more than that.
        self.special: list[int] = []
        for slot, position in enumerate(self.positions):
            field = fields[position]
            ENTRY.pack_into(self.buffer, slot * ENTRY.size, field.id, field.scope, 0, 0, 0, 0, 0)

    def answers(self) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
        """Unpack value types, return codes and raw values."""
        flat = self._answers.unpack(self.buffer)
        return flat[0::3], flat[1::3], flat[2::3]


class FieldBatch:
    """Reads a fixed list of fields of one device."""

    def __init__(self, fields: Sequence[Field], call: Call, explain: Explain, notes: Notes) -> None:
        """Prepare; nothing is asked before the first read."""
        self._fields = tuple(fields)
        self._call = call
        self._explain = explain
        self._notes = notes
        self._answered = [False] * len(self._fields)
        self._wraps: dict[int, tuple[int, int]] = {}
        self._parts = [_Part(range(len(self._fields)), self._fields)] if fields else []

    @property
    def calls(self) -> int:
        """Calls that one read takes now."""
        return len(self._parts)

    def read(self) -> Sequence[float | None]:
        """Read every field; see FieldReader."""
        values: list[float | None] = [None] * len(self._fields)
        regrouped: list[_Part] = []
        for part in self._parts:
            self._call(part.buffer, len(part.positions))
            kinds, codes, raws = part.answers()
            if kinds == part.kinds and not any(codes):
                self._fast(part, raws, values)
                regrouped.append(part)
                continue
            failed = []
            for position, kind, code, raw in zip(part.positions, kinds, codes, raws, strict=True):
                if code == SUCCESS:
                    values[position] = self._convert(position, kind, raw)
                else:
                    failed.append((position, code))
            if failed:
                regrouped.extend(self._regroup(part, failed, values))
            else:
                self._learn(part, kinds)
                regrouped.append(part)
        self._parts = regrouped
        return values

    def _learn(self, part: _Part, kinds: tuple[int, ...]) -> None:
        """Prepare a part whose entries all answered for the next read."""
        part.kinds, part.scales, part.special = kinds, [], []
        for slot, (position, kind) in enumerate(zip(part.positions, kinds, strict=True)):
            field = self._fields[position]
            part.scales.append((_MASKS.get(kind, 0), field.multiply, field.divide))
            if kind not in _MASKS or field.wraps or field.bit_error_rate:
                part.special.append(slot)

    def _fast(self, part: _Part, raws: tuple[int, ...], values: list[float | None]) -> None:
        """Convert when every entry answered with the type it had before."""
        numbers: list[float | None] = [
            (raw & mask) * multiply / divide for raw, (mask, multiply, divide) in zip(raws, part.scales, strict=True)
        ]
        for slot in part.special:
            numbers[slot] = self._convert(part.positions[slot], part.kinds[slot], raws[slot])
        for position, number in zip(part.positions, numbers, strict=True):
            values[position] = number

    def _regroup(self, part: _Part, failed: Sequence[tuple[int, int]], values: list[float | None]) -> list[_Part]:
        """Ask the failed entries alone; return the parts to read from now on."""
        gone: set[int] = set()
        spoilt = False
        for position, code in failed:
            error = self._explain(code)
            alone = self._alone(position) if error.permanent and len(part.positions) > 1 else code
            if alone is None:
                continue
            if isinstance(alone, tuple):
                values[position] = self._convert(position, *alone)
                spoilt = True
            elif self._note(position, self._explain(alone)):
                gone.add(position)
        rest = [position for position in part.positions if position not in gone]
        if not gone and not spoilt:
            return [part]
        half = len(rest) // 2 if spoilt else 0
        return [_Part(some, self._fields) for some in (rest[:half], rest[half:]) if some]

    def _alone(self, position: int) -> tuple[int, int] | int | None:
        """Ask one entry by itself: (type, value), a return code, or None when the call failed."""
        single = _Part([position], self._fields)
        try:
            self._call(single.buffer, 1)
        except DeviceLost:
            raise
        except Unavailable:
            return None
        (kind,), (code,), (raw,) = single.answers()
        return (kind, raw) if code == SUCCESS else code

    def _note(self, position: int, error: FieldError) -> bool:
        """Write down why an entry has no value; say whether to stop asking."""
        field = self._fields[position]
        reading = f"field {field.id}" + (f" scope {field.scope}" if field.scope else "")
        if error.permanent and not self._answered[position]:
            self._notes.support[reading] = error.name
            return True
        self._notes.fail(reading, error.name)
        return False

    def _convert(self, position: int, kind: int, raw: int) -> float | None:
        field = self._fields[position]
        self._answered[position] = True
        number: float
        if kind in (_ULONG, _ULONG_LONG):
            number = raw
        elif kind == _UINT:
            number = raw & 0xFFFFFFFF
        elif kind == _DOUBLE:
            (number,) = struct.unpack("=d", raw.to_bytes(8, "little"))
        elif kind == _LONG_LONG:
            number = raw - (1 << 64) if raw >> 63 else raw
        elif kind == _INT:
            low = raw & 0xFFFFFFFF
            number = low - _WORD if low >> 31 else low
        elif kind == _USHORT:
            number = raw & 0xFFFF
        else:
            return None
        if field.bit_error_rate:
            return bit_error_rate(int(number))
        if field.wraps:
            number = self._unwrapped(position, int(number), 32 if kind == _UINT else 64)
        return number * field.multiply / field.divide

    def _unwrapped(self, position: int, number: int, bits: int) -> int:
        """Continue a counter over its wraps. One that falls from below three quarters of its range was reset."""
        last, base = self._wraps.get(position, (number, 0))
        if number < last:
            base = base + (1 << bits) if last >= 3 << (bits - 2) else 0
        self._wraps[position] = (number, base)
        return base + number
