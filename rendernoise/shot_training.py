"""Training on a shot that is about to be denoised: on both halves of its frames, or on blind spots."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import torch

from rendernoise._version import __version__
from rendernoise.denoiser import TRAINED_ON_SHOT, Denoiser
from rendernoise.errors import InputError, RunError
from rendernoise.frame import HISTORY_PLANES
from rendernoise.io.atomic import make_directory
from rendernoise.io.exr import read_frame
from rendernoise.io.exr_look import look, roles_of, size_text
from rendernoise.job import Emit, Limit, Training
from rendernoise.losses import get_loss
from rendernoise.recipes import CORE_STEP_S, MAX_VISITS_FROM_BASE, steps_that_pixels_bear, wants_symmetries
from rendernoise.sources.autocorrelation import noise_correlation, same_noise
from rendernoise.sources.batching import CropBatcher, CropPlan
from rendernoise.sources.beauties import Beauties
from rendernoise.sources.blind_spot import MASKING, BlindSpotBatcher
from rendernoise.sources.exr_pairs import PLANES, ExrPairs, PairFiles
from rendernoise.sources.reading import read_pairs
from rendernoise.sources.shots import FrameFiles
from rendernoise.sources.store import PairStore
from rendernoise.trainer import Trainer, TrainerOptions

WEIGHTS = "weights.safetensors"
#: Frames on each side that frames learn from, as in ``train``.
WINDOW = 8
#: Frames that are trained on, in all beauties: a minute's crops come from no more, and reading all of a long shot takes
#: longer.
MOST_FRAMES = 48
#: Longer shots give runs of so many consecutive frames, as neighbours help each other.
RUN_FRAMES = 8
#: Shorter sides hold no crop worth training on, px.
LEAST_SIDE_PX = 32
#: Frames in which the noise's correlation is looked for.
LOOKED_AT = 3
#: How often each pixel is hidden, and the peak rate of such training: more of either, and the weights make less of the
#: pixel itself than it is worth (docs/denoiser.md).
BLIND_VISITS, BLIND_RATE = 1, 1e-4


def train_on_shot(
    denoiser: Denoiser,
    planned: list[FrameFiles],
    seconds: float,
    *,
    steps: int | None = None,
    weights: str = "base",
    window: int | None = None,
    seed: int = 0,
    beauties: Beauties | None = None,
    keep: bool = False,
    overwrite: bool = False,
    emit: Emit = lambda event: None,
) -> Denoiser:
    """Train a denoiser on the frames that it is to denoise, and keep its weights in OUT/weights.safetensors.

    A hidden folder in OUT, where the first frame will be, holds the training data meanwhile.

    Args:
        denoiser: The weights to start from; they are changed.
        planned: The frames; with halves they are trained on as pairs (Noise2Noise), else on blind spots (Noise2Void).
        seconds: Seconds of training steps. Reading the frames comes on top.
        steps: The most steps; None for as many as the pixels bear before their noise is learned by heart.
        weights: What the weights to start from are called.
        window: Frames on each side that frames know of; None for 8.
        seed: Seed of the crops.
        beauties: Which of the files are trained on, and where their planes are; by default all that names tell.
        keep: Take the weights of OUT, where an interrupted run left some.
        overwrite: Replace frames and weights that exist.
        emit: Called with notes, frames that were read, and training.

    Raises:
        InputError: Frames or weights exist already, files do not belong together or lack planes, images are too small,
            both halves are one picture, or blind spots would teach correlated noise. Nothing is written.
        ImageError: A file is damaged.
        RunError: Another run is training in this folder.
        OutputError: The disk is full.
    """
    out = planned[0].out.parent
    kept = out / WEIGHTS
    if keep and kept.exists():
        emit({"event": "note", "text": f"trained already: {kept}"})
        return _like(denoiser, Denoiser.load(kept, denoiser.device.type))
    _refuse_to_replace([*(files.out for files in planned if not keep), kept], kept, overwrite=overwrite)
    beauties = beauties or Beauties(planned, None)
    roles = beauties.roles
    source = ExrPairs(files=_pairs(planned, beauties), roles=roles)
    pairs = source.files[0].b is not None
    _check(source, denoiser, weights)
    if pairs:
        source.check_independent()
    else:
        _check_noise(source, roles, emit)
        text = "blind spots help some shots and harm others (docs/denoiser.md); a second seed as --half is better"
        emit({"event": "note", "text": text})
    what = "both halves of" if pairs else "blind spots of"
    count = len({(files.a, files.b) for files in source.files})
    emit({"event": "note", "text": f"training on {what} {count} of {len(planned)} frame(s) for {seconds:g} s"})
    knows_time = count > 1 and "history" in denoiser.model.spec.planes
    if knows_time and not pairs and _one_seed(source, roles):
        emit({"event": "note", "text": "frames have the same noise (one seed for all): neighbours do not help"})
        knows_time = False
    reach = (WINDOW if window is None else window) if knows_time else 0
    if reach:
        source.find_warpings()
    for note in source.notes:
        emit({"event": "note", "text": note})
    facts = {
        "rendernoise": __version__,
        "trained_by": TRAINED_ON_SHOT if pairs else f"{TRAINED_ON_SHOT} (blind spots)",
        "shots": sorted({files.name for files in source.files}),
        "frames": count,
        "seed": seed,
        "loss": "hdr",
        "started_from": weights,
        "window": reach,
    }
    with _folder(out) as folder:
        store = PairStore(folder / "pairs")
        same = read_pairs(source, store, reach, emit)
        if pairs and same:
            emit({"event": "note", "text": f"both halves of {same[0]} are the same picture: same seed?"})
        torch.manual_seed(seed)
        training, bearable = _prepare(denoiser, store, pairs, seconds, seed, emit)
        training.train(Limit(min(bearable, steps or bearable), seconds))
        with training.trainer.averaged():
            facts["steps"] = training.trainer.step_count
            Denoiser(denoiser.model, facts).save(kept)
    steps_text = f"{training.trainer.step_count} steps in {training.train_s:.0f} s"
    emit({"event": "note", "text": f"{steps_text}: {kept} (--weights {kept} denoises more frames with it)"})
    return _like(denoiser, Denoiser.load(kept, denoiser.device.type))


def _like(denoiser: Denoiser, other: Denoiser) -> Denoiser:
    """Other weights on the device of a denoiser, with its spins."""
    return Denoiser(other.model, other.provenance, denoiser.device, spins=denoiser.spins)


def _pairs(planned: list[FrameFiles], beauties: Beauties) -> list[PairFiles]:
    """What is trained on: all beauties of some frames, as weights of one alone are worse for the others."""
    found: dict[str | None, list[PairFiles]] = {}
    # Planes that some lack would be taken from all.
    poor = {beauty for beauty in filter(None, beauties) if not _is_as_rich(beauties, beauty)}
    most = MOST_FRAMES // max(len(beauties.of(files)) for files in planned)
    for files in _spread(planned, max(most, RUN_FRAMES)):
        name = files.sequence or files.path.stem
        for beauty in (each for each in beauties.of(files) if each not in poor):
            own = f"{name} {beauty}" if beauty else name
            found.setdefault(beauty, []).append(PairFiles(own, files.number, files.path, files.half, beauty=beauty))
    return [pair for own in found.values() for pair in own]


def _is_as_rich(beauties: Beauties, beauty: str) -> bool:
    """Whether a beauty has all planes for training that the first one of its file has."""
    path = beauties.first(beauty).path
    exr = look(path)
    main, other = (roles_of(exr, path, beauties.roles, each) for each in (None, beauty))
    return all(plane in other for plane in PLANES if plane in main)


def _spread(files: list[FrameFiles], most: int) -> list[FrameFiles]:
    """All frames, or so many of them in evenly spread runs."""
    if len(files) <= most:
        return files
    starts = np.linspace(0, len(files) - RUN_FRAMES, most // RUN_FRAMES).round().astype(int)
    return [files[i] for start in starts for i in range(start, start + RUN_FRAMES)]


def _refuse_to_replace(paths: list[Path], kept: Path, *, overwrite: bool) -> None:
    for path in paths:
        if path.exists() and not overwrite:
            other = f"--weights {kept} uses it" if path == kept else "--skip-existing leaves it"
            raise InputError(f"{path} exists already", f"{other}, --overwrite replaces it")


def _check(source: ExrPairs, denoiser: Denoiser, weights: str) -> None:
    """That frames have what the weights need, and are large enough."""
    lacking = [name for name in denoiser.model.needs if name not in source.planes and name not in HISTORY_PLANES]
    if lacking:
        cure = "Render with features, name the channels with --role, or use weights trained without them"
        raise InputError(f"not every frame has {', '.join(lacking)}, which {weights} needs", cure)
    for files in source.files:
        x_min, y_min, x_max, y_max = window = source.window(files)
        if min(x_max - x_min, y_max - y_min) + 1 < LEAST_SIDE_PX:
            least = f"{LEAST_SIDE_PX}x{LEAST_SIDE_PX} px"
            raise InputError(
                f"{files.a} is {size_text(window)}, and training needs {least}", "Denoise it without --train"
            )


def _check_noise(source: ExrPairs, roles: Mapping[str, str] | None, emit: Emit) -> None:
    """That neighbouring pixels do not share noise, in some of the frames."""
    step = max(1, len(source) // LOOKED_AT)
    looked_at = source.files[::step][:LOOKED_AT]
    found = noise_correlation(read_frame(f.a, roles=roles, beauty=f.beauty) for f in looked_at)
    if found.found:
        raise InputError(
            f"the noise of neighbouring pixels is alike (correlation {found.noise:.2f}, {source.files[0].a}), "
            "so that blind spots would teach it",
            "Render with a box filter, or give a second seed as --half",
        )
    if np.isnan(found.noise):
        emit({"event": "note", "text": "texture everywhere: whether neighbouring pixels share noise cannot be told"})


def _one_seed(source: ExrPairs, roles: Mapping[str, str] | None) -> bool:
    """Whether the first two frames of a shot have the same noise."""
    first, second = source.files[:2]
    if first.name != second.name or source.window(first) != source.window(second):
        return False
    return same_noise(read_frame(first.a, roles=roles), read_frame(second.a, roles=roles))


def _prepare(
    denoiser: Denoiser, store: PairStore, pairs: bool, seconds: float, seed: int, emit: Emit
) -> tuple[Training, int]:
    """The training, and how many steps the pixels bear."""
    model = denoiser.model
    plan = CropPlan(both_ways=pairs)
    kind = CropBatcher if pairs else BlindSpotBatcher
    batcher = kind(store, model, plan, seed)
    batcher.all_frames = True
    # A step asks for all pixels of its crops, or for those that are hidden.
    visits = MAX_VISITS_FROM_BASE if pairs else BLIND_VISITS * MASKING.cell_px**2
    sizes = [store.size(number) for number in store.frames]
    bearable = sum(steps_that_pixels_bear(height * width, plan, visits) for height, width in sizes)
    nominal = min(bearable, round(seconds / CORE_STEP_S))
    batcher.augment = wants_symmetries(nominal, bearable, visits)
    # So few steps are too few to learn how robust the loss may be: images came out dark by 5 %.
    options = TrainerOptions() if pairs else TrainerOptions(learning_rate=BLIND_RATE, robust=False)
    trainer = Trainer(model, get_loss("hdr", needs="mean"), options, denoiser.device)
    return Training(trainer, batcher, emit), bearable


@contextmanager
def _folder(out: Path) -> Iterator[Path]:
    """A hidden folder for training data, which goes however the block ends; what a killed run left is replaced.

    Raises:
        RunError: Another run is training there.
        InputError: The output folder cannot be written.
    """
    made = [folder for folder in (out, *out.absolute().parents) if not folder.exists()]
    make_directory(out)
    folder = out / ".training"
    folder.mkdir(exist_ok=True)
    lock = os.open(folder / "lock", os.O_CREAT | os.O_RDWR)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise RunError(
                f"another rendernoise is training in {out}", f"Wait for it, then give --weights {out}/{WEIGHTS}"
            ) from error
        try:
            shutil.rmtree(folder / "pairs", ignore_errors=True)
            yield folder
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            for path in made:
                with suppress(OSError):
                    path.rmdir()
            raise
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)
