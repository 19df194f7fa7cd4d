"""The dbt project against a real PostgreSQL: what the marts say, where a build writes, what its log may not say, and
the conventions every model keeps."""

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from served import Warehouse

from assets import catalog
from lakehouse.settings import PROJECT

LAKE = (Path(__file__).parent / "lake.sql").read_text()
JAN_21, MAY_2 = date(2014, 1, 21), date(2014, 5, 2)
JAN, FEB, MAR, APR, MAY = (date(2014, month, 1) for month in range(1, 6))


@dataclass(frozen=True)
class Built:
    """What a production build of `lake.sql` left: rows of each mart on a day, the columns of each table's indexes, the
    parsed project, and what `dbt docs` finds in PostgreSQL."""

    day: date
    marts: dict[str, list[tuple[Any, ...]]]
    indexes: dict[str, list[list[str]]]
    manifest: dict[str, Any]
    catalog: dict[str, Any]


INDEXES = """
select indrelid::regclass::text, (
    select string_agg(pg_get_indexdef(indexrelid, place, true), ' ' order by place)
    from generate_series(1, indnkeyatts) as place
)
from pg_index inner join pg_class on pg_class.oid = indrelid
where relnamespace::regnamespace::text in ('intermediate', 'marts', 'unblinded')"""


@pytest.fixture(scope="module")
def built(server: Warehouse) -> Built:
    server.execute(f"drop schema if exists lake, unblinded cascade; {LAKE}")
    done = server.dbt("build", target="prod")
    assert done.returncode == 0, done.stdout
    order = {
        "dim_subject": "usubjid",
        "dim_site": "siteid",
        "fct_vital_signs": "_file, _checksum, _line",
        "fct_lab_results": "_file, _checksum, _line",
        "mart_enrolment": "siteid, month",
        "mart_site_quality": "siteid, source",
    }
    marts = {mart: server.rows(f"select * from marts.{mart} order by {by}") for mart, by in order.items()}
    indexes: dict[str, list[list[str]]] = {}
    for table, columns in server.rows(INDEXES):
        indexes.setdefault(table, []).append(columns.split())
    [(day,)] = server.rows("select (now() at time zone 'utc')::date")
    docs = server.dbt("docs", "generate", "--no-compile", target="prod")
    assert docs.returncode == 0, docs.stdout
    parsed, catalog = (
        json.loads((server.artifacts("prod") / f"{name}.json").read_text()) for name in ("manifest", "catalog")
    )
    return Built(day, marts, indexes, parsed, catalog)


@pytest.fixture(scope="module")
def manifest(built: Built) -> dict[str, Any]:
    return built.manifest


def test_dim_site_knows_a_site_from_any_of_its_traces(built: Built) -> None:
    assert built.marts["dim_site"] == [
        # siteid, country, region, subjects, enrolled, deliveries, refused, delivery days, first and last delivered
        ("701", "USA", "Northern America", 2, 1, 4, 0, 1, date(2014, 1, 21), date(2014, 1, 21)),
        ("702", "CAN", None, 2, 1, 1, 0, 1, date(2014, 4, 2), date(2014, 4, 2)),
        ("703", None, None, 0, 0, 2, 1, 1, date(2014, 5, 2), date(2014, 5, 2)),
    ]


@pytest.mark.parametrize(
    ("staged", "model"),
    [
        *((f"stg_{name}", f"fct_{name}") for name in ("vital_signs", "lab_results", "adverse_events")),
        ("stg_subjects", "dim_subject"),
        ("stg_subject_history", "dim_subject_history"),
    ],
)
def test_a_fact_or_dimension_has_every_column_of_its_table(manifest: dict[str, Any], staged: str, model: str) -> None:
    models = _models(manifest)
    assert [name for name in models[staged]["columns"] if name not in models[model]["columns"]] == []


