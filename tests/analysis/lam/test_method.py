"""Local attribution maps: they add up, agree with captum and with closed forms, and leave the model as it was."""

from collections.abc import Iterator
from contextlib import suppress

import numpy as np
import pytest
import torch
from captum.attr import IntegratedGradients, NoiseTunnel
from scipy import ndimage
from skimage import data
from torch import Tensor, nn

from analysis.common.image_windows import Region
from analysis.lam.attribution import PathSettings
from analysis.lam.blur_path import BlurPath
from analysis.lam.method import LocalAttributionMap
from promptsr.imaging.resize import downscale, upscale
from promptsr.support.errors import UserError
from promptsr.zoo.load import Bicubic, load_model

SIDE, SCALE = 24, 2
REGION = Region(20, 14, 8)


class Smooth(nn.Module):
    """Two convolutions with tanh between them: every result sees 5 x 5 input pixels."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.last = nn.Conv2d(8, 3 * SCALE**2, 3, padding=1)
        for parameter in self.parameters():
            parameter.data = 0.1 * torch.randn(parameter.shape, generator=generator)
        self.double()

    def forward(self, image: Tensor) -> Tensor:
        return nn.functional.pixel_shuffle(self.last(self.first(image).tanh()), SCALE)


class Enlarging(Smooth):
    """The same as a correction of the enlarged image, so that blur in means blur out."""

    def forward(self, image: Tensor) -> Tensor:
        return upscale(image, SCALE) + super().forward(image)


@pytest.fixture
def image() -> Tensor:
    """Smooth noise, 1 x 3 x SIDE x SIDE, float64."""
    noise = ndimage.gaussian_filter(np.random.default_rng(1).random((3, SIDE, SIDE)), (0, 1, 1))
    return torch.from_numpy((noise - noise.min()) / np.ptp(noise))[None]


@pytest.fixture
def photo() -> Tensor:
    """Part of a photograph whose edges are some pixels wide, of the same shape."""
    whole = torch.from_numpy(data.astronaut() / 255).permute(2, 0, 1)[None]  # H x W x 3 -> 1 x 3 x H x W
    return downscale(whole, 2)[:, :, 10 : 10 + SIDE, 40 : 40 + SIDE]


def gap(image: Tensor, steps: int, rule: str) -> float:
    found = LocalAttributionMap(Enlarging()).explain(image, REGION, PathSettings(steps, rule=rule), at_once=20)
    assert found.completeness_gap is not None
    return found.completeness_gap


def test_attributions_add_up_to_the_change_of_the_detector(photo: Tensor) -> None:
    gaps = {steps: gap(photo, steps, "right") for steps in (12, 25, 50, 100)}
    assert abs(gaps[50]) < 0.002
    assert gaps[12] / gaps[100] == pytest.approx(100 / 12, rel=0.1)  # the error falls as 1 / steps
    assert gaps[25] / gaps[50] == pytest.approx(2, rel=0.1)
    assert abs(gap(photo, 50, "trapezoid")) < abs(gaps[50]) / 10


def test_steps_are_doubled_until_they_are_enough(photo: Tensor) -> None:
    """Nearer to the integral than the reference rule, by fewer gradients; points are not computed twice."""
    network, points = Enlarging(), []
    lam = LocalAttributionMap(network)
    exact = lam.explain(photo, REGION, PathSettings(2000, rule="trapezoid"), at_once=50).values
    reference = lam.explain(photo, REGION, PathSettings.reference()).values
    network.register_forward_pre_hook(lambda _module, args: points.append(len(args[0])))
    found = lam.explain(photo, REGION)
    assert [steps for steps, _ in found.levels] == [8, 16]
    assert sum(points) <= 2 + 17 and found.settings.steps == 128
    assert np.abs(found.values - exact).sum() < np.abs(reference - exact).sum()
    assert found.completeness_gap is not None and found.integration_error is not None
    assert abs(found.completeness_gap) < found.integration_error < 0.02
    assert found.jumps is None and found.warning is None
    alone = lam.explain(photo, REGION, PathSettings(16, rule="trapezoid"))
    np.testing.assert_allclose(found.values, alone.values, atol=1e-12)


class Jumping(Enlarging):
    """Doubles its result where the middle of the image is sharp enough: no gradient says so."""

    threshold = 0.0

    def forward(self, image: Tensor) -> Tensor:
        sharp = image[:, :, 8:16, 8:16].var((1, 2, 3)) > self.threshold
        return super().forward(image) * (1 + sharp)[:, None, None, None]


def test_what_the_window_jumps_by_is_told_from_the_error_of_the_integration(photo: Tensor) -> None:
    network, path = Jumping(), BlurPath(photo, PathSettings(1000))
    variances = path.points(range(1001))[:, :, 8:16, 8:16].var((1, 2, 3))
    network.threshold = float(variances[600])
    lam = LocalAttributionMap(network)
    with torch.no_grad():
        low, high = lam.detect(path.points([600, 601]), REGION).tolist()
        blurred, sharp = lam.detect(path.points([0, 1000]), REGION).tolist()
    share = (high - low) / (sharp - blurred)
    assert share > 0.5  # the planted jump
    found = lam.explain(photo, REGION)
    assert found.jumps == pytest.approx(share, abs=0.02)
    assert found.completeness_gap == pytest.approx(-share, abs=0.02)
    assert found.warning is not None and "changes in jumps" in found.warning
    assert found.levels[-1][0] < 128  # more steps are not tried in vain


def test_detector_is_the_length_of_the_gradient(image: Tensor) -> None:
    network = Smooth()
    near = network(image)[0, :, 14 : 14 + 9, 20 : 20 + 9].detach().numpy()
    length = np.hypot(np.diff(near, axis=1)[:, :, :-1], np.diff(near, axis=2)[:, :-1])
    assert LocalAttributionMap(network).detect(image, REGION).item() == pytest.approx(length.sum(), rel=1e-4)


def test_integrated_gradients_of_captum_agree(image: Tensor) -> None:
    lam = LocalAttributionMap(Enlarging())
    settings = PathSettings()
    path = BlurPath(image, settings)
    midpoints = torch.zeros_like(image)
    for i in range(settings.steps):
        below, above = path.points([i]), path.points([i + 1])
        segment = IntegratedGradients(lam.detect).attribute(
            above, baselines=below, n_steps=1, method="gausslegendre", additional_forward_args=(REGION,)
        )
        midpoints += segment
    found = torch.from_numpy(lam.explain(image, REGION, settings).values)
    assert (found - midpoints[0]).norm() < 0.01 * midpoints.norm()


def test_it_is_an_attribution_method_of_captum(image: Tensor) -> None:
    """With captum's signature: a batch in, tensors out, and the delta that its methods report."""
    lam, images, settings = (
        LocalAttributionMap(Smooth(), "mine"),
        torch.cat([image, image.flip(3)]),
        PathSettings(steps=5),
    )
    values, delta = lam.attribute(images, region=REGION, settings=settings, return_convergence_delta=True)
    assert values.shape == images.shape and lam.has_convergence_delta()
    for each, gap, one in zip(values, delta, images.split(1), strict=True):
        found = lam.explain(one, REGION, settings)
        assert (found.model, found.scale, found.map.shape) == ("mine", SCALE, (SIDE, SIDE))
        np.testing.assert_array_equal(each.numpy(), found.values)
        assert found.completeness_gap is not None
        change = found.detector - found.detector_blurred
        assert float(gap) == pytest.approx(found.completeness_gap * abs(change), abs=1e-5 * found.detector)


