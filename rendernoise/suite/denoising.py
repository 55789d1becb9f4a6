"""``suite denoise``: noisy images of the real world, each written as it was read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from rendernoise.denoiser import Denoiser
from rendernoise.errors import ImageError, InputError, OutputError
from rendernoise.frame import Frame, Plane
from rendernoise.io import exr
from rendernoise.io.atomic import make_directory
from rendernoise.io.image import read_picture, write_picture
from rendernoise.io.image_folder import EXR, PICTURES, centred, image_files, uncentred
from rendernoise.job import Emit
from rendernoise.suite.config import SuiteDenoiseConfig
from rendernoise.suite.evaluation import load_weights


def run_suite_denoise(config: SuiteDenoiseConfig, emit: Emit = lambda event: None) -> dict[str, Any]:
    """Run ``rendernoise suite denoise``; returns how many images were ``written``, and which ``failed``.

    Args:
        config: The options.
        emit: Called with every event: notes, each image, those that failed, the end.

    Raises:
        RendernoiseError: Bad input; nothing was written.
    """
    denoiser = load_weights(config.weights, config.device)
    if "kept" in denoiser.model.needs:
        raise InputError(
            f"{config.weights} needs to know which frequencies were measured", "Only suite eval can tell it"
        )
    jobs = _outputs(config)
    make_directory(config.out)
    failed: list[dict[str, str]] = []
    written = 0
    for number, (file, output) in enumerate(jobs):
        emit({"event": "progress", "done": number, "total": len(jobs), "text": file.name})
        if config.resume and output.exists():
            continue
        try:
            notes = _denoise_exr(denoiser, file, output) if _is_exr(file) else _denoise_picture(denoiser, file, output)
        except (ImageError, OutputError) as error:
            failed.append({"image": str(file), "error": str(error)})
            continue
        written += 1
        for note in notes:
            emit({"event": "note", "text": f"{file.name} {note}"})
        emit({"event": "image", "image": str(output)})
    result = {"written": written, "failed": failed}
    emit({"event": "done", **result})
    return result


def _outputs(config: SuiteDenoiseConfig) -> list[tuple[Path, Path]]:
    """Each image with the file that becomes of it; refuses what would lose one."""
    files = [file for given in config.inputs for file in image_files(given)]
    unknown = [file for file in files if file.suffix.lower() not in PICTURES]
    if unknown:
        raise InputError(f"{unknown[0]} is no image that can be written", f"Give {', '.join(PICTURES)}")
    outputs: dict[Path, Path] = {}
    for file in files:
        output = config.out / file.name
        other = outputs.setdefault(output, file)
        if other.resolve() != file.resolve():
            raise InputError(f"{other} and {file} would both become {output}", "Denoise them one after the other")
        if output.exists() and output.resolve() == file.resolve():
            raise InputError(f"{output} would replace its input", "Choose another --out")
        if output.exists() and not (config.resume or config.overwrite):
            raise InputError(f"{output} exists", "--resume leaves it, --overwrite replaces it")
    return [(file, output) for output, file in outputs.items()]


def _is_exr(file: Path) -> bool:
    return file.suffix.lower() in EXR


def _denoise_picture(denoiser: Denoiser, file: Path, output: Path) -> tuple[str, ...]:
    picture = read_picture(file)
    image, note = denoised(denoiser, centred(picture.pixels))
    write_picture(output, uncentred(image), picture)
    return picture.notes + note


def _denoise_exr(denoiser: Denoiser, file: Path, output: Path) -> tuple[str, ...]:
    """Linear values as they are, the network's range being 0 to 1; everything else in the file stays."""
    image, names, noisy = exr.read_colours(file)
    if not np.isfinite(noisy).all():
        raise ImageError(f"{file} has values that are no numbers", "rendernoise denoise takes such renderings")
    result, note = denoised(denoiser, centred(noisy))
    exr.write(output, exr.replace_channels(image, dict(zip(names, uncentred(result), strict=True))))
    return note


def denoised(denoiser: Denoiser, image: Plane) -> tuple[Plane, tuple[str, ...]]:
    """The denoised image ``[C, H, W]`` in [-0.5, 0.5], and how, where weights and image differ in their channels."""
    channels = denoiser.model.spec.channels
    if len(image) == channels:
        return denoiser.radiance(Frame({"radiance": image})), ()
    if channels == 1:
        planes = [denoiser.radiance(Frame({"radiance": plane[None]})) for plane in image]
        return np.concatenate(planes), ("has colours, and the weights know grey: each channel was denoised alone",)
    grey = denoiser.radiance(Frame({"radiance": np.repeat(image, 3, axis=0)})).mean(0, keepdims=True)
    return grey, ("is grey, and the weights know colours: the mean of three equal channels",)
