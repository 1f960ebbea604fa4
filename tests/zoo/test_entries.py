"""Entries and prefixes of checkpoints: wrapped or not, they give the same picture, or one sentence."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from promptsr.zoo.load import load_model
from tests.support.commands import Run
from tests.zoo.conftest import refused, write_promptsr
from tests.zoo.peers.conftest import ORIGINALS

pytestmark = pytest.mark.filterwarnings("ignore:torchvision was built:UserWarning")

State = dict[str, Tensor]
Wrap = Callable[[State, State], Any]
OPTIMIZER = {"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 1e-4}]}
CRITIC = {"head.weight": torch.zeros(1, 3, 3, 3), "head.bias": torch.zeros(1)}


def under(prefix: str, state: State) -> State:
    return {prefix + name: value for name, value in state.items()}


# From tensors to be taken and others: what is saved, and what the model says.
WRAPPED: dict[str, tuple[Wrap, str | None]] = {
    "bare": (lambda real, _: real, None),
    "params, params_ema": (lambda real, raw: {"params": raw, "params_ema": real}, "params_ema of params, params_ema"),
    "params_ema": (lambda real, _: {"params_ema": real}, "params_ema"),
    "model_ema": (
        lambda real, raw: {"model_ema": real, "model": raw, "optimizer": OPTIMIZER, "epoch": 3},
        "model_ema of model_ema, model",
    ),
    "state_dict_ema": (
        lambda real, raw: {"state_dict": raw, "state_dict_ema": real},
        "state_dict_ema of state_dict, state_dict_ema",
    ),
    "ema.module": (
        lambda real, raw: {"model": under("module.", raw), "ema": {"module": real, "updates": 7}},
        "ema.module of model, ema.module",
    ),
    "ema_state": (lambda real, raw: {"model_state": raw, "ema_state": real}, "ema_state of model_state, ema_state"),
    "no averages": (lambda real, _: {"ema": {}, "params": real}, "params"),
    "state_dict": (lambda real, _: {"state_dict": real, "step": torch.tensor(3)}, "state_dict"),
    "state_dict, module.": (lambda real, _: {"state_dict": under("module.", real)}, "state_dict"),
    "model": (lambda real, _: {"model": real, "optimizers": {"a": OPTIMIZER}}, "model"),
    "model_state_dict": (lambda real, _: {"model_state_dict": real}, "model_state_dict"),
    "net_g": (lambda real, _: {"net_g": real, "net_d": CRITIC}, "net_g of net_g, net_d"),
    "a name of one's own": (lambda real, _: {"mine": real, "loss": 0.5}, "mine"),
    "module.": (lambda real, _: under("module.", real), None),
    "generator.": (lambda real, _: under("generator.", real), None),
    "_orig_mod.": (lambda real, _: under("_orig_mod.", real), None),
    "_orig_mod. within": (lambda real, _: {name.replace(".", "._orig_mod.", 1): v for name, v in real.items()}, None),
    "module._orig_mod.net_g.": (lambda real, _: under("module._orig_mod.net_g.", real), None),
    "state_dict, module.generator.": (lambda real, _: {"state_dict": under("module.generator.", real)}, "state_dict"),
    "beside statistics": (lambda real, _: {**real, "statistics": {"mean": torch.zeros(3)}}, None),
    "averaged by torch": (lambda real, _: {"n_averaged": torch.tensor(3), **under("module.", real)}, None),
    "generator. and discriminator.": (
        lambda real, _: {"state_dict": {**under("generator.", real), **under("discriminator.", CRITIC)}},
        "state_dict.generator of state_dict.generator, state_dict.discriminator",
    ),
    "model. and model_ema.": (
        lambda real, raw: {"state_dict": {**under("model.", raw), **under("model_ema.", real)}},
        "state_dict.model_ema of state_dict.model, state_dict.model_ema",
    ),
    "twice the same": (lambda real, _: {"params": real, "state_dict": real}, "params of params, state_dict"),
}


@pytest.fixture(scope="module")
def real() -> State:
    return {name: value.float() for name, value in ORIGINALS["imdn"][0](2).items()}


@pytest.fixture(scope="module")
def raw(real: State) -> State:
    """Other weights of the same network."""
    return {name: value + 0.1 for name, value in real.items()}


def check(path: Path, content: Any, state: State, weights: str | None) -> None:
    """Compare the pictures of the wrapped and of the bare tensors."""
    torch.save(content, path)
    torch.save(state, path.with_name("bare.pth"))
    image = torch.rand(1, 3, 12, 9, generator=torch.Generator().manual_seed(0))
    model = load_model(path)
    assert torch.equal(model(image), load_model(path.with_name("bare.pth"))(image))
    assert (model.name, model.weights) == (path.stem, weights)


@pytest.mark.parametrize("name", WRAPPED)
def test_a_wrapped_network_is_the_bare_one(tmp_path: Path, real: State, raw: State, name: str) -> None:
    wrap, weights = WRAPPED[name]
    check(tmp_path / "wrapped.ckpt", wrap(real, raw), real, weights)


@pytest.mark.parametrize(
    "file", ["imdn/IMDN_x4.pth", "smfanet/SMFANet_plus_DIV2K_100w_x4SR.pth", "hpinet/HPINet-M-x4.pth"]
)
def test_published_networks_are_found_in_every_wrapping(tmp_path: Path, shared_data: Path, file: str) -> None:
    path = shared_data / "peers" / file
    if not path.is_file():
        pytest.skip(f"no checkpoint {file} in the shared folder")
    content = torch.load(path, weights_only=True, map_location="cpu")
    state = {name.removeprefix("module."): value for name, value in content.get("params", content).items()}
    noise = {name: torch.randn_like(value) for name, value in state.items()}
    for wrap, weights in WRAPPED.values():
        check(tmp_path / "wrapped.pth", wrap(state, noise), state, weights)


def test_commands_tell_which_entry_was_taken(
    promptsr: Run, tmp_path: Path, real: State, raw: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save({"params": raw, "params_ema": real}, tmp_path / "mine.pth")
    weights = "params_ema of params, params_ema"
    (tmp_path / "in").mkdir()
    Image.effect_noise((40, 32), 50).convert("RGB").save(tmp_path / "in" / "a.png")
    monkeypatch.chdir(tmp_path)
    for command in (["upscale", "in/a.png", "-o", "big.png"], ["evaluate", "--hr", "in"]):
        code, out, err = promptsr(*command, "-m", "mine.pth", "--json", "result.json")
        assert code == 0, err
        assert json.loads(Path("result.json").read_text())["weights"] == {"mine": weights}
        assert f"mine: weights {weights}" in " ".join(out.split())
        Path("big.png").unlink(missing_ok=True)


AMBIGUOUS: dict[str, tuple[Wrap, str]] = {
    "two names": (lambda a, b: {"teacher": a, "student": b}, "teacher (IMDN x2), student (IMDN x2)"),
    "one name of two": (lambda a, _: {"mine": a, "critic": CRITIC}, "mine (IMDN x2), critic"),
    "two prefixes": (
        lambda a, b: {"state_dict": {**under("teacher.", a), **under("student.", b)}},
        "state_dict.teacher (IMDN x2), state_dict.student (IMDN x2)",
    ),
    "two plain ones": (lambda a, b: {"model": a, "state_dict": b}, "model (IMDN x2), state_dict (IMDN x2)"),
    "two networks": (
        lambda a, _: {"net_g": a, "params_ema": ORIGINALS["smfanet"][0](3)},
        "net_g (IMDN x2), params_ema (SMFANet x3)",
    ),
}


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_an_ambiguous_file_names_what_it_holds(tmp_path: Path, real: State, raw: State, name: str) -> None:
    wrap, held = AMBIGUOUS[name]
    torch.save(wrap(real, raw), tmp_path / "several.pth")
    assert f"holds {held}: save the one that you want in a file of its own" in refused(tmp_path / "several.pth")


@pytest.mark.parametrize("suffix", [".ckpt", ".pth", ".safetensors", ".bin", ""])
def test_content_tells_the_kind_of_file(tmp_path: Path, real: State, suffix: str) -> None:
    ours, unknown = tmp_path / f"ours{suffix}", tmp_path / f"unknown{suffix}"
    write_promptsr(ours)
    assert load_model(ours).architecture == "PromptSR"
    torch.save(real, tmp_path / f"torch{suffix}")
    save_file(real, tmp_path / f"foreign{suffix}", {"config": "{}", "format": "pt"})
    for name in ("torch", "foreign"):
        assert load_model(tmp_path / f"{name}{suffix}").architecture == "IMDN"
    torch.save({"state_dict": {"a.b": torch.zeros(2)}}, unknown)
    assert "holds none of the networks known here" in refused(unknown)


def test_tensors_of_ours_without_settings_say_what_to_choose_instead(tmp_path: Path) -> None:
    state = write_promptsr(tmp_path / "sound.safetensors").state_dict()
    run = {"recipe": {}, "images": [], "step": 1, "best": None, "network": state, "average": state, "optimizers": []}
    for name, content in (("bare.pth", state), ("wrapped.ckpt", {"params": under("module.", state)})):
        torch.save(content, tmp_path / name)
        assert "holds the tensors of a PromptSR without its settings" in refused(tmp_path / name)
    save_file(state, tmp_path / "bare.safetensors", {"config": "{}"})
    assert "holds the tensors of a PromptSR without its settings" in refused(tmp_path / "bare.safetensors")
    torch.save(run, tmp_path / "last.ckpt")
    assert "is the state of a training run: choose best.safetensors or final.safetensors" in refused(
        tmp_path / "last.ckpt"
    )


def test_a_dictionary_that_holds_itself_is_refused(tmp_path: Path) -> None:
    endless: dict[str, Any] = {"model": {"a.b": torch.zeros(2)}}
    endless["state_dict"] = endless
    torch.save(endless, tmp_path / "endless.pth")
    refused(tmp_path / "endless.pth")
    torch.save({".".join("a" * 100_000): torch.zeros(2), "b.a": torch.zeros(2)}, tmp_path / "deep.pth")
    assert "none of the networks known here" in refused(tmp_path / "deep.pth")