def test_it_works_under_captums_noise_tunnel(image: Tensor) -> None:
    """The mean over noisy images: of none the same map, of little noise a near one."""
    lam, settings = LocalAttributionMap(Smooth()), PathSettings(steps=3)
    plain = lam.attribute(image, REGION, settings)
    assert isinstance(plain, Tensor)
    tunnel = NoiseTunnel(lam)
    for noise, low, high in ((0.0, 0.0, 1e-6), (0.01, 1e-3, 0.5)):
        torch.manual_seed(0)
        found = tunnel.attribute(
            image, nt_type="smoothgrad", nt_samples=3, stdevs=noise, region=REGION, settings=settings
        )
        assert found.shape == plain.shape
        assert low <= float((found - plain).norm() / plain.norm()) <= high


def test_path_is_that_of_the_definition(image: Tensor) -> None:
    settings = PathSettings(steps=5, rule="right")
    path = BlurPath(image, settings)
    blurred = []
    for sigma in np.linspace(1.2, 0, 6):
        y, x = np.mgrid[-4:5, -4:5]
        kernel = np.exp(-(x**2 + y**2) / (2 * (sigma + 1e-5) ** 2))
        kernel /= kernel.sum()
        blurred.append([ndimage.correlate(channel, kernel, mode="mirror") for channel in image[0].numpy()])
    expected = np.array(blurred)
    np.testing.assert_allclose(path.points(range(6)), expected, atol=1e-12)
    np.testing.assert_allclose(path.weights([3])[0], expected[3] - expected[2], atol=1e-12)
    np.testing.assert_array_equal(path.weights([0]), np.zeros((1, 3, SIDE, SIDE)))
    np.testing.assert_allclose(path.points([5])[0], image[0], atol=1e-12)
    between = BlurPath(image, PathSettings(steps=5, rule="trapezoid"))
    np.testing.assert_allclose(between.weights([0])[0], (expected[1] - expected[0]) / 2, atol=1e-12)
    np.testing.assert_allclose(between.weights([3])[0], (expected[4] - expected[2]) / 2, atol=1e-12)


