"""Bit after bit of a header."""

from __future__ import annotations


class Bits:
    """Reads from the first bit on; `take` past the end is an IndexError."""

    def __init__(self, data: bytes) -> None:
        self.digits, self.place = "".join(f"{byte:08b}" for byte in data), 0

    def take(self, count: int) -> int:
        digits = self.digits[self.place : self.place + count]
        if len(digits) < count:
            raise IndexError
        self.place += count
        return int(digits or "0", 2)

    def golomb(self) -> int:
        """An unsigned exponential Golomb code (ITU-T H.264, 9.1)."""
        zeros = 0
        while not self.take(1):
            zeros += 1
        return (1 << zeros) - 1 + self.take(zeros)

    def signed(self) -> int:
        """A signed one."""
        value = self.golomb()
        return (value + 1) // 2 if value % 2 else -(value // 2)
