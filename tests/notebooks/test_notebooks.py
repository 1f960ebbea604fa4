"""Notebooks 02 to 05 run from a clean kernel, and say what is true."""

import pytest

from tests.notebooks.conftest import Run


def test_local_attribution(run: Run) -> None:
    values = {
        "equal": "bool(equal)",
        "gini": "[100 * (1 - float(gini)), attribution.di]",
        "gaps": "completeness['gap'].loc['bicubic-x4'].to_dict()",
        "kernels": "[float(BlurPath(spot, settings).points([i]).max()) for i in shown]",
        "compared": "{found.model: found.di for found in compared}",
        "trained": "len(trained)",
        "switched": "[found.model for found in switched_maps]",
        "others": "others.loc['mean'].to_list()",
    }
    answer = run("02_local_attribution", values)
    assert answer["equal"] and answer["gini"][0] == pytest.approx(answer["gini"][1], abs=1e-3)
    right, trapezoid = (answer["gaps"][rule] for rule in ("right", "trapezoid"))
    assert abs(right["10"]) < 0.75 * abs(right["5"]) < 0.1
    assert abs(trapezoid["10"]) < min(0.01, 0.5 * abs(trapezoid["5"]), 0.5 * abs(right["10"]))
    assert answer["kernels"] == sorted(answer["kernels"]) and answer["kernels"][-1] == pytest.approx(1)
    assert answer["compared"]["bicubic-x4"] < 0.5 * answer["compared"]["promptsr-tiny-x4"]
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
    assert answer["equal"] and answer["shape"] == [4, 36, 32] and answer["shown"] == answer["kept"]
    assert set(answer["knn"]) == {"trained", "untrained", "untrained_2", "untrained_3", "update_off"}
    assert all(knn > 0.95 and p == pytest.approx(0.01) for knn, p in answer["knn"].values())
    planted, shuffled = answer["ruler"]
    assert planted[0] > 0.95 and planted[3] < 0.02
    assert shuffled[1] <= shuffled[0] <= shuffled[2] and shuffled[3] > 0.05
    assert "so do those of untrained weights" in answer["findings"][0] and "no finding" in answer["findings"][0]
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
        "stripes": "stripes",
    }
    answer = run("04_attention_and_categories", values)
    assert answer["equal"] == [{"coarse": True, "fine": True}, True]
    assert answer["shape"] == [[24, 1536], [1536, 24]]  # 48 x 32 pixels, an anchor for 8 x 8 of them
    assert all(end == pytest.approx(1, abs=1e-5) for ends in answer["row_sums"].values() for end in ends)
    assert answer["read"] == pytest.approx(answer["most"], rel=1e-5)  # row and column of the anchor, its weight
    assert answer["ranks"][0] == pytest.approx(answer["ranks"][1], abs=1e-6)
    assert all(len(blocks) == 8 and all(-1 <= rho <= 1 for rho in blocks) for blocks in answer["spearman"].values())
    own, other, alike, shape, pixels = answer["pairs"]
    assert own == pytest.approx(answer["spearman"]["trained"][-1]) and shape == [pixels, pixels]
    assert -1 <= other <= 1 and -1 <= alike <= 1
    assert answer["even"][0] == pytest.approx(sum(answer["even"][1]) / pixels)
    assert min(answer["depth"]["untrained, lowest"]) > 0.98 * 1536 > min(answer["depth"]["trained"])
    assert all(members == 128 and 50 < beyond < 100 and distance < 40 for members, beyond, distance in answer["groups"])
    assert answer["same"] == {"coarse": 1, "fine": 1}
    own, best = answer["means"]
    assert answer["finding"].startswith("No finding: categories of untrained networks") == (own <= best)
    assert "untrained networks" in answer["finding"]
    sides = answer["sides"]
    assert sides["bicubic-x4"] == sides["promptsr-tiny-x4, untrained"] == 5 < 0.5 * sides["promptsr-tiny-x4"]
    [[rows_only, columns_only], [across, down]] = answer["stripes"].values()
    assert across - down > rows_only - columns_only + 0.02


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
    assert answer["means"]["promptsr-tiny-x4"] > answer["means"]["bicubic-x4"] + 0.5
    assert answer["losses"] == sorted(answer["losses"], reverse=True)
    assert answer["report"].lower().startswith("<!doctype html>")
