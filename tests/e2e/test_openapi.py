"""The OpenAPI document: complete, unchanged unless on purpose, and kept by the server."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.servers import Served, serving

SNAPSHOT = Path(__file__).with_name("openapi.json")


def test_openapi_document_equals_the_snapshot(served: Served) -> None:
    document = served.get("/openapi.json").json()
    # When it changes on purpose: python scripts/write_openapi.py
    assert document == json.loads(SNAPSHOT.read_text()), "the API has changed"


def test_operations_have_summaries_and_problems(served: Served) -> None:
    document = served.get("/openapi.json").json()
    problem = {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation["summary"], (method, path)
            for status in ("4XX", "503"):
                content = operation["responses"][status]["content"]
                assert content == {"application/problem+json": problem}, (method, path)


@pytest.fixture
def changed(photos_indexed: tuple[Path, Path], tmp_path: Path) -> Iterator[Served]:
    """A server whose images may be tagged by whatever is sent to it."""
    shutil.copytree(photos_indexed[1], tmp_path / "collection")
    with serving(tmp_path / "collection") as server:
        yield server


def test_schemathesis_finds_no_violation(changed: Served) -> None:
    schemathesis = pytest.importorskip("schemathesis")
    from hypothesis import HealthCheck, Phase, given, seed, settings

    schema = schemathesis.openapi.from_url(f"{changed.url}/openapi.json")
    tried = 0
    for found in schema.get_all_operations():
        operation = found.ok()
        if operation.path.endswith("/events"):
            continue  # a stream
        if (operation.method.upper(), operation.path) == ("POST", "/v1/index"):
            continue  # what it starts is tried elsewhere

        @seed(20261124)
        @settings(
            max_examples=40,
            deadline=None,
            database=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def check(case: "schemathesis.Case") -> None:
            nonlocal tried
            tried += 1
            response = case.call()
            assert response.status_code < 500 or response.status_code == 503
            case.validate_response(
                response,
                checks=[
                    schemathesis.checks.not_a_server_error,
                    schemathesis.checks.status_code_conformance,
                    schemathesis.checks.content_type_conformance,
                    schemathesis.checks.response_schema_conformance,
                ],
            )

        check()
    assert tried > 400
