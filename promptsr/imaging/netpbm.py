"""Read PBM, PGM, PPM and PAM files, in binary and in plain text (netpbm.sourceforge.net/doc)."""

import re

import numpy as np

from promptsr.imaging.picture import Metadata

_GAP = rb"(?:\s|#[^\n\r]*[\n\r])+"
_MOST_HEADER = 2**16


class NetpbmImage:
    """An image whose header was read.

    Raises:
        ValueError: it is damaged.
    """

    def __init__(self, data: bytes) -> None:
        self._data, self._kind = data, int(data[1:2])
        if self._kind == 7:
            self._read_tuples()
        else:
            numbers = 2 if self._kind in (1, 4) else 3
            found = re.match(rb"P[1-6]" + (_GAP + rb"(\d{1,10})") * numbers + rb"\s", data[:_MOST_HEADER])
            if found is None:
                raise ValueError("damaged header")
            self.width, self.height, self._most = (*map(int, found.groups()), 1)[:3]
            self.channels = 3 if self._kind in (3, 6) else 1
            self._start = found.end()
        if not (self.width and self.height and 0 < self._most < 65536 and 0 < self.channels < 5):
            raise ValueError("impossible header")
        self.deep = self._most > 255

    def _read_tuples(self) -> None:
        head, mark, _ = self._data[:_MOST_HEADER].partition(b"\nENDHDR\n")
        lines = [line.split() for line in head.splitlines()[1:] if not line.startswith(b"#")]
        fields = {line[0]: line[1] for line in lines if len(line) > 1}
        if not mark or not {b"WIDTH", b"HEIGHT", b"DEPTH", b"MAXVAL"} <= set(fields):
            raise ValueError("damaged header")
        names = (b"WIDTH", b"HEIGHT", b"DEPTH", b"MAXVAL")
        self.width, self.height, self.channels, self._most = (int(fields[name]) for name in names)
        self._start = len(head) + len(mark)

    def metadata(self) -> Metadata:
        """Return nothing: these formats hold none."""
        return Metadata()

    def pixels(self) -> np.ndarray:
        """Return H x W x channels, uint8 or uint16.

        Raises:
            ValueError: they are damaged or cut short.
        """
        shape = (self.height, self.width, self.channels)
        count = self.height * self.width * self.channels
        if self._kind == 4:
            row = (self.width + 7) // 8
            packed = np.frombuffer(self._data, np.uint8, row * self.height, self._start).reshape(self.height, row)
            return 255 * (1 - np.unpackbits(packed, axis=1, count=self.width)).reshape(shape)
        values = self._plain(count) if self._kind < 4 else self._binary(count)
        peak = 65535 if self.deep else 255
        if values.max() > self._most:
            raise ValueError("a value is too large")
        if self._most != peak:
            table = np.rint(np.arange(self._most + 1) * (peak / self._most))
            values = table.astype(np.uint16 if self.deep else np.uint8)[values]
        return (peak - values if self._kind == 1 else values).reshape(shape)

    def _binary(self, count: int) -> np.ndarray:
        found = np.frombuffer(self._data, ">u2" if self.deep else np.uint8, count, self._start)
        return found.astype(np.uint16) if self.deep else found

    def _plain(self, count: int) -> np.ndarray:
        text = re.sub(rb"#[^\n\r]*", b"", self._data[self._start :])
        if self._kind == 1:  # needs no space between its digits
            found = np.frombuffer(re.sub(rb"\s+", b"", text), np.uint8, count) - ord("0")
        else:
            if re.search(rb"[^\d\s]", text):
                raise ValueError("no number")
            numbers = np.fromstring(text, np.int64, sep=" ")[:count]
            if len(numbers) < count or numbers.max() > self._most:
                raise ValueError("cut short, or a value is too large")
            found = numbers.astype(np.uint16 if self.deep else np.uint8)
        return found
