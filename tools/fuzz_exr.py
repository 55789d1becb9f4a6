"""Put damaged EXR files through the reader as ``rendernoise denoise`` does, and count how each ends.

Every file must be read, or refused with one line that names it. Samples of every flavour are cut, extended, overwritten
and given impossible headers; a child process reads them, so that what kills it, hangs or fills the memory is counted
too. The exit status is 1 when anything but a picture or a line came out, and such files are kept.

    python tools/fuzz_exr.py --count 2000 --seed 0 --keep out/fuzz
    python tools/fuzz_exr.py --count 2000 --bands     # as frames are read that do not fit into --memory
"""

from __future__ import annotations

import argparse
import multiprocessing as mp
import os
import re
import resource
import signal
import struct
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import exr_samples
import numpy as np
from exr_samples import Split

from rendernoise.errors import ImageError, InputError
from rendernoise.io import exr
from rendernoise.io.exr_bands import ExrBands, rewrite
from rendernoise.io.exr_look import look, roles_of

LIMIT_S = 10.0
LIMIT_BYTES = 2**30
BLENDER = Path(__file__).parents[1] / "tests/data/blender"
GOOD, BAD = ("read", "refused"), ("bad line", "exception", "crash", "hang", "out of memory")
#: Values where sizes and counts overflow.
EXTREME = (0, 1, 2, 3, 255, 2**15, 2**16, 2**20, 2**24, 2**30, 2**31 - 2, 2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1)


# -- damage -----------------------------------------------------------------------------------------------------------


def samples(folder: Path) -> list[bytes]:
    """The sound files that are damaged: every flavour, those that are refused too, and Blender's."""
    found = [
        exr_samples.write(folder / "a.exr", name).read_bytes()
        for name in (*exr_samples.FLAVOURS, *exr_samples.SPLICED, *exr_samples.REFUSED)
    ]
    return found + [path.read_bytes() for path in sorted(BLENDER.glob("*.exr"))[:1]]


def damaged(whole: bytes, rng: np.random.Generator) -> bytes:
    """One file made of a sound one: one kind of damage, at times two."""
    for _ in range(rng.choice((1, 1, 1, 2))):
        whole = DAMAGE[rng.integers(len(DAMAGE))](whole, rng)
    return whole


def _place(data: bytes, rng: np.random.Generator) -> int:
    """Anywhere in a file; half of the time in its first 1000 bytes, where the header is."""
    return int(rng.integers(max(1, min(len(data), 1000) if rng.random() < 0.5 else len(data))))


def _flip_bits(data: bytes, rng: np.random.Generator) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8, 64)) if data else 0):
        changed[_place(data, rng)] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def _replace_run(data: bytes, rng: np.random.Generator) -> bytes:
    start, length = _place(data, rng), int(rng.choice((1, 4, 8, 64, 500)))
    run = (bytes(length), b"\xff" * length, rng.bytes(length))[rng.integers(3)]
    return data[:start] + run[: max(0, len(data) - start)] + data[start + length :]


def _replace_number(data: bytes, rng: np.random.Generator) -> bytes:
    start = _place(data, rng)
    return data[:start] + struct.pack("<I", rng.choice(EXTREME)) + data[start + 4 :]


def _cut(data: bytes, rng: np.random.Generator) -> bytes:
    return data[: _place(data, rng)]


def _extend(data: bytes, rng: np.random.Generator) -> bytes:
    return data + (bytes, rng.bytes)[rng.integers(2)](int(rng.choice((1, 8, 5000))))


def _repeat(data: bytes, rng: np.random.Generator) -> bytes:
    start, length = _place(data, rng), int(rng.choice((1, 16, 300)))
    return data[: start + length] + data[start:]


def _drop(data: bytes, rng: np.random.Generator) -> bytes:
    start = _place(data, rng)
    return data[:start] + data[start + int(rng.choice((1, 4, 50))) :]


def _foreign(data: bytes, rng: np.random.Generator) -> bytes:
    return (b"", data[:4], bytes(1000), rng.bytes(1000), data[:8] + rng.bytes(1000))[rng.integers(5)]


def _attribute(data: bytes, rng: np.random.Generator) -> bytes:
    """An attribute with another value, size, type or name, that of another, or none; offsets fit the new header."""
    file = _split(data)
    if file is None:
        return data
    part = file.parts[rng.integers(len(file.parts))]
    name = list(part)[rng.integers(len(part))]
    kind, value = part[name]
    what = rng.integers(8)
    if what == 0:
        del part[name]
    elif what == 1:
        part[name] = (rng.choice([b"int", b"string", b"box2i", b"chlist", b"preview", b"stringvector", b"x"]), value)
    elif what == 2:
        part[name] = (kind, value[: rng.integers(len(value) + 1)] + rng.bytes(int(rng.choice((0, 1, 4, 100)))))
    elif what == 3:
        part[b"x" * int(rng.choice((1, 32, 255, 256)))] = part.pop(name)
    elif what in (4, 5):
        part[name] = list(part.values())[rng.integers(len(part))]
    elif value:
        start = int(rng.integers(max(1, len(value) - 3)))
        part[name] = (kind, (value[:start] + struct.pack("<I", rng.choice(EXTREME)) + value[start + 4 :])[: len(value)])
    return file.join()


