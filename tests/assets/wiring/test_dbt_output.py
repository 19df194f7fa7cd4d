"""What dbt says of a failure may quote a row; what Dagster keeps of it does not."""

import io
import json
from contextlib import redirect_stdout

import pytest

from assets.wiring.dbt import FirstLines, _told


def test_only_the_first_line_of_a_message_passes():
    out = io.StringIO()
    with redirect_stdout(FirstLines(out)):
        print('Database Error in model stg_subjects\n  invalid input syntax for type integer: "01-701-1015"')
        print("done")
    FirstLines(out).write('Failure in test\n  got "01-701-1015"\n')
    assert out.getvalue() == "Database Error in model stg_subjects\ndone\nFailure in test\n"


class Build:
    def __init__(self, results: object) -> None:
        self._results = results

    def get_artifact(self, name: str) -> dict[str, object]:
        assert name == "run_results.json"
        if isinstance(self._results, Exception):
            raise self._results
        return json.loads(json.dumps({"results": self._results}))


def test_a_failure_names_models_and_tests_and_how_to_see_why():
    quoted = 'invalid input syntax for type integer: "01-701-1015"'
    results = [
        {"unique_id": "model.lakehouse.stg_subjects", "status": "error", "message": quoted},
        {"unique_id": "test.lakehouse.unique_dim_site_siteid.0f", "status": "fail", "message": "Got 3 results"},
        {"unique_id": "model.lakehouse.dim_site", "status": "success", "message": "01-701-1015"},
    ]
    told = _told(Build(results))
    assert "dbt: stg_subjects, unique_dim_site_siteid failed" in told
    assert "dbt build -s stg_subjects unique_dim_site_siteid" in told
    assert "1015" not in told


@pytest.mark.parametrize(
    "error", [FileNotFoundError("no run_results.json"), ValueError("not JSON"), KeyError("results")]
)
def test_a_project_that_cannot_even_begin_is_told(error):
    assert "dbt: the project failed" in _told(Build(error))
