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


def test_every_field_can_be_set(tmp_path: Path) -> None:
    path = recipe(tmp_path, "model: {preset: promptsr-tiny, scale: 3, prompt_update: 1e-1}\ndata: photos/\nlr: 2e-4\n")
    loaded = load_recipe(path)
    assert loaded == Recipe(data=("photos/",), model=preset("promptsr-tiny", scale=3, prompt_update=0.1), lr=2e-4)


def test_words_and_numbers_are_what_they_look_like(tmp_path: Path) -> None:
    text = "data: a/\nmodel: {fine_prompting: off, bicubic_skip: true}\nlr: 1.5e-4\nwarmup: 20_000\n"
    loaded = load_recipe(recipe(tmp_path, text))
    assert loaded.model.fine_prompting == "off" and loaded.model.bicubic_skip is True
    assert (loaded.lr, loaded.warmup) == (1.5e-4, 20_000)


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
        ("data: a/\nstep: 3\n", "there is no setting step; known are data, model"),
        ("data: a/\nmodel: {chanels: 3}\n", "Unknown setting chanels; known are scale, channels"),
        ("data: a/\nmodel: {preset: promptsr-huge}\n", "Unknown preset 'promptsr-huge'"),
        ("data: a/\nmodel: promptsr\n", "model takes settings, such as preset: promptsr"),
        ("data: a/\nfirst_half: {patch: 3, batch: 2, side: 1}\n", r"there is no setting first_half\.side"),
        ("data: a/\nfirst_half: {patch: 3}\n", r"first_half\.batch is missing"),
        ("steps: 3\n", "the setting data is missing"),
        ("data: a/\nsteps: many\n", "steps: Input should be a valid integer.*not 'many'"),
        ("data: a/\nsteps: 1.5\n", "steps: Input should be a valid integer"),
        ("data: a/\nsteps: 0\n", "steps must be at least 1, not 0"),
        ("data: a/\nloss: l3\n", "loss: Input should be 'l1' or 'mse', not 'l3'"),
        ("data: a/\nlr: -1\n", "lr must be at least 0"),
        ("data: a/\nlr: .nan\n", "lr must be at least 0"),
        ("data: a/\nlr: 1\nlr: 2\n", "lr stands there twice"),
        ("data: [a/\n", "is no YAML"),
        ("data: !!python/name:os.system a\n", "is no YAML"),
        ("data: a/\nlr: 2020-99-99\n", "is no YAML: month must be"),
        ("data: a/\nsteps: !!int many\n", "is no YAML: invalid literal"),
        ("data: a/\ncompile: !!bool many\n", "is no YAML"),
        ("data: " + "[" * 2000, "is no YAML"),
        ("data: &a [a/, b/]\ninit: *a\n", "is no YAML: an alias stands there, write its value out"),
        ("just text\n", "holds no settings"),
        ("", "holds no settings"),
        ("base: mine.yaml\n", "is its own base"),
        ("base: nowhere.yaml\n", r"There is no recipe .*nowhere\.yaml"),
    ],
)
def test_bad_recipes_are_refused_with_a_sentence(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        load_recipe(recipe(tmp_path, text))
    assert "\n" not in str(error.value) and str(tmp_path) in str(error.value)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("lr", "key=value, not 'lr'"),
        ("=3", "key=value, not '=3'"),
        ("lrr=3", "there is no setting lrr"),
        ("model.scale=5", "scale must be 1, 2, 3, 4 or 8"),
        ("data=[", r"data cannot be read from '\['"),
        ("model.scale.more=3", "scale must be of type int"),
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
