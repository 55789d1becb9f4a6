from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from rendernoise.denoiser import Denoiser
from rendernoise.errors import InputError
from rendernoise.networks import DEFAULT_NETWORK, NETWORKS, network_class
from rendernoise.networks.network import Network
from rendernoise.networks.unet import UNet
from rendernoise.networks.unet_log import UNetLog
from rendernoise.weights import base_path

NAMES = sorted(NETWORKS)
KERNELS = ("fast", "kernel_pyramid")
N2V = ("n2v", "n2v2")
#: Those that may predict less than 0.
SIGNED = ("unet", *N2V)
ALL = 14


def made(name: str, channels: int | None = None) -> Network:
    """A network for so many channels, as it runs on images; those with kernels insist on all of theirs."""
    return network_class(name)(ALL if channels is None or name in KERNELS else channels).eval()


def parameters_of(name: str, channels: int) -> int:
    return sum(p.numel() for p in network_class(name)(channels).parameters())


@pytest.mark.parametrize("name", ["unet", "unet_log"])
@pytest.mark.parametrize(("channels", "parameters"), [(3, 991_203), (9, 997_251)])
def test_the_unet_has_exactly_the_published_parameters(name: str, channels: int, parameters: int) -> None:
    assert parameters_of(name, channels) == parameters


@pytest.mark.parametrize(
    ("name", "channels", "parameters"),
    [
        ("kernel_pyramid", 14, 834_497),
        ("fast", 14, 463_281),
        ("shuffled_unet", 3, 786_796),
        ("shuffled_unet", 10, 794_860),
        ("n2v", 3, 333_827),
        ("n2v2", 3, 324_611),
    ],
)
def test_weights_of_our_networks_keep_their_number(name: str, channels: int, parameters: int) -> None:
    """Another number means that weights which exist no longer fit."""
    assert parameters_of(name, channels) == parameters


def test_weights_start_as_he_et_al_have_them() -> None:
    torch.manual_seed(0)
    gain = math.sqrt(2 / (1 + 0.1**2))
    for layer in (m for m in UNet(9).modules() if isinstance(m, nn.Conv2d)):
        fan_in = layer.in_channels * 9
        expected = gain / math.sqrt(fan_in)
        # The spread of a standard deviation over n values is 1/sqrt(2 n); 5 of them.
        tolerance = 5 / math.sqrt(2 * layer.weight.numel())
        assert float(layer.weight.detach().std()) == pytest.approx(expected, rel=tolerance)
        assert abs(float(layer.weight.detach().mean())) < 5 * expected / math.sqrt(layer.weight.numel())
        assert layer.bias is not None
        assert (layer.bias == 0).all()


def test_activations_are_leaky_with_slope_a_tenth(monkeypatch: pytest.MonkeyPatch) -> None:
    slopes: list[float] = []
    original = F.leaky_relu

    def watched(x: torch.Tensor, slope: float, inplace: bool = False) -> torch.Tensor:
        slopes.append(slope)
        return original(x, slope, inplace)

    monkeypatch.setattr(F, "leaky_relu", watched)
    UNet(3)(torch.rand(1, 3, 32, 32))
    # All 18 convolutions but the output: enc_conv0 to 6, ten in the decoder (table 2).
    assert slopes == [0.1] * (sum(isinstance(m, nn.Conv2d) for m in UNet(3).modules()) - 1)
    assert len(slopes) == 17


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(1, 1), (3, 5), (1, 40), (32, 32), (33, 47), (64, 31)])
@pytest.mark.parametrize("channels", [3, ALL])
def test_any_size_keeps_its_size(name: str, size: tuple[int, int], channels: int) -> None:
    network = made(name, channels)
    result = network(torch.rand(2, network.in_channels, *size))
    assert result.shape == (2, 3, *size)
    assert result.dtype == torch.float32
    assert torch.isfinite(result).all()


