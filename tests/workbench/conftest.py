"""A running workbench with a model of its own, the client and the browser that use it, and what people do there."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import huggingface_hub.constants
import numpy as np
import pytest
import torch
from gradio_client import Client, handle_file  # type: ignore[import-untyped]
from PIL import Image, ImageCms
from playwright.sync_api import (
    BrowserContext,
    ConsoleMessage,
    Locator,
    Page,
    Request,
    TimeoutError,
    expect,
    sync_playwright,
)
from skimage import data

from benchmarks import served
from benchmarks.served import Workbench
from promptsr import Upscaler, build_model, load_model
from promptsr.config import preset
from promptsr.imaging import Metadata, Picture, decode, encode
from promptsr.support.files import CACHE, cache_folder
from promptsr.zoo.checkpoints import save_checkpoint
from promptsr.zoo.load import OWN_MODELS

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]
PATIENCE = 60_000  # milliseconds: the processor may be shared
LEFT = """addEventListener('beforeunload', () => {
  console.error = () => {};
  addEventListener('unhandledrejection', event => event.preventDefault());
});"""  # Gradio aborts there what it still waits for, and complains of it to a page that is on its way out
JOINS = """const ask = window.fetch;
Object.assign(window, {asked: 0, joined: 0, late: -1});
window.fetch = async (address, options) => {
  if (!String(address.url ?? address).includes('/queue/join')) return ask(address, options);
  const number = window.asked++, answer = await ask(address, options);
  if (window.late === 'all' || window.late === number) await new Promise(go => setTimeout(go, 4000));
  window.joined++;
  return answer;
};"""
"""Counts questions to the server and its answers that accept them, of which that to `late`, or all, comes late."""
LOADED = """async (image, patience) => {
  const end = Date.now() + patience;
  while (!(image.complete && image.naturalWidth) && Date.now() < end) await new Promise(requestAnimationFrame);
  return [image.naturalWidth, image.naturalHeight];
}"""
"""The size of an image that may be changing: asked for in two steps, it would be 0 x 0 if it changes between them."""


huggingface_hub.constants.HF_HUB_DISABLE_TELEMETRY = True  # of Gradio's client in this process


NAMES = ["bicubic-x4", "own-tiny"]
ADVANCED = {
    "quality": 95, "memory": 256, "self_ensemble": False, "device": "cpu", "size": "model", "amount": 2.0, "half": False
}  # fmt: skip
QUESTIONS: dict[str, dict[str, Any]] = {
    "upscale": {"model": "own-tiny", "compare_with": "bicubic", "tile": "16", "output_format": "PNG"} | ADVANCED,
    "upscale_many": {"model": "own-tiny", "tile": "16", "output_format": "PNG"} | ADVANCED,
    "compare": {"way": "shrink", "hr_image": None, "names": NAMES, "tile": "whole"},
    "lam": {"way": "shrink", "scale": 4, "models": NAMES, "x": 41, "y": 28, "window": 16, "steps": 4},
    "failures": {"model": "own-tiny", "against": ["bicubic"], "window": 24, "cases": 3},
    "attention": {"model": "own-tiny", "group": 2, "block": 2, "x": 30, "y": 9, "jacobian": True},
    "anchors": {"model": "own-tiny", "way": "mean", "per_category": 4, "block": 2, "perplexity": 5, "seed": 0},
    "architecture": {"model": "own-tiny", "group": 2, "block": 1, "box": "encoder", "x": 9, "y": 17},
}
"""Arguments of each endpoint that takes photographs, after these."""
QUESTIONS["attention_figure"] = QUESTIONS["attention"]


class Server(Workbench):
    """A workbench with a model of its own, which the page calls `own-tiny`: an x4 network with windows of 8."""

    @property
    def weights(self) -> Path:
        """The file of that model."""
        return self.folder / "models" / "own-tiny.safetensors"

    def expected(self, source: Path, target: Path, tile: str | int = "auto") -> bytes:
        """The file that `promptsr upscale` writes with `own-tiny` for this image and tile; `target` says the format."""
        encode(Upscaler(load_model(self.weights), tile=tile)(decode(source)).picture, target)
        return target.read_bytes()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("workbench")
    models = folder / "models"
    network = build_model("promptsr-tiny")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for parameter in network.decoder.parameters():  # it starts as zero, and the network as bicubic
            torch.nn.init.normal_(parameter, std=0.02)
    save_checkpoint(models / "own-tiny.safetensors", preset("promptsr-tiny"), network.state_dict(), {})
    (models / "broken.safetensors").write_bytes(b"no weights")
    command = (sys.executable, served.__file__, folder / "passes.txt", "--mcp")
    # The page itself has to switch analytics off.
    # Of its own, or what was learned of this machine's speed would be there from other days.
    (folder / "kept").mkdir()
    (folder / "kept" / "kernels").symlink_to(cache_folder() / "kernels")
    environment = {"GRADIO_ANALYTICS_ENABLED": "True", "HF_HUB_OFFLINE": "0", OWN_MODELS: str(models)}
    environment[CACHE] = str(folder / "kept")
    with served.serving(folder, *command, **environment) as workbench:
        yield Server(**vars(workbench))


@pytest.fixture(scope="session")
def deep_photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A PNG with all that is easily lost: 16 bits, alpha that varies, and a colour profile."""
    y, x = np.mgrid[:36, :52]
    color = np.stack([1200 * x + y, 1700 * y + x, 40000 + 400 * (x % 7) * (y % 5)], axis=-1).astype(np.uint16)
    alpha = (65535 - 20 * (x - 26) ** 2 - 40 * (y - 18) ** 2).astype(np.uint16)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    path = tmp_path_factory.mktemp("photos") / "deep.png"
    encode(Picture(color, alpha, metadata=Metadata(icc=profile)), path)
    return path


