"""Notebook 01: the network by hand is the network."""

from tests.notebooks.conftest import Run


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
        "without": "(setattr(network.groups[0].blocks[1].global_prompting, 'alpha', 0.5),"
        " float(psnr_y(ours(lr), result, 4)))[1]",
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
    # 48 x 32 pixels, an anchor for 8 x 8 of them, 32 channels
    assert answer["shapes"]["anchors"] == answer["shapes"]["anchor_prompts"] == [1, 24, 32]
    assert answer["shapes"]["coarse_map"] == [1, 24, 1536] and answer["shapes"]["fine_map"] == [1, 1536, 24]
    assert min(answer["agreement"]) > 60 > answer["without"]  # by hand the network, and not another one
    bicubic, by_hand = answer["psnr"]
    assert by_hand > bicubic + 1
    assert len(answer["boxes"]) == 11 and answer["boxes"][0] == "encoder" and answer["boxes"][-1] == "decoder"
