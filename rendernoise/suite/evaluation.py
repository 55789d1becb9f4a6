"""How well images are restored: PSNR on noise of fixed seeds, and what anyone needs to make that noise again."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rendernoise.denoiser import Denoiser
from rendernoise.errors import InputError
from rendernoise.frame import Frame, Plane
from rendernoise.io.atomic import make_directory, write_text
from rendernoise.io.image import write_png
from rendernoise.io.image_folder import ImageFolder, read_folder, uncentred
from rendernoise.job import Emit
from rendernoise.noise import NoiseModel, Noisy
from rendernoise.noise.naming import parse_noise
from rendernoise.run import RunDirectory
from rendernoise.seeds import generator
from rendernoise.suite.config import SuiteEvalConfig
from rendernoise.suite.paper import paper_psnr

#: How the test noise of an image follows from the manifest; the manifest says it too.
RECIPE = (
    'noise.corrupt(image, strength, rendernoise.seeds.generator(seed, "test", n)), where n is the number in the first 8'
    " bytes (big-endian) of the SHA-256 of the image's name"
)


@dataclass(frozen=True)
class ImageScore:
    """What was measured on one image.

    Args:
        name: Of the image.
        psnr_db: Of the restored image.
        noisy_psnr_db: Of the noisy one.
    """

    name: str
    psnr_db: float
    noisy_psnr_db: float


#: Called with the name of an image, the clean, the noisy and the restored one.
Seen = Callable[[str, Plane, Noisy, Plane], None]


def psnr(image: Plane, clean: Plane) -> float:
    """Peak signal-to-noise ratio with a data range of 1, −10 log₁₀ mean((x − r)²), dB, of values as they are.

    Nothing is clipped: Noise2Noise says of no clipping, and a restored image rarely leaves the range.
    """
    error = float(np.square(image.astype(np.float64) - clean).mean())
    return -10 * math.log10(error) if error > 0 else math.inf


def noisy_version(name: str, image: Plane, noise: NoiseModel, strength: float, seed: int) -> Noisy:
    """The test noise of an image: it depends on the image's name and the seed alone."""
    number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    return noise.corrupt(image, strength, generator(seed, "test", number))


def score(
    restore: Callable[[Noisy], Plane],
    images: ImageFolder,
    noise: NoiseModel,
    strength: float,
    seed: int,
    seen: Seen = lambda name, clean, noisy, restored: None,
) -> list[ImageScore]:
    """Restore the noisy version of every image and compare it with the clean one.

    Args:
        restore: Noisy to restored image, ``[C, H, W]`` in [-0.5, 0.5].
        images: Clean images.
        noise: What corrupts them.
        strength: How much.
        seed: Of the test noise.
        seen: Called with every image.
    """
    scores: list[ImageScore] = []
    for name, clean in images:
        noisy = noisy_version(name, clean, noise, strength, seed)
        restored = restore(noisy)
        scores.append(ImageScore(name, psnr(restored, clean), psnr(noisy.image, clean)))
        seen(name, clean, noisy, restored)
    return scores


def restorer(denoiser: Denoiser) -> Callable[[Noisy], Plane]:
    """The denoiser as :func:`score` takes it."""

    def restore(noisy: Noisy) -> Plane:
        planes = {"radiance": noisy.image} if noisy.kept is None else {"radiance": noisy.image, "kept": noisy.kept}
        return denoiser.radiance(Frame(planes))

    return restore


def load_weights(path: Path, device: str) -> Denoiser:
    """Weights that ``suite train`` made.

    Raises:
        WeightsError: The file is missing or no weights.
        InputError: They are weights for renderings.
    """
    denoiser = Denoiser.load(path, device)
    if "noise" not in denoiser.provenance:
        raise InputError(f"{path} was trained on renderings, not on images", "Give weights of suite train")
    return denoiser


