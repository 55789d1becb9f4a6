"""The default network: what its kernels can and cannot do, before and after whatever they learn."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from rendernoise.errors import InputError
from rendernoise.losses import LOSSES
from rendernoise.model import DenoisingModel, ModelSpec
from rendernoise.networks.kernel_pyramid import FastKernelPyramid, KernelPyramid, averaged

KINDS = (KernelPyramid, FastKernelPyramid)
CHANNELS = 10
#: The additive part at the start, expm1(softplus(-5)), where its features are 0.
ADDITION = math.expm1(math.log1p(math.exp(-5.0)))


def network(kind: type[KernelPyramid] = FastKernelPyramid, seed: int = 0) -> KernelPyramid:
    torch.manual_seed(seed)
    return kind(CHANNELS)


def planes(radiance: Tensor, albedo: float = 0.5) -> Tensor:
    """Compressed planes of linear radiance ``[N, 3, H, W]`` with even features."""
    count, _, height, width = radiance.shape
    features = torch.full((count, CHANNELS - 3, height, width), 0.5)
    features[:, :3] = albedo
    return torch.cat((radiance.log1p(), features), 1)


def maps_of(side: int, height: int, width: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 3 * torch.randn(2, 2 + side * side, height, width, generator=generator)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels", [3, 6, 9, 13])
def test_it_insists_on_its_planes(kind: type[KernelPyramid], channels: int) -> None:
    with pytest.raises(InputError, match="takes radiance, albedo, normal, roughness"):
        kind(channels)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [0.0, 0.3, 40.0])
@pytest.mark.parametrize("albedo", [0.0, 0.6, 1.0])
def test_a_constant_image_comes_out_as_it_went_in(kind: type[KernelPyramid], value: float, albedo: float) -> None:
    """At first up to a factor near 1 and a small addition; without any correction, exactly."""
    made, image = network(kind), torch.full((1, 3, 37, 50), value)
    divisor = 0.03 + 0.97 * albedo if albedo else 1.0  # without an albedo there is no texture to take out
    with torch.no_grad():
        first = made(planes(image, albedo))
        assert float((first / (value + ADDITION * divisor)).log().abs().mean()) < 0.5
        made.output.weight[-6 * 4 :] = 0
        exact = made(planes(image, albedo))
    assert torch.allclose(exact, image + ADDITION * divisor, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("side", [1, 3, 5])
def test_kernels_stay_between_their_neighbours(side: int) -> None:
    generator = torch.Generator().manual_seed(1)
    radiance = torch.randn(2, 3, 19, 23, generator=generator).exp() * 10
    result = averaged(radiance, maps_of(side, 19, 23), side)
    reach = side // 2
    around = F.pad(radiance, (reach,) * 4, mode="replicate")
    most, least = F.max_pool2d(around, side, 1), -F.max_pool2d(-around, side, 1)
    assert (result <= most * (1 + 1e-5)).all()
    assert (result >= least * (1 - 1e-5)).all()
    assert side == 1 or not torch.allclose(result, radiance)


def test_channels_share_their_kernel() -> None:
    """One kernel for all of a pixel's colours: a grey image stays grey."""
    grey = torch.rand(2, 1, 12, 12).expand(-1, 3, -1, -1)
    result = averaged(grey, maps_of(5, 12, 12), 5)
    assert torch.allclose(result[:, :1].expand_as(result), result, atol=1e-6)


def test_a_kernel_puts_its_weight_where_its_logits_say() -> None:
    """Rows first, then columns, the top left neighbour first."""
    radiance = torch.arange(3 * 5 * 6, dtype=torch.float32).reshape(1, 3, 5, 6)
    for index in range(9):
        maps = torch.full((1, 11, 5, 6), -50.0)
        maps[:, 2 + index] = 50.0
        dy, dx = index // 3 - 1, index % 3 - 1
        result = averaged(radiance, maps, 3)
        assert torch.allclose(result[..., 1:4, 1:5], radiance[..., 1 + dy : 4 + dy, 1 + dx : 5 + dx], rtol=1e-5)


