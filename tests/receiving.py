"""What the receivers do when a picture has come. For the system's Python, in which they run."""


class Count:
    """Says the number of pictures and ends the loop when as many have come as are wanted."""

    def __init__(self, wanted: int, loop) -> None:
        self._wanted, self._loop = wanted, loop
        self._come = 0

    def came(self, *_) -> None:
        self._come += 1
        if self._come == self._wanted:
            print(self._come, flush=True)
            self._loop.quit()
