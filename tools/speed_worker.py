"""One contender of ``tools/speed.py``, timed in a process of its own: ``python tools/speed_worker.py JOB`` (JSON).

Prints one JSON line: the time of the first call, the times of the warm ones and the CPU time in each,
the time that the contender's own clock gave where it has one, and the memory that it took: at the start, with libraries
and input, and at its peak, after the first call and after all.
"""

from __future__ import annotations

import atexit
import json
import re
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil

#: Does the work once; returns the seconds of the contender's own clock, or None.
Call = Callable[[], float | None]
#: Makes the contender once its libraries and inputs are in memory.
Make = Callable[[], Call]

SCENE = Path(__file__).parents[1] / "scenes" / "room" / "scene.xml"


def noisy_frame(width: int, height: int, number: int = 1) -> Any:
    """A frame whose statistics resemble a render: smooth light, long-tailed noise, all features that networks take."""
    from rendernoise.frame import PLANE_CHANNELS, Frame

    rng = np.random.default_rng([width, height, number])
    ramp = np.linspace(0.1, 2, width, dtype=np.float32)
    radiance = rng.standard_exponential((3, height, width), dtype=np.float32) * ramp
    features = {
        name: rng.random((PLANE_CHANNELS[name], height, width), dtype=np.float32)
        for name in ("albedo", "normal", "roughness")
    }
    return Frame({"radiance": radiance, **features}, spp=4, number=number)


def prepare_ours(job: dict[str, Any]) -> Make:
    """``network`` with random weights: their values change nothing about the work."""
    import torch

    from rendernoise.denoiser import Denoiser
    from rendernoise.model import DenoisingModel, ModelSpec

    torch.set_num_threads(job["threads"])
    frame = noisy_frame(*job["size"])

    def make() -> Call:
        model = DenoisingModel(ModelSpec.default(job["network"]))
        denoiser = Denoiser(model.eval(), autocast=job["precision"] == "bf16", spins=job["spins"])

        def call() -> None:
            denoiser.radiance(frame)

        return call

    return make


def prepare_oidn(job: dict[str, Any]) -> Make:
    # pyoidn imports PyTorch where there is one, and needs nothing of it: 190 MiB that are not OIDN's.
    sys.modules["torch"] = None  # pyright: ignore[reportArgumentType]
    import pyoidn  # noqa: F401  the library belongs to the start, as torch does to ours

    from rendernoise.bench.oidn import Oidn

    frame = noisy_frame(*job["size"])

    def make() -> Call:
        oidn = Oidn(prefilter=job["prefilter"], quality=job["quality"], threads=job["threads"])
        assert oidn.threads == job["threads"], (oidn.threads, job["threads"])

        def call() -> float:
            oidn(frame)
            return oidn.execute_s

        return call

    return make


def prepare_train(job: dict[str, Any]) -> Make:
    """``steps`` steps of the recipe ``ours``, the drawing of their crops included."""
    import torch

    from rendernoise.frame import FramePair
    from rendernoise.losses import get_loss
    from rendernoise.model import DenoisingModel, ModelSpec
    from rendernoise.recipes import RECIPES
    from rendernoise.sources.batching import CropBatcher
    from rendernoise.sources.store import PairStore
    from rendernoise.trainer import Trainer

    torch.set_num_threads(job["threads"])
    recipe = RECIPES["ours"]
    pair = FramePair.of_halves(*(noisy_frame(*job["size"], number=number) for number in (1, 2)))

    def make() -> Call:
        folder = tempfile.TemporaryDirectory()
        store = PairStore(Path(folder.name))
        store.put(0, pair)
        store.show(0)
        model = DenoisingModel(ModelSpec.default(recipe.network))
        trainer = Trainer(model, get_loss("hdr"), recipe.trainer, torch.device("cpu"))
        trainer.autocast = job["precision"] == "bf16"
        batcher = CropBatcher(store, model, recipe.crops, 0)

        def call() -> None:
            assert folder.name  # the store's files live as long as this function
            for _ in range(job["steps"]):
                trainer.step(batcher.draw())

        return call

    return make