@pytest.mark.parametrize("name", NAMES)
def test_every_network_names_its_transfer_and_learns(name: str) -> None:
    from rendernoise.color import TRANSFERS
    from rendernoise.model import EXPOSURE_RULES

    assert NETWORKS[name].transfer in TRANSFERS
    assert NETWORKS[name].exposure in EXPOSURE_RULES
    torch.manual_seed(0)
    network = made(name).train()
    # On one coarsest pixel alone, all neighbours would be the same one.
    network(torch.rand(1, ALL, 64, 64)).square().mean().backward()
    for key, p in network.named_parameters():
        assert p.grad is not None, key
        assert torch.isfinite(p.grad).all(), key
        assert p.grad.abs().sum() > 0, key


@pytest.mark.parametrize("name", NAMES)
def test_networks_start_differently_but_repeatably(name: str) -> None:
    weights = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        weights.append(made(name).state_dict()["entry.weight"])
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


@pytest.mark.parametrize("name", NAMES)
def test_items_of_a_batch_do_not_see_each_other(name: str) -> None:
    network = made(name)
    images = torch.rand(2, ALL, 32, 48)
    with torch.no_grad():
        assert torch.allclose(network(images)[1:], network(images[1:]), atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_no_input_gives_a_number_that_is_none(name: str) -> None:
    """Compressed planes lie in -1 to 89 (log1p of the largest float32); these go beyond."""
    torch.manual_seed(0)
    network = made(name)
    noise = torch.randn(1, ALL, 32, 48)
    with torch.no_grad():
        for planes in (noise * 0, noise * 0 + 89, noise * 0 - 89, noise * 100, noise * 1e4, (noise > 2) * 89.0):
            for autocast in (False, True):
                with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
                    result = network(planes)
                assert torch.isfinite(result).all()
                assert result.dtype == torch.float32
                assert name in SIGNED or (result >= 0).all()
        assert name in SIGNED or (network(torch.rand(1, ALL, 32, 48)) > 0).all()


def spread_of_nan(network: Network, length: int, pixel: int) -> torch.Tensor:
    """The outputs ``[length]`` (bool) that one pixel has a way to, along a strip: no layer hides a NaN."""
    planes = torch.rand(1, network.in_channels, 64, length)
    planes[..., 20, pixel] = float("nan")
    with torch.no_grad():
        across, along = (network(planes)[0].isnan().any(0).any(0), network(planes.mT)[0].isnan().any(0).any(1))
    assert torch.equal(across, along), "the same in both directions"
    return across


@pytest.mark.parametrize("name", NAMES)
def test_no_pixel_reaches_further_than_the_network_says(name: str) -> None:
    """Seen from the 32 px block of an output; and the bound is no more than one block too wide."""
    torch.manual_seed(0)
    network = made(name)
    kind = type(network)
    length, furthest = 32 * (2 * (kind.reach_px // 32) + 3), 0
    for offset in (0, 1, 15, 16, 30, 31):
        pixel = length // 64 * 32 + offset
        reached = spread_of_nan(network, length, pixel).nonzero()
        assert len(reached) > 0
        blocks = reached // 32 * 32
        furthest = max(furthest, int(torch.maximum(blocks - pixel, pixel - (blocks + 31)).max()))
    assert furthest <= kind.reach_px
    assert furthest > kind.reach_px - 32
    assert kind.reach_px % 32 == 0, "tiles start that far before a multiple of 32, which must be one again"


@pytest.mark.parametrize("name", NAMES)
def test_blocks_of_32_px_shift_with_their_content(name: str) -> None:
    """What lets tiles start at any multiple of 32: away from the borders, an image moved by 32 px gives the same."""
    torch.manual_seed(0)
    network = made(name)
    reach = network.reach_px
    planes = torch.rand(1, ALL, 32, 2 * reach + 96)
    with torch.no_grad():
        whole, moved = network(planes), network(planes[..., 32:])
    inside = slice(reach, reach + 64)
    assert torch.allclose(whole[..., 32:][..., inside], moved[..., inside], rtol=1e-4, atol=1e-5)
    assert not torch.equal(whole[..., inside], moved[..., inside]), "else nothing moved"


def test_the_log_head_is_positive_and_finite() -> None:
    head = UNetLog(3).head
    z = torch.tensor([-100.0, -5.0, 0.0, 5.0, 1e6])
    radiance = head(z)
    assert (radiance[1:] > 0).all()
    assert (radiance >= 0).all()
    assert torch.isfinite(radiance).all()
    assert radiance[2] == pytest.approx(1.0), "softplus(0) = log 2, so the network starts at middle exposure's scale"
    with torch.no_grad():
        assert (UNetLog(9)(torch.randn(1, 9, 32, 32) * 10) >= 0).all()


@pytest.mark.parametrize("name", ["shuffled_unet", *KERNELS])
def test_large_weights_do_not_drive_the_gradient_out_of_range(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two dozen layers that each multiply by 30 reach 1e35, whose square no float32 holds."""

    def gradient_norm() -> torch.Tensor:
        torch.manual_seed(0)
        network = made(name)
        with torch.no_grad():
            for layer in network.modules():
                if isinstance(layer, nn.Conv2d):
                    layer.weight.mul_(30)
        network(10 * torch.rand(1, ALL, 32, 48)).mean().backward()
        return nn.utils.get_total_norm([p.grad for p in network.parameters() if p.grad is not None])

    assert torch.isfinite(gradient_norm())
    monkeypatch.setattr("rendernoise.networks.blocks.MAX_ACTIVATION", math.inf)
    assert not torch.isfinite(gradient_norm())


@pytest.mark.parametrize("name", KERNELS)
def test_the_limit_on_activations_leaves_ordinary_images_alone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Inputs of up to e³ times middle exposure through the base weights: the same bits with and without."""
    network = Denoiser.load(base_path(name), "cpu").model.network
    planes = 3 * torch.rand(1, ALL, 32, 48, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        limited = network(planes)
        monkeypatch.setattr("rendernoise.networks.blocks.MAX_ACTIVATION", math.inf)
        assert torch.equal(limited, network(planes))


def test_the_default_exists_and_an_unknown_network_does_not() -> None:
    assert DEFAULT_NETWORK in NETWORKS
    with pytest.raises(InputError, match=r"no network 'resnet'\. Choose one of kernel_pyramid, fast, shuffled_unet"):
        network_class("resnet")


def test_fast_is_the_default_with_fewer_channels() -> None:
    default, fast = network_class(DEFAULT_NETWORK), network_class("fast")
    assert issubclass(fast, default)
    assert (fast.reach_px, fast.transfer, fast.exposure) == (default.reach_px, default.transfer, default.exposure)
    assert parameters_of("fast", ALL) < 0.6 * parameters_of(DEFAULT_NETWORK, ALL)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_what_the_network_subtracts(name: str) -> None:
    """Normals and roughness that are absent everywhere must be as if their weights were 0, whatever they are."""
    torch.manual_seed(0)
    network = made(name)
    planes = torch.rand(1, ALL, 32, 32)
    planes[:, 6:] = network.absent
    if name in KERNELS:
        planes[:, 13] = 0  # a history of no samples
    with torch.no_grad():
        before = network(planes)
        entry = network.get_parameter("entry.weight")
        entry[:, entry.shape[1] * 6 // ALL :] = torch.randn(1)
        if name in ("unet", "unet_log"):
            network.get_parameter("exit.0.weight")[:, -4:] = torch.randn(1)
        after = network(planes)
    assert torch.allclose(before, after, atol=1e-5)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", NAMES)
def test_cuda_gives_what_the_cpu_gives(name: str) -> None:
    torch.manual_seed(0)
    network = made(name).eval()
    planes = torch.rand(2, ALL, 70, 90)
    with torch.no_grad():
        expected = network(planes)
        found = network.cuda()(planes.cuda()).cpu()
    # Convolutions may take TF32 there: 10 bits of mantissa.
    assert torch.allclose(found, expected, rtol=2e-2, atol=2e-3)
