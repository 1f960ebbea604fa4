"""The model that enlarges an image when nobody has chosen one."""

from promptsr.zoo.default import default_model
from promptsr.zoo.load import list_models


def test_a_megapixel_is_where_the_faster_network_takes_over() -> None:
    assert [default_model(pixels) for pixels in (1, 1024 * 1024)] == ["promptsr-x4"] * 2
    assert [default_model(pixels) for pixels in (1024 * 1024 + 1, 4000 * 3000)] == ["promptsr-tiny-x4"] * 2


def test_the_best_one_scores_more_on_every_set_and_is_larger() -> None:
    models = {model.name: model for model in list_models()}
    best, fast = models[default_model(1)], models[default_model(2**40)]
    assert best.has_weights and fast.has_weights and best.parameters > 3 * fast.parameters
    assert set(best.scores) == set(fast.scores) == {"Set5", "Set14", "Kodak24"}
    assert all(best.scores[name]["psnr_y"] > fast.scores[name]["psnr_y"] + 0.15 for name in best.scores)
