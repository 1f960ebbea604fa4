"""Files kept of a run: the weights of its last state, and the validations of its log."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from promptsr.model.network import build_model
from promptsr.support.errors import UserError
from promptsr.training.recipe import Recipe
from promptsr.training.state import save_state
from tools.keep_run import keep_run


def test_weights_and_scores_are_kept(tmp_path: Path) -> None:
    network = build_model("promptsr-tiny", groups=1, blocks_per_group=1)
    recipe = Recipe(data=("all/photos",), model=network.config, validation="kodak", validation_images=8)
    settings = asdict(recipe)
    del settings["data_lr"], settings["validation_lr"]  # a run that began before there were such settings
    weights = network.state_dict()
    average = {name: value + 1 for name, value in weights.items()}
    parts = {"images": [], "step": 70, "best": 27.5, "optimizers": []}
    run = tmp_path / "mine"
    run.mkdir()
    save_state(run, {"recipe": settings, "network": weights, "average": average, **parts})
    (run / "log.csv").write_text("step,loss,lr,images_per_second,psnr_y\n50,0.1,0.1,5,\n70,0.1,0.1,5,27.456\n")
    keep_run(run, tmp_path / "kept")
    raw, averaged = (load_file(tmp_path / "kept" / f"mine{name}.safetensors") for name in ("-raw", ""))
    assert all(torch.equal(raw[name], value) for name, value in weights.items())
    assert all(torch.equal(averaged[name], value) for name, value in average.items())
    text = (tmp_path / "kept" / "mine.md").read_text()
    assert text.startswith("# mine, step 70\n") and "| 70 | 27.456 |" in text and "| 50 |" not in text
    assert "data=['photos']" in text and "teacher" not in text
    save_state(run, {"recipe": settings | {"teacher": "peers/a.pth"}, "network": weights, "average": average, **parts})
    keep_run(run, tmp_path / "kept", after=1000)
    text = (tmp_path / "kept" / "mine-after-1000.md").read_text()
    assert text.startswith("# mine, step 1070\n") and "| 1070 | 27.456 |" in text
    assert "teacher=a.pth teacher_share=0.5" in text
    with safe_open(tmp_path / "kept" / "mine.safetensors", "pt") as file:
        assert json.loads(file.metadata()["info"])["step"] == 1070
    (run / "log.csv").unlink()
    with pytest.raises(UserError, match=r"has no log\.csv"):
        keep_run(run, tmp_path / "kept")