def test_what_reference_files_tell_reaches_the_marts(built: Built) -> None:
    columns = list(_models(built.manifest)["fct_lab_results"]["columns"])
    place = columns.index("loinc")
    assert [row[place : place + 2] for row in built.marts["fct_lab_results"]] == [("1742-6", "U/L"), (None, None)]
    columns = list(_models(built.manifest)["dim_subject"]["columns"])
    place = columns.index("region")
    assert [row[place] for row in built.marts["dim_subject"]] == ["Northern America"] * 2 + [None] * 2


def test_dim_subject_places_partial_dates_in_their_month(built: Built) -> None:
    # usubjid, then enrolled, screened month, enrolled month
    assert [(row[0], *row[15:18]) for row in built.marts["dim_subject"]] == [
        ("T-701-1", True, JAN, JAN),
        ("T-701-2", False, JAN, None),
        ("T-702-3", True, MAR, APR),
        ("T-702-4", False, None, None),
    ]


def test_mart_enrolment_has_every_site_and_month(built: Built) -> None:
    assert built.marts["mart_enrolment"] == [
        # siteid, month, screened, enrolled, and both up to then
        ("701", JAN, 2, 1, 2, 1),
        ("701", FEB, 0, 0, 2, 1),
        ("701", MAR, 0, 0, 2, 1),
        ("701", APR, 0, 0, 2, 1),
        ("701", MAY, 0, 0, 2, 1),
        ("702", JAN, 0, 0, 0, 0),
        ("702", FEB, 0, 0, 0, 0),
        ("702", MAR, 1, 0, 1, 0),
        ("702", APR, 0, 1, 1, 1),
        ("702", MAY, 0, 0, 1, 1),
        ("703", JAN, 0, 0, 0, 0),
        ("703", FEB, 0, 0, 0, 0),
        ("703", MAR, 0, 0, 0, 0),
        ("703", APR, 0, 0, 0, 0),
        ("703", MAY, 0, 0, 0, 0),
    ]


def test_mart_site_quality_adds_up_the_account(built: Built) -> None:
    # Its clock runs: the days go on.
    days, late = (built.day - MAY_2).days, (built.day - date(2014, 5, 16)).days
    assert built.marts["mart_site_quality"] == [
        # siteid, source, files, refused; deliveries, their records, accepted, quarantined, superseded; rate, commonest
        # rule, its lines; newest day, days since then, cadence, due by, status, days late, oldest open, in force
        (
            "701",
            "demographics",
            1,
            0,
            1,
            2,
            2,
            0,
            0,
            0.0,
            None,
            None,
            JAN_21,
            20,
            30,
            date(2014, 3, 22),
            "on time",
            0,
            None,
            2,
        ),
        ("701", "labs", 1, 0, 1, 1, 1, 0, 0, 0.0, None, None, JAN_21, 20, 4, date(2014, 1, 29), "silent", 12, None, 1),
        (
            "701",
            "vitals",
            1,
            0,
            2,
            8,
            3,
            1,
            4,
            0.25,
            "vsstresn|max",
            1,
            JAN_21,
            20,
            7,
            date(2014, 2, 4),
            "late",
            6,
            JAN_21,
            4,
        ),
        (
            "702",
            "demographics",
            1,
            0,
            1,
            2,
            2,
            0,
            0,
            0.0,
            None,
            None,
            date(2014, 4, 2),
            None,
            None,
            None,
            None,
            None,
            None,
            2,
        ),
        (
            "703",
            "labs",
            1,
            0,
            1,
            1,
            1,
            0,
            0,
            0.0,
            None,
            None,
            MAY_2,
            days,
            7,
            date(2014, 5, 16),
            "silent",
            late,
            None,
            1,
        ),
        ("703", "vitals", 1, 1, 1, 0, 0, 0, 0, None, None, None, None, None, None, None, None, None, None, 0),
    ]


