"""Law 4: training and inference run the same preprocessing, and it travels with the weights."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from rendernoise.denoiser import Denoiser
from rendernoise.frame import FramePair
from rendernoise.losses import LOSSES
from rendernoise.model import EXPOSURE_RULES, DenoisingModel, ModelSpec
from rendernoise.networks import NETWORKS
from rendernoise.sources.batching import CropBatcher, CropPlan
from rendernoise.sources.store import PairStore
from rendernoise.trainer import Trainer, TrainerOptions

PLANES = ("radiance", "albedo", "normal")
SPECS = [
    *(ModelSpec.default(network, PLANES) for network in sorted(NETWORKS)),
    *(ModelSpec("unet", PLANES, t, e) for t, e in itertools.product(("linear", "log1p"), EXPOSURE_RULES)),
    ModelSpec.default("unet_log", ("depth", "normal", "radiance")),
]


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_a_whole_frame_is_the_same_in_training_and_inference(
    spec: ModelSpec, tmp_path: Path, random_pair: Callable[..., FramePair]
) -> None:
    torch.manual_seed(0)
    model = DenoisingModel(spec)
    pair = random_pair()
    store = PairStore(tmp_path)
    store.put(0, pair)
    store.show(0)
    batch = CropBatcher(store, model, CropPlan(crop_px=4096, batch=1, both_ways=False, augment=False), seed=0).draw()
    trainer = Trainer(model, LOSSES["hdr"], TrainerOptions(), torch.device("cpu"))
    model.eval()  # batch norm goes by the batch while it learns
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=trainer.autocast):
        trained = model(batch.planes, batch.exposure)[0].numpy()
    inferred = Denoiser(trainer.model).radiance(pair.input)
    assert np.array_equal(trained, inferred)


def test_a_crop_gets_the_exposure_of_its_whole_frame(tmp_path: Path, random_pair: Callable[..., FramePair]) -> None:
    model = DenoisingModel(ModelSpec.default("unet_log", PLANES))
    pair = random_pair()
    store = PairStore(tmp_path)
    store.put(0, pair)
    store.show(0)
    batch = CropBatcher(store, model, CropPlan(crop_px=8, batch=16, both_ways=True), seed=0).draw()
    assert pair.partner is not None
    expected = {np.float32(model.exposure_of(f)) for f in (pair.input, pair.partner)}
    assert {np.float32(e) for e in batch.exposure.flatten().tolist()} == expected
    assert len(expected) == 2


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_the_preprocessing_travels_with_the_weights(
    spec: ModelSpec, tmp_path: Path, random_pair: Callable[..., FramePair]
) -> None:
    torch.manual_seed(1)
    made = Denoiser(DenoisingModel(spec), {"trained_by": "a test"})
    made.save(tmp_path / "w.safetensors")
    loaded = Denoiser.load(tmp_path / "w.safetensors", "cpu")
    frame = random_pair().input
    assert loaded.model.spec == spec
    assert loaded.provenance == {"trained_by": "a test"}
    assert np.array_equal(made.radiance(frame), loaded.radiance(frame))
    assert loaded.to_bytes() == made.to_bytes() == (tmp_path / "w.safetensors").read_bytes()


def test_another_preprocessing_gives_another_picture(random_pair: Callable[..., FramePair]) -> None:
    frame = random_pair().input
    pictures = []
    for transfer in ("tonemap", "log1p"):
        torch.manual_seed(2)
        pictures.append(Denoiser(DenoisingModel(ModelSpec("unet", PLANES, transfer, "none"))).radiance(frame))
    assert not np.allclose(*pictures), "else the tests above could not see a wrong transfer"


def test_lost_samples_do_not_spread(random_pair: Callable[..., FramePair]) -> None:
    frame = random_pair(64, 64).input
    broken = frame.radiance.copy()
    broken[:, 3, 3], broken[0, 9, 9] = np.nan, np.inf
    model = DenoisingModel(ModelSpec.default("unet_log", PLANES))
    result = Denoiser(model).radiance(frame.with_planes(radiance=broken))
    assert np.isfinite(result).all()
    zeroed = np.where(np.isfinite(broken), broken, np.float32(0))
    assert np.array_equal(result, Denoiser(model).radiance(frame.with_planes(radiance=zeroed)))
