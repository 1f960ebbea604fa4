"""Attempts of a client without a browser: files, addresses, ways round the queue, results of other sessions."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount
from starlette.testclient import TestClient

from promptsr.zoo.load import WEIGHTS
from tests.workbench.conftest import QUESTIONS, Server, ask, session
from workbench.server.limits import Limits
from workbench.server.route_guard import RouteGuard

ROOT = Path(__file__).parents[3]


@pytest.fixture
def stranger(server: Server) -> httpx.Client:
    return httpx.Client(base_url=server.url, timeout=60)


def call(stranger: httpx.Client, name: str, data: list[Any]) -> str:
    """The events of an endpoint, as text."""
    event = stranger.post(f"/gradio_api/call/{name}", json={"data": data}).json()["event_id"]
    return stranger.get(f"/gradio_api/call/{name}/{event}").text


def test_files_of_the_machine_are_not_served(stranger: httpx.Client, server: Server) -> None:
    cache = server.weights.parents[1] / "cache"
    paths = [
        "/etc/passwd",
        str(ROOT / "README.md"),
        "README.md",
        str(server.weights),
        str(WEIGHTS / "promptsr-tiny-x4.safetensors"),
        f"{cache}/../models/own-tiny.safetensors",
        f"{cache}/../../../../../../etc/passwd",
        "../../../../etc/passwd",
        "..%2f..%2f..%2fetc%2fpasswd",
        "file:///etc/passwd",
        "/proc/self/environ",
        f"{cache}",
        f"{cache}/",
    ]
    for path in paths:
        for route in (f"/gradio_api/file={path}", f"/gradio_api/file={quote(path, safe='')}", f"/file={path}"):
            answer = stranger.get(route)
            assert answer.status_code in (400, 403, 404, 405), (route, answer.status_code)
            assert b"root:" not in answer.content and b"# PromptSR Workbench" not in answer.content


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "../../etc/passwd", "http://192.0.2.1/photo.png", "https://192.0.2.1/a.png", "file:///etc/passwd"],
)
@pytest.mark.parametrize("field", ["path", "url"])
def test_nothing_but_what_was_sent_is_read(
    stranger: httpx.Client, server: Server, plain_photo: Path, path: str, field: str
) -> None:
    """Check every endpoint that takes a file."""
    single = {"path": "", "meta": {"_type": "gradio.FileData"}, field: path}
    questions = {name: [[single] if name == "failures" else single, *QUESTIONS[name].values()] for name in QUESTIONS}
    for name, data in (questions | {"enlarge": [single, "own-tiny"], "add_models": [[single]]}).items():
        answer = call(stranger, name, data)
        assert answer.startswith("event: error\ndata: {"), (name, answer)  # and not `data: null`: that would be a crash
        assert "root:" not in answer and str(server.weights.parent) not in answer


def test_names_of_files_lead_nowhere(stranger: httpx.Client, server: Server, plain_photo: Path) -> None:
    cache, data = server.weights.parents[1] / "cache", plain_photo.read_bytes()
    before = {path for path in server.weights.parents[1].rglob("*") if cache not in path.parents}
    for name in ("../../../evil.png", "/tmp/evil.png", "..\\..\\evil.png", "a/../../b.png", "x" * 300 + ".png", ".."):
        answer = stranger.post("/gradio_api/upload", files={"files": (name, data)})
        if answer.status_code == 200:
            [path] = answer.json()
            assert cache in Path(path).resolve().parents and ".." not in Path(path).parts
    assert {path for path in server.weights.parents[1].rglob("*") if cache not in path.parents} == before
    assert not Path("/tmp/evil.png").exists()


def test_a_name_is_no_script(server: Server, tmp_path: Path) -> None:
    evil = tmp_path / "<img src=x onerror=alert(1)>.png"
    evil.write_bytes(b"no image")
    with session(server) as client, pytest.raises(Exception) as refusal:
        ask(client, "upscale", evil)
    assert "<img" not in str(refusal.value) and "is not an image we read" in str(refusal.value)


def test_the_queue_cannot_be_bypassed(stranger: httpx.Client) -> None:
    for route in ("/gradio_api/run/upscale", "/gradio_api/api/upscale", "/gradio_api/run/predict"):
        answer = stranger.post(route, json={"data": [None, "own-tiny", "bicubic", "auto", "PNG"], "fn_index": 0})
        assert answer.status_code in (401, 403, 404, 405), (route, answer.status_code)


@pytest.mark.parametrize(
    "route",
    [
        "/gradio_api/proxy=https://192.0.2.1/x",
        "/proxy=https://evil.hf.space/x",
        "/gradio_api/file=http://192.0.2.1/x",
        "/gradio_api/file=https://192.0.2.1/x",
        "/gradio_api/file=HTTPS://192.0.2.1/x",
        "/gradio_api/vibe-code/",
        "/gradio_api/dev/reload",
        "/gradio_api/run-history/buckets",
        "/gradio_api/stream/a/b/c/playlist.m3u8",
    ],
)
def test_routes_that_the_page_does_not_need_are_disabled(stranger: httpx.Client, server: Server, route: str) -> None:
    assert stranger.get(route, follow_redirects=False).status_code in (404, 405)


@pytest.mark.parametrize("route", ["vibe-edit/", "undo-vibe-edit/", "process_recording", "stream/x"])
def test_routes_that_take_data_are_disabled(stranger: httpx.Client, route: str) -> None:
    assert stranger.post(f"/gradio_api/{route}", json={}).status_code == 404


def test_pages_of_others_cannot_ask_for_a_visitor(stranger: httpx.Client) -> None:
    """A browser asks first whether a page from elsewhere may send JSON, and is told no."""
    headers = {
        "Origin": "https://evil.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type",
    }
    answer = stranger.options("/gradio_api/queue/join", headers=headers)
    assert answer.headers.get("access-control-allow-origin") not in ("*", "https://evil.example")
    answer = stranger.get("/config", headers={"Origin": "https://evil.example"})
    assert answer.headers.get("access-control-allow-origin") not in ("*", "https://evil.example")


def test_results_of_others_stay_theirs(server: Server, plain_photo: Path) -> None:
    """Another session has none of them, and the names of their folders are beyond guessing."""
    with session(server) as one, session(server) as other:
        result = ask(one, "upscale", plain_photo)
        assert len(one.predict(5, 5, 6, api_name="/magnify")) == 3
        with pytest.raises(Exception, match="nothing to magnify yet"):
            other.predict(5, 5, 6, api_name="/magnify")
    folder = Path(result[1]["path"]).parent
    assert len(folder.name) >= 32 and folder.name not in str(one.config)
    assert httpx.get(f"{server.url}/gradio_api/file={folder}", timeout=30).status_code in (403, 404)


def test_uploads_leave_room_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For everything else: the folder need not be there yet."""
    asked = []
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "not" / "yet"))
    monkeypatch.setattr("workbench.server.route_guard.in_force", lambda: Limits(free_bytes=1000))
    free = {"bytes": 999}

    def disk_usage(folder: Path) -> SimpleNamespace:
        asked.append(folder)
        return SimpleNamespace(free=free["bytes"])

    monkeypatch.setattr("shutil.disk_usage", disk_usage)
    app = Starlette(routes=[Mount("/", lambda *asgi: PlainTextResponse("behind")(*asgi))])
    with TestClient(RouteGuard(app)) as client:
        answer = client.post("/gradio_api/upload", content=b"photo")
        assert answer.status_code == 507 and "The disk of this server is nearly full" in answer.text
        assert client.get("/config").text == "behind"
        free["bytes"] = 1000
        assert client.post("/gradio_api/upload", content=b"photo").text == "behind"
    assert asked == [tmp_path] * 2