@pytest.mark.parametrize(
    ("fact", "origins"),
    [
        ("fct_vital_signs", [("701/vitals_2014-01-21.csv", "v2", line) for line in (2, 3, 4)]),
        ("fct_lab_results", [("701/labs_2014-01-21.csv", "l1", 2), ("703/labs_2014-05-02.csv", "l2", 2)]),
    ],
)
def test_every_fact_leads_back_to_its_line(built: Built, fact: str, origins: list[tuple[str, str, int]]) -> None:
    provenance = [(row[-6], row[-4], row[-5]) for row in built.marts[fact]]
    assert provenance == origins
    assert [row[0] for row in built.marts[fact]] == [
        hashlib.md5("|".join(map(str, origin)).encode(), usedforsecurity=False).hexdigest() for origin in origins
    ]


@pytest.mark.usefixtures("built")
def test_what_vanished_upstream_vanishes_in_every_mart(warehouse: Warehouse) -> None:
    warehouse.execute("""
        delete from lake.vital_signs where _line = 3;
        delete from lake.subjects where usubjid = 'T-701-1';
        delete from lake.deliveries where _site = '703';
        delete from lake.lab_results where siteid = '703';
        delete from lake.site_activity where siteid = '703';
        update lake.loads set load = 2;
        insert into lake.touched values
            ('lake.vital_signs', 'T-701-1', 2), ('lake.lab_results', 'T-703-9', 2);
    """)

    done = warehouse.dbt("build", target="prod")

    assert done.returncode == 0, done.stdout
    assert warehouse.rows("select _line from marts.fct_vital_signs order by _line") == [(2,), (4,)]
    assert warehouse.rows("select siteid from marts.fct_lab_results") == [("701",)]
    assert warehouse.rows("select usubjid from marts.dim_subject where siteid = '701'") == [("T-701-2",)]
    assert warehouse.rows("select siteid, subjects, enrolled from marts.dim_site order by siteid") == [
        ("701", 1, 0),
        ("702", 2, 1),
    ]
    assert warehouse.rows("select siteid, month from marts.mart_enrolment order by siteid, month") == [
        (site, month) for site in ("701", "702") for month in (JAN, FEB, MAR, APR)
    ]
    assert warehouse.rows("select count(*) from marts.mart_site_quality where siteid = '703'") == [(0,)]


def test_one_mart_and_all_it_is_made_of_can_be_built_where_nothing_is(warehouse: Warehouse) -> None:
    done = warehouse.dbt("build", "-s", "+mart_enrolment", target="dev", USER="newcomer")
    assert done.returncode == 0, done.stdout
    assert warehouse.rows("select count(*) > 0 from dbt_newcomer_marts.mart_enrolment") == [(True,)]


def test_a_developer_builds_only_in_schemas_of_their_own(warehouse: Warehouse) -> None:
    before = warehouse.relations()

    done = warehouse.dbt("build", target="dev", USER="Alice.Berg")

    assert done.returncode == 0, done.stdout
    made = dict(warehouse.relations().items() - before.items())
    layers = {"staging", "intermediate", "marts", "unblinded"}
    assert {name.split(".")[0] for name in made} == {f"dbt_alice_berg_{layer}" for layer in layers}
    # Every model, and what models remember of those they follow.
    assert len(made) == 51 + 3
    assert before.items() <= warehouse.relations().items()


def test_models_are_not_built_on_a_cut_that_is_not_loaded(warehouse: Warehouse) -> None:
    before = warehouse.schemas()
    done = warehouse.dbt("run", "-s", "stg_parked", "--vars", "{cut: interim_1}", target="dev", USER="anna")
    assert done.returncode != 0
    assert "data cut interim_1 is not loaded into PostgreSQL; nothing was built" in done.stdout
    assert "lakehouse cut build interim_1 --only-load" in done.stdout
    assert warehouse.schemas() == before


def test_a_schema_whose_name_would_be_cut_short_is_refused(server: Warehouse) -> None:
    """The longest name that a cut may have leaves a user's nine letters; this one has ten."""
    cut = "c" * 30
    done = server.dbt("parse", "--vars", f"{{cut: {cut}}}", target="dev", USER="anna.bergh")
    assert done.returncode == 2, done.stdout
    told = " ".join(done.stdout.split())
    assert f"the schema's name dbt_anna_bergh__cut_{cut}__intermediate short: it takes 63 bytes" in told
    assert "set LAKEHOUSE_DBT_SCHEMA to a name that is at least 1 shorter than dbt_anna_bergh" in told


