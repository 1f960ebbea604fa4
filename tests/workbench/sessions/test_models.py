"""The page's list of models: new files are read later, checkpoints are added, and names in figures change."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from matplotlib.figure import Figure

from analysis.common.image_windows import Region
from analysis.comparison.compare import compare
from promptsr.imaging import Metadata
from promptsr.support.errors import UserError
from promptsr.support.progress import finish
from promptsr.zoo.listing import OWN_MODELS, WEIGHTS
from tests.zoo.adapters.conftest import write_onnx
from tests.zoo.adapters.test_spandrel_models import build
from tests.zoo.conftest import write_promptsr
from workbench.sessions import compare as comparisons
from workbench.sessions import figure_names, models, visits
from workbench.sessions.model_rows import ignored, rows, to_fetch

pytestmark = pytest.mark.filterwarnings("ignore:torchvision was built:UserWarning")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder of the owner's models; what this file adds is gone afterwards."""
    folder = tmp_path / "own"
    folder.mkdir()
    monkeypatch.setenv(OWN_MODELS, str(folder))
    monkeypatch.setenv("PROMPTSR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "files"))
    monkeypatch.setattr(models, "_added", {})
    monkeypatch.setattr(models, "_postponed", False)
    monkeypatch.setattr(models, "_completed", False)
    monkeypatch.setattr(figure_names, "_names", figure_names._names.copy())
    models._listing.cache_clear()
    models._kept.cache_clear()
    yield folder
    models._listing.cache_clear()
    models._kept.cache_clear()


@pytest.fixture
def sent(tmp_path: Path) -> Path:
    """Where files that were sent lie."""
    folder = tmp_path / "sent"
    folder.mkdir()
    return folder


def test_new_files_of_other_networks_are_read_later(folder: Path) -> None:
    torch.save(build("Compact", num_feat=8, num_conv=1, upscale=2).state_dict(), folder / "compact.pth")
    write_promptsr(folder / "ours.safetensors")
    (folder / "broken.pth").write_bytes(b"no weights")
    models.postpone_reading()
    assert not models.is_complete()
    assert "ours" in models.known() and "compact" not in models.known() and ignored() == []
    first = models.first_rival("bicubic-x2")
    assert models.scale_of("compact") == 2  # this waits until it is read
    assert models.is_complete() and "compact" in models.known()
    assert ignored() == [{"path": "broken.pth", "reason": "is truncated or not a PyTorch file: download it again"}]
    assert models.first_rival("bicubic-x2") == first  # an open page shows it
    models._listing.cache_clear()
    models._completed = False
    assert "compact" in models.known()  # it is known from now on


def test_an_added_checkpoint_is_a_model_as_any_other(sent: Path) -> None:
    network = write_promptsr(sent / "mine.safetensors")
    assert models.add(sent / "mine.safetensors") == ["mine"] == models.add(sent / "mine.safetensors")
    assert "mine" in models.of_scale(3) and "mine" in models.networks() and "mine" in models.rivals("bicubic-x3")
    image = torch.rand(1, 3, 7, 5)
    model = models.load("mine")
    assert model.name == "mine" and torch.equal(model(image), network(image))
    [row] = [row for row in rows() if row["name"] == "mine"]
    assert row["is_added"] and row["scale"] == 3 and row["parameters"] == model.parameters and row["licence"] is None
    (sent / "mine.safetensors").unlink()  # as Gradio does in the end
    assert "mine" not in models.known()
    with pytest.raises(UserError, match="There is no model mine"):
        models.load("mine")


def test_names_never_collide(sent: Path, folder: Path) -> None:
    write_promptsr(folder / "listed.safetensors")
    names = []
    for number, name in enumerate(("promptsr-tiny-x4", "promptsr-x2", "bicubic", "listed", "mine", "mine")):
        path = sent / str(number) / f"{name}.safetensors"
        write_promptsr(path)
        names += models.add(path)
    assert names == ["promptsr-tiny-x4-2", "promptsr-x2-2", "bicubic-2", "listed-2", "mine", "mine-2"]
    assert models.scale_of("promptsr-tiny-x4") == 4 and models.scale_of("promptsr-tiny-x4-2") == 3


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("damaged.safetensors", "damaged.safetensors is truncated or not a safetensors file"),
        ("text.pth", "text.pth is truncated or not a PyTorch file"),
        ("code.pt", "code.pt holds more than tensors and could run code, so it was not opened"),
        ("foreign.ckpt", "foreign.ckpt holds none of the networks known here"),
        ("graph.onnx", "graph.onnx is not a file of tensors: add .safetensors, .pth, .pt or .ckpt."),
        ("photo.png", "photo.png is not a file of tensors"),
        ("gone.pth", "There is no weights file gone.pth"),
    ],
)
def test_unusable_checkpoints_are_refused_in_a_sentence(sent: Path, name: str, message: str) -> None:
    (sent / "damaged.safetensors").write_bytes((WEIGHTS / "promptsr-tiny-x2.safetensors").read_bytes()[:9999])
    (sent / "text.pth").write_text("no weights")
    torch.save({"weights": print}, sent / "code.pt")
    torch.save({"layer": torch.zeros(3)}, sent / "foreign.ckpt")
    write_onnx(sent / "graph.onnx")
    (sent / "photo.png").touch()
    before = models.usable()
    with pytest.raises(UserError) as refusal:
        models.add(sent / name)
    assert str(refusal.value).startswith(message) and str(sent) not in str(refusal.value)
    assert models.usable() == before


