"""Programs and assistants: code snippets run as printed, and each tool answers in one call."""

import asyncio
import base64
import os
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mcp import ClientSession, types
from mcp.client.streamable_http import streamable_http_client
from PIL import Image
from playwright.sync_api import Page, expect

from promptsr import Upscaler, load_model
from promptsr.imaging import decode
from tests.conftest import QUIET
from tests.workbench.conftest import PATIENCE, Server


def call(server: Server, tool: str, arguments: dict[str, Any]) -> types.CallToolResult:
    """Return the answer of a tool to an assistant."""

    async def ask() -> types.CallToolResult:
        async with (
            streamable_http_client(f"{server.url}/gradio_api/mcp/") as (reading, writing, _),
            ClientSession(reading, writing) as session,
        ):
            await session.initialize()
            assert {each.name for each in (await session.list_tools()).tools} == {"enlarge", "score", "explain"}
            return await session.call_tool(tool, arguments)

    return asyncio.run(ask())


def data(path: Path) -> str:
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"


def picture_of(result: types.CallToolResult) -> Image.Image:
    [picture] = [each for each in result.content if isinstance(each, types.ImageContent)]
    return Image.open(BytesIO(base64.b64decode(picture.data)))


def test_an_assistant_enlarges(server: Server, plain_photo: Path, tmp_path: Path) -> None:
    result = call(server, "enlarge", {"image": data(plain_photo), "model": "own-tiny"})
    server.expected(plain_photo, tmp_path / "expected.png")
    assert not result.isError
    assert np.array_equal(np.asarray(picture_of(result)), np.asarray(Image.open(tmp_path / "expected.png")))


def test_an_assistant_needs_no_model(server: Server, plain_photo: Path) -> None:
    result = call(server, "enlarge", {"image": data(plain_photo)})
    expected = Upscaler(load_model("promptsr-x4"))(decode(plain_photo)).picture
    assert not result.isError
    np.testing.assert_array_equal(np.asarray(picture_of(result)), expected.color)


def test_an_assistant_asks_why(server: Server, garden: Path) -> None:
    arguments = {"image": data(garden), "names": ["bicubic-x4"], "x": 200, "y": 100}
    result = call(server, "explain", arguments)
    assert not result.isError and picture_of(result).width > 800
    result = call(server, "score", {"image": data(garden), "names": ["bicubic-x4", "own-tiny"]})
    [text] = result.content
    assert isinstance(text, types.TextContent) and "'psnr_y'" in text.text and "'own-tiny'" in text.text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "nothing"}, "'nothing' is not one of ['promptsr-x2'"),
        ({"image": "http://127.0.0.1:9/photo.png"}, "Send the image itself, not its address"),
    ],
)
def test_an_assistant_is_told_what_is_wrong(
    server: Server, plain_photo: Path, change: dict[str, str], message: str
) -> None:
    result = call(server, "enlarge", {"image": data(plain_photo), "model": "own-tiny", **change})
    [text] = result.content
    assert result.isError and isinstance(text, types.TextContent) and message in text.text


def test_snippets_work_as_they_stand(page: Page, plain_photo: Path, tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_bytes(plain_photo.read_bytes())
    page.get_by_role("button", name="API", exact=True).click()
    docs = page.locator(".api-docs")
    docs.get_by_text("Python", exact=True).click()
    for endpoint, width in (("/upscale", 160), ("/enlarge", 160)):
        block = docs.locator(".endpoint-container", has_text=f"API name: {endpoint}")
        expect(block.first).to_be_visible(timeout=PATIENCE)
        code = block.first.locator("pre").first.inner_text().replace("print(result)", _CHECK.format(width=width))
        assert "handle_file('photo.png')" in code
        command, environment = [sys.executable, "-c", code], os.environ | QUIET
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=100)
        assert done.returncode == 0, done.stderr


_CHECK = """
from PIL import Image
file = result if isinstance(result, str) else result[1]
assert Image.open(file).width == {width}, file
"""
