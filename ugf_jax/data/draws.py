"""A stream of random numbers from one key, quick for a few draws and the same on every machine and forever."""

_MASK = 2**64 - 1
_GOLDEN = 0x9E3779B97F4A7C15


class Draws:
    """A stream of random numbers from one key (SplitMix64; Steele et al. 2014)."""

    def __init__(self, key: int):
        """Starts the stream."""
        self._state = key & _MASK

    def bits(self) -> int:
        """64 random bits."""
        self._state = (self._state + _GOLDEN) & _MASK
        x = self._state
        x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _MASK
        return x ^ (x >> 31)

    def fraction(self) -> float:
        """Uniform in [0, 1)."""
        return (self.bits() >> 11) * 2.0**-53

    def below(self, limit: int) -> int:
        """Uniform in [0, limit)."""
        return self.bits() * limit >> 64

    def some(self, count: int, most: int) -> list[int]:
        """Up to `most` different numbers below `count`, in random order."""
        numbers = list(range(count))
        for i in range(min(most, count - 1)):
            j = i + self.below(count - i)
            numbers[i], numbers[j] = numbers[j], numbers[i]
        return numbers[:most]
