"""Weights by `hf://owner/name`: a server of this machine answers huggingface_hub as the Hub does."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import huggingface_hub.constants as settings
import numpy as np
import pytest
import torch
import yaml

from promptsr import push_to_hub
from promptsr.imaging import Picture, decode, encode
from promptsr.model.network import PromptSR
from promptsr.support.errors import CheckpointError, UserError
from promptsr.zoo.checkpoints import load_checkpoint, read_info, save_checkpoint
from promptsr.zoo.fingerprint import fingerprint
from promptsr.zoo.listing import WEIGHTS
from promptsr.zoo.load import load_model
from promptsr.zoo.peers.imdn import IMDN
from promptsr.zoo.sr_model import SRModel
from tests.support.commands import Run
from tests.zoo.conftest import CONFIG, write_promptsr
from workbench.sessions import models

NOWHERE = "http://127.0.0.1:9"
Files = dict[str, bytes]
ERRORS = {"RepoNotFound": 401, "GatedRepo": 403, "RevisionNotFound": 404, "EntryNotFound": 404}


@dataclass
class Hub:
    """Its repositories: files by revision; and the requests that it got."""

    url: str
    repositories: dict[str, dict[str, Files]] = field(default_factory=dict)
    gated: str = ""
    """Repository whose terms have to be accepted."""
    writable: bool = True
    status: int | None = None
    """Status of every answer, if set."""
    asked: list[str] = field(default_factory=list)

    def publish(self, repository: str, revision: str = "main", **files: bytes) -> None:
        named = {name.replace("__", "/").replace("_", "."): content for name, content in files.items()}
        self.repositories.setdefault(repository, {})[revision] = named


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self, body: bytes = b"", status: int = 200, **headers: str) -> None:
            if hub.status:
                status, body, headers = hub.status, b"", {}
            self.send_response(status)
            headers.setdefault("content_length", str(len(body)))
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def json(self, value: Any, status: int = 200) -> None:
            self.answer(json.dumps(value).encode(), status, content_type="application/json")

        def refuse(self, code: str) -> None:
            self.answer(status=ERRORS[code], x_error_code=code)

        def files(self, repository: str, revision: str) -> Files | None:
            if repository == hub.gated:
                self.refuse("GatedRepo")
            elif repository not in hub.repositories:
                self.refuse("RepoNotFound")
            elif revision not in hub.repositories[repository]:
                self.refuse("RevisionNotFound")
            else:
                return hub.repositories[repository][revision]
            return None

        def do_GET(self) -> None:
            parts = [unquote(part) for part in urlsplit(self.path).path.strip("/").split("/")]
            hub.asked.append(f"{self.command} {'/'.join(parts)}")
            if parts[:2] == ["api", "models"]:
                repository, revision = "/".join(parts[2:4]), parts[5] if len(parts) > 4 else "main"
                files = self.files(repository, revision)
                if files is not None:
                    siblings = [{"rfilename": name} for name in files]
                    self.json({"id": repository, "sha": commit(revision), "siblings": siblings})
                return
            repository, revision, name = "/".join(parts[:2]), parts[3], "/".join(parts[4:])
            files = self.files(repository, revision)
            if files is not None and name not in files:
                self.refuse("EntryNotFound")
            elif files is not None:
                etag = f'"{hashlib.sha1(files[name]).hexdigest()}"'
                self.answer(files[name], etag=etag, x_repo_commit=commit(revision))

        do_HEAD = do_GET

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            parts = self.path.strip("/").split("/")
            hub.asked.append(f"POST {'/'.join(parts)}")
            if not hub.writable:
                self.answer(status=403)
            elif parts[1] == "repos":
                asked = json.loads(body)
                repository = f"{asked['organization']}/{asked['name']}"
                there = repository in hub.repositories
                hub.repositories.setdefault(repository, {"main": {}})
                self.json({"url": f"{hub.url}/{repository}"}, 409 if there else 200)
            elif parts[1] == "validate-yaml":
                yaml.safe_load(json.loads(body)["content"].split("---")[1])
                self.json({"errors": [], "warnings": []})
            elif parts[4] == "preupload":
                names = [file["path"] for file in json.loads(body)["files"]]
                self.json({"files": [{"path": n, "uploadMode": "regular", "shouldIgnore": False} for n in names]})
            else:
                repository, lines = "/".join(parts[2:4]), map(json.loads, body.splitlines())
                for line in lines:
                    if line["key"] == "file":
                        content = base64.b64decode(line["value"]["content"])
                        hub.repositories[repository]["main"][line["value"]["path"]] = content
                self.json({"commitUrl": f"{hub.url}/{repository}/commit/{commit('main')}", "commitOid": commit("main")})

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler


def commit(revision: str) -> str:
    return hashlib.sha1(revision.encode()).hexdigest()


def address(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Do as HF_ENDPOINT does, which is read at the import."""
    monkeypatch.setattr(settings, "ENDPOINT", url)
    template = url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(settings, "HUGGINGFACE_CO_URL_TEMPLATE", template)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """An empty Hub, and an empty cache."""
    http = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    known = Hub(f"http://127.0.0.1:{http.server_port}")
    http.RequestHandlerClass = _handler(known)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    address(monkeypatch, known.url)
    monkeypatch.setattr(settings, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(settings, "HF_HUB_OFFLINE", False)  # the workbench, of other tests, is offline
    for name in ("PROMPTSR_MODELS", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    yield known
    http.shutdown()
    thread.join()
    http.server_close()


def weights(folder: Path, scale: int = 3) -> bytes:
    write_promptsr(path := folder / f"x{scale}.safetensors", replace(CONFIG, scale=scale))
    return path.read_bytes()


@pytest.mark.parametrize(
    ("typed", "name", "scale"),
    [
        ("hf://ada/tiny", "tiny", 3),
        ("hf://ada/tiny@v1", "tiny", 2),
        ("hf://ada/tiny@refs/pr/7", "tiny", 4),
        ("hf://ada/tiny/model.safetensors", "model", 3),
        ("hf://ada/tiny/sub/other.safetensors", "other", 4),
        ("hf://ada/tiny@v1/model.safetensors", "model", 2),
        ("hf://ada/tiny/model.safetensors@v1", "model", 2),
        ("hf://ada/tiny/model.safetensors@refs/pr/7", "model", 4),
        ("hf://ada/single", "single", 2),
    ],
)
def test_a_name_on_the_hub_is_a_model(hub: Hub, tmp_path: Path, typed: str, name: str, scale: int) -> None:
    x2, x3, x4 = (weights(tmp_path, each) for each in (2, 3, 4))
    hub.publish("ada/tiny", model_safetensors=x3, sub__other_safetensors=x4, README_md=b"about it")
    hub.publish("ada/tiny", "v1", model_safetensors=x2)
    hub.publish("ada/tiny", "refs/pr/7", model_safetensors=x4)
    hub.publish("ada/single", best_safetensors=x2, config_json=b"{}")
    model = load_model(typed)
    expected = load_model(tmp_path / f"x{scale}.safetensors")
    assert replace(model, network=expected.network) == replace(expected, name=name)
    assert fingerprint(model.network) == fingerprint(expected.network)


def test_networks_of_others_are_read_too(hub: Hub, tmp_path: Path) -> None:
    torch.save(IMDN(2).state_dict(), tmp_path / "imdn.pth")
    hub.publish("ada/imdn", imdn_pth=(tmp_path / "imdn.pth").read_bytes())
    model = load_model("hf://ada/imdn")
    assert (model.name, model.architecture, model.scale) == ("imdn", "IMDN", 2)


@pytest.mark.parametrize("typed", ["hf://ada/single", "hf://ada/single/best.safetensors"])
@pytest.mark.parametrize("trouble", ["offline", "no network", "out of order"])
def test_what_was_loaded_once_needs_no_network(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, typed: str, trouble: str
) -> None:
    hub.publish("ada/single", best_safetensors=weights(tmp_path))
    before = load_model(typed)
    hub.asked.clear()
    if trouble == "out of order":
        hub.status = 500
    else:
        address(monkeypatch, NOWHERE)
        monkeypatch.setattr(settings, "HF_HUB_OFFLINE", trouble == "offline")
    assert fingerprint(load_model(typed).network) == fingerprint(before.network)
    assert bool(hub.asked) == (trouble == "out of order")


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("hf://ada/none", "shows no model ada/none, so it is missing or private: check the name, or `hf auth login`"),
        ("hf://ada/gated", r"ada/gated is gated: accept its terms at http://127\.0\.0\.1:\d+/ada/gated, then log in"),
        ("hf://ada/tiny@v9", "ada/tiny has no revision v9: choose a branch"),
        ("hf://ada/tiny/x.safetensors", r"ada/tiny has no file x\.safetensors: choose one of a\.safetensors, b\.pth"),
        ("hf://ada/tiny", r"ada/tiny holds a\.safetensors, b\.pth: name one, as in hf://ada/tiny/a\.safetensors"),
        ("hf://ada/text", "ada/text holds no file of tensors"),
        ("hf://ada/tiny/net.onnx", "does not name a file of tensors"),
        ("hf://datasets/ada/tiny", "does not name a file of tensors"),
        ("hf://ada", "hf://ada is not the name of weights on the Hub: write hf://owner/name"),
        ("hf://", "is not the name of weights"),
        ("hf://ada/tiny@", "is not the name of weights"),
        ("hf://ada/ti ny", "is not the name of weights"),
        ("hf://ada/tiny/../../secret.pth", "has no file|not the name"),
        ("hf://ada/tiny/b.pth", r"b\.pth holds more than tensors and could run code, so it was not opened"),
        ("hf://ada/tiny/a.safetensors", r"a\.safetensors .*(truncated|not a safetensors file)"),
    ],
)
def test_refusals_say_what_to_do(hub: Hub, tmp_path: Path, typed: str, message: str) -> None:
    torch.save(IMDN(2), tmp_path / "code.pth")  # the object, which runs code when it is opened
    hub.publish("ada/tiny", a_safetensors=weights(tmp_path)[:-9], b_pth=(tmp_path / "code.pth").read_bytes())
    hub.publish("ada/text", README_md=b"about nothing", net_onnx=b"onnx")
    hub.gated = "ada/gated"
    with pytest.raises(CheckpointError, match=message) as caught:
        load_model(typed)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("typed", ["hf://ada/tiny", "hf://ada/tiny/model.safetensors"])