def test_what_can_be_fetched_goes_where_it_is_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offered = to_fetch()
    assert {row["command"] for row in offered} >= {f'promptsr fetch imdn-x4 --to "${OWN_MODELS}"'}
    assert not any("set5" in row["command"] or "manga" in row["command"] for row in offered)
    assert all(row["size"] > 0 and row["licence"] and row["page"].startswith("http") for row in offered)
    monkeypatch.delenv(OWN_MODELS)
    assert {row["command"] for row in to_fetch()} >= {"promptsr fetch imdn-x4 --to models"}


def test_names_in_figures_belong_to_a_visit(monkeypatch: pytest.MonkeyPatch) -> None:
    image = torch.rand(1, 3, 12, 10)
    comparison = finish(compare([models.load("bicubic-x4"), models.load("promptsr-tiny-x4")], image))
    shown = comparisons.keep("photo", comparison, Metadata())
    drawn: list[Figure] = []
    monkeypatch.setattr(comparisons, "write_figure", lambda figure, *_: drawn.append(figure))

    def names() -> list[str]:
        shown.figures(Region(0, 0, 8))
        return [text.get_text() for axes in drawn[-1].axes for text in axes.texts]

    for visit, expected in (("a" * 32, "PromptSR (ours)"), ("b" * 32, "promptsr-tiny-x4"), (None, "promptsr-tiny-x4")):
        monkeypatch.setattr(visits, "current", lambda visit=visit: visit)
        if visit == "a" * 32:
            figure_names.call("promptsr-tiny-x4", " PromptSR (ours) ")
        assert expected in names() and "bicubic-x4" in names()
        [row] = [row for row in rows() if row["name"] == "promptsr-tiny-x4"]
        assert row["figure_name"] == expected
    assert [row["model"] for row in shown.rows] == ["bicubic-x4", "promptsr-tiny-x4"]
    monkeypatch.setattr(visits, "current", lambda: "a" * 32)
    figure_names.call("promptsr-tiny-x4", "")
    assert "promptsr-tiny-x4" in names()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("x" * 41, "up to 40 characters"),
        ("<b>bold</b>", "without < > "),
        ("$x^2$", "without < > "),
        (r"\frac", "without < > "),
        ("two\nlines", "without < > "),
        ("bicubic-x4", "bicubic-x4 is the name of another picture"),
        ("HR", "HR is the name of another picture"),
    ],
)
def test_names_in_figures_are_short_plain_and_different(
    monkeypatch: pytest.MonkeyPatch, name: str, message: str
) -> None:
    monkeypatch.setattr(visits, "current", lambda: "c" * 32)
    with pytest.raises(UserError, match=message):
        figure_names.call("promptsr-tiny-x4", name)
    assert figure_names.figure_names() == {}
    with pytest.raises(UserError, match="There is no model nothing"):
        figure_names.call("nothing", "Name")
