"""The notebooks run from a clean kernel, and their claims are true."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
Run = Callable[[str, dict[str, str]], dict[str, Any]]
"""Take the name of a notebook and expressions by name, and return their values."""
TRAINING = {
    "seen": "[path.stem for path in seen]",
    "unseen": "[path.stem for path in unseen]",
    "read": "[path.stem for path in find_images(Path(recipe.data[0]))]",
    "reports": "[[report.step, report.loss, report.psnr_y] for report in reports]",
    "finished": "[outcome.finished, outcome.step, outcome.weights.name]",
    "baseline": "baseline",
    "scores": "scores.reset_index().to_dict('list')",
}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Execute a notebook in quick mode, and return the values of expressions at its end.

    It must leave no files in its working folder.
    """
    monkeypatch.setenv("PROMPTSR_QUICK", "1")
    for name in ("PEER", "MODELS", "CATEGORIES", "PHOTOS"):
        monkeypatch.delenv(f"PROMPTSR_{name}", raising=False)
    monkeypatch.setenv("PYTHONPATH", str(ROOT), prepend=os.pathsep)
    here = tmp_path / "here"
    here.mkdir()

    def run(name: str, values: dict[str, str]) -> dict[str, Any]:
        notebook = jupytext.read(ROOT / "notebooks" / f"{name}.py")
        asked = ", ".join(f"{key!r}: {value}" for key, value in values.items())
        notebook.cells.append(nbformat.v4.new_code_cell(f"import json; print(json.dumps({{{asked}}}))"))
        NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(here)}}).execute()
        assert list(here.iterdir()) == []
        answer: dict[str, Any] = json.loads(notebook.cells[-1].outputs[0].text)
        return answer

    return run


def test_architecture_tour(run: Run) -> None:
    values = {
        "sdpa": "(lambda q, k, v: float((attention(q, k, v, 0.3) - torch.nn.functional.scaled_dot_product_attention("
        "q[None], k[None], v[None], scale=0.3)[0]).abs().max()))(*torch.randn(3, 2, 7, 5))",
        "windows": "windows(torch.arange(32).view(1, 4, 8, 1), 4)[..., 0].tolist()",
        "shuffle": "shuffle(torch.arange(12.0).view(1, 12, 1, 1), 2).tolist()",
        "categories": "categories(torch.tensor([[[1, 4, 0], [2, 3, 5]]]),"
        " torch.tensor([[[9, 1], [2, 8], [3, 4]]])).tolist()",
        "shapes": "{name.split('.')[-1]: list(value.shape) for name, value in seen.items()}",
        "agreement": "[float(psnr_y(each, network(lr), 4)) for each in (ours(lr), result)]",
        "without": "([setattr(block.global_prompting, 'alpha', 0.5) for group in network.groups"
        " for block in group.blocks], float(psnr_y(ours(lr), result, 4)))[1]",
        "psnr": "[psnr_y(quantize(image), hr, 4) for image in (upscale(lr, 4), result)]",
        "boxes": "list(tour.stops)",
    }
    answer = run("01_architecture_tour", values)
    assert answer["sdpa"] < 1e-5
    rows = [[0, 1, 2, 3], [8, 9, 10, 11], [16, 17, 18, 19], [24, 25, 26, 27]]
    first = [number for row in rows for number in row]
    assert answer["windows"] == [first, [number + 4 for number in first]]
    assert answer["shuffle"] == [[[[0, 1], [2, 3]], [[4, 5], [6, 7]], [[8, 9], [10, 11]]]]
    assert answer["categories"] == [[1, 0, 1], [0, 1, 1]]
    # 48 x 32 pixels, an anchor for 8 x 8 of them, 48 channels
    assert answer["shapes"]["anchors"] == answer["shapes"]["anchor_prompts"] == [1, 24, 48]
    assert answer["shapes"]["coarse_map"] == [1, 24, 1536] and answer["shapes"]["fine_map"] == [1, 1536, 24]
    assert min(answer["agreement"]) > 60 > answer["without"]  # by hand the network, and not another one
    bicubic, by_hand = answer["psnr"]
    assert by_hand > bicubic + 1
    assert len(answer["boxes"]) == 11 and answer["boxes"][0] == "encoder" and answer["boxes"][-1] == "decoder"