@pytest.fixture(scope="session")
def plain_photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small 8-bit PNG."""
    pixels = np.random.default_rng(0).integers(0, 256, (24, 40, 3), dtype=np.uint8)
    path = tmp_path_factory.mktemp("photos") / "plain.png"
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture(scope="session")
def garden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """122 x 87 pixels of smooth colours and a little noise: no multiple of 4."""
    rng = np.random.default_rng(3)
    small = Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8))
    smooth = np.asarray(small.resize((122, 87), Image.Resampling.BICUBIC)).astype(int)
    path = tmp_path_factory.mktemp("photos") / "garden.png"
    Image.fromarray((smooth + rng.integers(-9, 10, smooth.shape)).clip(0, 255).astype(np.uint8)).save(path)
    return path


@pytest.fixture(scope="session")
def park(garden: Path) -> Path:
    """The garden at five times its size: in tiles of 16, a run takes longer than what people do meanwhile."""
    path = garden.with_name("park.png")
    Image.open(garden).resize((610, 435)).save(path)
    return path


@pytest.fixture(scope="session")
def cat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """128 x 160 pixels where no bundled network for x4 loses a window of 84 to bicubic-x4 or to own-tiny."""
    path = tmp_path_factory.mktemp("photos") / "cat.png"
    Image.fromarray(data.chelsea()[60:220, 100:228]).save(path)
    return path


@contextmanager
def session(server: Server, folder: Path | bool = False) -> Iterator[Client]:
    """A session of its own, as a page that has just been opened; answers are downloaded to `folder`, if any."""
    client = Client(server.url, verbose=False, analytics_enabled=False, download_files=folder)
    yield client
    client.close()


@pytest.fixture(scope="module")
def client(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """One session for all tests of this file, as one page stays open."""
    with session(server, tmp_path_factory.mktemp("downloads")) as client:
        yield client


def ask(client: Client, name: str, sent: Path | list[Path] | None, **changed: Any) -> Any:
    """The answer of an endpoint to a photograph, or to several: `QUESTIONS[name]`, but for what is changed."""
    files = [handle_file(each) for each in sent] if isinstance(sent, list) else sent and handle_file(sent)
    return client.predict(files, *(QUESTIONS[name] | changed).values(), api_name=f"/{name}")


@pytest.fixture(scope="module")
def browser(chromium_path: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrowserContext]:
    """Reaches nothing but this machine, and keeps what it has compiled of the page from one test to the next."""
    folder = tmp_path_factory.mktemp("browser")
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(folder, executable_path=chromium_path, args=FLAGS)
        context.set_default_timeout(PATIENCE)
        yield context
        context.close()


@contextmanager
def watched(browser: BrowserContext) -> Iterator[list[str]]:
    """Record requests of pages to other machines; at the end close the pages and delete their storage."""
    outside: list[str] = []

    def watch(request: Request) -> None:
        address = urlsplit(request.url)
        if address.scheme not in ("data", "blob") and address.hostname != "127.0.0.1":
            outside.append(request.url)

    browser.on("request", watch)
    try:
        yield outside
    finally:
        browser.remove_listener("request", watch)
        browser.clear_cookies()
        first, *pages = browser.pages  # it ends with its last page
        storage = {"storageTypes": "local_storage,indexeddb"}
        for origin in {urlsplit(page.url)._replace(path="", query="", fragment="").geturl() for page in pages}:
            browser.new_cdp_session(first).send("Storage.clearDataForOrigin", {"origin": origin, **storage})
        for page in pages:
            page.close()


@pytest.fixture
def blank(browser: BrowserContext) -> Iterator[Page]:
    """A blank page; after the test it must have contacted no other host and logged no error."""
    complaints: list[str] = []
    with watched(browser) as outside:
        page = browser.new_page()
        page.add_init_script(LEFT)
        page.set_viewport_size({"width": 1280, "height": 900})
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda message: complaints.append(message.text) if is_complaint(message) else None)
        yield page
    assert (outside, complaints) == ([], [])


@pytest.fixture(params=[1280])
def page(blank: Page, server: Server, request: pytest.FixtureRequest) -> Page:
    """The page, freshly opened, with the result that it opens with."""
    blank.set_viewport_size({"width": request.param, "height": 900})
    blank.goto(server.url)
    try:
        blank.locator(".closeup img").nth(2).wait_for(state="attached")
    except TimeoutError:
        text = blank.locator("body").inner_text()
        pytest.fail(f"The page did not open with its result. It says:\n{text}\nThe server says:\n{server.log[-2000:]}")
    return blank


def is_complaint(message: ConsoleMessage) -> bool:
    """Gradio's page for programs looks for numbers that we switch off, and does without; and its route that cancels
    fails with a KeyError for a run that ends at that moment."""
    return message.type == "error" and not message.location["url"].endswith(("/monitoring/summary", "/cancel"))


def pixels(path: str) -> np.ndarray:
    """Colour and alpha, if there is any, of a file: H x W x 3 or 4."""
    picture = decode(Path(path))
    return picture.color if picture.alpha is None else np.dstack([picture.color, picture.alpha])


def open_tab(page: Page, name: str) -> None:
    """Through the menu of those that have no room, where it must be."""
    tab = page.get_by_role("tab", name=name)
    if tab.is_visible():
        tab.click()
    else:
        page.get_by_role("button", name="More tabs").click()
        page.locator(".overflow-dropdown").get_by_text(name).click()


def send(page: Page, photo: Path, tab: str = "upscale") -> None:
    page.locator(f"#{tab}-image input[type=file]").set_input_files(photo)


def numbers(page: Page, tab: str, *names: str) -> tuple[int, ...]:
    """The values of these number fields of a tab."""
    return tuple(int(page.locator(f"#{tab}-{name} input").first.input_value()) for name in names)


def open_advanced(page: Page, tab: str = "upscale") -> None:
    """Open the drawer of a tab, unless it is open."""
    if page.locator(f"#{tab}-tile").count() == 0 or not page.locator(f"#{tab}-tile").is_visible():
        page.locator(f"#{tab}-advanced > button").click()
    tile = page.locator(f"#{tab}-tile").locator("input, textarea")
    expect(tile).not_to_have_value("")
    page.wait_for_timeout(500)  # what is typed in the instant in which it appears is lost


def fill(field: Locator, value: str) -> None:
    """Type into a field as people do: a button pressed within the same instant may be missed under load."""
    field.fill(value)
    field.press("Tab")
    field.page.wait_for_timeout(500)


def take_all_steps(page: Page) -> None:
    """Choose LAM's own rule, which never ends before the last step."""
    page.locator("#lam-rule").get_by_text("Reference").click()
    expect(page.locator("#lam-steps input")).to_have_value("50")


