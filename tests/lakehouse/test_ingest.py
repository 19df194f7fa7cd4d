"""Ingestion against a model written from the rules alone, through every kind of history a landing folder can have."""

import random
from collections import Counter

import pytest
from house import House
from model import Model

SITES = ("A", "B", "Ä b")
DAYS = ("2020-01-01", "2020-01-02", "2020-01-03", "2020-02-30")


def body(random_: random.Random, site: str) -> bytes:
    """A file as a site might send it: mostly sound, at times with broken lines, at times refused whole."""
    kind = random_.random()
    if kind < 0.04:
        return b""
    if kind < 0.08:
        return b"SENSOR,HOUR,CELSIUS\nx\xff,1,2\n"
    if kind < 0.14:
        return b"SENSOR,HOUR\ns1,1\ns2,2\n"
    if kind < 0.18:
        return b"SENSOR,HOUR,CELSIUS\n"
    if kind < 0.24:
        return b"SENSOR,HOUR,CELSIUS\ns1,1\n,1,2\ns1,1,hot\n"
    sensors = [f"{site}1", f"{site}2", f"{site}3", "shared"]
    rows = []
    for _ in range(random_.randint(1, 6)):
        sensor = random_.choices(sensors, (3, 3, 3, 1))[0]
        hour = random_.choice(["", "1", "2", "noon"])
        rows.append(f"{sensor},{hour},{random_.choice(['', '1.5', '-2', '30'])}")
    if random_.random() < 0.5:
        broken = ("s", "s,1,2,3", ",1,2", "s,24,2", "s,1,warm", "s,99,cold", "s,1,101", "")
        rows.insert(random_.randrange(len(rows) + 1), random_.choice(broken))
    return ("SENSOR,HOUR,CELSIUS\n" + "\n".join(rows) + random_.choice(["", "\n"])).encode()


def step(random_: random.Random, house: House) -> None:
    """One thing that happens to a landing folder, most often something new or corrected."""
    there = sorted(house.landing.rglob("*.csv"))
    name = f"thermometer_{random_.choices(DAYS, (4, 4, 4, 1))[0]}.csv"
    path = house.landing / random_.choice(SITES) / name
    what = random_.choice(["write", "write", "write", "correct", "correct", "copy", "touch", "return"])
    if what == "correct" and there:
        path = random_.choice(there)
    if what in {"copy", "touch", "return"} and there:
        source = random_.choice(there)
        data = source.read_bytes()
        if what == "touch":
            path = source
        elif what == "return":
            path = source
            data = b"SENSOR,HOUR,CELSIUS\nback,1,1\n" if b"back" not in data else b"SENSOR,HOUR,CELSIUS\nagain,1,1\n"
    else:
        data = body(random_, path.parent.name)
    house.land(str(path.relative_to(house.landing)), data)


def seen(house: House, model: Model) -> None:
    for file in house.landing.rglob("*.csv"):
        model.see(str(file.relative_to(house.landing)), file.read_bytes())


def shown(house: House) -> dict[str, Counter[tuple[object, ...]]]:
    """The engine's tables in the model's terms."""
    origin = ("_file", "_checksum", "_line")
    columns = {
        "raw": origin,
        "processed": (
            "sensor",
            "hour",
            "celsius_text",
            "celsius",
            "_file",
            "_line",
            "_checksum",
            "_delivered",
            "_site",
        ),
        "quarantine": (*origin, "reasons", "_text"),
        "superseded": (*origin, "_kind", "_winner_file", "_winner_checksum", "_winner_line"),
        "account": (
            *("_file", "_checksum", "_observation", "_delivered", "_site", "bytes", "records"),
            *("accepted", "quarantined", "superseded", "state", "reason"),
        ),
    }
    tables, layers = {}, house.read()
    for layer, names in columns.items():
        rows = layers[layer].select(names).rows(named=True)
        if layer == "quarantine":
            rows = [{**row, "reasons": frozenset(row["reasons"])} for row in rows]
        if layer == "account":
            rows = [{**row, "reason": row["reason"] is not None} for row in rows]
        tables[layer] = Counter(tuple(row.values()) for row in rows)
    return tables


@pytest.mark.parametrize("seed", range(10))
def test_any_history_gives_what_the_rules_say(house: House, seed: int) -> None:
    random_ = random.Random(seed)
    model = Model()
    for _ in range(6):
        house.batch_bytes = random_.choice([1, 10**6, 10**6, 10**6])
        for _ in range(random_.randint(1, 3)):
            step(random_, house)
        house.run()
        seen(house, model)
        expected, got = model.tables(), shown(house)
        for layer, rows in expected.items():
            assert got[layer] - rows == Counter(), f"{layer} has rows too many"
            assert rows - got[layer] == Counter(), f"{layer} lacks rows"
        assert house.unbalanced().is_empty()
        assert house.idle()
