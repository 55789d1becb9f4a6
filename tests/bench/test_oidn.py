"""Open Image Denoise, the real library: what goes in, what comes out, and that nothing is left behind."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec

import numpy as np
import pytest

from rendernoise.bench.oidn import Oidn
from rendernoise.errors import ImageError, InputError
from rendernoise.frame import Frame
from rendernoise.render.probe import usable_cores

needs_oidn = pytest.mark.skipif(find_spec("pyoidn") is None, reason='pyoidn is not installed ("rendernoise[oidn]")')
Make = Callable[..., Oidn]


@pytest.fixture
def make() -> Iterator[Make]:
    made: list[Oidn] = []

    def one(**options: object) -> Oidn:
        made.append(Oidn(**{"threads": 1, **options}))  # pyright: ignore
        return made[-1]

    yield one
    for each in made:
        each.close()


def scene(height: int = 64, width: int = 96, seed: int = 0, noise: float = 1.0) -> tuple[Frame, np.ndarray]:
    """A lit chequered disc: the noisy frame with noisy features, and its truth ``[3, H, W]``."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[-1 : 1 : height * 1j, -1.5 : 1.5 : width * 1j].astype(np.float32)
    inside = x**2 + y**2 < 0.7
    albedo = np.where((np.floor(4 * x) + np.floor(4 * y)) % 2, 0.8, 0.3) * np.ones((3, 1, 1))
    albedo *= np.array([1, 0.8, 0.6])[:, None, None]
    normal = np.stack([x, y, np.sqrt(np.clip(1 - x**2 - y**2, 0, 1))]) * inside
    truth = (albedo * (0.5 + 2 * normal[2]) * np.where(inside, 1, 0.2)).astype(np.float32)
    noisy = truth * rng.gamma(1 / noise, noise, truth.shape)
    features = {
        "albedo": np.clip(albedo + 0.1 * rng.standard_normal(truth.shape), 0, 1),
        "normal": normal + 0.1 * rng.standard_normal(truth.shape),
    }
    planes = {"radiance": noisy, **features}
    return Frame({name: plane.astype(np.float32) for name, plane in planes.items()}), truth


def relmse(image: np.ndarray, truth: np.ndarray) -> float:
    return float(np.mean((image - truth) ** 2 / (truth**2 + 0.01)))


def flat(value: float, height: int = 64, width: int = 64) -> Frame:
    return Frame({"radiance": np.full((3, height, width), value, np.float32)})


@needs_oidn
def test_it_says_its_version(make: Make) -> None:
    assert tuple(map(int, make().version.split("."))) >= (2, 5, 0)


@needs_oidn
@pytest.mark.parametrize("value", [0.01, 0.5, 1.0, 40.0, 60_000.0])
def test_a_constant_image_stays_constant_at_any_brightness(make: Make, value: float) -> None:
    # OIDN pads with black, which reaches some pixels inward.
    result = make()(flat(value))
    np.testing.assert_allclose(result, value, rtol=0.08)
    np.testing.assert_allclose(result[:, 16:-16, 16:-16], value, rtol=0.03)


@needs_oidn
def test_black_stays_black(make: Make) -> None:
    assert np.abs(make()(flat(0.0))).max() < 1e-4


@needs_oidn
@pytest.mark.parametrize("quality", ["high", "balanced", "fast"])
@pytest.mark.parametrize("prefilter", [False, True])
def test_noise_goes_down(make: Make, quality: str, prefilter: bool) -> None:
    frame, truth = scene(128, 192)
    result = make(quality=quality, prefilter=prefilter)(frame)
    assert result.shape == truth.shape
    assert result.dtype == np.float32
    assert result.flags.c_contiguous
    assert relmse(result, truth) < 0.1 * relmse(frame.radiance, truth)
    assert abs(float(result.mean() / truth.mean()) - 1) < 0.1


@needs_oidn
def test_channels_rows_and_columns_stay_where_they_are(make: Make) -> None:
    frame, truth = scene(96, 160)
    result = make()(frame)
    for channel in range(3):
        assert np.corrcoef(result[channel].ravel(), truth[channel].ravel())[0, 1] > 0.97
    assert result[0].mean() > 1.1 * result[1].mean() > 1.3 * result[2].mean()


