"""Problem documents, for errors that no route foresees."""

from starlette.testclient import TestClient

from api import create_app


def test_an_unexpected_error_is_a_problem_document() -> None:
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