@pytest.mark.parametrize(
    ("status", "offline", "message"),
    [
        (None, False, r"http://127\.0\.0\.1:9 cannot be reached for hf://ada/tiny.* \(.+\): check the connection"),
        (None, True, "HF_HUB_OFFLINE is set, and hf://ada/tiny.* is not in the cache: unset it"),
        (403, False, "answers 403 to the request for hf://ada/tiny.*: your token may not do this"),
    ],
)
def test_without_an_answer_it_says_why(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, typed: str, status: int | None, offline: bool, message: str
) -> None:
    hub.status = status
    monkeypatch.setattr(settings, "HF_HUB_OFFLINE", offline)
    if status is None:
        address(monkeypatch, NOWHERE)
    with pytest.raises(CheckpointError, match=message):
        load_model(typed)


def test_commands_take_such_names(hub: Hub, tmp_path: Path, photo: Path, promptsr: Run) -> None:
    hub.publish("ada/tiny", model_safetensors=weights(tmp_path))
    encode(Picture(np.tile(decode(photo).color, (3, 3, 1))), tmp_path / "hr" / "large.png")
    for model, target in (("hf://ada/tiny", "hub.png"), (tmp_path / "x3.safetensors", "file.png")):
        code, _, err = promptsr("upscale", photo, "--output", tmp_path / target, "--model", model)
        assert code == 0, err
    assert (tmp_path / "hub.png").read_bytes() == (tmp_path / "file.png").read_bytes()
    code, out, err = promptsr("evaluate", "--hr", tmp_path / "hr", "--model", "hf://ada/tiny", "--json", "-")
    assert code == 0 and "tiny" in out, err
    code, out, err = promptsr("upscale", photo, "--output", tmp_path / "no.png", "--model", "hf://ada/none")
    assert code == 2 and "shows no model ada/none" in err and not (tmp_path / "no.png").exists()


