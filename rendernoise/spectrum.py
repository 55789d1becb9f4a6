"""Frequencies that were measured need no prediction (MRI)."""

from __future__ import annotations

import torch
from torch import Tensor


def keep_measured(prediction: Tensor, noisy: Tensor, kept: Tensor) -> Tensor:
    """The prediction with every measured frequency as it was measured, before the loss as in the final image.

    Noise2Noise (Lehtinen et al. 2018), section 3.4. Differentiable in ``prediction``: measured frequencies have no
    gradient.

    Args:
        prediction: ``[N, C, H, W]``.
        noisy: The image of measured frequencies, each divided by its probability, ``[N, C, H, W]``.
        kept: ``[N, 1, H, W]`` in the order of ``torch.fft.fft2``: that probability, 0 for a frequency that was not
            measured; the same for k and −k.

    Returns:
        ``[N, C, H, W]``, float32, also under autocast.
    """
    height, width = prediction.shape[-2:]
    with torch.autocast(prediction.device.type, enabled=False):
        # The other half of a real image's spectrum is the conjugate of this one.
        half = kept[..., : width // 2 + 1].float()
        measured = torch.fft.rfft2(noisy.float()) * half
        spectrum = torch.where(half > 0, measured, torch.fft.rfft2(prediction.float()))
        return torch.fft.irfft2(spectrum, s=(height, width))
