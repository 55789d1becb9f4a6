"""The whole of ``rendernoise denoise``, for the command line and for Python."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from rendernoise.beauty import find_layers, first_roles, tell_roles
from rendernoise.config import DenoiseConfig
from rendernoise.denoiser import Denoiser, pick_device
from rendernoise.errors import InputError
from rendernoise.job import starting_weights
from rendernoise.planning import known_frames, plan_frames
from rendernoise.sequence import Outcome, denoise_frames
from rendernoise.shot_training import train_on_shot
from rendernoise.sources.beauties import Beauties
from rendernoise.sources.shots import Emit


def run_denoise(config: DenoiseConfig, emit: Emit = lambda event: None) -> Outcome:
    """Run ``rendernoise denoise``.

    Args:
        config: The options.
        emit: Called with every event: roles, notes, frames planned, written and failed, the end.

    Raises:
        RendernoiseError: Bad input (nothing is written), no frame could be denoised, or no room for the next.
    """

    def note(text: str) -> None:
        emit({"event": "note", "text": text})

    planned = plan_frames(
        config.inputs,
        None if config.in_place else config.out,
        frames=config.frame_list,
        half=config.half,
        missing=note if config.allow_gaps else None,
    )
    known = known_frames(planned, config.inputs, config.half)
    if config.list_roles:
        tell_roles(planned, (), Beauties(known, config.roles), config.aov, config.alpha, emit)
        return Outcome((), (), ())
    loaded = starting_weights(config.weights, config.network)
    if loaded is None:
        raise InputError("--weights none cannot denoise", "Use base, or a file as train and online write it")
    denoiser = Denoiser(loaded.model, loaded.provenance, pick_device(config.device), spins=config.spins)
    if config.train_s is not None and not config.dry_run:
        beauties = Beauties(known, config.roles, denoiser.model.needs)
        # A layer that is not there is told before a minute of training, not after it.
        files, _ = first_roles(planned, roles=config.roles)
        find_layers(files, beauties, config.aov, config.alpha)
        denoiser = train_on_shot(
            denoiser,
            planned,
            config.train_s,
            weights=config.weights,
            window=config.window,
            seed=config.seed,
            beauties=beauties,
            keep=config.skip_existing or config.resume,
            overwrite=config.overwrite,
            emit=emit,
        )
    return denoise_frames(
        denoiser,
        planned,
        roles=config.roles,
        # An interrupted run is told to come back with --resume.
        skip_existing=config.skip_existing or config.resume,
        overwrite=config.overwrite,
        in_place=config.in_place,
        dry_run=config.dry_run,
        keep_noisy=config.keep_noisy,
        aov=config.aov,
        alpha=config.alpha,
        window=config.window,
        memory_mib=config.memory,
        known=known,
        emit=emit,
    )


def denoise_sequence(
    inputs: str | Path | Iterable[str | Path],
    out: str | Path = "denoised",
    *,
    emit: Emit = lambda event: None,
    **options: Any,
) -> Outcome:
    """Denoise EXR frames, as ``rendernoise denoise INPUT... --out OUT`` does.

    Args:
        inputs: EXR files, folders or patterns such as ``shot.####.exr``.
        out: Output folder, or a pattern such as ``out/beauty.####.exr``.
        emit: Called with every event, a dict with ``event``: ``roles``, ``note``, ``frame``, ``failed``, ``done``.
        options: The command's own, by the names of :class:`rendernoise.config.DenoiseConfig`: ``half="b.####.exr"``,
            ``frames="1-24"``, ``window=0``, ``weights="shot.safetensors"``, ``overwrite=True``, ...

    Returns:
        Which files were written, which were left, and which inputs failed and why.

    Raises:
        RendernoiseError: As :func:`run_denoise`.
        TypeError: There is no such option.

    Example:
        >>> import rendernoise
        >>> done = rendernoise.denoise_sequence("shot.####.exr", "denoised", frames="1-24")
        >>> done.written[0]
        PosixPath('denoised/shot.0001.exr')
    """
    given = (inputs,) if isinstance(inputs, str | Path) else tuple(inputs)
    options = {k: (v,) if k in ("aov", "role") and isinstance(v, str) else v for k, v in options.items()}
    return run_denoise(replace(DenoiseConfig(inputs=tuple(Path(i) for i in given), out=Path(out)), **options), emit)