def test_bicubic_has_the_map_that_can_be_written_down(image: Tensor) -> None:
    # SR = U x V^T for each channel, with the matrix U of one-dimensional bicubic interpolation, a = -0.5.
    matrix = np.zeros((SCALE * SIDE, SIDE))
    for row in range(SCALE * SIDE):
        centre = (row + 0.5) / SCALE - 0.5
        taps = np.arange(int(np.floor(centre)) - 1, int(np.floor(centre)) + 3)
        taps = taps[(taps >= 0) & (taps < SIDE)]
        d = np.abs(taps - centre)
        near, far = 1.5 * d**3 - 2.5 * d**2 + 1, -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2
        matrix[row, taps] = np.where(d <= 1, near, far)
    matrix /= matrix.sum(axis=1, keepdims=True)
    settings = PathSettings(steps=20, rule="right")
    path = BlurPath(image, settings)
    expected = np.zeros((3, SIDE, SIDE))
    y, x, size = REGION.y, REGION.x, REGION.size
    for i in range(1, 21):
        point, move = path.points([i])[0].numpy(), path.weights([i])[0].numpy()
        for channel in range(3):
            sr = matrix @ point[channel] @ matrix.T
            slope = np.zeros_like(sr)  # of D by every output pixel
            for r in range(y, y + size):
                for c in range(x, x + size):
                    down, right = sr[r + 1, c] - sr[r, c], sr[r, c + 1] - sr[r, c]
                    length = np.sqrt(down**2 + right**2 + 1e-12)
                    slope[r + 1, c] += down / length
                    slope[r, c + 1] += right / length
                    slope[r, c] -= (down + right) / length
            expected[channel] += matrix.T @ slope @ matrix * move[channel]
    found = LocalAttributionMap(Bicubic(SCALE)).explain(image, REGION, settings)
    np.testing.assert_allclose(found.values, expected, atol=1e-9)


def test_only_the_receptive_field_is_attributed(image: Tensor) -> None:
    values = LocalAttributionMap(Smooth()).explain(image, REGION).values
    # Output pixels 20..28 and 14..22 come from input pixels 10..14 and 7..11, and two more on every side.
    inside = np.zeros((SIDE, SIDE), dtype=bool)
    inside[7 - 2 : 11 + 3, 10 - 2 : 14 + 3] = True
    inside[11 + 2, 14 + 2] = False  # forward differences do not read the far corner
    assert (values[:, ~inside] == 0).all() and (values[:, inside] != 0).all()