def test_local_attribution(run: Run) -> None:
    values = {
        "equal": "bool(equal)",
        "gini": "[diffusion_index(by_hand), attribution.di]",
        "index": "[diffusion_index(np.array([[[1.0, 0, 0, 0]]])), diffusion_index(np.ones((3, 2, 2)))]",
        "area": "contribution_area(np.array([[[1.0, -100, 0.5, 2]]] * 3), 0.01)",
        "detector": "float(detector(torch.arange(hr.shape[3] * 1.0).expand(1, 3, hr.shape[2], -1)))",
        "gaps": "completeness['gap'].loc['bicubic-x4'].to_dict()",
        "kernels": "[float(BlurPath(spot, settings).points([i]).max()) for i in shown]",
        "compared": "{found.model: found.di for found in compared.attributions}",
        "trained": "len(trained)",
        "switched": "[found.model for found in switched_maps.attributions]",
        "others": "others.loc['mean'].to_list()",
    }
    answer = run("02_local_attribution", values)
    assert answer["equal"] and answer["gini"][0] == pytest.approx(answer["gini"][1], abs=1e-3)
    assert answer["index"] == pytest.approx([25, 100]) and answer["area"] == 0.5  # 1 percent itself does not count
    assert answer["detector"] == pytest.approx(3 * 16 * 16)  # a ramp that rises by 1 from column to column
    right, trapezoid = (answer["gaps"][rule] for rule in ("right", "trapezoid"))
    assert abs(right["10"]) < 0.75 * abs(right["5"]) < 0.1
    assert abs(trapezoid["10"]) < min(0.01, 0.5 * abs(trapezoid["5"]), 0.5 * abs(right["10"]))
    assert answer["kernels"] == sorted(answer["kernels"]) and answer["kernels"][-1] == pytest.approx(1)
    assert answer["compared"]["bicubic-x4"] < 0.5 * answer["compared"]["promptsr-x4"]
    assert answer["trained"] == 0 and len(answer["switched"]) == 4
    assert "all three switched off" in answer["switched"][0]
    assert min(answer["others"]) > 2 * answer["compared"]["bicubic-x4"]


def test_anchor_tsne(run: Run) -> None:
    values = {
        "equal": "bool(equal)",
        "shape": "points.features.shape",
        "knn": "{name: [f.groups.knn, f.groups.p_value] for name, f in study.features.items()}",
        "shown": "numbers['k-NN'].to_list()",
        "kept": "[trained.groups.knn, *(each.knn for each in trained.categories)]",
        "ruler": "ruler[['k-NN', 'low', 'high', 'p']].to_numpy().tolist()",
        "findings": "study.findings",
        "in_plane": "in_plane",
        "change": "study.update_change",
        "anchors": "anchors['k-NN'].to_list()",
    }
    answer = run("03_anchor_tsne", values)
    assert answer["equal"] and answer["shape"] == [4, 36, 48] and answer["shown"] == answer["kept"]
    assert set(answer["knn"]) == {"trained", "untrained", "untrained_2", "untrained_3", "update_off"}
    assert all(knn > 0.95 and p == pytest.approx(0.01) for knn, p in answer["knn"].values())
    planted, shuffled = answer["ruler"]
    assert planted[0] > 0.95 and planted[3] < 0.02
    assert shuffled[1] <= shuffled[0] <= shuffled[2] and shuffled[3] > 0.05
    assert "so do those of untrained weights" in answer["findings"][0] and "no evidence" in answer["findings"][0]
    assert min(answer["in_plane"]["last group"]) > 0.1 + max(answer["in_plane"]["noise"])
    assert all(0 < change < 0.2 for change in answer["change"])
    leaky, honest, true = answer["anchors"]
    assert leaky > 0.5 > honest and true > honest + 0.2


