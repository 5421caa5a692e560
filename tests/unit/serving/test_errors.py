"""Problem documents, for errors that no route foresees."""

from starlette.testclient import TestClient

from api import create_app


def test_a_fault_of_the_server_is_a_problem_that_tells_nothing_about_it() -> None:
    app = create_app()

    @app.get("/fault")
    async def fault() -> None:
        raise RuntimeError("a secret of the server")

    client = TestClient(app, base_url="http://localhost", raise_server_exceptions=False)
    answer = client.get("/fault", headers={"X-Request-ID": "mine"})
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert "secret" not in answer.text
    assert answer.json()["request_id"] == "mine"
