"""Runs a command and tells, as a line of JSON, what it took together with everything it started.

    python bench/watched.py PATIENCE SERVER COMMAND…

Seconds on the clock, seconds of CPU, and the most memory that was resident at one time; the command's exit code, the
last line it printed and the end of what it complained of. After PATIENCE seconds it is ended. SERVER is the process id
of a server that works for the command and whose share counts too; 0 when there is none.
"""

import ctypes
import json
import os
import resource
import signal
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import IO

# Processes whose parent has ended become this one's children, which it then waits for: a JVM outlives its Python.
_PR_SET_CHILD_SUBREAPER = 36
_EVERY = 0.02
# So long may what the command started go on after its end.
_LINGER = 30.0


def main(patience: float, server: int, command: list[str]) -> None:
    """Run the command and print what it took."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    before = server_cpu(server)
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as complained:
        begun = time.perf_counter()
        streams = [(os.POSIX_SPAWN_DUP2, said.fileno(), 1), (os.POSIX_SPAWN_DUP2, complained.fileno(), 2)]
        child = os.posix_spawn(command[0], command, os.environ, file_actions=streams)
        watch = Watch(server, begun + patience)
        watch.start()
        wall, code = 0.0, 0
        # Until nobody is left to wait for.
        with suppress(ChildProcessError):
            while True:
                ended, status = os.waitpid(-1, 0)
                if ended == child:
                    wall, code = time.perf_counter() - begun, os.waitstatus_to_exitcode(status)
                    watch.until = min(watch.until, time.perf_counter() + _LINGER)
        watch.over.set()
        watch.join()
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        told = {
            "code": code,
            "wall": wall,
            "cpu": used.ru_utime + used.ru_stime + server_cpu(server) - before,
            "peak_mb": watch.peak / 1024,
            "said": _end(said, 1),
            "complained": _end(complained, 20),
        }
    print(json.dumps(told))


class Watch(threading.Thread):
    """Looks at the memory of all processes every 20 ms, and ends them when it is time."""

    def __init__(self, server: int, until: float) -> None:
        super().__init__(daemon=True)
        self.until = until
        self.over, self.peak = threading.Event(), 0
        # Of every process there is, whether it comes from the command (1), from the server (2) or neither (0).
        self.known = {0: 0, os.getpid(): 1} | ({server: 2} if server else {})

    def run(self) -> None:
        while not self.over.wait(_EVERY):
            there = processes()
            self.known = {process: kind for process, kind in self.known.items() if process in there or not process}
            kinds = {process: self._kind(process) for process in there}
            watched = [process for process, kind in kinds.items() if kind and process != os.getpid()]
            self.peak = max(self.peak, resident(watched))
            if time.perf_counter() > self.until:
                for process in watched:
                    if kinds[process] == 1:
                        with suppress(ProcessLookupError):
                            os.kill(process, signal.SIGKILL)

    def _kind(self, process: int) -> int:
        if process not in self.known:
            self.known[process] = self._kind(parent(process))
        return self.known[process]


def processes() -> set[int]:
    """The ids of all processes."""
    return {int(name) for name in os.listdir("/proc") if name.isdigit()}  # noqa: PTH208 (many times a second)


def parent(process: int) -> int:
    """The id of a process's parent; 0 for none."""
    return int(_stat(process)[1])


def _stat(process: int) -> list[str]:
    """Of the operating system's account of a process what follows its name: state, parent, …; zeros when it is gone."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ["0"] * 20


def resident(watched: list[int]) -> int:
    """Kilobytes in memory; memory that processes share (PostgreSQL's buffers) counts once."""
    own, shared = 0, 0
    for process in watched:
        with suppress(OSError):
            lines = Path(f"/proc/{process}/status").read_text().splitlines()
            said = {
                name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines) if "Rss" in name
            }
            own += said.get("RssAnon", 0) + said.get("RssFile", 0)
            shared = max(shared, said.get("RssShmem", 0))
    return own + shared


def server_cpu(server: int) -> float:
    """Seconds of CPU that a server and its children took so far, those that ended too."""
    them = [process for process in processes() if server and server in (process, parent(process))]
    return sum(int(ticks) for process in them for ticks in _stat(process)[11:15]) / os.sysconf("SC_CLK_TCK")


def _end(stream: IO[bytes], lines: int) -> str:
    stream.seek(0)
    return "\n".join(stream.read().decode(errors="replace").strip().splitlines()[-lines:])


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