@needs_oidn
def test_what_is_far_brighter_than_white_survives(make: Make) -> None:
    frame, truth = scene(noise=0.05)
    lamp = (slice(None), slice(20, 40), slice(40, 60))
    bright = frame.radiance.copy()
    bright[lamp] = 500
    result = make()(frame.with_planes(radiance=bright))
    np.testing.assert_allclose(result[:, 24:36, 44:56], 500, rtol=0.2)
    assert result[:, 50:].max() < 2 * truth.max()


@needs_oidn
def test_each_plane_has_its_say(make: Make) -> None:
    frame, _ = scene()
    radiance, albedo = {"radiance": frame.radiance}, {"albedo": frame.planes["albedo"]}
    plain, with_albedo = make()(Frame(radiance)), make()(Frame({**radiance, **albedo}))
    both, prefiltered = make()(frame), make(prefilter=True)(frame)
    different = [plain, with_albedo, both, prefiltered]
    assert all(relmse(a, b) > 1e-5 for i, a in enumerate(different) for b in different[:i])
    # OIDN takes no normal alone, and without features there is nothing to prefilter.
    assert np.array_equal(make()(Frame({**radiance, "normal": frame.planes["normal"]})), plain)
    assert np.array_equal(make(prefilter=True)(Frame(radiance)), plain)


@needs_oidn
def test_prefiltering_is_three_filters_and_leaves_the_frame_alone(make: Make) -> None:
    frame, _ = scene()
    kept = {name: plane.copy() for name, plane in frame.planes.items()}
    denoise = make(prefilter=True)
    results = [denoise(frame) for _ in range(3)]
    assert all(np.array_equal(frame.planes[name], plane) for name, plane in kept.items())
    # In-place filters must start from the frame's own features each time.
    assert all(np.array_equal(results[0], again) for again in results[1:])


@needs_oidn
def test_prefiltering_is_what_three_filters_by_hand_give(make: Make) -> None:
    import pyoidn

    frame, _ = scene()
    images = {name: np.ascontiguousarray(np.moveaxis(plane, 0, -1)) for name, plane in frame.planes.items()}
    with pyoidn.Device() as device:
        device.commit()

        def by_hand(inputs: dict[str, np.ndarray], *flags: str) -> np.ndarray:
            output = np.zeros_like(images["radiance"])
            with pyoidn.Filter(device, "RT") as one:
                for slot, image in {**inputs, "output": output}.items():
                    one.set_image(slot, image, pyoidn.OIDN_FORMAT_FLOAT3)
                for flag in flags:
                    one.set_bool(flag, True)
                one.commit()
                one.execute()
            assert device.get_error() is None
            return output

        clean = {name: by_hand({name: images[name]}) for name in ("albedo", "normal")}
        expected = by_hand({"color": images["radiance"], **clean}, "hdr", "cleanAux")
    result = make(prefilter=True)(frame)
    np.testing.assert_allclose(result, np.moveaxis(expected, -1, 0), rtol=1e-4, atol=1e-5)


@needs_oidn
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (3, 1), (2, 2), (17, 31), (33, 64), (101, 3)])
def test_any_size_works(make: Make, size: tuple[int, int]) -> None:
    frame, _ = scene(*size)
    for prefilter in (False, True):
        result = make(prefilter=prefilter)(frame)
        assert result.shape == (3, *size)
        assert np.isfinite(result).all()


@needs_oidn
def test_a_change_of_size_or_planes_and_back_changes_nothing(make: Make) -> None:
    denoise = make(prefilter=True)
    large, _ = scene(40, 56)
    small, _ = scene(24, 17)
    bare = Frame({"radiance": large.radiance})
    first = [denoise(frame) for frame in (large, small, bare)]
    again = [denoise(frame) for frame in (bare, large, small)]
    assert np.array_equal(first[0], again[1])
    assert np.array_equal(first[1], again[2])
    assert np.array_equal(first[2], again[0])