def test_lists_contact_no_host_and_the_page_refuses_such_names(hub: Hub, tmp_path: Path, promptsr: Run) -> None:
    hub.publish("ada/tiny", model_safetensors=weights(tmp_path))
    assert promptsr("models", "--json", "-")[0] == 0
    with pytest.raises(UserError, match="There is no model hf://ada/tiny"):
        models.load("hf://ada/tiny")
    assert hub.asked == []


def card_of(hub: Hub, repository: str) -> tuple[dict[str, Any], str]:
    """Header and text of a model card."""
    _, header, text = hub.repositories[repository]["main"]["README.md"].decode().split("---\n", 2)
    return yaml.safe_load(header), text


def test_bundled_weights_are_published_with_their_scores(hub: Hub) -> None:
    name = "promptsr-tiny-x4"
    address = push_to_hub(name, "ada/tiny-x4")
    assert address == f"{hub.url}/ada/tiny-x4/commit/{commit('main')}"
    assert (
        hub.repositories["ada/tiny-x4"]["main"]["model.safetensors"] == (WEIGHTS / f"{name}.safetensors").read_bytes()
    )
    assert fingerprint(load_model("hf://ada/tiny-x4").network) == fingerprint(load_model(name).network)
    header, text = card_of(hub, "ada/tiny-x4")
    measured = json.loads((WEIGHTS / "scores.json").read_text())["models"][name]
    [index] = header["model-index"]
    found = {
        (result["dataset"]["name"], metric["type"]): metric["value"]
        for result in index["results"]
        for metric in result["metrics"]
    }
    assert found == {(s, m): each[f"{m}_y"] for s, each in measured.items() for m in ("psnr", "ssim")}
    assert all(f"| {s} | {each['psnr_y']:.2f} | {each['ssim_y']:.4f} |" in text for s, each in measured.items())
    assert (header["license"], header["pipeline_tag"], index["name"]) == ("apache-2.0", "image-to-image", "tiny-x4")
    train = read_info(WEIGHTS / f"{name}.safetensors")["train"]
    assert (
        f"Trained from earlier weights for 300 steps on the folders {', '.join(train['data'])}, shrunk" in text
        and "on 8 images of Kodak24" in text
    )
    assert 'load_model("hf://ada/tiny-x4")' in text and "--model hf://ada/tiny-x4" in text
    asked = len(hub.asked)
    push_to_hub(name, "ada/tiny-x4")  # again: nothing changes, and nothing fails
    assert len(hub.asked) > asked


