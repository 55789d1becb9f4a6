"""Weights with everything that running them needs: the one thing that an artist loads."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor
from torch.nn import functional as F

from rendernoise.errors import InputError, RendernoiseError, WeightsError
from rendernoise.frame import HISTORY_PLANES, Frame, FramePair, Plane
from rendernoise.io.atomic import write_bytes
from rendernoise.light import FINE, WIDE, Windows
from rendernoise.model import DenoisingModel, ModelSpec
from rendernoise.networks import DEFAULT_NETWORK
from rendernoise.weights import base_path

SCHEMA = 1
#: Frames above this many pixels go through the network in tiles.
WHOLE_FRAME_PX = 2048 * 2048
TILE_PX = 1280
#: Frames on each side that help weights which were never trained with any.
UNTRAINED_WINDOW = 3
#: What the header of weights says that ``denoise --train`` made from pairs.
TRAINED_ON_SHOT = "denoise --train"
#: Where the network's 2×2 blocks may lie, as (y, x) offsets in px; diagonal ones differ most.
PLACEMENTS = ((0, 0), (1, 1), (0, 1), (1, 0))


def pick_device(name: str) -> torch.device:
    """``auto`` is CUDA where there is one.

    Raises:
        InputError: CUDA was asked for and there is none, or the name is unknown.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise InputError(f"there is no device {name!r}", "Use auto, cpu or cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("no CUDA device answers", "Use --device cpu, or see rendernoise doctor")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def pays_bf16(device: torch.device) -> bool:
    """Whether bf16 arithmetic is native here: CUDA from Ampere on, CPUs with AVX-512 BF16 or AMX."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    probe: Callable[[], bool] = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return device.type == "cpu" and probe()


class Denoiser:
    """Turns noisy frames into denoised ones.

    Args:
        model: Preprocessing and network.
        provenance: JSON values that say how the weights came to be.
        device: Where to compute.
        autocast: Whether the U-Net computes in bf16; None for where that is native. Kernels are applied in float32, so
            images of the default network differ by 0.03 % on average.
        spins: How many placements of the network's 2×2 blocks are averaged, 1 to 4 (cycle spinning, Coifman and Donoho
            1995): the time of so many passes, and with 4 about a fifth less squared error (docs/denoiser.md).

    Weights that take the plane ``kept`` see whole images alone: nothing is tiled or moved, whatever the size.

    Raises:
        InputError: ``spins`` is out of range, or more than 1 where the image may not be moved.
    """

    def __init__(
        self,
        model: DenoisingModel,
        provenance: Mapping[str, Any] | None = None,
        device: torch.device | None = None,
        *,
        autocast: bool | None = None,
        spins: int = 1,
    ) -> None:
        if not 1 <= spins <= len(PLACEMENTS):
            raise InputError(f"there are 1 to {len(PLACEMENTS)} spins, not {spins}")
        if spins > 1 and model.spec.whole_images:
            raise InputError("these weights keep measured frequencies, which a moved image does not have", "Use 1 spin")
        self.spins = spins
        self.device = device or torch.device("cpu")
        self.model = model.to(self.device)
        self.provenance = dict(provenance or {})
        self.autocast = pays_bf16(self.device) if autocast is None else autocast

    def __call__(self, frame: Frame) -> Frame:
        """The frame with denoised radiance; its other planes are untouched.

        Raises:
            ImageError: The frame lacks a plane that the weights need.
        """
        return frame.with_planes(radiance=self.radiance(frame))

    def radiance(self, frame: Frame, first: int = 0, exposure: float | None = None) -> Plane:
        """Denoised scene-linear radiance ``[3, H, W]`` of one frame.

        Args:
            frame: It, or a part of it.
            first: The placement to begin with.
            exposure: That of the whole, where the frame is a part.
        """
        self.model.eval()
        planes, exposed = self.model.input_of(frame, self.device, exposure)
        first = 0 if self.model.spec.whole_images else first
        chosen = [PLACEMENTS[(first + i) % len(PLACEMENTS)] for i in range(self.spins)]
        with torch.inference_mode(), torch.autocast(self.device.type, torch.bfloat16, enabled=self.autocast):
            total, *others = (self._placed(planes, exposed, down, right) for down, right in chosen)
            result = sum(others, total) / self.spins
        return result[0].cpu().numpy()

    def _placed(self, planes: Tensor, exposure: Tensor, down: int, right: int) -> Tensor:
        """The result with the image moved within the network's blocks, which repeats its first rows and columns."""
        height, width = planes.shape[-2:]
        moved = F.pad(planes, (right, 0, down, 0), mode="replicate") if down or right else planes
        whole = height * width <= WHOLE_FRAME_PX or self.model.spec.whole_images
        result = self.model(moved, exposure) if whole else self._tiled(moved, exposure)
        return result[..., down:, right:]

    def _tiled(self, planes: Tensor, exposure: Tensor) -> Tensor:
        """The same in tiles that start on multiples of 32 px, so that every pooling window stays where it was."""
        height, width = planes.shape[-2:]
        overlap = self.model.network.reach_px
        result = torch.empty((1, self.model.spec.channels, height, width), device=planes.device)
        for top in range(0, height, TILE_PX):
            for left in range(0, width, TILE_PX):
                y0, x0 = max(0, top - overlap), max(0, left - overlap)
                y1, x1 = min(height, top + TILE_PX), min(width, left + TILE_PX)
                tile = self.model(planes[..., y0 : y1 + overlap, x0 : x1 + overlap], exposure)
                result[..., top:y1, left:x1] = tile[..., top - y0 : y1 - y0, left - x0 : x1 - x0]
        return result

    def window_of(self, wanted: int | None) -> int:
        """Frames on each side that may help: as many as wanted, or as the weights were trained with; 0 if they cannot.

        Base weights were trained on frames alone, so that the fireflies of many frames are too many for them.
        """
        if not set(HISTORY_PLANES) <= set(self.model.layout.names):
            return 0
        return int(self.provenance.get("window", UNTRAINED_WINDOW)) if wanted is None else wanted

    @property
    def light_windows(self) -> Windows:
        """Over what light is compared with neighbours': more closely for weights that had none in training."""
        return WIDE if self.provenance.get("window") else FINE

    @property
    def trained_on_shot(self) -> bool:
        """Whether ``denoise --train`` made these weights from both halves of the frames that they denoise."""
        return self.provenance.get("trained_by") == TRAINED_ON_SHOT

    def halves(self, pair: FramePair, exposures: Sequence[float | None] = (None, None)) -> tuple[Plane, Plane]:
        """f(A) and f(B) of a pair whose partner may be an input, in other placements each: their mean gains by that.

        ``exposures`` are those of the whole halves, where the pair is a part.
        """
        assert pair.partner is not None
        of_a, of_b = exposures
        second = self.spins % len(PLACEMENTS)
        return self.radiance(pair.input, exposure=of_a), self.radiance(pair.partner, second, of_b)

    def save(self, path: Path) -> None:
        """Write the weights as safetensors with a JSON header (law 7)."""
        write_bytes(path, self.to_bytes())

    def to_bytes(self) -> bytes:
        """The weights file in memory; the same weights give the same bytes."""
        header = {"schema": SCHEMA, "model": self.model.spec.to_json(), "provenance": self.provenance}
        tensors = {k: v.detach().cpu().contiguous() for k, v in self.model.state_dict().items()}
        return save(tensors, {"rendernoise": json.dumps(header, sort_keys=True)})

    def fingerprint(self) -> str:
        """The first 16 hex digits of the weights file's SHA-256: what EXR files name their weights by."""
        return hashlib.sha256(self.to_bytes()).hexdigest()[:16]

    @classmethod
    def load(cls, path: str | Path | None = None, device: str = "auto") -> Denoiser:
        """Read a weights file; None for the base weights of the default network.

        Raises:
            WeightsError: Missing, damaged, of another schema, or not of rendernoise.
        """
        path = base_path(DEFAULT_NETWORK) if path is None else Path(path)
        if not path.is_file():
            raise WeightsError(f"there are no weights at {path}", "Give a .safetensors file that rendernoise wrote")
        try:
            with safe_open(path, framework="pt") as file:
                header = json.loads((file.metadata() or {}).get("rendernoise", "null"))
                tensors = {name: file.get_tensor(name) for name in file.keys()}
        except (SafetensorError, OSError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise WeightsError(
                f"{path} is no readable safetensors file ({reason})", "Copy or train it again"
            ) from error
        if not isinstance(header, dict):
            raise WeightsError(f"{path} has no rendernoise header", "Give a file that rendernoise wrote")
        if header.get("schema") != SCHEMA:
            raise WeightsError(f"{path} has schema {header.get('schema')}, not {SCHEMA}", "Update rendernoise")
        try:
            spec = header["model"]
            model = DenoisingModel(ModelSpec(**{**spec, "planes": tuple(spec["planes"])}))
            model.load_state_dict(tensors)
        except (RuntimeError, TypeError, KeyError, RendernoiseError) as error:
            reason = str(error).splitlines()[0]
            raise WeightsError(f"the weights in {path} do not fit ({reason})", "Train them again") from error
        if not all(bool(torch.isfinite(t).all()) for t in tensors.values()):
            raise WeightsError(f"the weights in {path} contain NaN or infinity", "Train them again")
        return cls(model, header.get("provenance"), pick_device(device))
