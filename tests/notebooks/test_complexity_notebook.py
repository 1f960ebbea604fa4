"""Notebook 06: what each convention counts, and which is the paper's."""

import pytest

from tests.notebooks.conftest import Run


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
