"""A line to a server that can be cut and can be slow: between a feed and its system, for tests."""

import random
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress

_PIECE = 128


class Line:
    """Passes on what comes to `listener` to a server at `target`, each connection whole or, by chance, in trickles."""

    def __init__(self, listener: socket.socket, target: str | tuple[str, int], chance: random.Random) -> None:
        self._listener, self._target, self._chance = listener, target, chance
        self._open: list[socket.socket] = []
        self._lock = threading.Lock()
        self.connections = self.slow = self.cuts = 0
        listener.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """End all connections where they are; whether there were any is counted."""
        with self._lock:
            ended, self._open = self._open, []
        self.cuts += bool(ended)
        for one in ended:
            _end(one)

    def watched(self) -> Callable[[], bool]:
        """Tells whether anybody connected from now on."""
        before = self.connections
        return lambda: self.connections > before

    def close(self) -> None:
        _end(self._listener)
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.socket(self._listener.family)
            try:
                far.connect(self._target)
            except OSError:
                near.close()
                far.close()
                continue
            slow = self._chance.random() < 0.2
            self.connections, self.slow = self.connections + 1, self.slow + slow
            with self._lock:
                self._open += [near, far]
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pass, args=(source, sink, slow), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket, slow: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                for begin in range(0, len(data), _PIECE if slow else len(data)):
                    sink.sendall(data[begin : begin + _PIECE] if slow else data)
                    if slow:
                        time.sleep(0.001)
        for one in (source, sink):
            _end(one)
        with self._lock:
            self._open = [one for one in self._open if one not in (source, sink)]


def _end(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
