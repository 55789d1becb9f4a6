"""How losses weigh pixels and behave at extremes; what they converge to is law 3 (tests/laws)."""

from __future__ import annotations

import pytest
import torch

from rendernoise.losses import LOSSES


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_a_right_prediction_costs_nothing(name: str) -> None:
    image = torch.rand(2, 3, 5, 4) + 0.1
    assert float(LOSSES[name](image, image.clone())) == 0


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_a_wrong_prediction_is_pulled_towards_the_target(name: str) -> None:
    for start, target in ((0.5, 2.0), (2.0, 0.5), (-0.5, 0.5), (0.0, 1.0)):
        f = torch.full((1, 3, 2, 2), start, requires_grad=True)
        LOSSES[name](f, torch.full((1, 3, 2, 2), target)).backward()
        assert f.grad is not None
        assert torch.isfinite(f.grad).all()
        if name == "hdr_without_stop_gradient" and start > 0:
            continue  # its own minimiser is elsewhere: that is its bias
        assert (torch.sign(f.grad) == (1 if start > target else -1)).all()


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_weights_select_pixels(name: str) -> None:
    f, target = torch.rand(1, 3, 4, 4), torch.rand(1, 3, 4, 4)
    weight = torch.zeros(1, 1, 4, 4)
    weight[..., :2] = 2.0
    left = LOSSES[name](f[..., :2], target[..., :2])
    assert torch.allclose(LOSSES[name](f, target, weight), left)
    assert torch.allclose(LOSSES[name](f, target, torch.ones(1, 1, 4, 4)), LOSSES[name](f, target))
    assert float(LOSSES[name](f, target, torch.zeros(1, 1, 4, 4))) == 0


def test_the_default_loss_is_relative() -> None:
    f, target = torch.tensor([[[[1.0]]]]), torch.tensor([[[[1.5]]]])
    small = float(LOSSES["hdr"](f, target))
    assert float(LOSSES["hdr"](100 * f, 100 * target)) == pytest.approx(small, rel=0.03)
