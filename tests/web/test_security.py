from starlette.applications import Starlette
from starlette.responses import HTMLResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from spatialnet.web import stack
from spatialnet.web.security import content_security_policy


def page() -> TestClient:
    app = Starlette(routes=[Route("/", lambda _request: HTMLResponse("<p>hello"))], middleware=stack())
    return TestClient(app, base_url="http://127.0.0.1:8501")


def test_the_server_answers_to_its_own_name_only(client):
    assert client.get("/api/labels", headers={"host": "evil.example"}).status_code == 400
    assert page().get("/", headers={"host": "evil.example"}).status_code == 400
    assert page().get("/", headers={"host": "localhost:8501"}).status_code == 200


def test_every_answer_carries_the_headers(client):
    for answer in (
        page().get("/"),
        client.get("/chips/hills/1.png"),
        client.get("/chips/hills/99.png"),
        client.get("/x"),
    ):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'self'" in answer.headers["content-security-policy"]
    assert client.get("/chips/hills/1.png").headers["cross-origin-resource-policy"] == "same-origin"


def test_a_page_may_only_talk_to_its_own_server():
    policy = dict(part.split(" ", 1) for part in content_security_policy("127.0.0.1:8501").split("; "))
    assert policy["connect-src"] == "'self' ws://127.0.0.1:8501 wss://127.0.0.1:8501"
    for sources in policy.values():
        assert "http:" not in sources
        assert "*" not in sources
    assert "evil" not in content_security_policy("a; script-src evil")


def test_a_session_cookie_is_set_once_on_pages(client):
    with page() as browser:
        first = browser.get("/")
        cookie = first.headers["set-cookie"]
        assert cookie.startswith("sn_sid=")
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert "set-cookie" not in browser.get("/").headers
    assert "set-cookie" not in client.get("/chips/hills/1.png").headers
    forged = page().get("/", headers={"cookie": "sn_sid=<script>"})
    assert forged.headers["set-cookie"].startswith("sn_sid=")
