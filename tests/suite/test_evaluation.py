"""``suite eval``: PSNR by its formula, and test noise that anyone can make again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rendernoise.denoiser import Denoiser
from rendernoise.errors import InputError, WeightsError
from rendernoise.io.image import read_image
from rendernoise.io.image_folder import ImageFolder, read_folder
from rendernoise.model import DenoisingModel, ModelSpec
from rendernoise.noise import Noisy
from rendernoise.noise.naming import parse_noise
from rendernoise.seeds import generator
from rendernoise.suite.config import SuiteEvalConfig
from rendernoise.suite.evaluation import psnr, run_suite_eval, score

pytestmark = pytest.mark.usefixtures("one_thread")


def weights(path: Path, channels: int = 1, noise: str | None = "gaussian") -> Path:
    """Untrained weights as ``suite train`` would write them."""
    model = DenoisingModel(ModelSpec("unet", ("radiance",), "linear", "none", channels=channels))
    made = {"noise": noise, "target": "noisy", "seed": 4, "steps": 12, "loss": "l2"} if noise else {}
    Denoiser(model, made).save(path)
    return path


def test_psnr_is_the_formula_and_clips_nothing() -> None:
    clean = np.full((1, 4, 4), 0.5, np.float32)
    assert psnr(clean + np.float32(0.1), clean) == pytest.approx(20.0, abs=1e-4)
    assert psnr(clean, clean) == np.inf


def test_the_noisy_image_scores_what_its_sigma_says(images: Callable[..., ImageFolder]) -> None:
    """σ = 25 is 20.172 dB. Of 48² values the mean square is off by √(2/n) of itself: 5 of that are 0.64 dB."""
    scores = score(lambda noisy: noisy.image, images(), parse_noise("gaussian"), 25, seed=0)
    for one in scores:
        assert one.psnr_db == one.noisy_psnr_db == pytest.approx(20.172, abs=0.64)


def test_the_noise_of_an_image_depends_on_its_name_and_the_seed_alone(images: Callable[..., ImageFolder]) -> None:
    def noisy_of(folder: ImageFolder, seed: int) -> dict[str, np.ndarray]:
        kept: dict[str, np.ndarray] = {}

        def seen(name: str, clean: np.ndarray, noisy: Noisy, restored: np.ndarray) -> None:
            kept[name] = noisy.image - clean

        score(lambda noisy: noisy.image, folder, parse_noise("gaussian"), 25, seed, seen)
        return kept

    three, two, other = noisy_of(images(3), 0), noisy_of(images(2), 0), noisy_of(images(2), 1)
    assert all(np.array_equal(three[name], two[name]) for name in two)
    assert not np.array_equal(two["00.png"], other["00.png"])
    assert not np.allclose(two["00.png"], two["01.png"])


def test_results_manifest_and_pictures(folder_of: Callable[..., Path], tmp_path: Path) -> None:
    data, out = folder_of(3), tmp_path / "out"
    config = SuiteEvalConfig(
        noise="gaussian", weights=weights(tmp_path / "w.safetensors"), data=data, out=out, pictures=1, seed=5
    )
    results = run_suite_eval(config)
    assert json.loads((out / "results.json").read_text()) == results
    (row,) = results["rows"]
    assert {"noise", "target", "image_set", "psnr_db", "paper_psnr_db", "seed", "steps"} <= set(row)
    assert (row["image_set"], row["seed"], row["training_seed"], row["steps"]) == ("data", 5, 4, 12)
    assert row["psnr_db"] == pytest.approx(np.mean([one["psnr_db"] for one in results["images"]]), abs=1e-3)
    # Whoever follows the manifest has the same noise.
    manifest = json.loads((out / "manifest.json").read_text())
    noise = parse_noise(manifest["noise"])
    for (name, clean), entry in zip(read_folder(data), manifest["images"], strict=True):
        number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
        noisy = noise.corrupt(clean, manifest["strength"], generator(manifest["seed"], "test", number))
        assert entry["name"] == name
        assert entry["noisy_sha256"] == hashlib.sha256(noisy.image.tobytes()).hexdigest()
    assert sorted(p.name for p in (out / "images").iterdir()) == [
        f"00.png.{kind}.png" for kind in ("clean", "denoised", "noisy")
    ]
    np.testing.assert_array_equal(read_image(out / "images" / "00.png.clean.png"), read_image(data / "00.png"))


@pytest.mark.parametrize(("channels", "trained"), [(1, 3), (3, 1)])
def test_images_become_what_the_weights_know(
    channels: int, trained: int, folder_of: Callable[..., Path], tmp_path: Path
) -> None:
    config = SuiteEvalConfig(
        noise="gaussian",
        weights=weights(tmp_path / "w.safetensors", trained),
        data=folder_of(2, channels=channels),
        out=tmp_path / "out",
    )
    manifest_size = run_suite_eval(config) and json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest_size["images"][0]["size"] == [trained, 48, 48]


@pytest.mark.parametrize(
    ("options", "kind", "part"),
    [
        ({"weights": Path("gone.safetensors")}, WeightsError, "there are no weights"),
        ({"noise": "gaussian:x=1"}, InputError, "no option"),
        ({"strength": -1.0}, InputError, "cannot be -1"),
        ({"strength": float("nan")}, InputError, "cannot be nan"),
        ({"data": Path("gone")}, InputError, "cannot read gone"),
        ({"pictures": -1}, InputError, "--pictures -1"),
    ],
    ids=str,
)
def test_bad_input_writes_nothing(
    options: dict[str, Any], kind: type[Exception], part: str, folder_of: Callable[..., Path], tmp_path: Path
) -> None:
    given = {"noise": "gaussian", "weights": weights(tmp_path / "w.safetensors"), "data": folder_of(1)}
    with pytest.raises(kind, match=part):
        run_suite_eval(SuiteEvalConfig(**{**given, **options}, out=tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_weights_of_renderings_are_refused(folder_of: Callable[..., Path], tmp_path: Path) -> None:
    config = SuiteEvalConfig(
        noise="gaussian",
        weights=weights(tmp_path / "w.safetensors", noise=None),
        data=folder_of(1),
        out=tmp_path / "out",
    )
    with pytest.raises(InputError, match="was trained on renderings"):
        run_suite_eval(config)
