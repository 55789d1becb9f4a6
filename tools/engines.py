"""Measure inference engines: the networks' convolutions in PyTorch's ways, ONNX Runtime and OpenVINO, beside OIDN.

Usage: ``python tools/engines.py [--only torch-f32 ...] [--networks fast ...] [--sizes 1280x720,...] [--weights FILE]``.
Prints a Markdown table per network and size, and writes ``DIR/engines.json`` (``--out DIR``). An engine whose package
is absent is left out, and a line says so. Without ``--weights`` the weights are random.

An engine replaces the network's body: all between the sorting of pixels and the positive head. Each runs in processes
of its own, in rounds, on the same frame. "first" is from the making of the engine to its first result, with import and
compiling; "again" is the same in the last round, where a compiler finds its cache. A deviation is
|a - b| / (|b| + 0.01) over all pixels, where b is PyTorch in float32.

Leave the machine alone meanwhile: the table says what share of it others took, and above a few per cent a row counts
for nothing. ``GOMP_SPINCOUNT=1000`` lets threads that wait for each other give way soon.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from measure_common import table
from speed_worker import noisy_frame, peak_mib
from torch import Tensor, nn

from rendernoise.denoiser import Denoiser
from rendernoise.frame import Frame
from rendernoise.machine import machine, versions
from rendernoise.model import DenoisingModel, ModelSpec
from rendernoise.networks.shuffled_unet import ShuffledUNet

PLANES = ("radiance", "albedo", "normal", "roughness")
REFERENCE = "torch-f32"
OIDN = {"oidn-high": "high", "oidn-fast": "fast"}
#: What each engine needs beyond PyTorch, with its own dependencies.
PACKAGES = {
    "onnx": ("onnxruntime", "onnx", "onnxscript", "onnx-ir", "ml_dtypes", "protobuf", "flatbuffers"),
    "openvino": ("openvino", "openvino-telemetry"),
    "oidn": ("pyoidn",),
}
#: Sorted pixels ``[1, C, H/2, W/2]`` to those of the result.
Body = Callable[[Tensor], Tensor]


class Plain(nn.Module):
    """A body of its own copy of the weights, channels last, in float32 or bf16; the output layer is always float32."""

    def __init__(self, network: ShuffledUNet, dtype: torch.dtype = torch.float32, *, autocast: bool = False) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).to(dtype).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.network.output.float()
        self.dtype, self.autocast = dtype, autocast

    def forward(self, blocks: Tensor) -> Tensor:  # noqa: D102
        with torch.autocast("cpu", torch.bfloat16, enabled=self.autocast):
            return self.network.body(blocks.to(self.dtype))


def onnx(plain: Plain, blocks: Tensor) -> Body:
    import onnxruntime  # pyright: ignore[reportMissingImports]

    program = torch.onnx.export(plain, (blocks,), dynamo=True, verbose=False)
    assert program is not None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(program.model_proto.SerializeToString(), options)
    name = session.get_inputs()[0].name
    return lambda x: torch.from_numpy(session.run(None, {name: x.contiguous().numpy()})[0])


def openvino(plain: Plain, blocks: Tensor, precision: str) -> Body:
    import openvino as ov  # pyright: ignore[reportMissingImports]

    hints = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"}
    hints["INFERENCE_NUM_THREADS"] = str(torch.get_num_threads())
    compiled = ov.compile_model(ov.convert_model(plain, example_input=blocks, input=list(blocks.shape)), "CPU", hints)
    return lambda x: torch.from_numpy(compiled(x.contiguous().numpy(), share_outputs=True)[0])


HALF = torch.bfloat16
#: From a network and an example of its blocks.
ENGINES: dict[str, Callable[[ShuffledUNet, Tensor], Body]] = {
    REFERENCE: lambda network, _: network.body,
    "torch-f32-weights-last": lambda network, _: Plain(network),
    "torch-f32-compiled": lambda network, _: torch.compile(Plain(network)),
    "torch-bf16-autocast": lambda network, _: Plain(network, autocast=True),
    "torch-bf16": lambda network, _: Plain(network, HALF),
    "torch-bf16-compiled": lambda network, _: torch.compile(Plain(network, HALF)),
    "onnx-f32": lambda network, blocks: onnx(Plain(network), blocks),
    "openvino-f32": lambda network, blocks: openvino(Plain(network), blocks, "f32"),
    "openvino-bf16": lambda network, blocks: openvino(Plain(network), blocks, "bf16"),
}


def load(job: dict[str, Any]) -> DenoisingModel:
    if job["weights"]:
        return Denoiser.load(job["weights"], "cpu").model.eval()
    torch.manual_seed(0)
    return DenoisingModel(ModelSpec.default(job["network"], PLANES)).eval()


def our_call(job: dict[str, Any], frame: Frame) -> Callable[[], tuple[np.ndarray, float]]:
    """The whole way from frame to image, and the seconds of the body in it."""
    model = load(job)
    network: Any = model.network
    bare = copy.copy(network)
    engine: list[Body] = []
    spent_s = 0.0

    def timed(blocks: Tensor) -> Tensor:
        nonlocal spent_s
        if not engine:
            engine.append(ENGINES[job["engine"]](bare, blocks))
        begin = time.perf_counter()
        result = engine[0](blocks)
        spent_s = time.perf_counter() - begin
        return result

    network.body = timed
    denoiser = Denoiser(model)
    return torch.no_grad()(lambda: (denoiser.radiance(frame), spent_s))


def oidn_call(job: dict[str, Any], frame: Frame) -> Callable[[], tuple[np.ndarray, float]]:
    from rendernoise.bench.oidn import Oidn

    oidn = Oidn(quality=OIDN[job["engine"]], threads=job["threads"])  # pyright: ignore[reportArgumentType]
    return lambda: (oidn(frame), oidn.execute_s)


def busy_s() -> tuple[float, float]:
    """CPU time that the whole machine and this process with its children have taken so far."""
    me = psutil.Process()
    own = sum(sum(process.cpu_times()[:4]) for process in (me, *me.children(recursive=True)))
    return sum(psutil.cpu_times()[:3]), own


def measure(job: dict[str, Any]) -> dict[str, Any]:
    torch.set_num_threads(job["threads"])
    frame = noisy_frame(*job["size"])
    frame = frame.with_planes(roughness=frame.planes["albedo"][:1].copy())
    times, bodies = [], []
    (all_before, own_before), start = busy_s(), time.perf_counter()
    call = (oidn_call if job["engine"] in OIDN else our_call)(job, frame)
    image = call()[0]
    first_s = time.perf_counter() - start
    np.save(job["image"], image)
    for _ in range(job["repeats"]):
        begin = time.perf_counter()
        bodies.append(call()[1])
        times.append(time.perf_counter() - begin)
    all_after, own_after = busy_s()
    others_s = all_after - all_before - (own_after - own_before)
    others = max(0.0, others_s / (time.perf_counter() - start) / (psutil.cpu_count() or 1))
    return {"first_s": first_s, "times_s": times, "bodies_s": bodies, "peak_mib": peak_mib(), "others": others}


def size_mib(packages: tuple[str, ...]) -> float:
    """What the packages take on disk."""
    paths = (file.locate() for name in packages for file in metadata.files(name) or ())
    return sum(path.stat().st_size for path in map(Path, map(str, paths)) if path.is_file()) / 2**20


def work(job: dict[str, Any]) -> dict[str, Any] | None:
    caches = {"TORCHINDUCTOR_CACHE_DIR": str(Path(job["image"]).with_suffix(".cache").absolute())}
    command = [sys.executable, __file__, "--job", json.dumps(job)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | caches)
    if done.returncode == 0:
        return json.loads(done.stdout.splitlines()[-1])
    print(
        f"{job['engine']} is left out: {(done.stderr.splitlines() or [done.returncode])[-1]}",
        file=sys.stderr,
        flush=True,
    )
    return None


def row_of(engine: str, rounds: list[dict[str, Any]], image: np.ndarray, reference: np.ndarray) -> dict[str, Any]:
    times, bodies = ([t for each in rounds for t in each[key]] for key in ("times_s", "bodies_s"))
    deviation = np.abs(image - reference) / (np.abs(reference) + 0.01)
    row = {"engine": engine, "first s": rounds[0]["first_s"], "again s": rounds[-1]["first_s"]}
    row |= {"min ms": 1e3 * min(times), "median ms": 1e3 * statistics.median(times), "n": len(times)}
    row |= {"engine alone ms": 1e3 * statistics.median(bodies), "peak MiB": max(each["peak_mib"] for each in rounds)}
    ours = engine not in OIDN
    row |= {"deviation 99.9 %": float(np.quantile(deviation, 0.999)) if ours else ""}
    row |= {"max": float(deviation.max()) if ours else ""}
    packages = PACKAGES.get(engine.partition("-")[0], ())
    return row | {"packages MiB": size_mib(packages), "others %": 100 * max(each["others"] for each in rounds)}


def compare(network: str, size: tuple[int, int], options: argparse.Namespace) -> list[dict[str, Any]]:
    base = {"network": network, "size": size, "threads": options.threads, "weights": options.weights}
    base["repeats"] = -(-options.repeats // options.rounds)
    rounds: dict[str, list[dict[str, Any]]] = {engine: [] for engine in dict.fromkeys([REFERENCE, *options.only])}
    images = {engine: options.out / f"{network}-{engine}.npy" for engine in rounds}
    for image in images.values():
        shutil.rmtree(image.with_suffix(".cache"), ignore_errors=True)
    for number in range(options.rounds):
        for engine in list(rounds) if number % 2 == 0 else list(reversed(rounds)):
            found = work({**base, "engine": engine, "image": str(images[engine])})
            rounds[engine] += [found] if found else []
    reference = np.load(images[REFERENCE])
    return [row_of(engine, found, np.load(images[engine]), reference) for engine, found in rounds.items() if found]


def main() -> None:
    every = [*ENGINES, *OIDN]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=every, default=every, metavar="ENGINE", help=", ".join(every))
    parser.add_argument("--networks", nargs="+", choices=["shuffled_unet", "fast"], default=["shuffled_unet", "fast"])
    parser.add_argument("--sizes", default="1280x720,1920x1080", help="WxH, with commas between")
    parser.add_argument("--weights", help="a .safetensors file of a network that has a body, with PLANES or fewer")
    parser.add_argument("--repeats", type=int, default=10, help="warm calls of each engine")
    parser.add_argument("--rounds", type=int, default=2, help="processes that they are spread over")
    parser.add_argument("--threads", type=int, default=psutil.cpu_count(logical=False))
    parser.add_argument("--out", type=Path, default=Path("out/engines"))
    parser.add_argument("--job", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job:
        print(json.dumps(measure(json.loads(options.job))), flush=True)
        return
    options.out.mkdir(parents=True, exist_ok=True)
    record: dict[str, Any] = {"machine": machine(), "versions": versions()}
    for size in options.sizes.split(","):
        width, _, height = size.partition("x")
        for network in options.networks:
            rows = record[f"{network} {size}"] = compare(network, (int(width), int(height)), options)
            print(f"\n## {network}, {size}, {options.threads} threads\n", flush=True)
            print(table(list(rows[0]), [list(row.values()) for row in rows]), flush=True)
            (options.out / "engines.json").write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