def _structure(data: bytes, rng: np.random.Generator) -> bytes:
    """Windows, tiles, chunk counts and compression that do not fit the pixels."""
    file = _split(data)
    if file is None:
        return data
    part = file.parts[rng.integers(len(file.parts))]
    number = [int(rng.choice(EXTREME)) for _ in range(4)]
    low = [int(rng.choice((-(2**31), -(2**30), -1, 0, 1, 5))) for _ in range(2)]
    high = [int(rng.choice((-(2**31), 0, 4, 63, 5000, 2**20, 2**30, 2**31 - 1))) for _ in range(2)]
    name, kind, value = [
        (b"dataWindow", b"box2i", struct.pack("<4i", *low, *high)),
        (b"displayWindow", b"box2i", struct.pack("<4i", *low, *high)),
        (b"tiles", b"tiledesc", struct.pack("<IIB", *number[:2], rng.integers(256))),
        (b"chunkCount", b"int", struct.pack("<I", number[0])),
        (b"compression", b"compression", bytes([rng.integers(256) if rng.random() < 0.3 else rng.integers(15)])),
        (b"lineOrder", b"lineOrder", bytes([rng.integers(4)])),
        (b"type", b"string", rng.choice([b"scanlineimage", b"tiledimage", b"deepscanline", b"deeptile", b"none"])),
        (b"channels", b"chlist", _channel_list(number, rng)),
    ][rng.integers(8)]
    part[name] = (kind, value)
    return file.join()


def _channel_list(number: list[int], rng: np.random.Generator) -> bytes:
    names = [b"R", b"G", b"B", b"R", b"", b"\xff\xfe", b"n" * 256, b"a.b.c"]
    chosen = [names[i] for i in rng.integers(len(names), size=rng.integers(1, 6))]
    kinds, samplings = rng.integers(4, size=len(chosen)), rng.choice((1, 1, 1, 0, 2, number[0]), size=len(chosen))
    entries = [n + b"\0" + struct.pack("<4I", k, 0, s, 1) for n, k, s in zip(chosen, kinds, samplings, strict=True)]
    return b"".join(entries) + b"\0"


def _offsets(data: bytes, rng: np.random.Generator) -> bytes:
    """Chunk offset tables in another order, or with offsets that lead elsewhere."""
    file = _split(data)
    if file is None:
        return data
    offsets = file.offsets()
    if rng.random() < 0.3:
        rng.shuffle(offsets)
    else:
        wrong = (0, 1, 8, file.end, len(data) - 1, len(data), 2**32, 2**63, 2**64 - 1, int(rng.integers(len(data))))
        offsets[rng.integers(len(offsets))] = wrong[rng.integers(len(wrong))]
    return data[: file.end] + struct.pack(f"<{len(offsets)}Q", *offsets) + file.rest[8 * len(offsets) :]


def _chunk(data: bytes, rng: np.random.Generator) -> bytes:
    """A chunk that names another place or size, or whose compressed bytes are damaged."""
    file = _split(data)
    if file is None:
        return data
    offsets = file.offsets()
    start = int(rng.choice(offsets)) + int(rng.choice((0, 4, 8, 12, 16, 20, 24, 28, 40, 100)))
    return data[:start] + struct.pack("<I", rng.choice(EXTREME)) + data[start + 4 :] if start < len(data) else data


def _split(data: bytes) -> Split | None:
    """The pieces of a file; None for what is damaged too far already."""
    try:
        file = Split.of(data)
        file.offsets()
        return file if file.parts and all(file.parts) else None
    except (struct.error, IndexError, ValueError):
        return None


# Damage that leaves the rest of a file sound reaches deepest, and is drawn more often.
DAMAGE = (
    *(_flip_bits, _replace_run, _replace_number, _cut, _extend, _repeat, _drop, _foreign),
    *(_attribute, _structure, _offsets, _chunk) * 2,
)


# -- reading ----------------------------------------------------------------------------------------------------------


def _read_whole(path: Path, out: Path) -> None:
    seen = look(path)
    roles_of(seen, path)
    image = exr.read(path)
    roles_of(image, path)
    if seen.channel_map() != image.channel_map():
        raise ValueError("the look at the header and the image differ")
    frame = exr.to_frame(image)
    exr.count_bad(frame)
    exr.write(out, exr.replace_radiance(image, np.zeros_like(frame.radiance)))