def test_the_more_brightness_counts_the_less_a_firefly_spreads() -> None:
    radiance = torch.ones(1, 3, 9, 9)
    radiance[..., 4, 4] = 1e4
    beside: list[float] = []
    for against in (-20.0, -2.0, 0.0, 2.0, 5.0):
        maps = torch.zeros(1, 11, 9, 9)
        maps[:, 1] = against
        result = averaged(radiance, maps, 3)
        beside.append(float(result[0, 0, 4, 3]))
        assert torch.allclose(result[..., :2, :2], torch.ones(()))
    assert beside[0] == pytest.approx((8 + 1e4) / 9, rel=1e-3), "evenly, where brightness does not count"
    assert all(later < earlier for earlier, later in itertools.pairwise(beside))
    assert beside[-1] == pytest.approx(1, rel=1e-3)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(1, 1), (1, 3), (2, 2), (31, 33), (65, 7)])
def test_any_size(kind: type[KernelPyramid], size: tuple[int, int]) -> None:
    made = network(kind)
    result = made(torch.rand(1, CHANNELS, *size))
    assert result.shape == (1, 3, *size)
    assert (result > 0).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("albedo", [0.0, 0.5])
@pytest.mark.parametrize("firefly", [0.0, 1e6])
def test_gradients_are_finite_whatever_comes(kind: type[KernelPyramid], albedo: float, firefly: float) -> None:
    """Black frames, black albedo, fireflies in input and target."""
    made = network(kind)
    image = torch.zeros(2, 3, 33, 40)
    image[0, :, 7, 9] = image[1, 0, 30, 2] = firefly
    target = image.flip(-1)
    result = made(planes(image, albedo))
    assert torch.isfinite(result).all()
    assert (result > 0).all()
    LOSSES["hdr"](result, target).backward()
    for name, p in made.named_parameters():
        assert p.grad is not None, name
        assert torch.isfinite(p.grad).all(), name


@pytest.mark.parametrize("scale", [1e-6, 2.0**-7, 1e6])
def test_the_exposure_is_no_matter(scale: float) -> None:
    """The same light in another unit, exposed alike, is the same image in that unit."""
    torch.manual_seed(0)
    model = DenoisingModel(ModelSpec.default("kernel_pyramid"))
    raw = torch.rand(1, CHANNELS, 40, 40)
    scaled = raw.clone()
    scaled[:, :3] *= scale
    exposure = torch.full((1, 1, 1, 1), 1.7)
    with torch.no_grad():
        one, other = model(raw, exposure), model(scaled, exposure / scale)
    assert torch.allclose(other, one * scale, rtol=1e-3, atol=0)


def test_the_texture_is_kept_whatever_the_kernels_do() -> None:
    """What is averaged is radiance over albedo: evenly lit texture survives the widest kernels."""
    made = network(KernelPyramid)
    albedo = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    divisor = 0.03 + 0.97 * albedo
    inputs = planes(2 * divisor)
    inputs[:, 3:6] = albedo
    with torch.no_grad():
        made.output.weight[-6 * 4 :] = 0
        result = made(inputs)
    assert torch.allclose(result, (2 + ADDITION) * divisor, rtol=1e-3)


class Largest(TorchDispatchMode):
    """Notes how many values the largest tensor has that any operation makes."""

    def __init__(self) -> None:
        super().__init__()
        self.values = 0

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):  # pyright: ignore
        result = function(*arguments, **(keywords or {}))
        if isinstance(result, Tensor):
            self.values = max(self.values, result.numel())
        return result


@pytest.mark.parametrize("side", [3, 5])
def test_kernels_are_applied_without_copies_of_the_image(side: int) -> None:
    """Unfolding makes 3·side² values a pixel; the kernels themselves are side²."""
    pixels = 64 * 64
    maps = maps_of(side, 64, 64)
    with torch.no_grad(), Largest() as largest:
        averaged(torch.rand(2, 3, 64, 64), maps, side)
    assert largest.values <= 2 * pixels * (side * side + 1)
    with Largest() as unfolded:
        F.unfold(torch.rand(2, 3, 64, 64), side, padding=side // 2)
    assert unfolded.values > 2 * largest.values, "else this test could not fail"
