"""Settings that people write: recipes in YAML, lists of sources in TOML, names of models."""

from pathlib import Path

from hypothesis import strategies as st

from promptsr.config import ModelConfig
from promptsr.downloads import catalogue
from promptsr.downloads.catalogue import load_catalogue
from promptsr.support.errors import CheckpointError, ConfigError
from promptsr.training.recipe_files import load_recipe
from promptsr.zoo.adapters import FUNCTION
from promptsr.zoo.load import load_model
from tests.fuzz.mutations import damaged
from tests.fuzz.target import Target

_CONFIGS = Path(__file__).resolve().parents[2] / "configs"
_YAML = """data: [a, b]
model: {preset: promptsr-tiny, scale: 2}
steps: 100
lr: 1e-4
first_half: {patch: 32, batch: 4}
"""
_BOMB = "a: &a [x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join(9 * ['*' + old])}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
_VALUES = ["2020-99-99", "0b_", "!!int x", "!!float x", "!!binary x", "*a", "&a b", "{}", "[]", "? ", ".inf", "1:99"]
_VALUES += ["<<: *a", "null", "~", "1e999", "'", '"\\x', "!!python/name:os.system a", "- "]
_VALUES += ["\0", "[" * 2000, "9" * 5000]
_KEYS = ["data", "base", "init", "model", "steps", "lr", "batch", "clip", "seed", "halve_at", "first_half", "<<", "?"]
_LINES = st.builds("{}: {}".format, st.sampled_from(_KEYS), st.sampled_from(_VALUES) | st.text(max_size=8))

_TOML = """[one]
title = "a"
licence = "b"
page = "c"
evidence = "d"
files = [{ url = "https://example.org/a/b.zip", size = 3, sha256 = "%s" }]
unpack = { members = { "a/(.*)" = 'b/\\1' }, limit = 9 }
""" % (64 * "0")
_PIECES = r"""one = 5
[one.two]
files = ""
unpack = []
members = ["a"]
limit = -1
x = 1e999
"(" = "a"
"a{99999999999}" = ""
"a" = 5
"(.+)" = "\\7"
name = "x"
"%00"
"%2e%2e"
[[a]]""".splitlines()


def _texts(valid: list[str], pieces: st.SearchStrategy[str]) -> st.SearchStrategy[bytes]:
    """Valid files, damaged, or with lines inserted or replaced."""
    encoded = [text.encode() for text in valid]

    def edited(data: bytes, lines: list[tuple[int, str, bool]]) -> bytes:
        whole = data.decode().splitlines()
        for place, line, instead in lines:
            place %= len(whole) + 1
            whole[place : place + instead] = [line]
        return "\n".join(whole).encode(errors="surrogatepass")

    line = st.tuples(st.integers(0, 60), pieces, st.booleans())
    return damaged(encoded) | st.builds(edited, st.sampled_from(encoded), st.lists(line, max_size=3))


def _recipes() -> st.SearchStrategy[bytes]:
    return _texts(
        [_YAML, _BOMB, _YAML + _BOMB, *(path.read_text() for path in sorted(_CONFIGS.glob("*.yaml")))], _LINES
    )


def _catalogues() -> st.SearchStrategy[bytes]:
    built_in = catalogue._BUILT_IN.read_text(encoding="utf-8")
    return _texts([_TOML, built_in], st.sampled_from([*_PIECES, "[" * 2000]))


def _overrides() -> st.SearchStrategy[str]:
    return _LINES.map(lambda line: line.replace(": ", "=", 1))


def _names() -> st.SearchStrategy[str]:
    """Names, without those that rightly run code."""
    starts = st.sampled_from(["bicubic-x", "promptsr-tiny-x", "promptsr-x", "../", "/", "~"])
    texts = st.text(max_size=30) | st.text(min_size=1, max_size=5).map(lambda text: 300 * text)
    return (texts | st.builds("{}{}".format, starts, st.text())).filter(lambda name: not FUNCTION.fullmatch(name))


def check_recipe(path: Path, _: Path) -> None:
    """The settings of a recipe are in range, and its network exists."""
    recipe = load_recipe(path)
    assert recipe.steps >= 1 and recipe.batch >= 1 and recipe.patch >= 1 and recipe.data
    assert ModelConfig.from_dict(recipe.model.to_dict()) == recipe.model


def check_override(text: str, folder: Path) -> None:
    """A setting of the command line is read, or refused."""
    path = folder / "recipe.yaml"
    path.write_text(_YAML)
    load_recipe(path, [text])


def check_catalogue(path: Path, folder: Path) -> None:
    """Every entry of a list ends in the folder that is asked for, and has a target for every member."""
    for entry in load_catalogue(path).values():
        assert entry.path(folder).parent == folder
        assert all(file.name.isprintable() and (folder / file.name).parent == folder for file in entry.files)
        if entry.unpack is not None:
            for member in ("a/b", "", "\n"):
                assert isinstance(entry.unpack.target(member), str | None)


def check_name(name: str, _: Path) -> None:
    """A name loads a model, or is refused."""
    load_model(name)


TARGETS = [
    Target("recipe", _recipes, check_recipe, ConfigError, 15, ".yaml"),
    Target("override", _overrides, check_override, ConfigError),
    Target("catalogue", _catalogues, check_catalogue, ConfigError, 25, ".toml"),
    Target("model-name", _names, check_name, CheckpointError, 15),
]
