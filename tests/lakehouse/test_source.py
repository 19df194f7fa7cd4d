"""A source is refused when it is declared, not when it is used."""

import sys
from dataclasses import FrozenInstanceError, replace
from datetime import date
from pathlib import Path
from types import ModuleType

import dataframely as dy
import polars as pl
import pytest
from house import House
from thermometer import THERMOMETER

from lakehouse.contract import Contract
from lakehouse.errors import SourceError
from lakehouse.source import Source


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "Thermo"}, "'Thermo': a name is lower snake case"),
        ({"name": "1st"}, "lower snake case"),
        ({"name": "a-b"}, "lower snake case"),
        ({"name": "a/b"}, "lower snake case"),
        ({"name": ""}, "lower snake case"),
        ({"name": "thermo\n"}, "lower snake case"),
        ({"key": ("sensor", "_site")}, "key columns ['_site'] are the engine's"),
        ({"key": ("sensor", "minute")}, "key columns ['minute'] are not in its contract, which has"),
        ({"key": ()}, "without a key nothing tells a correction from a new row"),
        ({"columns": ("SENSOR", "SENSOR")}, "header columns ['SENSOR'] are declared twice"),
        ({"optional": ("SENSOR",)}, "header columns ['SENSOR'] are declared twice"),
        ({"columns": ("SENSOR", "_line")}, "['_line'] begin with '_'"),
        ({"optional": ("_note",)}, "['_note'] begin with '_'"),
        ({"path": "{site}/thermometer.csv"}, "must hold {site} and {day}"),
        ({"path": "thermometer_{day}.csv"}, "must hold {site} and {day}"),
        ({"path": "{site}/{kind}_{day}.csv"}, "{kind}"),
        ({"path": "{site}/{day}/{day}.csv"}, "{day}"),
    ],
)
def test_a_declaration_that_cannot_work_says_why(changes: dict[str, object], words: str) -> None:
    with pytest.raises(SourceError) as raised:
        replace(THERMOMETER, **changes)  # type: ignore[arg-type]
    assert words in str(raised.value)


@pytest.mark.parametrize(
    "name", ["kind", "tag", "was", "standing", "rule", "explanation", "reasons", "records", "whole", "state", "value"]
)
def test_a_column_may_be_called_as_the_engine_calls_its_own_or_is_refused(house: House, name: str) -> None:
    contract = type("Named", (Contract,), {"sensor": dy.String(), name: dy.String(), "__module__": __name__})
    columns = ("sensor", name)
    try:
        source = Source(
            name="thermometer",
            description="Sensors.",
            owner="team:weather",
            contract=contract,
            tidy=lambda raw: raw.select(*columns, pl.col("^_.*$").exclude("_extra")),
            key=columns,
            columns=columns,
        )
    except SourceError:
        return
    house = replace(house, source=source)
    house.land("A/thermometer_2020-01-01.csv", f"sensor,{name}\na,x\na,y\na,y\n,z\n".encode())
    house.run()
    house.land("A/thermometer_2020-01-02.csv", f"sensor,{name}\na,x\n".encode())
    house.land("B/thermometer_2020-01-02.csv", f"sensor,{name}\na,y\n".encode())
    house.run()
    assert house.table("processed").select(*columns, "_delivered").rows() == [("a", "x", date(2020, 1, 2))]
    assert house.table("superseded").filter(pl.col("_winner_line") == 2).select("_line").rows() == [(2,)]
    assert sorted(house.table("quarantine")["_line"].to_list()) == [2, 3, 4, 5]
    assert house.unbalanced().is_empty()


def test_a_source_does_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        THERMOMETER.name = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("template", "path", "fields"),
    [
        ("{site}/{name}_{day}.csv", "A/thermometer_2020-01-01.csv", ("A", "2020-01-01")),
        ("{site}/{name}_{day}.csv", "A/thermometer_soon.csv", ("A", "soon")),
        ("{site}/{name}_{day}.csv", "A/other_2020-01-01.csv", None),
        ("{site}/{name}_{day}.csv", "A/B/thermometer_2020-01-01.csv", None),
        ("{site}/{name}_{day}.csv", "thermometer_2020-01-01.csv", None),
        ("{site}/{name}_{day}.csv", "A/thermometer_2020-01-01xcsv", None),
        ("{site}/{name}_{day}.csv", "A/thermometer_2020-01-01.csv.gz", None),
        ("{site}/{name}_{day}.csv", "A/thermometer_.csv", None),
        ("in (x)/{day}/{site}+{name}.txt", "in (x)/2020-01-01/A+thermometer.txt", ("A", "2020-01-01")),
        ("in (x)/{day}/{site}+{name}.txt", "in x/2020-01-01/AAthermometer.txt", None),
    ],
)
def test_a_path_tells_site_and_day(template: str, path: str, fields: tuple[str, str] | None) -> None:
    match = replace(THERMOMETER, path=template).pattern.fullmatch(path)
    assert (match and (match["site"], match["day"])) == fields


def test_the_header_is_what_must_be_and_what_may_be() -> None:
    assert THERMOMETER.header == ("SENSOR", "HOUR", "CELSIUS", "NOTE")


MODULE = '''
"""A contract in a module of its own."""
import dataframely as dy
from lakehouse.contract import Contract

LIMIT = 100

class Thing(Contract):
    """A thing."""
    name = dy.String()
    size = dy.Int64(max=LIMIT)
'''


def version(folder: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> str:
    """The contract version of a source whose contract is declared by this code."""
    file = folder / f"things_{len(list(folder.iterdir()))}.py"
    file.write_text(code)
    module = ModuleType(file.stem)
    module.__file__ = str(file)
    monkeypatch.setitem(sys.modules, file.stem, module)
    exec(compile(code, str(file), "exec"), module.__dict__)  # noqa: S102 (this test's own text)
    contract: type[Contract] = module.Thing
    return replace(THERMOMETER, contract=contract, key=("name",)).contract_version


def test_the_contract_version_follows_the_code_and_not_its_comments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = version(tmp_path, monkeypatch, MODULE)
    assert len(first) == 12
    assert version(tmp_path, monkeypatch, MODULE.replace("\nLIMIT", "\n# the largest thing\nLIMIT")) == first
    assert version(tmp_path, monkeypatch, MODULE.replace("max=LIMIT", "max = LIMIT")) == first
    assert version(tmp_path, monkeypatch, MODULE.replace("100", "101")) != first
    assert version(tmp_path, monkeypatch, MODULE.replace("dy.String()", "dy.String(nullable=True)")) != first


def test_every_source_field_is_named_when_it_is_made() -> None:
    with pytest.raises(TypeError):
        Source("thermometer")  # type: ignore[call-arg,misc]