def _read_bands(path: Path, out: Path) -> None:
    """A chunk at a time, and copied with the pixels that it has."""
    bands = ExrBands(path)
    roles_of(bands.look, path)
    steps = [(first, last) for first, last in bands.pieces(0, bands.places[0].rows)]
    rewrite(bands, out, 0, (bands.rows(0, first, last) for first, last in steps), {"rendernoise.version": "x"})


def outcome(path: Path, out: Path, bands: bool = False) -> tuple[str, str]:
    """How a file ends, in this process: what became of it, and the line or the exception."""
    try:
        (_read_bands if bands else _read_whole)(path, out)
    except (ImageError, InputError) as error:
        text = str(error)
        if isinstance(error.__cause__, MemoryError) or "alloc" in text.lower():
            return "out of memory", text
        if "\n" in text or not (str(path) in text or str(out) in text):
            return "bad line", text
        return "refused", text.replace(str(path), "FILE").replace(str(out), "OUT")
    except MemoryError as error:
        return "out of memory", repr(error)
    except Exception as error:
        return "exception", f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    return "read", ""


def _serve(pipe: Connection, bands: bool) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    with open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 2 * LIMIT_BYTES, used + 2 * LIMIT_BYTES))
    exr.read(Path(pipe.recv()))  # loads OpenEXR
    base = _peak_bytes()
    while True:
        path = pipe.recv()
        if path is None:
            return
        Path("/proc/self/clear_refs").write_text("5")  # forgets the peak
        kind, text = outcome(Path(path), Path(path).with_name("out.exr"), bands)
        over = _peak_bytes() - base
        pipe.send(("out of memory", f"{over >> 20} MiB") if over > LIMIT_BYTES else (kind, text))


def _peak_bytes() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


class Reader:
    """A child process that reads files one after another; another one takes its place when it dies."""

    def __init__(self, sound: Path, bands: bool = False) -> None:
        self._sound, self._bands = sound, bands
        self._start()

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *raised: object) -> None:
        self._process.kill()
        self._process.join()

    def _start(self) -> None:
        context = mp.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, self._bands), daemon=True)
        self._process.start()
        theirs.close()
        self._pipe.send(str(self._sound))

    def read(self, path: Path) -> tuple[str, str]:
        """How a file ends there."""
        self._pipe.send(str(path))
        try:
            if self._pipe.poll(LIMIT_S):
                return self._pipe.recv()
            found = ("hang", f"more than {LIMIT_S:g} s")
        except (EOFError, ConnectionError):
            self._process.join()
            code = self._process.exitcode or 0
            found = ("crash", signal.Signals(-code).name if code < 0 else f"exit code {code}")
        self._process.kill()
        self._process.join()
        self._start()
        return found


def fuzz(
    count: int, seed: int, folder: Path, first: int = 0, bands: bool = False
) -> Iterator[tuple[int, Path, str, str]]:
    """Number, path, what became of it and the line of each damaged file; the file is gone when the next one comes."""
    sound = samples(folder)
    (folder / "sound.exr").write_bytes(sound[0])
    with Reader(folder / "sound.exr", bands) as reader:
        for number in range(first, first + count):
            rng = np.random.default_rng([seed, number])
            path = folder / "damaged.exr"
            path.write_bytes(damaged(sound[rng.integers(len(sound))], rng))
            yield number, path, *reader.read(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--first", type=int, default=0, help="number of the first file")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for the files that came to a bad end")
    parser.add_argument("--bands", action="store_true", help="read a chunk at a time")
    arguments = parser.parse_args()
    counts: Counter[tuple[str, str]] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        for number, path, kind, text in fuzz(
            arguments.count, arguments.seed, Path(folder), arguments.first, arguments.bands
        ):
            counts[kind, reason(text)] += 1
            if kind not in GOOD:
                print(f"{number}: {kind}: {text}", file=sys.stderr)
                if arguments.keep:
                    arguments.keep.mkdir(parents=True, exist_ok=True)
                    (arguments.keep / f"{arguments.seed}.{number}.exr").write_bytes(path.read_bytes())
    print("\n".join(table(counts)))
    sys.exit(any(kind not in GOOD for kind, _ in counts))


def table(counts: Counter[tuple[str, str]]) -> Iterator[str]:
    """How often each end was met, and below it each reason."""
    for kind in dict.fromkeys((*GOOD, *BAD, *(kind for kind, _ in counts))):
        reasons = {why: n for (k, why), n in counts.items() if k == kind}
        yield f"{sum(reasons.values()):7}  {kind}"
        yield from (f"{n:15}  {why}" for why, n in sorted(reasons.items(), key=lambda item: -item[1]) if why)


def reason(text: str) -> str:
    """A line without what differs from file to file."""
    text = re.sub(r"'.*'", "'...'", re.sub(r"the channels? .* (is|are)", r"the channels ... \1", text))
    return re.sub(r"(?<!UTF)-?\d+", "N", text.split(". ")[0])[:110]


if __name__ == "__main__":
    main()