def run_suite_eval(config: SuiteEvalConfig, emit: Emit = lambda event: None) -> dict[str, Any]:
    """Run ``rendernoise suite eval``; returns what ``results.json`` holds.

    Args:
        config: The options.
        emit: Called with every event: notes, each image, the end.

    Raises:
        RendernoiseError: Bad input, no room.
    """
    noise = parse_noise(config.noise)
    strength = noise.check(noise.tested if config.strength is None else config.strength)
    denoiser = load_weights(config.weights, config.device)
    images = read_folder(config.data, channels=denoiser.model.spec.channels, limit=config.images, emit=emit)
    options = config.to_json()
    run = RunDirectory(config.out, options, resume=config.resume, overwrite=config.overwrite, result="results.json")
    try:
        if (earlier := run.earlier_result(emit)) is not None:
            return earlier
        return _evaluate(config, noise, strength, denoiser, images, run, emit)
    finally:
        run.close()


def _evaluate(
    config: SuiteEvalConfig,
    noise: NoiseModel,
    strength: float,
    denoiser: Denoiser,
    images: ImageFolder,
    run: RunDirectory,
    emit: Emit,
) -> dict[str, Any]:
    started = time.monotonic()
    listed: list[dict[str, Any]] = []
    folder = config.out / "images"

    def seen(name: str, clean: Plane, noisy: Noisy, restored: Plane) -> None:
        digests = {"clean_sha256": _digest(clean), "noisy_sha256": _digest(noisy.image)}
        listed.append({"name": name, "size": list(clean.shape), **digests})
        if len(listed) <= config.pictures:
            make_directory(folder)
            for kind, image in (("clean", clean), ("noisy", noisy.image), ("denoised", restored)):
                write_png(folder / f"{name}.{kind}.png", uncentred(image))
        emit({"event": "progress", "done": len(listed), "total": len(images), "text": name})

    scores = score(restorer(denoiser), images, noise, strength, config.seed, seen)
    manifest = {"noise": config.noise, "strength": strength, "seed": config.seed, "recipe": RECIPE, "images": listed}
    write_text(config.out / "manifest.json", json.dumps(manifest, indent=2) + "\n")
    results = {
        "rows": [row(config.noise, denoiser, images, scores, strength, config.seed, time.monotonic() - started)],
        "images": [
            {"name": one.name, "psnr_db": mean([one.psnr_db]), "noisy_psnr_db": mean([one.noisy_psnr_db])}
            for one in scores
        ],
    }
    run.finish(results)
    emit({"event": "done", **results})
    return results


def row(
    noise: str,
    denoiser: Denoiser,
    images: ImageFolder,
    scores: list[ImageScore],
    strength: float,
    seed: int,
    wall_s: float,
) -> dict[str, Any]:
    """One row of ``results.json``; ``seed`` is that of the test noise, ``training_seed`` that of the weights."""
    made = denoiser.provenance
    return {
        "noise": noise,
        "strength": strength,
        "target": made["target"],
        "image_set": images.name,
        "psnr_db": mean([one.psnr_db for one in scores]),
        "noisy_psnr_db": mean([one.noisy_psnr_db for one in scores]),
        "paper_psnr_db": _paper_psnr(noise, made, images, strength),
        "seed": seed,
        "training_seed": made["seed"],
        "steps": made["steps"],
        "loss": made["loss"],
        "network": denoiser.model.spec.network,
        "weights": denoiser.fingerprint(),
        "images": len(images),
        "wall_s": round(wall_s, 3),
    }


def _paper_psnr(noise: str, made: dict[str, Any], images: ImageFolder, strength: float) -> float | None:
    """The papers' figure of this on the same images, dB."""
    if strength != parse_noise(noise).tested or made.get("masking") not in (None, "n2v"):
        return None
    return paper_psnr(noise, made["target"], images.name, made["loss"])


def mean(values: list[float]) -> float | None:
    """The mean to four digits; None where it is infinite, which JSON has no word for."""
    value = float(np.mean(values))
    return round(value, 4) if math.isfinite(value) else None


def _digest(image: Plane) -> str:
    return hashlib.sha256(np.ascontiguousarray(image, "<f4").data).hexdigest()