def test_attention_and_categories(run: Run) -> None:
    values = {
        "equal": "[equal, bool(composed_equal)]",
        "row_sums": "row_sums",
        "shape": "[list(m.shape) for m in by_hand.values()]",
        "read": "[pixel.anchors[0].y // 8, pixel.anchors[0].x // 8, pixel.anchors[0].weight]",
        "most": "(lambda row: [*divmod(int(row.argmax()), 6), float(row.max())])(by_hand['fine'][y * width + x])",
        "ranks": "[float(pd.Series(pixel.weights['composed'].values.ravel()).corr("
        "pd.Series(pixel.weights['jacobian'].values.ravel()), method='spearman')), pixel.spearman]",
        "spearman": "spearman.to_dict('list')",
        "pairs": "[own, other, alike, rows.shape, len(study.pixels)]",
        "even": "[float(even), [float(np.hypot(*(np.indices((height, width)) - np.array([[[v]], [[u]]]))).mean())"
        " for u, v in study.pixels]]",
        "depth": "beside('effective_pixels').to_dict('list')",
        "groups": "groups.to_numpy().tolist()",
        "same": "same",
        "finding": "categories.finding",
        "means": "[float(categories.table['ari_slic'].mean()), max(categories.untrained_means)]",
        "sides": "{f.model: f.extent(0.99).side for f in fields}",
        "stripes": "[float(across / down / even_ratio) for across, down in list(stripes.values())[2:]]",
    }
    answer = run("04_attention_and_categories", values)
    assert answer["equal"] == [{"coarse": True, "fine": True}, True]
    assert answer["shape"] == [[24, 1536], [1536, 24]]  # 48 x 32 pixels, an anchor for 8 x 8 of them
    assert all(end == pytest.approx(1, abs=1e-5) for ends in answer["row_sums"].values() for end in ends)
    assert answer["read"] == pytest.approx(answer["most"], rel=1e-5)  # row and column of the anchor, its weight
    assert answer["ranks"][0] == pytest.approx(answer["ranks"][1], abs=1e-6)
    assert all(len(blocks) == 12 and all(-1 <= rho <= 1 for rho in blocks) for blocks in answer["spearman"].values())
    own, other, alike, shape, pixels = answer["pairs"]
    assert own == pytest.approx(answer["spearman"]["trained"][-1]) and shape == [pixels, pixels]
    assert -1 <= other <= 1 and -1 <= alike <= 1
    assert answer["even"][0] == pytest.approx(sum(answer["even"][1]) / pixels)
    assert min(answer["depth"]["untrained, lowest"]) > 0.97 * 1536 > 10 * min(answer["depth"]["trained"])
    assert all(members == 128 and 50 < beyond < 100 and distance < 40 for members, beyond, distance in answer["groups"])
    assert answer["same"] == {"coarse": 1, "fine": 1}
    own, best = answer["means"]
    assert answer["finding"].startswith("No finding: categories of untrained networks") == (own <= best)
    assert "untrained networks" in answer["finding"]
    sides = answer["sides"]
    assert sides["bicubic-x4"] == 5 < 0.5 * min(sides["promptsr-x4"], sides["promptsr-x4, untrained"])
    anchor_only, whole = answer["stripes"]
    assert anchor_only < 1.2 < 1.3 < whole


def test_failure_cases(run: Run) -> None:
    values = {
        "planted": "[[c.kind, c.x, c.y, c.loss_db] for c in planted.cases]",
        "means": "study.mean('psnr_y')",
        "losses": "[c.loss_db for c in study.cases]",
        "report": "report.read_text()[:15]",
    }
    answer = run("05_failure_cases", values)
    [first, second] = answer["planted"]
    assert first[0] == "artefact" and abs(first[1]) <= 8 and abs(first[2]) <= 8 and first[3] > 6
    assert second[0] == "blur" and abs(second[1] - 64) <= 8 and abs(second[2] - 40) <= 8 and second[3] > 2
    assert answer["means"]["promptsr-x4"] > answer["means"]["bicubic-x4"] + 0.5
    assert answer["losses"] == sorted(answer["losses"], reverse=True)
    assert answer["report"].lower().startswith("<!doctype html>")


def test_complexity(run: Run) -> None:
    values = {
        "costs": "costs.T.to_dict('list')",
        "gapl": "[int(by_hand['true'].sum()), int(by_hand['thop'].sum())]",
        "local": "[local_layer(64, 2, 4, 8), local.multiply_adds]",
        "kinds": "by_type(config)",
        "fits": "[list(fits), list(sizes_fit)]",
        "conventions": "conventions.loc['V: d=2'].to_list()",
        "sizes": "sizes.loc['III: PromptSR x4'].to_list()",
        "hidden": "compared['hidden_work'].dropna().to_dict()",
        "over": "over.to_dict('index')",
        "exponents": "exponents[exponents['quantity'] == 'attention'].set_index('layer')['exponent'].to_dict()",
    }
    answer = run("06_complexity", values)
    # parameters and multiply-adds, then both by thop, and the products by hand
    assert answer["costs"] == {
        "convolution 3 x 3, 3 to 8 channels": [224, 4320, 224, 4320, 4320],
        "linear layer, 5 to 8": [48, 480, 48, 480, 480],
        "layer norm over 5": [10, 0, 10, 240, 0],
        "softmax over 5, a module": [0, 0, 0, 168, 0],
        "softmax over 5, a function": [0, 0, 0, 0, 0],
        "product of two inputs, x @ x.mT": [0, 240, 0, 0, 240],
        "learned table of 4 x 5, added": [20, 0, 0, 0, 0],
    }
    tokens, anchors = 192 * 320, 24 * 40
    layers = 48 * (6 * 48 * tokens + (81 + 48 + 18) * anchors)
    assert answer["gapl"][0] == layers + 4 * 48 * tokens * anchors
    assert answer["gapl"][1] == layers + 2 * 3 * tokens * anchors - anchors - tokens + 4 * 48 * tokens
    assert answer["local"][0] == 64 * 2 * (2 * (16 + 8) + 7 * 2)
    assert answer["local"][1] == tokens * 48 * (2 * (256 + 128) + 7 * 48)
    assert set(answer["kinds"]) == {"Linear", "Conv2d", "LayerNorm", "Softmax"}
    assert sum(answer["kinds"].values()) == pytest.approx(53.5e9, rel=1e-3)
    assert answer["fits"] == [["+ norms + softmaxes: thop"], ["thop"]]
    assert answer["conventions"] == pytest.approx([81.1, 30.8, 31.3, 81.1, 1516.6], rel=2e-3)
    assert answer["sizes"] == [779_000, 779_808, 872_088]
    assert max(answer["hidden"], key=answer["hidden"].get) == "PromptSR"
    assert answer["hidden"]["PromptSR"] == pytest.approx(232.03 / 53.5, rel=1e-3)
    assert answer["over"]["HPINet"]["printed"] == pytest.approx(53.5 / 81.0) and answer["over"]["HPINet"]["true"] > 1.5
    assert list(answer["exponents"].values()) == pytest.approx([2, 1, 1, 2])


