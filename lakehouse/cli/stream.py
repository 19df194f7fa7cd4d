"""The command that judges streams as their events come."""

import signal
import threading
from typing import Annotated

import polars as pl
import typer
from rich.markup import escape

from assets import catalog
from lakehouse.cli.show import err, out
from lakehouse.errors import ConfigurationError, DefinitionError, LakehouseError
from lakehouse.lake import Lake
from lakehouse.settings import Settings
from lakehouse.streaming import Stream
from lakehouse.streaming.pulse import looks
from lakehouse.streaming.service import Addresses, Service

_STANDING: dict[str, pl.DataType] = {
    "stream": pl.String(),
    "source": pl.String(),
    "system": pl.String(),
    "events": pl.Int64(),
    "seconds": pl.Float64(),
    "so far": pl.String(),
    "state": pl.String(),
}


def stream(
    names: Annotated[list[str] | None, typer.Argument(help="Streams by name; without names, all of them.")] = None,
    once: Annotated[bool, typer.Option("--once", help="End when all that is there has been judged.")] = False,
) -> None:
    """Judge the events of streams as they come, and send out alerts, until Ctrl-C or SIGTERM.

    An alert goes to its topic and webhook at once, at least once and under an id that stays the same, and comes
    on record in the table **alerts/NAME** within a minute and a half, exactly once. Stopped or killed, it goes on from
    there with the next start: nothing is missed. Run one service of each stream; a second one gives up.

    **LAKEHOUSE_SYSTEM_NAME** is the address of a stream's system, kafka://[user:password@]host:port[,host:port], and
    that of its webhook, https://…; without a webhook's address, none is called. A line on how it goes comes every half
    minute: events, alerts, late events, what waits and why.

        lakehouse stream wearable
        lakehouse sql 'select rule, key, "at", says from alerts.wearable order by "at" desc limit 20'
    """
    settings = Settings.load()
    chosen = [_named(name) for name in dict.fromkeys(names)] if names else list(catalog.streams())
    lake, stop = Lake(settings.lake_uri), threading.Event()
    services = {item.name: Service(item, lake, _addresses(settings, item), _tell) for item in chosen}
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    failed: dict[str, LakehouseError] = {}

    def work(name: str, service: Service) -> None:
        try:
            service.run(stop, once=once)
        except LakehouseError as error:
            failed[name] = error
        finally:
            # One that fails ends all: whoever keeps the command running starts them anew, together.
            if failed or not once:
                stop.set()

    threads = [threading.Thread(target=work, args=item, name=item[0]) for item in services.items()]
    for thread in threads:
        thread.start()
    out.print(f"Judging {', '.join(services)}{'' if once else '; Ctrl-C stops it'}")
    for thread in threads:
        # With a limit, so that signals are heard meanwhile.
        while thread.is_alive():
            thread.join(0.5)
    for number, handler in before.items():
        signal.signal(number, handler)
    if failed:
        raise LakehouseError("; ".join(f"stream {name}: {error}" for name, error in failed.items()))


def standing(settings: Settings) -> pl.DataFrame:
    """A row for each stream: whether its service is at work, what waits to be judged, and what became of all."""
    streams, found = catalog.streams(), []
    standing = looks(Lake(settings.lake_uri), [(item, settings.system(item.system)) for item in streams])
    for item, one in zip(streams, standing, strict=True):
        counts = ", ".join(f"{number:,} {name}" for name, number in one.counts.items() if number)
        state = one.trouble or one.state
        found.append((item.name, item.source.name, item.system, one.events, one.seconds, counts, state))
    return pl.DataFrame(found, schema=_STANDING, orient="row")


def _named(name: str) -> Stream:
    by_name = {item.name: item for item in catalog.streams()}
    if name not in by_name:
        raise DefinitionError(f"there is no stream {name!r}; there are {', '.join(by_name) or 'none yet'}")
    return by_name[name]


def _addresses(settings: Settings, item: Stream) -> Addresses:
    brokers = settings.system(item.system)
    if brokers is None:
        raise ConfigurationError(
            f"stream {item.name}: LAKEHOUSE_SYSTEM_{item.system.upper()} is not set; set it to the address of its "
            "brokers, kafka://host:port"
        )
    webhook = settings.system(item.webhook) if item.webhook else None
    if item.webhook and webhook is None:
        _tell(f"{item.name}: LAKEHOUSE_SYSTEM_{item.webhook.upper()} is not set: no webhook is called")
    return Addresses(brokers, webhook)


def _tell(line: str) -> None:
    err.print(escape(line), soft_wrap=True)