@needs_oidn
def test_nan_and_negative_radiance_count_as_black(make: Make) -> None:
    denoise = make()
    results = []
    for value in (0.0, np.nan, -5.0):
        radiance = flat(0.5).radiance.copy()
        radiance[:, 20, 20] = value
        results.append(denoise(Frame({"radiance": radiance})))
    assert np.array_equal(results[0], results[1])
    assert np.array_equal(results[0], results[2])


@needs_oidn
def test_threads_are_honoured(make: Make) -> None:
    assert make(threads=1).threads == 1
    assert make(threads=0).threads >= 1
    assert make(threads=usable_cores()).threads == usable_cores()


@needs_oidn
def test_two_instances_do_not_disturb_each_other(make: Make) -> None:
    frame, _ = scene()
    other, _ = scene(33, 47, seed=1)
    alone = make()(frame)
    one, two = make(), make(prefilter=True, quality="fast", threads=2)
    for _ in range(3):
        two(other)
        assert np.array_equal(one(frame), alone)
    two.close()
    assert np.array_equal(one(frame), alone)


@needs_oidn
def test_a_result_is_the_callers_own(make: Make) -> None:
    denoise = make()
    first = denoise(flat(0.5))
    kept = first.copy()
    denoise(flat(2.0))
    assert np.array_equal(first, kept)


@needs_oidn
def test_execution_is_timed_apart_from_copying(make: Make) -> None:
    frame, _ = scene()
    denoise = make()
    assert denoise.execute_s == 0
    denoise(frame)
    assert 0 < denoise.execute_s < 60


@needs_oidn
@pytest.mark.parametrize("quality", ["high", "fast"])
def test_it_gives_what_the_packages_own_call_gives(make: Make, quality: str) -> None:
    import pyoidn

    frame, _ = scene()
    color, albedo, normal = (
        np.ascontiguousarray(np.moveaxis(frame.planes[name], 0, -1)) for name in ("radiance", "albedo", "normal")
    )
    theirs = pyoidn.denoise(color, albedo, normal, hdr=True, quality=quality)
    np.testing.assert_allclose(make(quality=quality)(frame), np.moveaxis(theirs, -1, 0), rtol=1e-4, atol=1e-5)


@needs_oidn
def test_memory_does_not_grow(make: Make) -> None:
    import psutil

    frames = [scene(40, 56)[0], scene(24, 33)[0]]
    me = psutil.Process()
    denoise = make(prefilter=True, quality="fast")

    def call(times: int) -> int:
        for index in range(times):
            denoise(frames[index % 2])  # another size each time: filters and buffers are made anew
        return me.memory_info().rss

    start = call(40)
    assert call(200) - start < 8 * 2**20


@needs_oidn
def test_a_refused_image_is_one_line(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    denoise = make()
    # A real refusal by OIDN: a normal without an albedo, which Oidn itself never asks for.
    monkeypatch.setattr(denoise, "_filter", lambda inputs, output: Oidn._filter(denoise, ["color", "normal"], output))
    frame, _ = scene(16, 16)
    with pytest.raises(ImageError, match=r"refuses frame 1 of 16x16 px \(unsupported combination") as caught:
        denoise(frame)
    assert "\n" not in str(caught.value)
    monkeypatch.undo()
    assert np.isfinite(denoise(frame)).all()


@needs_oidn
def test_it_closes_twice(make: Make) -> None:
    denoise = make()
    denoise(flat(0.5))
    denoise.close()
    denoise.close()


def test_without_the_package_the_cure_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyoidn", None)
    with pytest.raises(InputError, match=r'not installed\. pip install "rendernoise\[oidn\]"'):
        Oidn()


@needs_oidn
def test_a_library_that_does_not_load_says_the_cure(run_python) -> None:
    code = """
import pyoidn.capi, cffi
pyoidn.capi.wrap_dylib = lambda name: "absent.so"
from rendernoise.bench.oidn import Oidn
from rendernoise.errors import InputError
try:
    Oidn()
except InputError as error:
    print(error)
"""
    said = run_python(code).stdout
    assert said.startswith("the library of Open Image Denoise does not load (")
    assert said.endswith('). pip install "rendernoise[oidn]"\n')
    assert said.count("\n") == 1