def prepare_render(job: dict[str, Any]) -> Make:
    """``what``: ``bare`` is ``mi.render`` alone, ``radiance`` and ``process`` are rendernoise's renderer."""
    from rendernoise.render.camera import View
    from rendernoise.render.mitsuba import MitsubaRenderer, SceneOptions, start_variant
    from rendernoise.render.process import RendererProcess, RendererSpec, Request
    from rendernoise.seeds import Stream

    (width, height), spp, variant, threads = job["size"], job["spp"], job["variant"], job["threads"]
    options = SceneOptions(variant, (width, height), threads)
    view, seed = View(0, None, SCENE), Stream(0, 0, 0, "a").pack()

    def bare() -> Call:
        mi = start_variant(variant)
        import drjit

        drjit.set_thread_count(max(2, threads))  # Mitsuba can wait for ever where one thread loads a scene
        scene = mi.load_file(str(SCENE), resx=width, resy=height)
        drjit.set_thread_count(threads)

        def call() -> None:
            np.array(mi.render(scene, spp=spp, seed=1))

        return call

    def radiance() -> Call:
        renderer = MitsubaRenderer(options)
        return lambda: renderer.render_bare(view, spp=spp, seed=seed)

    def process() -> Call:
        renderer = RendererProcess(RendererSpec("mitsuba", {"options": options}))
        atexit.register(renderer.close)
        return lambda: next(renderer.map([Request(view, spp, seed)])).render_s

    return {"bare": bare, "radiance": radiance, "process": process}[job["what"]]


PREPARE: dict[str, Callable[[dict[str, Any]], Make]] = {
    "ours": prepare_ours,
    "oidn": prepare_oidn,
    "train": prepare_train,
    "render": prepare_render,
}


def resident_mib() -> float:
    return psutil.Process().memory_info().rss / 2**20


def peak_mib() -> float:
    """Peak resident memory of this process and its living children, MiB."""
    me = psutil.Process()
    return sum(map(peak_of_mib, (me, *me.children(recursive=True))))


def peak_of_mib(process: psutil.Process) -> float:
    """Peak resident memory of one process, MiB: 0 when it has ended, and outside Linux what it has now.

    ``getrusage`` would say no less than the parent had when it started the process, so Linux' own mark is read. A child
    that has ended, and that nobody has waited for yet, has a status without that mark.
    """
    try:
        status = Path(f"/proc/{process.pid}/status").read_text()
    except OSError:
        status = ""
    if mark := re.search(r"^VmHWM:\s*(\d+) kB", status, re.MULTILINE):
        return int(mark[1]) / 1024
    try:
        return process.memory_info().rss / 2**20
    except psutil.Error:
        return 0.0


def cpu_now_s() -> float:
    """CPU time that this process and its children have taken so far, s."""
    children = (child.cpu_times() for child in psutil.Process().children(recursive=True))
    return time.process_time() + sum(times.user + times.system for times in children)


def measure(job: dict[str, Any]) -> dict[str, Any]:
    make = PREPARE[job["kind"]](job)
    start_mib = resident_mib()
    call = make()
    times: list[float] = []
    cpu: list[float] = []
    own: list[float] = []
    first_peak_mib = 0.0
    while len(times) <= job["repeats"] and sum(times) < job["limit_s"]:
        begin, cpu_begin = time.perf_counter(), cpu_now_s()
        own_s = call()
        times.append(time.perf_counter() - begin)
        cpu.append(cpu_now_s() - cpu_begin)
        if own_s is not None:
            own.append(own_s)
        first_peak_mib = first_peak_mib or peak_mib()
    # The first call warms up. Where it alone took the limit, what it warmed is no part worth mentioning of its time.
    warm = slice(1 if len(times) > 1 else 0, None)
    return {
        "first_s": times[0],
        "times_s": times[warm],
        "cpu_s": cpu[warm],
        "own_s": own[warm],
        "start_mib": start_mib,
        "first_peak_mib": first_peak_mib,
        "peak_mib": peak_mib(),
    }


if __name__ == "__main__":
    print(json.dumps(measure(json.loads(sys.argv[1]))), flush=True)
