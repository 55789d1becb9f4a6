"""What several networks are made of."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SLOPE = 0.1
#: About the mean of exposed log radiance and of albedo.
CENTER = 0.5
#: expm1 of 20 is 4.9e8: beyond any exposed radiance, far below float32's end.
MAX_LOG = 20.0
#: No activation of a trained network comes near (25 on scenes full of fireflies); without a limit, layers that each
#: multiply can reach 1e19 in a long training, where the norm of the gradient overflows.
MAX_ACTIVATION = 1000.0


def conv(in_channels: int, out_channels: int) -> nn.Conv2d:
    """A 3×3 convolution, He-initialised for the leaky ReLU that follows it (He et al. 2015, eq. 15)."""
    layer = nn.Conv2d(in_channels, out_channels, 3, padding=1)
    nn.init.kaiming_normal_(layer.weight, a=SLOPE, nonlinearity="leaky_relu")
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer


def pad_to_multiple(planes: Tensor, multiple: int) -> Tensor:
    """The planes with H and W rounded up by mirrors at the lower and right border, as many as small ones need.

    Repeating the last row instead would make every noisy pixel of it a stripe that no average takes for noise.
    """
    for axis in (-2, -1):
        size = planes.shape[axis]
        if missing := -size % multiple:
            place = torch.arange(size + missing, device=planes.device) % (2 * size)
            planes = planes.index_select(axis, torch.minimum(place, 2 * size - 1 - place))
    return planes


def activate(x: Tensor) -> Tensor:
    """Leaky ReLU with the slope 0.1."""
    return F.leaky_relu(x, SLOPE, inplace=True)


def limited(x: Tensor) -> Tensor:
    """``x``, held within ±:data:`MAX_ACTIVATION` in place; beyond it nothing is learned, so nothing drives it on.

    In place, as a copy may lie in memory otherwise, and the layers behind it then compute other last bits.
    """
    return x.clamp_(-MAX_ACTIVATION, MAX_ACTIVATION)


def bounded(x: Tensor, limit: float) -> Tensor:
    """``x`` within ±limit; the gradient is that of ``x``, as a value that got beyond must find back."""
    return x - (x - x.clamp(-limit, limit)).detach()


def positive(z: Tensor) -> Tensor:
    """The head f = expm1(softplus(z)) > 0: a step in z changes bright and dark pixels by the same ratio."""
    return torch.expm1(bounded(F.softplus(z), MAX_LOG))
