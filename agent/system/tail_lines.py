# SPDX-License-Identifier: Apache-2.0
"""Lines out of a stream of bytes that comes in pieces, and gzip members out of a file that grows."""

import zlib

_GZIP = 31
"""zlib's number for a gzip header and trailer, with its largest window."""
_MAGIC = b"\x1f\x8b\x08"


class Lines:
    """Cuts a stream into lines, without their ends. Empty lines are left out; longer ones than `most` are counted."""

    def __init__(self, most: int) -> None:
        """Hold at most `most` bytes of a line that has not ended yet."""
        self._most = most
        self._rest = bytearray()
        self._skipping = False
        self.oversized = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next piece and give the lines that it ends."""
        first, *others = data.split(b"\n")
        self._grow(first)
        lines: list[bytes] = []
        for piece in others:
            if self._skipping:
                self.oversized += 1
            elif self._rest:
                lines.append(bytes(self._rest))
            self.clear()
            self._grow(piece)
        return lines

    def clear(self) -> bool:
        """Forget the line that has not ended. Returns whether there was one."""
        unfinished = bool(self._rest) or self._skipping
        self._rest.clear()
        self._skipping = False
        return unfinished

    def _grow(self, piece: bytes) -> None:
        if self._skipping or len(self._rest) + len(piece) > self._most:
            self._skipping = True
            self._rest.clear()
        else:
            self._rest += piece


class Members:
    """Uncompresses gzip members one after another as they are appended, a bounded piece at a time.

    What is no member, or damaged, is passed over up to the next beginning of one, so that reading can start anywhere.
    A line end is put in its place: the halves of two lines must not become one.
    """

    def __init__(self) -> None:
        """Start at the beginning of a member, or anywhere."""
        self._input = b""
        self._member: zlib._Decompress | None = None
        self._full = False
        self.passed_over = 0
        """Bytes that were in no member, or in one that is damaged from there on."""

    @property
    def pending(self) -> bool:
        """There may be more to uncompress of what was fed."""
        return self._full or (bool(self._input) and (self._member is not None or _MAGIC in self._input))

    def feed(self, data: bytes, most: int) -> bytes:
        """Take the next piece and give at most `most` uncompressed bytes, and a line end for each damage."""
        self._input += data
        found: list[bytes] = []
        while most > 0 and (self._member or self._seek()) and (self._input or self._full):
            piece = self._uncompress(most)
            most -= len(piece)
            found.append(piece)
        return b"".join(found)

    def _seek(self) -> bool:
        """Go to the next beginning of a member."""
        at = self._input.find(_MAGIC)
        # The last bytes may be the first ones of what a beginning is known by.
        passed = at if at >= 0 else max(0, len(self._input) - len(_MAGIC) + 1)
        self.passed_over += passed
        self._input = self._input[passed:]
        if at >= 0:
            self._member = zlib.decompressobj(_GZIP)
        return at >= 0

    def _uncompress(self, most: int) -> bytes:
        member = self._member
        assert member is not None
        try:
            piece = member.decompress(self._input, most)
        except zlib.error:
            self._member, self._full = None, False
            self.passed_over += 1
            self._input = self._input[1:]
            return b"\n"
        self._full = len(piece) == most and not member.eof
        self._input = member.unused_data if member.eof else member.unconsumed_tail
        if member.eof:
            self._member = None
        return piece
