from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from rendernoise.errors import InputError
from rendernoise.networks import DEFAULT_NETWORK, NETWORKS, network_class
from rendernoise.networks.unet import UNet
from rendernoise.networks.unet_log import UNetLog

NAMES = sorted(NETWORKS)


@pytest.mark.parametrize(("channels", "parameters"), [(3, 991_203), (9, 997_251)])
def test_the_unet_has_exactly_the_published_parameters(channels: int, parameters: int) -> None:
    assert sum(p.numel() for p in UNet(channels).parameters()) == parameters


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

    def watched(x: torch.Tensor, slope: float) -> torch.Tensor:
        slopes.append(slope)
        return original(x, slope)

    monkeypatch.setattr(F, "leaky_relu", watched)
    UNet(3)(torch.rand(1, 3, 32, 32))
    # All 18 convolutions but the output: enc_conv0 to 6, ten in the decoder (table 2).
    assert slopes == [0.1] * (sum(isinstance(m, nn.Conv2d) for m in UNet(3).modules()) - 1)
    assert len(slopes) == 17


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(1, 1), (3, 5), (1, 40), (32, 32), (33, 65)])
@pytest.mark.parametrize("channels", [3, 9])
def test_any_size_keeps_its_size(name: str, size: tuple[int, int], channels: int) -> None:
    result = network_class(name)(channels)(torch.rand(2, channels, *size))
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
    network = network_class(name)(3)
    network(torch.rand(1, 3, 16, 16)).square().mean().backward()
    for key, p in network.named_parameters():
        assert p.grad is not None, key
        assert torch.isfinite(p.grad).all(), key
        assert p.grad.abs().sum() > 0, key


@pytest.mark.parametrize("name", NAMES)
def test_networks_start_differently_but_repeatably(name: str) -> None:
    made = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        made.append(network_class(name)(3).state_dict()["entry.weight"])
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[0], made[2])


@pytest.mark.parametrize("name", NAMES)
def test_items_of_a_batch_do_not_see_each_other(name: str) -> None:
    network = network_class(name)(3)
    images = torch.rand(2, 3, 32, 48)
    with torch.no_grad():
        assert torch.allclose(network(images)[1:], network(images[1:]), atol=1e-5)


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


def test_the_default_exists_and_an_unknown_network_does_not() -> None:
    assert DEFAULT_NETWORK in NETWORKS
    with pytest.raises(InputError, match=r"no network 'resnet'\. Choose one of unet"):
        network_class("resnet")