def test_the_card_of_a_mean_says_so(hub: Hub, tmp_path: Path) -> None:
    own = load_checkpoint(WEIGHTS / "promptsr-tiny-x2.safetensors")
    next(own.parameters()).add_(0.01)
    runs = [
        {"train": {"init": ["earlier.safetensors"], "data": ["a", "b"]}, "step": 9001},
        {"train": {"data": ["hr"], "data_lr": ["lr"]}, "step": 400},
        {"train": {"data": ["a", "b", "train-70"]}, "step": 300},
    ]
    save_checkpoint(tmp_path / "mean.safetensors", own.config, own.state_dict(), {"mean_of": runs})
    push_to_hub(tmp_path / "mean.safetensors", "ada/mean", license="cc-by-4.0")
    assert (
        "The mean of 3 runs. Trained from earlier weights for 9001 steps on the folders a, b, shrunk by bicubic "
        "interpolation. Trained for 400 steps on the folders hr with LR images of their own. Trained for 300 steps on "
        "the folders a, b, train-70, shrunk by bicubic interpolation."
    ) in card_of(hub, "ada/mean")[1]
    push_to_hub("promptsr-x4", "ada/x4")
    bundled = read_info(WEIGHTS / "promptsr-x4.safetensors")["mean_of"]
    assert f"The mean of {len(bundled)} runs. Trained from earlier weights for " in card_of(hub, "ada/x4")[1]


@pytest.mark.parametrize("kind", ["path", "model", "network"])
def test_networks_of_ones_own_are_published_without_scores(hub: Hub, tmp_path: Path, kind: str) -> None:
    """Under the name of bundled weights too: scores belong to weights, not to names."""
    changed = load_checkpoint(WEIGHTS / "promptsr-tiny-x2.safetensors")
    next(changed.parameters()).add_(0.01)
    path = tmp_path / "promptsr-tiny-x2.safetensors"
    save_checkpoint(path, changed.config, changed.state_dict(), {})
    published: dict[str, Path | SRModel | PromptSR] = {"path": path, "model": load_model(path), "network": changed}
    push_to_hub(published[kind], "ada/promptsr-tiny-x2", private=True, license="cc-by-4.0")
    assert fingerprint(load_model("hf://ada/promptsr-tiny-x2").network) == fingerprint(changed)
    header, text = card_of(hub, "ada/promptsr-tiny-x2")
    assert header["license"] == "cc-by-4.0" and "model-index" not in header
    assert "Not measured yet" in text and "do not say on which photographs" in text


def test_a_card_that_is_there_stays(hub: Hub, tmp_path: Path) -> None:
    hub.publish("ada/mine", README_md=b"my own words")
    (tmp_path / "x3.safetensors").write_bytes(content := weights(tmp_path))
    push_to_hub(tmp_path / "x3.safetensors", "ada/mine")
    assert hub.repositories["ada/mine"]["main"] == {"README.md": b"my own words", "model.safetensors": content}


def test_what_cannot_be_published_is_refused(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = PromptSR(CONFIG)
    cases: list[tuple[Path | SRModel | PromptSR, str, str]] = [
        (load_model("bicubic-x2"), "ada/x", "This is a Bicubic, and only PromptSR networks are published"),
        (tmp_path / "none.safetensors", "ada/x", "There is no weights file"),
        (network, "x", "hf://x is not the name of weights on the Hub"),
        (network, "ada/x@v1", "ada/x@v1 is not the name of a repository: write owner/name"),
    ]
    for published, repository, message in cases:
        with pytest.raises(CheckpointError, match=message):
            push_to_hub(published, repository)
    assert hub.asked == [] and hub.repositories == {}
    hub.writable = False
    with pytest.raises(UserError, match="does not let you write to ada/x: log in by `hf auth login`"):
        push_to_hub(network, "ada/x")
    address(monkeypatch, NOWHERE)
    with pytest.raises(UserError, match=r"http://127\.0\.0\.1:9 cannot be reached"):
        push_to_hub(network, "ada/x")
