"""Photographs that links name: those that were sent, and no other file."""

from pathlib import Path

import pytest

from promptsr.support.errors import UserError
from workbench.sessions.pictures import new_folder
from workbench.sessions.uploads import sent_before

SENT = "0f" * 32


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Gradio's cache, with a file that was sent, and one beside it."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "cache"))
    (tmp_path / "cache" / SENT).mkdir(parents=True)
    (tmp_path / "cache" / SENT / "my cat.png").write_bytes(b"cat")
    (tmp_path / "cache" / "other").mkdir()
    (tmp_path / "cache" / "other" / "secret.png").write_bytes(b"secret")
    return tmp_path / "cache"


def test_what_was_sent_is_found_by_its_folder_and_name(cache: Path) -> None:
    assert sent_before(f"{SENT}/my cat.png").read_bytes() == b"cat"
    written = new_folder() / "scan.png"
    written.write_bytes(b"scan")
    assert sent_before(f"{written.parent.name}/scan.png") == written
    written.unlink()  # after a day
    with pytest.raises(UserError, match=r"The photograph scan\.png is no longer on this server"):
        sent_before(f"{written.parent.name}/scan.png")


@pytest.mark.parametrize(
    "name",
    [
        "", "..", SENT, f"{SENT}/", f"{SENT}/.", f"{SENT}/..", f"{SENT}/../other/secret.png", "other/secret.png",
        "secret.png", f"{SENT}/other.png", f"../cache/{SENT}/my cat.png", f"/{SENT}/my cat.png", f"{SENT}/a\0b",
        f"{SENT}\\my cat.png", "/etc/passwd", f"{SENT}//etc/passwd", f"{SENT.upper()}/my cat.png", f"{SENT}/{'x' * 99}",
    ],
)  # fmt: skip
def test_other_files_are_not(cache: Path, name: str) -> None:
    with pytest.raises(UserError, match="is no longer on this server"):
        sent_before(name)
