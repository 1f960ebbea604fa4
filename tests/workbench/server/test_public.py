"""`promptsr app --public`, a process of its own: nothing works without a login, and each person gets only a share."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from benchmarks.served import serving
from workbench.server.access import USERS
from workbench.server.limits import PUBLIC

PASSWORDS = {"ada": "a-long-password", "bob": "another-password"}
UPLOAD = 40_000
ROUTES = (
    "/config",
    "/gradio_api/info",
    "/gradio_api/queue/data?session_hash=x",
    "/gradio_api/file=README.md",
    "/gradio_api/call/upscale/0",
)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("public")
    (folder / "limits.toml").write_text(f"upload_bytes = {UPLOAD}\n")
    promptsr = Path(sys.executable).with_name("promptsr")
    command: list[str | Path] = [promptsr, "app", "--public", "--host", "127.0.0.1", "--no-browser"]
    users = " ".join(f"{name}:{password}" for name, password in PASSWORDS.items())
    with serving(folder, *command, "--limits", folder / "limits.toml", "--port", **{USERS: users}) as workbench:
        yield workbench.url
        assert not any(word in workbench.log for word in (*PASSWORDS.values(), "Traceback"))


@contextmanager
def logged_in(url: str, name: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, timeout=60) as client:
        answer = client.post("/login", data={"username": name, "password": PASSWORDS[name]})
        assert answer.status_code == 200
        yield client


@pytest.fixture
def ada(url: str) -> Iterator[httpx.Client]:
    with logged_in(url, "ada") as client:
        yield client


def function(client: httpx.Client, name: str) -> int:
    """The number of an endpoint."""
    [found] = [each["id"] for each in client.get("/config").json()["dependencies"] if each["api_name"] == name]
    return int(found)


def ask(client: httpx.Client, name: str, data: list[Any], session: str) -> httpx.Response:
    return client.post(
        "/gradio_api/queue/join", json={"data": data, "fn_index": function(client, name), "session_hash": session}
    )


def send(client: httpx.Client, path: Path) -> dict[str, Any]:
    answer = client.post("/gradio_api/upload", files={"files": (path.name, path.read_bytes())})
    return {"path": answer.json()[0], "meta": {"_type": "gradio.FileData"}}


def test_without_a_login_there_is_nothing(url: str, plain_photo: Path) -> None:
    for route in ROUTES:
        assert httpx.get(url + route, timeout=30).status_code == 401, route
    files = {"files": ("photo.png", plain_photo.read_bytes())}
    assert httpx.post(f"{url}/gradio_api/upload", files=files, timeout=30).status_code == 401
    for route in ("/gradio_api/queue/join", "/gradio_api/call/upscale", "/gradio_api/run/upscale"):
        answer = httpx.post(url + route, json={"data": [], "fn_index": 0, "session_hash": "x"}, timeout=30)
        assert answer.status_code == 401, route
    page = httpx.get(url, timeout=30).text
    # Gradio describes the endpoints there all the same.
    assert '"auth_required":true' in page and '"components":[]' in page and '"dependencies":[]' in page


@pytest.mark.parametrize("password", ["", "wrong-password", PASSWORDS["bob"]])
def test_a_wrong_password_opens_nothing(url: str, password: str) -> None:
    with httpx.Client(base_url=url, timeout=30) as client:
        assert client.post("/login", data={"username": "ada", "password": password}).status_code in (400, 422)
        assert client.get("/config").status_code == 401


def test_a_login_opens_the_page_without_a_field_for_models(ada: httpx.Client) -> None:
    config = ada.get("/config").json()
    assert config["title"] == "PromptSR Workbench"
    parts = [(component["type"], component["props"]) for component in config["components"]]
    [models] = [props for _, props in parts if props.get("elem_id") == "compare-models"]
    assert models["max_choices"] == PUBLIC.models_at_once
    assert any("Only the owner of the server adds models" in str(props.get("value")) for _, props in parts)
    assert not any(each["api_name"] == "add_models" for each in config["dependencies"])
    sent = [
        props for kind, props in parts if kind in ("file", "uploadbutton") and props.get("interactive") is not False
    ]
    assert sorted(str(props.get("file_types")) for props in sent) == ["['.zip']", "['image']", "['image']"]


def test_large_files_are_turned_away_while_they_come(ada: httpx.Client, tmp_path: Path) -> None:
    for size, code in ((UPLOAD, 200), (UPLOAD + 1, 413)):
        answer = ada.post("/gradio_api/upload", files={"files": ("photo.png", bytes(size))})
        assert answer.status_code == code
    assert "exceeded maximum allowed size" in answer.text


def test_one_person_cannot_fill_the_queue(url: str, ada: httpx.Client, plain_photo: Path) -> None:
    """A name counts, and not the page that is open: sessions are for the asking."""
    image = send(ada, plain_photo)
    question = [image, "shrink", 4, ["promptsr-tiny-x4"], 0, 0, 16, 100, "right"]  # takes seconds
    answers = [ask(ada, "lam", question, f"session{number}") for number in range(PUBLIC.waiting_each + 2)]
    assert [answer.status_code for answer in answers] == [200] * PUBLIC.waiting_each + [503] * 2
    assert answers[-1].json()["detail"] == "You have 2 questions waiting already: wait for one, or cancel it."
    with logged_in(url, "bob") as bob:
        other = ask(bob, "lam", [send(bob, plain_photo), *question[1:]], "session0-of-bob")
    assert other.status_code == 200
    assert ask(ada, "compare_figure", [0, 0, 8, None], "session0").status_code == 200  # needs no network
    for number, answer in enumerate(answers[: PUBLIC.waiting_each]):
        body = {
            "session_hash": f"session{number}",
            "fn_index": function(ada, "lam"),
            "event_id": answer.json()["event_id"],
        }
        assert ada.post("/gradio_api/cancel", json=body).status_code == 200