def choose(page: Page, dropdown: str, value: str) -> None:
    box = page.locator(f"#{dropdown}")
    box.locator("input").click()
    box.get_by_role("option", name=value, exact=True).click()


def choose_small(page: Page, tab: str) -> None:
    """Choose `own-tiny`, and nothing else, where the test is not about what the networks compute."""
    models = page.locator(f"#{tab}-model, #{tab}-models")
    expect(models).to_be_visible(timeout=PATIENCE)
    if (remove := models.locator(".remove-all")).count():  # of several
        remove.click()
    choose(page, models.get_attribute("id") or "", "own-tiny")


def natural_size(image: Locator) -> tuple[int, int]:
    """Return the size of the file behind an image, once it is loaded."""
    width, height = image.evaluate(LOADED, PATIENCE)
    return width, height


def click_at(image: Locator, across: float, down: float) -> tuple[float, float]:
    """Clicks on what is drawn of a picture within its frame; the place in pixels of the file, as x and y."""
    width, height = natural_size(image)
    frame = image.bounding_box()
    assert frame
    scale = min(frame["width"] / width, frame["height"] / height)
    if image.evaluate("i => getComputedStyle(i).objectFit") == "scale-down":
        scale = min(scale, 1)
    left, top = (frame["width"] - scale * width) / 2, (frame["height"] - scale * height) / 2
    image.click(position={"x": left + across * scale * width, "y": top + down * scale * height})
    return across * width, down * height


def finished(page: Page, tab: str) -> Locator:
    """The status of a result of a run of one's own, once it is there and belongs to the settings."""
    status = page.locator(f"#{tab}-status .done[data-run]:not([data-run=''])")
    expect(status).to_be_visible(timeout=PATIENCE)
    expect(page.locator(f"#tab-{tab}")).not_to_have_attribute("data-old", "", timeout=PATIENCE)
    return status