def test_training(run: Run) -> None:
    answer = run("07_train_your_own", TRAINING)
    assert answer["seen"] == answer["read"] == ["00_astronaut", "01_chelsea", "03_coffee", "04_flower"]
    assert answer["unseen"] == ["02_china", "05_rocket"]
    assert answer["finished"] == [True, 8, "best.safetensors"]
    steps, losses, psnr = zip(*answer["reports"], strict=True)
    assert steps == (2, 4, 6, 8) and all(0 < loss < 0.1 for loss in losses)
    assert [value is None for value in psnr] == [True, False, True, False]  # validated every four steps
    scores = answer["scores"]
    assert scores["photograph"] == answer["seen"] + answer["unseen"]
    assert answer["baseline"] == pytest.approx(np.mean(scores["bicubic"][4:]))
    assert max(psnr[1], psnr[3]) == pytest.approx(np.mean(scores["this network"][4:]), abs=1e-3)
    assert np.abs(scores["gain"]).max() < 0.1  # it starts as bicubic interpolation, and eight steps change little
    assert min(scores["gain, bundled"]) > 1


def test_photographs_of_ones_own(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    rng = np.random.default_rng(0)
    for name, size in (("a", 100), ("b", 120), ("c", 400)):
        noise = Image.fromarray(rng.integers(0, 255, (size // 4, size // 4, 3), dtype=np.uint8))
        noise.resize((size, size), Image.Resampling.BICUBIC).save(photos / f"{name}.png")
    monkeypatch.setenv("PROMPTSR_PHOTOS", str(photos))
    answer = run("07_train_your_own", {**TRAINING, "sizes": "[load_hr(path, 2).shape[2] for path in seen + unseen]"})
    assert (answer["seen"], answer["unseen"]) == (["00_a", "01_b"], ["02_c"])
    assert answer["sizes"] == [100, 120, 160]  # the large one was scaled down
    assert answer["finished"][0] and sorted(path.name for path in photos.iterdir()) == ["a.png", "b.png", "c.png"]


def test_can_you_trust_this_map(run: Run) -> None:
    values = {
        "near": "int(near.sum())",
        "begin": "curves.iloc[0].tolist()",
        "end": "curves.iloc[-1].tolist()",
        "few": "curves.loc['6.25 %' if '6.25 %' in curves.index else '6 %'].to_dict()",
        "far": "summary.loc['far: map against random'].to_dict()",
        "infidelity": "infidelities",
        "sanity": "sanity.iloc[:, -1].to_dict()",
        "said": "[sum(said['true']), float(true_map.values.sum())]",
    }
    answer = run("08_can_you_trust_this_map", values)
    assert answer["begin"] == [0] * 4 and len(set(answer["end"])) == 1  # nothing and everything blurred
    few = answer["few"]
    assert min(few["the true map"], few["the false map"], few["the nearest first"]) > 2 * few["by chance"]
    true, false = answer["infidelity"]["true"], answer["infidelity"]["false"]
    assert true[0] < 0.5 and true[0] < false[0]  # of all squares
    assert true[1] < false[1]  # of the far ones, where the maps differ
    assert answer["said"][0] == pytest.approx(answer["said"][1], rel=1e-4)  # the squares share out the whole map
    assert answer["sanity"]["bicubic"] == pytest.approx(1)
    assert answer["sanity"]["trained"] < answer["sanity"]["untrained"] - 0.3
