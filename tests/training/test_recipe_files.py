"""Recipes are read strictly, and those that come with the project are what they say they are."""

from pathlib import Path

import pytest

from promptsr.config import PRESETS, preset
from promptsr.support.errors import ConfigError
from promptsr.training import Recipe, load_recipe
from promptsr.training.recipe import Crops

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


def recipe(folder: Path, text: str, name: str = "mine.yaml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_a_recipe_is_a_preset_and_settings(tmp_path: Path) -> None:
    text = """
model: {preset: promptsr-tiny, scale: 3, prompt_update: 1e-1, fine_prompting: off, bicubic_skip: true}
data: photos/
lr: 1.5e-4
warmup: 20_000
"""
    network = preset("promptsr-tiny", scale=3, prompt_update=0.1, fine_prompting="off", bicubic_skip=True)
    expected = Recipe(data=("photos/",), model=network, lr=1.5e-4, warmup=20_000)
    assert load_recipe(recipe(tmp_path, text)) == expected


def test_overrides_replace_what_the_file_says(tmp_path: Path) -> None:
    path = recipe(tmp_path, "data: a/\nfirst_half: {patch: 32, batch: 8}\n")
    loaded = load_recipe(
        path, ["data=[b/, c/]", "model.scale=2", "lr=1e-3", "first_half.batch=3", "clip=null", "halve_at=[3, 5]"]
    )
    assert loaded.data == ("b/", "c/") and loaded.model.scale == 2 and loaded.lr == 1e-3
    assert loaded.first_half == Crops(32, 3) and loaded.clip is None and loaded.halve_at == (3, 5)
    assert load_recipe(path, ["first_half=null"]).first_half is None
    assert load_recipe(path, ["validation=a=b"]).validation == "a=b"


def test_a_base_is_what_a_recipe_differs_from(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    recipe(tmp_path, "model: {preset: promptsr-tiny, scale: 2}\ndata: a/\nsteps: 5\n", "base.yaml")
    recipe(tmp_path / "below", "base: ../base.yaml\nmodel: {scale: 4}\n", "middle.yaml")
    top = recipe(tmp_path / "below", "base: middle.yaml\nsteps: 7\n", "top.yaml")
    loaded = load_recipe(top)
    assert (loaded.steps, loaded.data, loaded.model) == (7, ("a/",), preset("promptsr-tiny", scale=4))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("data: a/\nstep: 3\n", "There is no setting step; known are data, model"),
        ("data: a/\nmodel: {chanels: 3}\n", "There is no setting chanels; known are scale, channels"),
        ("data: a/\nmodel: {preset: promptsr-huge}\n", "Unknown preset 'promptsr-huge'"),
        ("data: a/\nmodel: promptsr\n", "model takes settings, such as preset: promptsr"),
        ("data: a/\nfirst_half: {patch: 3, batch: 2, side: 1}\n", r"There is no setting first_half\.side"),
        ("data: a/\nfirst_half: {patch: 3}\n", r"The setting first_half\.batch is missing"),
        (
            "data: a/\nfirst_half: {patch: 0, batch: 4}\n",
            r"first_half\.patch must be greater than or equal to 1, not 0",
        ),
        ("steps: 3\n", "The setting data is missing"),
        ("data: []\n", "data is empty"),
        ("data: a/\nsteps: many\n", "steps must be a valid integer.*not 'many'"),
        ("data: a/\nsteps: 1.5\n", "steps must be a valid integer.*not 1.5"),
        ("data: a/\nloss: l3\n", "loss must be 'l1' or 'mse', not 'l3'"),
        ("data: a/\nlr: .nan\n", "lr must be a finite number, not nan"),
        ("data: a/\nlr: photos\n", "lr: this is Adam's rate, not 'photos'; name folders of LR images by data_lr"),
        ("data: a/\nlr: [b/]\n", r"lr: this is Adam's rate, not \['b/'\]; name folders of LR images by data_lr"),
        ("data: [a/, b/]\ndata_lr: c/\n", "data_lr names 1 folders for 2 of data: give each one"),
        ("data: a/\nvalidation_lr: c/\n", "validation_lr goes with validation"),
        ("data: a/\nclip: 0\n", "clip must be greater than 0, not 0"),
        ("data: a/\nema: 1\n", "ema must be less than 1, not 1"),
        ("data: a/\nteacher_share: 2\n", "teacher_share must be less than or equal to 1, not 2"),
        ("data: a/\nlr: 1\nlr: 2\n", "a key stands twice in one mapping.*line 1"),
        ("data: [a/\n", "is not YAML"),
        ("data: !!python/name:os.system a\n", "is not YAML"),
        ("data: a/\nlr: 2020-99-99\n", "is not YAML: month must be"),
        ("data: a/\nsteps: !!int many\n", "is not YAML: invalid literal"),
        ("data: a/\ncompile: !!bool many\n", "is not YAML"),
        ("data: " + "[" * 2000, "is not YAML"),
        ("data: &a [a/, b/]\ninit: *a\n", "is not YAML: an alias is not allowed, write its value out"),
        ("just text\n", "holds no settings"),
        ("", "holds no settings"),
        ("base: mine.yaml\n", "is its own base"),
        ("base: nowhere.yaml\n", r"There is no recipe .*nowhere\.yaml"),
        *[
            (f"data: a/\n{name}: {least - 1}\n", f"{name} must be greater than or equal to {least}, not {least - 1}")
            for least, names in {
                1: "steps batch patch accumulate report_every validate_every validation_images threads",
                0: "lr matrix_lr warmup ema seed workers save_minutes",
            }.items()
            for name in names.split()
        ],
    ],
)
def test_bad_recipes_are_refused_with_a_sentence(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        load_recipe(recipe(tmp_path, text))
    assert "\n" not in str(error.value) and str(tmp_path) in str(error.value)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("lr", "KEY=VALUE, not 'lr'"),
        ("=3", "KEY=VALUE, not '=3'"),
        ("lrr=3", "There is no setting lrr"),
        ("model.scale=5", "scale must be 1, 2, 3, 4 or 8"),
        ("data=[", r"data=\[ is not YAML"),
        ("model.scale.more=3", "scale must be a valid integer, not {'more': 3}"),
    ],
)
def test_bad_overrides_are_refused_with_a_sentence(tmp_path: Path, override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_recipe(recipe(tmp_path, "data: a/\n"), [override])


@pytest.mark.parametrize("path", sorted(CONFIGS.rglob("*.yaml")), ids=lambda path: str(path.relative_to(CONFIGS)))
def test_every_recipe_that_comes_along_is_whole(path: Path) -> None:
    loaded = load_recipe(path)
    assert path.read_text().startswith("# ")
    assert (loaded.validation is None) == (path.stem == "small")  # its last weights are measured
    assert all(0 < step < loaded.steps for step in loaded.halve_at)


def test_the_papers_recipes_are_exact() -> None:
    """Section IV-A: Adam, L1, batch 48, crops of 64, no more than that."""
    for name, network in (("", "promptsr"), ("star-", "promptsr-star")):
        for scale in (2, 3, 4):
            loaded = load_recipe(CONFIGS / f"{name}x{scale}.yaml")
            assert loaded.model == preset(network, scale=scale)
            assert (loaded.optimizer, loaded.loss, loaded.batch, loaded.patch) == ("adam", "l1", 48, 64)
            assert (loaded.warmup, loaded.clip, loaded.ema, loaded.first_half) == (0, None, 0, None)
            if scale == 2:
                assert (loaded.init, loaded.steps, loaded.lr) == ((), 500_000, 5e-4)
                assert loaded.halve_at == (250_000, 400_000, 450_000, 475_000, 490_000)
            else:
                assert (loaded.init, loaded.steps, loaded.lr) == ((f"runs/{name}x2/best.safetensors",), 250_000, 2e-4)
                assert loaded.halve_at == (150_000, 200_000, 225_000, 240_000)


def test_every_ablation_of_the_paper_has_a_recipe() -> None:
    rows = {name.removeprefix("ablation-"): config for name, config in PRESETS.items() if name.startswith("ablation-")}
    loaded = {path.stem: load_recipe(path) for path in (CONFIGS / "ablations").glob("*.yaml") if path.stem != "small"}
    assert {name: one.model for name, one in loaded.items()} == rows
    assert {(one.steps, one.lr, one.model.scale) for one in loaded.values()} == {(250_000, 2.5e-4, 4)}