def test_a_moved_image_moves_the_map(image: Tensor) -> None:
    lam = LocalAttributionMap(Smooth())
    at_rest = lam.explain(image, REGION).map
    moved = lam.explain(image.roll((3, -2), (2, 3)), Region(REGION.x - 2 * SCALE, REGION.y + 3 * SCALE, 8)).map
    np.testing.assert_allclose(np.roll(at_rest, (3, -2), (0, 1)), moved, atol=1e-12)


def test_batches_of_steps_change_nothing_and_bound_the_memory(image: Tensor) -> None:
    network = Smooth()
    batches: list[int] = []
    network.register_forward_pre_hook(lambda _module, args: batches.append(len(args[0])))
    one_by_one = LocalAttributionMap(network).explain(image, REGION, at_once=1).values
    batches.clear()
    together = LocalAttributionMap(network).explain(image, REGION, at_once=7).values
    np.testing.assert_allclose(one_by_one, together, atol=1e-12)
    assert max(batches) == 7 and sum(batches) <= 50 + 2


@pytest.mark.parametrize("model", ["bicubic-x2", "promptsr-tiny-x2"])
def test_flat_image_has_no_map(model: str) -> None:
    flat = torch.full((1, 3, 16, 16), 0.123)
    found = LocalAttributionMap(load_model(model)).explain(flat, REGION, PathSettings(steps=5))
    assert not found.map.any() and found.di is None
    assert found.activated(0.01) == 0


class Trouble(Smooth):
    def forward(self, image: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            raise RuntimeError("out of luck")
        return super().forward(image)


def state(network: nn.Module) -> Iterator[object]:
    for module in network.modules():
        yield module.training, [dict(module._forward_hooks), dict(module._forward_pre_hooks), module._backward_hooks]
    for parameter in network.parameters():
        yield parameter.grad, parameter.requires_grad


@pytest.mark.parametrize("kind", [Smooth, Trouble])
def test_nothing_survives_a_run_a_cancel_or_an_exception(image: Tensor, kind: type[Smooth]) -> None:
    network = kind()
    network.train()
    network.last.eval()
    before = list(state(network))
    lam = LocalAttributionMap(network)
    with suppress(RuntimeError):
        lam.explain(image, REGION, PathSettings(steps=3))
    steps = lam.stream(image, REGION)
    with suppress(RuntimeError):
        next(steps)
    assert list(state(network)) == before  # also between two passes
    steps.close()
    assert list(state(network)) == before and torch.is_grad_enabled()


@pytest.mark.parametrize(
    ("network", "side", "region", "settings", "message"),
    [
        (Smooth(), SIDE, REGION, PathSettings(kernel=8), "odd"),
        (Smooth(), SIDE, REGION, PathSettings(steps=0), "at least 1 step"),
        (Smooth(), SIDE, REGION, PathSettings(rule="left"), "choose one of adaptive, right, trapezoid"),
        (Smooth(), SIDE, REGION, PathSettings(sigma=-1), "above 0"),
        (Smooth(), SIDE, Region(40, 0, 8), PathSettings(), "window of 8 pixels at (40, 0)"),  # ends at the border
        (Smooth(), SIDE, Region(-1, 0, 8), PathSettings(), "window of 8 pixels at (-1, 0)"),
        (Smooth(), 4, Region(0, 0, 2), PathSettings(), "too small"),
        (nn.Sequential(nn.ZeroPad2d(1)).double(), SIDE, REGION, PathSettings(), "enlarged by a whole number"),
        (nn.Flatten(), SIDE, REGION, PathSettings(), "enlarged by a whole number"),
    ],
)
def test_refusals(network: nn.Module, side: int, region: Region, settings: PathSettings, message: str) -> None:
    with pytest.raises(UserError, match=message.replace("(", r"\(").replace(")", r"\)")):
        LocalAttributionMap(network).explain(torch.rand(1, 3, side, side).double(), region, settings)
