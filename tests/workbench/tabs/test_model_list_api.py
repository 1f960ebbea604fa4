"""The tab *Models* without a browser: the list as plain numbers, and checkpoints that are added."""

import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from gradio_client import Client, handle_file  # type: ignore[import-untyped]
from gradio_client.exceptions import AppError  # type: ignore[import-untyped]

from promptsr import Upscaler, load_model
from promptsr.imaging import decode, encode
from promptsr.zoo.load import list_models
from tests.workbench.conftest import Server, ask, session
from tests.zoo.conftest import write_promptsr


def listed(client: Client) -> dict[str, dict[str, Any]]:
    """The rows by name."""
    return {row["name"]: row for row in client.predict(api_name="/models")}


def test_the_list_has_what_the_command_lists(client: Client) -> None:
    rows = listed(client)
    known = {model.name: model for model in list_models() if model.has_weights}
    assert known.keys() <= rows.keys() and "own-tiny" in rows
    assert [row["scale"] for row in rows.values()] == sorted(row["scale"] for row in rows.values())
    for name, model in known.items():
        row = rows[name]
        assert (row["scale"], row["parameters"], row["architecture"]) == (
            model.scale, model.parameters, model.architecture,
        )  # fmt: skip
        assert row["figure_name"] == name and not row["is_added"]
        if model.scores:
            assert row["score"]["psnr_y"] == model.scores[row["score"]["images"]]["psnr_y"]
    assert rows["own-tiny"]["score"] is None and rows["own-tiny"]["licence"] is None


def test_speed_is_that_of_the_last_run_that_was_large_enough(client: Client, plain_photo: Path, garden: Path) -> None:
    ask(client, "upscale", garden)
    seconds = listed(client)["own-tiny"]["seconds_per_megapixel"]
    ask(client, "upscale", plain_photo)
    assert listed(client)["own-tiny"]["seconds_per_megapixel"] == seconds > 0


def test_an_added_checkpoint_enlarges(client: Client, server: Server, plain_photo: Path, tmp_path: Path) -> None:
    path = tmp_path / "added.safetensors"
    write_promptsr(path)
    rows = client.predict([handle_file(path)], api_name="/add_models")
    [row] = [row for row in rows if row["name"] == "added"]
    offered = httpx.get(f"{server.url}/config").json()["components"]
    [choices] = [each["props"]["choices"] for each in offered if each["props"].get("elem_id") == "upscale-model"]
    assert ["added", "added"] in choices  # of pages that are opened from now on
    assert row["is_added"] and row["scale"] == 3
    (_, _), _, file, _ = ask(client, "upscale", plain_photo, model="added", tile="12")
    encode(Upscaler(load_model(path), tile=12)(decode(plain_photo)).picture, tmp_path / "expected.png")
    assert Path(file).read_bytes() == (tmp_path / "expected.png").read_bytes()


def test_one_bad_file_does_not_cost_the_others(server: Server, tmp_path: Path) -> None:
    good, bad = tmp_path / "second.safetensors", tmp_path / "cut.safetensors"
    write_promptsr(good)
    bad.write_bytes(good.read_bytes()[:500])
    with session(server) as client:
        before = listed(client)
        with pytest.raises(AppError, match=re.escape("cut.safetensors is truncated or not a safetensors file")):
            client.predict([handle_file(bad)], api_name="/add_models")
        with pytest.raises(AppError, match="There is no file yet"):
            client.predict(None, api_name="/add_models")
        assert listed(client).keys() == before.keys()
        client.predict([handle_file(bad), handle_file(good)], api_name="/add_models")
        assert listed(client).keys() == before.keys() | {"second"}
