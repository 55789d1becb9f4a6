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
from rendernoise.networks import kernel_pyramid as module
from rendernoise.networks.kernel_pyramid import (
    GUIDES,
    KERNEL_MAPS,
    PARENTS,
    FastKernelPyramid,
    KernelPyramid,
    Level,
    averaged,
    pooled,
)

KINDS = (KernelPyramid, FastKernelPyramid)
CHANNELS, FEATURES = 14, 7
#: The additive part at the start, expm1(softplus(-5)), where its features are 0.
ADDITION = math.expm1(math.log1p(math.exp(-5.0)))
#: A logit that leaves no weight to the others, and a map that counts for nothing after softplus or exp.
ALL, NOTHING = 60.0, -60.0


def network(kind: type[KernelPyramid] = FastKernelPyramid, seed: int = 0, *, corrected: bool = True) -> KernelPyramid:
    torch.manual_seed(seed)
    made = kind(CHANNELS)
    if not corrected:
        torch.nn.init.zeros_(made.correction.weight)
    return made


def divisor(albedo: Tensor) -> Tensor:
    return 0.03 + 0.97 * albedo


def planes(radiance: Tensor, albedo: float = 0.5) -> Tensor:
    """Compressed planes of linear radiance ``[N, 3, H, W]`` with even features."""
    count, _, height, width = radiance.shape
    features = torch.full((count, FEATURES, height, width), 0.5)
    features[:, :3] = albedo
    return torch.cat((radiance.log1p(), features, torch.zeros(count, 4, height, width)), 1)


def level_of(radiance: Tensor) -> Level:
    """With even features."""
    return Level(radiance, torch.full_like(radiance[:, :1], 0.5).expand(-1, FEATURES, -1, -1))


def noise(height: int, width: int, seed: int = 1) -> Level:
    """Two lognormal images with random features."""
    generator = torch.Generator().manual_seed(seed)
    radiance = torch.randn(2, 3, height, width, generator=generator).exp() * 10
    return Level(radiance, torch.rand(2, CHANNELS - 3, height, width, generator=generator))


def maps_of(side: int, height: int, width: int, parents: int = len(PARENTS)) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return 3 * torch.randn(2, KERNEL_MAPS + side * side + parents, height, width, generator=generator)


def even_maps(side: int, height: int, width: int, parents: int = 0) -> Tensor:
    """All neighbours count alike, whatever their brightness and features are."""
    maps = torch.zeros(1, KERNEL_MAPS + side * side + parents, height, width)
    maps[:, :KERNEL_MAPS] = NOTHING
    return maps


