"""What a page below a path of a reverse proxy does, from the first request to the last."""

import re
from urllib.parse import urljoin

import httpx


def use_everything(url: str, prefix: str, key: str) -> None:
    """Load the page and the documentation, sign in, search and index.

    url: of the proxy.
    prefix: the path below which it shows the server.
    key: of the server, which holds the photo of a cat.
    """
    with httpx.Client(timeout=60, headers={"Origin": url}) as client:
        page = f"{url}{prefix}/"
        # The page and the documentation, with all that they load.
        pending, seen = [page, f"{page}docs"], set()
        while pending:
            address = pending.pop()
            if address in seen:
                continue
            seen.add(address)
            answer = client.get(address)
            assert answer.status_code == 200, address
            if "html" in answer.headers["content-type"]:
                found = re.findall(r'(?:src|href)="([^"#]+)"', answer.text)
            elif address.endswith(".js") and "/docs/" not in address:
                found = re.findall(r'from "([^"]+)"', answer.text)
                assert '"/v1' not in answer.text
            else:
                continue
            pending += [urljoin(address, one) for one in found]
        assert any(address.endswith("/static/grid.js") for address in seen)
        assert client.get(f"{page}openapi.json").json()["servers"] == [{"url": prefix}]
        # A session, whose cookie is for this path only.
        assert client.get(f"{page}v1/status").status_code == 401
        signed_in = client.post(f"{page}v1/session", json={"key": key})
        assert f"Path={prefix};" in signed_in.headers["set-cookie"]
        answer = client.get(f"{page}v1/search?q=a+cat&k=1").json()
        hit = answer["hits"][0]
        for link in (hit["thumbnail"], hit["file"]):
            assert link.startswith(f"{prefix}/v1/images/")
            assert client.get(urljoin(page, link)).headers["content-type"].startswith("image/")
        details = client.get(f"{page}v1/images/{hit['id']}").json()
        assert details["thumbnail"] == hit["thumbnail"]
        job = client.post(f"{page}v1/index", json={})
        assert job.headers["location"].startswith(f"{prefix}/v1/jobs/")
        assert client.get(urljoin(page, job.headers["location"])).status_code == 200
        client.delete(f"{page}v1/session")
        assert client.get(f"{page}v1/status").status_code == 401
        assert client.get(f"{page}v1/nothing").status_code == 404