def test_a_failing_test_fails_the_build_and_names_no_subject(warehouse: Warehouse) -> None:
    warehouse.execute("""
        insert into lake.subjects select * from lake.subjects where usubjid = 'T-701-1';
        update lake.deliveries set accepted = accepted + 1 where _checksum = 'v2';
        insert into lake.missing_results (source, paramcd, avisitn, expected, present, not_done, no_result,
            visit_missed, left_study, keep_n, drop_n, carry_n)
        values ('labs', 'ALT', 2, 3, 4, 0, 0, 0, 0, 4, 4, 4);
    """)

    done = warehouse.dbt("build", target="prod")

    assert done.returncode == 1
    results = json.loads((warehouse.artifacts("prod") / "run_results.json").read_text())["results"]
    assert {result["unique_id"].split(".")[2] for result in results if result["status"] == "fail"} == {
        "every_delivery_balances",
        "mart_missing_results_one_row_per_test_and_visit",
        "source_unique_lake_subjects_usubjid",
    }
    told = done.stdout + done.stderr + (warehouse.folder / "dbt.log").read_text() + json.dumps(results)
    assert "T-701" not in told


def _models(manifest: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {node["name"]: node for node in manifest["nodes"].values() if node["resource_type"] == "model"}


def test_every_macro_and_every_test_that_is_sql_of_its_own_is_described(manifest: dict[str, Any]) -> None:
    ours = [node for node in manifest["macros"].values() if node["package_name"] == "lakehouse"]
    assert len(ours) > 30
    tests = [node for node in manifest["nodes"].values() if node["resource_type"] == "test"]
    singular = [node for node in tests if "test_metadata" not in node]
    assert singular
    assert [node["name"] for node in (*ours, *singular) if not node["description"].strip()] == []


def test_the_catalogue_for_dbt_docs_is_whole(built: Built) -> None:
    """What `dbt docs generate` finds in PostgreSQL: every model and source, every column with what it means."""
    known = {**built.manifest["nodes"], **built.manifest["sources"]}
    wanted = {name for name, node in known.items() if node["resource_type"] in {"model", "source"}}
    found = {**built.catalog["nodes"], **built.catalog["sources"]}
    assert wanted - set(found) == set()
    bare = {
        f"{name}.{column}"
        for name in wanted
        for column in found[name]["columns"]
        if not known[name]["columns"].get(column, {}).get("description", "").strip()
    }
    assert bare == set()


def test_every_table_and_column_is_described(manifest: dict[str, Any]) -> None:
    tables = {**_models(manifest), **{f"lake.{node['name']}": node for node in manifest["sources"].values()}}
    assert len(tables) == 51 + 15 + 8
    bare = [
        f"{name}.{column}"
        for name, node in tables.items()
        for column, said in {"": node, **node["columns"]}.items()
        if not said["description"].strip()
    ]
    assert not bare


@pytest.mark.usefixtures("built")
def test_descriptions_are_kept_in_the_database(server: Warehouse) -> None:
    bare = server.rows("""
        select attrelid::regclass::text, attname from pg_attribute
        where attrelid in (select oid from pg_class where relkind = 'r' and relnamespace = 'marts'::regnamespace)
            and attnum > 0 and col_description(attrelid, attnum) is null""")
    assert bare == []


def test_every_column_of_the_lake_is_declared_as_it_is(warehouse: Warehouse, manifest: dict[str, Any]) -> None:
    declared = [
        (node["schema"], node["name"], column["name"], column["data_type"])
        for node in manifest["sources"].values()
        for column in node["columns"].values()
    ]
    there = warehouse.rows(
        "select table_schema, table_name, column_name, data_type from information_schema.columns "
        "where table_schema in ('lake', 'unblinded') and table_name not in ('loads', 'touched')"
    )
    assert sorted(declared) == sorted(there)


def test_every_table_that_is_loaded_is_declared(manifest: dict[str, Any]) -> None:
    declared = {(node["schema"], node["name"]) for node in manifest["sources"].values()}
    assert {(table.schema, table.name) for table in catalog.published()} == declared


def test_every_system_is_known_for_no_site() -> None:
    said = yaml.safe_load((PROJECT / "dbt_project" / "dbt_project.yml").read_text())["vars"]["systems"]
    assert said == sorted({source.feed.system for source in catalog.sources() if source.feed})


def test_a_system_is_no_site(warehouse: Warehouse) -> None:
    warehouse.execute("""
        insert into lake.deliveries select * from lake.deliveries where _checksum = 'v2';
        update lake.deliveries set _site = 'central_lab', source = 'central_lab', _checksum = 'c'
        where ctid = (select max(ctid) from lake.deliveries);
        insert into lake.rejections
        select 'central_lab' as source, 'central_lab' as _site, _delivered, rule, severity, lines, files
        from lake.rejections limit 1;
    """)

    done = warehouse.dbt(
        "build", "-s", "+dim_site", "+dim_site_history", "+mart_site_rejections", target="dev", USER="s"
    )

    assert done.returncode == 0, done.stdout
    for mart in ("dim_site", "dim_site_history", "mart_site_quality", "mart_site_rejections"):
        assert warehouse.rows(f"select siteid from dbt_s_marts.{mart} where siteid = 'central_lab'") == []


def test_every_model_has_an_enforced_contract(manifest: dict[str, Any]) -> None:
    loose = [name for name, node in _models(manifest).items() if not node["config"]["contract"]["enforced"]]
    assert not loose


def test_no_model_declares_a_constraint_whose_error_would_quote_a_row(manifest: dict[str, Any]) -> None:
    constrained = [
        name
        for name, node in _models(manifest).items()
        if node["constraints"] or any(column["constraints"] for column in node["columns"].values())
    ]
    assert not constrained


def test_every_mart_that_computes_has_a_unit_test(manifest: dict[str, Any]) -> None:
    tested = {test["model"] for test in manifest["unit_tests"].values()}
    untested = {name for name, node in _models(manifest).items() if node["fqn"][1] == "marts"} - tested
    # Facts and versions are the lake's rows as they are; the summaries are held to published figures.
    assert untested == {"fct_vital_signs", "fct_lab_results", "fct_adverse_events", "dim_subject_history"}


def test_every_mart_is_tested_for_what_names_a_row(manifest: dict[str, Any]) -> None:
    untested = {name for name in _models(manifest) if name.startswith(("dim_", "fct_", "mart_"))} - set(
        grains(manifest)
    )
    assert untested == set()


def grains(manifest: dict[str, Any]) -> dict[str, list[str]]:
    """By model, the columns that name a row, as its test has them; of an expression, the column in it."""
    found = {}
    for node in manifest["nodes"].values():
        about = node.get("test_metadata") or {}
        if about.get("name") in {"one_row_per", "unique"} and str(node["attached_node"]).startswith("model."):
            given = about["kwargs"]
            key = given["key"] if "key" in given else [given["column_name"]]
            columns = [re.sub(r"^coalesce\((\w+),.*", r"\1", column) for column in key]
            found[node["attached_node"].split(".")[2]] = columns
    return found


def test_every_table_has_the_indexes_that_its_rows_are_found_by(built: Built) -> None:
    """By what names a row, and, where it follows a table, by what its rows are taken out by."""
    named = grains(built.manifest)
    lacking = {}
    for name, node in _models(built.manifest).items():
        if node["config"]["materialized"] == "view":
            continue
        wanted = [named[name]] if name in named else []
        if by := node["config"]["meta"].get("follows", {}).get("by"):
            wanted.append([by])
        assert wanted or name in {"int_site_account", "int_planned_visits"}
        indexes = built.indexes.get(f"{node['schema']}.{name}", [])
        lost = [key for key in wanted if not any(set(index[: len(key)]) == set(key) for index in indexes)]
        if lost:
            lacking[name] = lost
    assert lacking == {}


def test_models_are_named_for_their_layer(manifest: dict[str, Any]) -> None:
    prefixes = {
        "staging": ("stg_",),
        "intermediate": ("int_",),
        "marts": ("dim_", "fct_", "mart_"),
        "unblinded": ("stg_", "int_", "mart_"),
    }
    for name, node in _models(manifest).items():
        layer = node["fqn"][1]
        assert name.startswith(prefixes[layer])
        assert node["schema"] == layer
        assert node["meta"]["dagster"]["group"] == layer


def test_nothing_blinded_is_made_of_what_tells_the_treatment(manifest: dict[str, Any]) -> None:
    """Through however many models, nor by a table's name in their SQL, nor by what they follow."""
    nodes = {**manifest["nodes"], **manifest["sources"]}
    parents = manifest["parent_map"]
    telling = {name for name, node in nodes.items() if node["schema"] == "unblinded"}
    assert "source.lakehouse.unblinded.treatment" in telling
    assert "model.lakehouse.mart_adverse_events_by_treatment" in telling

    def above(name: str) -> set[str]:
        return {name}.union(*(above(parent) for parent in parents.get(name, [])))

    blinded = {name: node for name, node in nodes.items() if node["schema"] in {"staging", "intermediate", "marts"}}
    assert len(blinded) > 20
    assert not [name for name in blinded if above(name) & telling]
    assert not [name for name, node in blinded.items() if "unblinded" in node.get("raw_code", "")]


def test_each_summary_by_treatment_has_its_pooled_twin(manifest: dict[str, Any]) -> None:
    models = _models(manifest)
    by_treatment = {name for name, node in models.items() if node["schema"] == "unblinded" and name.startswith("mart_")}
    assert len(by_treatment) == 6
    for name in by_treatment:
        pooled = models[name.removesuffix("_by_treatment")]
        assert pooled["schema"] == "marts"
        assert set(models[name]["columns"]) - set(pooled["columns"]) == {"treatment", "treatmentn"}


def test_whatever_people_read_names_a_reader_as_the_page_does(manifest: dict[str, Any]) -> None:
    readers = {
        node["name"]: {name.split(".")[2] for name in node["depends_on"]["nodes"]}
        for node in manifest["exposures"].values()
    }
    assert all(node["owner"]["name"] and node["description"].strip() for node in manifest["exposures"].values())
    models = _models(manifest)
    assert set().union(*readers.values()) == {name for name in models if name.startswith(("dim_", "fct_", "mart_"))}
    unblinded = {name for name, read in readers.items() if any(models[one]["schema"] == "unblinded" for one in read)}
    assert unblinded == {"statistician"}
    rows = re.findall(r"^\| `(\w+)` \| (`.*`) \|$", (PROJECT / "docs" / "dbt.md").read_text(), re.MULTILINE)
    assert {name: set(re.findall(r"`(\w+)`", told)) for name, told in rows} == readers


def test_a_view_of_a_mart_has_one_parent_a_table(manifest: dict[str, Any]) -> None:
    """Rebuilding a parent drops the view with it; two parents at once, by two threads, are a deadlock."""
    models = _models(manifest)
    views = {name: node for name, node in models.items() if node["config"]["materialized"] == "view"}
    marts = {name: node for name, node in views.items() if not name.startswith("stg_")}
    assert set(marts) == {"mart_site_quality", "mart_site_visits"}
    for node in marts.values():
        [parent] = node["depends_on"]["nodes"]
        assert parent.split(".")[2] not in views


def test_only_staging_reads_the_lake(manifest: dict[str, Any]) -> None:
    readers = {
        name
        for name, node in _models(manifest).items()
        if any(parent.startswith("source.") for parent in node["depends_on"]["nodes"])
    }
    assert {name for name in readers if not name.startswith("stg_")} == set()