def parents_of(coarser: Tensor) -> list[Tensor]:
    """The coarser pixels at the four corners around each pixel's centre, top left first."""
    rows, columns = ((torch.arange(2 * n) + 0.5) / 2 - 0.5 for n in coarser.shape[-2:])

    def near(places: Tensor, step: int) -> Tensor:
        return (places.floor().long() + step).clamp(0, len(places) // 2 - 1)

    return [coarser[..., near(rows, y)[:, None], near(columns, x)] for y, x in itertools.product((0, 1), (0, 1))]


def neighbours_of(image: Tensor, side: int) -> list[Tensor]:
    around = F.pad(image, (side // 2,) * 4, mode="replicate")
    height, width = image.shape[-2:]
    return [around[..., y : y + height, x : x + width] for y in range(side) for x in range(side)]


def plainly(level: Level, maps: Tensor, side: int, coarser: Level) -> Tensor:
    """The formula of :class:`KernelPyramid`, neighbour by neighbour."""
    radiance = neighbours_of(level.radiance, side) + parents_of(coarser.radiance)
    guides = neighbours_of(level.guide, side) + parents_of(coarser.guide)
    logits: list[Tensor] = []
    for i, (light, features) in enumerate(zip(radiance, guides, strict=True)):
        z = maps[:, KERNEL_MAPS + i] - maps[:, 0].exp().log1p() * light.detach().mean(1).log1p()
        distance = (features - level.guide).square()
        for g, kind in enumerate(GUIDES):
            sharpness = (maps[:, 1 + g] + kind.log_sharpness).clamp_max(9).exp()
            z = z - sharpness * distance[:, kind.channels].sum(1)
        logits.append(z)
    weights = torch.stack(logits, 1).softmax(1)
    return (weights[:, None] * torch.stack(radiance, 2)).sum(2)


# -- kernels ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", [1, 3, 5])
def test_kernels_are_the_formula_and_so_are_their_gradients(side: int) -> None:
    """Under kernels of float64, so that only a mistake is larger than rounding."""
    fine, coarse = (Level(*(part.double() for part in noise(*size))) for size in ((12, 14), (6, 7)))
    inputs = (fine.radiance, coarse.radiance, maps_of(side, 12, 14).double())
    for tensor in inputs:
        tensor.requires_grad_()
    results = [f(fine, inputs[2], side, coarse) for f in (averaged, plainly)]
    assert torch.allclose(*results, rtol=1e-9)
    towards = torch.randn(results[0].shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    one, other = (torch.autograd.grad(result, inputs, towards) for result in results)
    for name, a, b in zip(("radiance", "coarser", "maps"), one, other, strict=True):
        assert a.abs().max() > 0
        assert torch.allclose(a, b, rtol=1e-7, atol=1e-9), name


@pytest.mark.parametrize("offsets", [tuple(itertools.product(range(3), range(3))), PARENTS])
@pytest.mark.parametrize("of_image", [True, False])
def test_the_weighted_sum_knows_its_own_gradient(offsets: tuple[tuple[int, int], ...], of_image: bool) -> None:
    generator = torch.Generator().manual_seed(4)
    image = torch.randn(2, 3, 6, 7, generator=generator, dtype=torch.float64, requires_grad=of_image)
    weights = torch.randn(2, len(offsets), 4, 5, generator=generator, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda i, w: module._WeightedSum.apply(i, w, offsets), (image, weights))


@pytest.mark.parametrize("side", [1, 3, 5])
@pytest.mark.parametrize("parents", [True, False])
def test_kernels_stay_between_their_neighbours(side: int, parents: bool) -> None:
    fine, coarse = noise(18, 22), noise(9, 11, seed=2) if parents else None
    result = averaged(fine, maps_of(side, 18, 22, 4 * parents), side, coarse)
    around = torch.stack(neighbours_of(fine.radiance, side) + (parents_of(coarse.radiance) if coarse else []))
    assert (result <= around.amax(0) * (1 + 1e-5)).all()
    assert (result >= around.amin(0) * (1 - 1e-5)).all()
    assert torch.allclose(result, fine.radiance) == (side == 1 and not parents)


def test_channels_share_their_kernel() -> None:
    """One kernel for all of a pixel's colours: a grey image stays grey."""
    fine, coarse = (Level(light[:, :1].expand(-1, 3, -1, -1), guide) for light, guide in (noise(12, 12), noise(6, 6)))
    result = averaged(fine, maps_of(5, 12, 12), 5, coarse)
    assert torch.allclose(result[:, :1].expand_as(result), result, rtol=1e-5)


def test_a_kernel_puts_its_weight_where_its_logits_say() -> None:
    """Rows first, then columns, the top left neighbour first."""
    radiance = torch.arange(3 * 5 * 6, dtype=torch.float32).reshape(1, 3, 5, 6)
    for index in range(9):
        maps = even_maps(3, 5, 6)
        maps[:, KERNEL_MAPS + index] = ALL
        dy, dx = index // 3 - 1, index % 3 - 1
        result = averaged(level_of(radiance), maps, 3)
        assert torch.allclose(result[..., 1:4, 1:5], radiance[..., 1 + dy : 4 + dy, 1 + dx : 5 + dx], rtol=1e-5)


def four_nearest(y: int, x: int, height: int, width: int) -> set[tuple[int, int]]:
    """By the distances of all centres of coarser pixels, 2 px apart, from the centre of a pixel."""
    places = itertools.product(range(height), range(width))
    return set(sorted(places, key=lambda p: (2 * p[0] + 0.5 - y) ** 2 + (2 * p[1] + 0.5 - x) ** 2)[:4])


def test_parents_are_the_four_nearest_coarser_pixels() -> None:
    """Which one a logit chose is told by its radiance: its row, its column, and 1."""
    rows, columns = torch.meshgrid(torch.arange(5.0), torch.arange(6.0), indexing="ij")
    coarse = level_of(torch.stack((rows, columns, torch.ones(5, 6)))[None])
    fine = level_of(torch.full((1, 3, 10, 12), 50.0))
    chosen: list[Tensor] = []
    for index, expected in enumerate(parents_of(coarse.radiance)):
        maps = even_maps(3, 10, 12, len(PARENTS))
        maps[:, KERNEL_MAPS + 9 + index] = ALL
        chosen.append(averaged(fine, maps, 3, coarse))
        assert torch.allclose(chosen[-1], expected), "top left first, then top right"
    for y, x in itertools.product(range(1, 9), range(1, 11)):  # at the border, one stands for two
        found = {(round(float(one[0, 0, y, x])), round(float(one[0, 1, y, x]))) for one in chosen}
        assert found == four_nearest(y, x, 5, 6)


@pytest.mark.parametrize("where", ["neighbour", "parent"])
def test_the_more_brightness_counts_the_less_a_firefly_spreads(where: str) -> None:
    fine, coarse = (level_of(torch.ones(1, 3, side, side)) for side in (10, 5))
    (fine.radiance[..., 4, 4] if where == "neighbour" else coarse.radiance[..., 2, 2]).fill_(1e4)
    beside: list[float] = []
    for against in (NOTHING, -2.0, 0.0, 2.0, 5.0):
        maps = even_maps(3, 10, 10, len(PARENTS))
        maps[:, 0] = against
        result = averaged(fine, maps, 3, coarse)
        beside.append(float(result[0, 0, 4, 3]))
        assert torch.allclose(result[..., :2, :2], torch.ones(()))
    assert beside[0] == pytest.approx((12 + 1e4) / 13, rel=1e-3), "evenly, where brightness does not count"
    assert all(later < earlier for earlier, later in itertools.pairwise(beside))
    assert beside[-1] == pytest.approx(1, rel=1e-3)


@pytest.mark.parametrize("kind", range(len(GUIDES)))
def test_each_guide_has_a_sharpness_of_its_own(kind: int) -> None:
    """Two walls that only one feature tells apart: the sharper it is, the less light crosses, and no other matters."""
    fine, coarse = (level_of(torch.ones(1, 3, side, side)) for side in (12, 6))
    for wall, half in ((fine, 6), (coarse, 3)):
        wall.radiance[..., half:] = 100.0
        wall.guide.data = wall.guide.clone()
        wall.guide[:, GUIDES[kind].channels, :, half:] = 0.6

    def crossed(own: float, others: float) -> float:
        maps = even_maps(3, 12, 12, len(PARENTS))
        maps[:, 1:KERNEL_MAPS] = others
        maps[:, 1 + kind] = own
        return float((averaged(fine, maps, 3, coarse)[0, 0, 5, 5] - 1) / 99)

    even = 5 / 13  # three neighbours and two parents are beyond the edge
    assert crossed(NOTHING, NOTHING) == pytest.approx(even, rel=1e-4)
    assert crossed(NOTHING, 9.0) == pytest.approx(even, rel=1e-4)
    rising = [crossed(own, NOTHING) for own in (NOTHING, -2.0, 0.0, 1.0, 2.0, 6.0, 1e4)]
    assert all(later <= earlier for earlier, later in itertools.pairwise(rising))
    assert 0.01 * even < rising[2] < 0.9 * even, "at first"
    assert abs(rising[-1]) < 1e-6, "and however sharp, it stays finite"


# -- pooling ----------------------------------------------------------------------------------------------------------


def test_pooling_chooses_as_its_logits_say_and_features_go_along() -> None:
    level = noise(8, 10)
    maps = torch.full((2, 2, 8, 10), NOTHING)
    for y, x in itertools.product((0, 1), (0, 1)):
        maps[:, 0] = 0.0
        maps[:, 0, y::2, x::2] = ALL
        for part, whole in zip(pooled(level, maps), level, strict=True):
            assert torch.allclose(part, whole[..., y::2, x::2])
    maps[:, 0] = 0.0
    for part, whole in zip(pooled(level, maps), level, strict=True):
        assert torch.allclose(part, F.avg_pool2d(whole, 2))


def test_pooling_stays_between_its_pixels() -> None:
    level = noise(16, 12)
    result = pooled(level, maps_of(1, 16, 12)[:, :2])
    for part, whole in zip(result, level, strict=True):
        assert (part <= F.max_pool2d(whole, 2) * (1 + 1e-5)).all()
        assert (part >= -F.max_pool2d(-whole, 2) * (1 - 1e-5)).all()
    assert not torch.allclose(result.radiance, F.avg_pool2d(level.radiance, 2), rtol=0.1)


def test_pooling_lets_fireflies_go() -> None:
    level = level_of(torch.ones(1, 3, 4, 4))
    level.radiance[..., 1, 2] = 1e4
    left: list[float] = []
    for against in (NOTHING, -2.0, 0.0, 2.0, 5.0):
        maps = torch.zeros(1, 2, 4, 4)
        maps[:, 1] = against
        result = pooled(level, maps).radiance
        left.append(float(result[0, 0, 0, 1]))
        assert torch.allclose(result[..., 0], torch.ones(()))
    assert left[0] == pytest.approx((3 + 1e4) / 4)
    assert all(later < earlier for earlier, later in itertools.pairwise(left))
    assert left[-1] == pytest.approx(1, rel=1e-3)


# -- the network ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels", [3, 6, 9, 13])
def test_it_insists_on_its_planes(kind: type[KernelPyramid], channels: int) -> None:
    with pytest.raises(InputError, match="takes radiance, albedo, normal, roughness, history, reliability"):
        kind(channels)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [0.0, 0.3, 40.0])
@pytest.mark.parametrize("albedo", [0.0, 0.6, 1.0])
def test_a_constant_image_comes_out_as_it_went_in(kind: type[KernelPyramid], value: float, albedo: float) -> None:
    """At first up to a factor near 1 and a small addition; without any correction, exactly."""
    image = torch.full((1, 3, 37, 50), value)
    light = ADDITION * (0.03 + 0.97 * albedo if albedo else 1.0)  # without an albedo there is no texture to take out
    with torch.no_grad():
        first = network(kind)(planes(image, albedo))
        exact = network(kind, corrected=False)(planes(image, albedo))
    assert float((first / (value + light)).log().abs().mean()) < 0.5
    assert torch.allclose(exact, image + light, rtol=1e-4, atol=1e-6)


def bleeding(kind: type[KernelPyramid], channels: slice | None, edge: int) -> float:
    """The most light that a dark wall takes from one 100 times as bright, when features change at the edge or not."""
    inputs = planes(torch.zeros(1, 3, 64, 64))
    if channels is not None:
        inputs[:, 3:][:, channels, :, :edge] = 0.0 if channels.start else 0.2
        inputs[:, 3:][:, channels, :, edge:] = 1.0
    light = torch.full((1, 1, 64, 64), 0.1)
    light[..., :edge] = 10.0
    albedo = divisor(inputs[:, 3:6])
    inputs[:, :3] = (light * albedo).log1p()
    with torch.no_grad():
        result = network(kind, corrected=False)(inputs) / albedo - ADDITION
    return float((result[..., edge:] - 0.1).max() / 9.9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("edge", "most"), [(32, 1e-4), (29, 0.03)])
def test_features_keep_an_edge_before_anything_is_learned(kind: type[KernelPyramid], edge: int, most: float) -> None:
    """Where all pooling windows end, and amid them, where coarse pixels lie on both walls."""
    assert bleeding(kind, None, edge) > 0.2, "one wall to the features"
    for guide in GUIDES:
        assert bleeding(kind, guide.channels, edge) < most


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


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_reach_every_parameter_and_every_map(kind: type[KernelPyramid]) -> None:
    made = network(kind)
    generator = torch.Generator().manual_seed(5)
    inputs, target = torch.rand(1, CHANNELS, 64, 96, generator=generator), torch.rand(1, 3, 64, 96, generator=generator)
    LOSSES["hdr"](made(inputs), target).backward()
    for name, p in made.named_parameters():
        assert p.grad is not None, name
        assert p.grad.any(), name
    for head in (made.output, *made.heads, made.correction):
        assert isinstance(head, torch.nn.Conv2d)
        assert head.bias is not None
        assert head.bias.grad is not None
        # Pooling weighs a coarser level's pixels against each other: what is added to all their logits changes nothing.
        idle = 1 if head in list(made.heads)[:-1] else 0
        assert (head.bias.grad[idle:] != 0).all()


@pytest.mark.parametrize("scale", [1e-6, 2.0**-7, 1e6])
def test_the_exposure_is_no_matter(scale: float) -> None:
    """The same light in another unit, exposed alike, is the same image in that unit."""
    torch.manual_seed(0)
    model = DenoisingModel(ModelSpec.default("kernel_pyramid"))
    raw = torch.rand(1, CHANNELS, 40, 40)
    scaled = raw.clone()
    for channels in (slice(0, 3), slice(10, 13)):  # radiance and history
        scaled[:, channels] *= scale
    exposure = torch.full((1, 1, 1, 1), 1.7)
    with torch.no_grad():
        one, other = model(raw, exposure), model(scaled, exposure / scale)
    assert torch.allclose(other, one * scale, rtol=1e-3, atol=0)


def test_the_texture_is_kept_whatever_the_kernels_do() -> None:
    """What is averaged is radiance over albedo: evenly lit texture survives the widest kernels."""
    albedo = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    inputs = planes(2 * divisor(albedo))
    inputs[:, 3:6] = albedo
    made = network(KernelPyramid, corrected=False)
    with torch.no_grad():
        for head in (made.output, *made.heads):
            head.bias -= 9.0 * (head.bias == 0)  # pyright: ignore
        result = made(inputs)
    assert torch.allclose(result, (2 + ADDITION) * divisor(albedo), rtol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_bands_give_the_picture_of_the_whole(kind: type[KernelPyramid], monkeypatch: pytest.MonkeyPatch) -> None:
    """To the bit: a band of 32 rows ends where vector registers do. Other bands may differ by rounding."""
    made = network(kind)
    for head in (made.output, *made.heads):
        torch.nn.init.normal_(head.weight, std=0.1)  # pyright: ignore
    inputs = torch.rand(2, CHANNELS, 150, 45, generator=torch.Generator().manual_seed(6))
    with_gradients = made(inputs).detach()

    def banded(rows: int) -> Tensor:
        monkeypatch.setattr(module, "BAND_PX", rows)
        with torch.inference_mode():
            return made(inputs).clone()

    whole, shipped = banded(10_000), banded(32)
    assert module.BAND_PX == 32
    assert torch.equal(shipped, whole)
    assert torch.equal(with_gradients, whole)
    for rows in (1, 7):
        assert torch.allclose(banded(rows), whole, rtol=3e-6, atol=0)


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
    """Unfolding makes 3·side² values a pixel; nothing is larger than the maps, forward or backward."""
    fine, coarse, maps = noise(64, 64), noise(32, 32), maps_of(side, 64, 64).requires_grad_()
    fine.radiance.requires_grad_()
    with Largest() as largest:
        averaged(fine, maps, side, coarse).sum().backward()
    assert maps.numel() <= largest.values, "else the way back was not seen"
    assert largest.values <= maps.numel()
    with Largest() as unfolded:
        F.unfold(fine.radiance, side, padding=side // 2)
    assert unfolded.values > 1.5 * largest.values, "else this test could not fail"
