"""The command that keeps a lakehouse running: web interface, daemon, warehouse, and the pages of reports."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from assets.report.page import FOLDER
from lakehouse import postgres
from lakehouse.cli.show import out
from lakehouse.errors import UnavailableError
from lakehouse.settings import PROJECT, Settings, inherited
from resources import instance


def up(
    port: Annotated[
        int, typer.Option(help="Port of the web interface; the pages of reports are served on the next one.")
    ] = 3000,
) -> None:
    """Start the web interface, the daemon that runs sensors and schedules, and the warehouse. Ctrl-C stops them all."""
    settings = Settings.load()
    with postgres.serving(settings) as url:
        environment = {**inherited(), **instance.environment(settings, url)}
        workspace = ["-w", str(PROJECT / "workspace.yaml")]
        tool = Path(sys.executable).with_name
        commands = {
            "dagster-daemon": [str(tool("dagster-daemon")), "run", *workspace],
            "dagster-webserver": [str(tool("dagster-webserver")), "-p", str(port), *workspace],
        }
        if not settings.reports:
            folder = settings.home / FOLDER
            folder.mkdir(parents=True, exist_ok=True)
            where = ["--bind", "127.0.0.1", "--directory", str(folder)]
            commands["the server of reports"] = [sys.executable, "-m", "http.server", str(port + 1), *where]
            environment["LAKEHOUSE_REPORTS"] = f"http://127.0.0.1:{port + 1}"
        children = {
            name: subprocess.Popen(command, env=environment, start_new_session=True)
            for name, command in commands.items()
        }
        out.print(f"Lakehouse: [b]http://127.0.0.1:{port}[/b]   drop files into {settings.landing}   Ctrl-C stops it")
        try:
            _wait(children)
        finally:
            _stop(list(children.values()))
    out.print("Stopped.")


def _wait(children: dict[str, subprocess.Popen[bytes]]) -> None:
    """Until Ctrl-C or SIGTERM, or until a child ends, which is an error."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    try:
        while True:
            for name, child in children.items():
                if child.poll() is not None:
                    raise UnavailableError(f"{name} ended with code {child.returncode}; its messages are above")
            time.sleep(0.5)
    except KeyboardInterrupt:
        return


def _stop(children: list[subprocess.Popen[bytes]]) -> None:
    """Ask the children to stop, then whatever they left behind; a run cut short is completed by the next."""
    for child in children:
        child.send_signal(signal.SIGINT)
    deadline = time.monotonic() + 15
    for child in children:
        with suppress(subprocess.TimeoutExpired):
            child.wait(max(0.1, deadline - time.monotonic()))
    for word in (signal.SIGTERM, signal.SIGKILL):
        for child in children:
            with suppress(ProcessLookupError):
                # Each child leads a process group of its own.
                os.killpg(child.pid, word)
        time.sleep(1)
