"""The model on whatever frames bring: planes that are absent, samples that are lost, light of any strength."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from rendernoise.denoiser import Denoiser
from rendernoise.errors import ImageError, InputError
from rendernoise.frame import PLANE_CHANNELS, Frame, FramePair
from rendernoise.losses import LOSSES
from rendernoise.model import DenoisingModel, ModelSpec
from rendernoise.networks import NETWORKS
from rendernoise.sources.batching import batch_of
from rendernoise.trainer import Trainer, TrainerOptions

Pairs = Callable[..., FramePair]
PLANES = ("radiance", "albedo", "normal", "depth")
OURS = ("fast", "kernel_pyramid", "shuffled_unet")
CPU = torch.device("cpu")


def denoiser(network: str = "unet_log", *, bears: bool | None = None) -> Denoiser:
    """Random weights; ``bears`` overrules what the network says of absence."""
    torch.manual_seed(5)
    spec = ModelSpec.default(network, PLANES)
    return Denoiser(DenoisingModel(spec if bears is None else replace(spec, bears_absence=bears)))


def whole_frame(pair: FramePair) -> Frame:
    """The input with every plane that networks take."""
    frame = pair.input
    roughness = frame.planes["albedo"][:1] * np.float32(0.9)
    return frame.with_planes(
        roughness=roughness, history=frame.radiance[:, ::-1].copy(), reliability=frame.planes["albedo"][1:2] * 3
    )


def only(frame: Frame, *names: str) -> Frame:
    return replace(frame, planes={name: frame.planes[name] for name in names})


PRESENT = [("radiance",), ("radiance", "normal"), ("radiance", "albedo", "depth"), PLANES]


@pytest.mark.parametrize("present", PRESENT, ids="+".join)
@pytest.mark.parametrize("network", sorted(NETWORKS))
def test_planes_may_be_absent_where_the_weights_bear_that(
    network: str, present: tuple[str, ...], random_pair: Pairs
) -> None:
    frame = only(random_pair(33, 47).input, *present)
    result = denoiser(network, bears=True)(frame)
    assert np.isfinite(result.radiance).all()
    assert tuple(result.planes) == present, "nothing is made up"


@pytest.mark.parametrize("present", PRESENT[:3], ids="+".join)
def test_planes_may_not_be_absent_otherwise(present: tuple[str, ...], random_pair: Pairs) -> None:
    frame = only(random_pair(8, 8, number=7).input, *present)
    missing = ", ".join(p for p in PLANES if p not in present)
    with pytest.raises(ImageError, match=f"frame 7 has no {missing}, which these weights need"):
        denoiser()(frame)
    with pytest.raises(ImageError, match="has no radiance"):
        Frame({"albedo": np.zeros((3, 4, 4), np.float32)})


@pytest.mark.parametrize("network", sorted(NETWORKS))
def test_bearing_absence_changes_nothing_where_nothing_is_absent(network: str, random_pair: Pairs) -> None:
    frame = whole_frame(random_pair())
    one, other = (denoiser(network, bears=bears).radiance(frame) for bears in (True, False))
    assert np.array_equal(one, other)


@pytest.mark.parametrize("lost", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("network", ["unet_log", *OURS])
def test_a_feature_that_is_lost_everywhere_is_absent(lost: float, network: str, random_pair: Pairs) -> None:
    frame = whole_frame(random_pair())
    broken = frame.with_planes(normal=np.full_like(frame.planes["normal"], lost))
    expected = denoiser(network, bears=True).radiance(only(frame, *(name for name in frame.planes if name != "normal")))
    assert np.array_equal(denoiser(network).radiance(broken), expected)
    assert not np.array_equal(denoiser(network).radiance(frame), expected), "else normals would be no input"


@pytest.mark.parametrize("network", sorted(NETWORKS))
def test_lost_values_become_absence_in_features_and_zero_in_radiance(network: str, random_pair: Pairs) -> None:
    model = denoiser(network).model
    frame = only(whole_frame(random_pair(6, 7)), *model.layout.names)
    planes = {name: plane.copy() for name, plane in frame.planes.items()}
    for plane in planes.values():
        plane[0, 1, 2], plane[-1, 3, 3], plane[0, 5, 5] = np.nan, np.inf, -np.inf
    exposure = torch.full((1, 1, 1, 1), 2.0)
    stacked = torch.from_numpy(model.stack(replace(frame, planes=planes)))[None]
    found = model.preprocess(stacked, exposure)[0]
    expected = model.preprocess(torch.from_numpy(model.stack(frame))[None], exposure)[0]
    whole = torch.isfinite(stacked[0])
    assert torch.equal(found[whole], expected[whole]), "no neighbour is touched"
    zero = torch.zeros_like(whole)
    for name, channels in model.layout.slices():
        zero[channels] = name in ("radiance", "history", "reliability")
    assert (found[~whole & zero] == 0).all()
    assert (found[~whole & ~zero] == model.network.absent).all()
    assert int((~whole).sum()) == 3 * len(planes)


def test_channels_see_their_own_range(random_pair: Pairs) -> None:
    """Albedo, normal and roughness are clamped, depth is compressed, whatever the renderer wrote."""
    spec = ModelSpec.default("unet_log", (*PLANES, "roughness"))
    wild = {name: plane * 1e4 for name, plane in random_pair(16, 16).input.planes.items()}
    frame = Frame({**wild, "roughness": np.full((1, 16, 16), 7, np.float32)})
    model = DenoisingModel(spec)
    inputs = model.preprocess(*model.input_of(frame, CPU))
    seen = {name: inputs[:, channels] for name, channels in spec.layout.slices()}
    for name, low, high in (("albedo", 0, 1), ("normal", -1, 1), ("roughness", 0, 1), ("depth", 0, 12)):
        assert float(seen[name].min()) >= low
        assert float(seen[name].max()) <= high


@pytest.mark.parametrize("network", sorted(NETWORKS))
@pytest.mark.parametrize("value", [0.0, 0.5])
def test_constant_frames_and_black_albedo(network: str, value: float) -> None:
    planes = {n: np.zeros((PLANE_CHANNELS[n], 17, 9), np.float32) for n in PLANES}
    result = denoiser(network).radiance(Frame({**planes, "radiance": planes["radiance"] + np.float32(value)}, spp=1))
    assert np.isfinite(result).all()


@pytest.mark.parametrize("network", OURS)
@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_the_result_scales_with_the_frame(network: str, scale: float, random_pair: Pairs) -> None:
    frame = random_pair(33, 47).input
    made = denoiser(network)
    expected = made.radiance(frame) * np.float32(scale)
    found = made.radiance(frame.with_planes(radiance=frame.radiance * np.float32(scale)))
    assert np.allclose(found, expected, rtol=1e-3, atol=0)


# Noise2Void's networks take images as they are, which are no radiance: nothing compresses such a float for them.
@pytest.mark.parametrize("network", sorted(n for n, kind in NETWORKS.items() if kind.transfer != "linear"))
@pytest.mark.parametrize("dim", [1e-30, 1e-3])
def test_the_brightest_float_beside_darkness_is_a_number(network: str, dim: float) -> None:
    """Exposed for the darkness, such a firefly exceeds float32."""
    planes = {n: np.full((PLANE_CHANNELS[n], 40, 40), 0.5, np.float32) for n in PLANES}
    planes["radiance"] = np.full((3, 40, 40), dim, np.float32)
    planes["radiance"][:, 20, 20] = np.finfo(np.float32).max
    planes["radiance"][:, 30, 30] = np.finfo(np.float32).min
    assert np.isfinite(denoiser(network).radiance(Frame(planes))).all()


@pytest.mark.parametrize("network", OURS)
def test_absent_planes_can_be_learned_from(network: str, random_pair: Pairs) -> None:
    """One step on colour alone: finite, and with no gradient for the weights of what is absent."""
    model = denoiser(network, bears=True).model
    whole = random_pair(32, 32)
    pair = FramePair(only(whole.input, "radiance"), whole.target)
    batch = batch_of(pair, np.ones((1, 32, 32), np.float32), model.exposure_of(pair.input), model)
    trainer = Trainer(model, LOSSES["hdr"], TrainerOptions("adam", warmup_steps=0), CPU)
    weight = model.network.get_parameter("entry.weight")
    before = weight.detach().clone()
    assert trainer.step(batch).loss is not None
    moved = (weight.detach() != before).flatten(2).any(2).any(0).unflatten(0, (-1, 4)).any(1)
    others = model.layout.channels - 3
    assert moved.tolist() == [True] * 3 + [False] * others, "the radiance's three channels, and no others"


def test_black_is_learned_in_a_few_steps() -> None:
    model = denoiser().model
    planes = {n: np.zeros((PLANE_CHANNELS[n], 32, 32), np.float32) for n in PLANES}
    pair = FramePair(Frame(planes, spp=1), planes["radiance"])
    batch = batch_of(pair, np.ones((1, 32, 32), np.float32), model.exposure_of(pair.input), model)
    trainer = Trainer(model, LOSSES["hdr"], TrainerOptions(warmup_steps=0), CPU)
    for _ in range(30):
        trainer.step(batch)
    result = Denoiser(model).radiance(pair.input)
    assert ((result >= 0) & (result < 0.02)).all()


@pytest.mark.parametrize(
    "changes",
    [
        {"planes": ("radiance", "smell")},
        {"planes": ("radiance", "motion")},
        {"network": "resnet"},
        {"transfer": "sqrt"},
        {"exposure": "manual"},
        {"bears_absence": "yes"},
    ],
    ids=str,
)
def test_a_spec_that_nothing_can_run_is_refused(changes: dict[str, object]) -> None:
    spec = ModelSpec.default("unet_log", PLANES)
    with pytest.raises(InputError):
        DenoisingModel(replace(spec, **changes))  # pyright: ignore[reportArgumentType]
