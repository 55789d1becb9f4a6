"""Law 7: weights are safetensors with a JSON header, and no pickle is ever loaded."""

from __future__ import annotations

import ast
import dataclasses
import json
import pickle
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

import rendernoise
from rendernoise.denoiser import SCHEMA, Denoiser
from rendernoise.errors import WeightsError
from rendernoise.model import DenoisingModel, ModelSpec
from rendernoise.networks import NETWORKS

PACKAGE = Path(rendernoise.__file__).parent
SOURCES = sorted(PACKAGE.rglob("*.py"))
PICKLES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}


def pickle_uses(source: str) -> list[str]:
    """Whatever in a module could load a pickle from a file."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.split(".")[0] in PICKLES]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in PICKLES:
            found.append(str(node.module))
        elif isinstance(node, ast.Attribute) and node.attr == "load" and isinstance(node.value, ast.Name):
            if node.value.id in {"torch", *PICKLES}:
                found.append(f"{node.value.id}.load")
        elif isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            if not (isinstance(node.value, ast.Constant) and node.value.value is False):
                found.append("allow_pickle")
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_module_loads_pickles(path: Path) -> None:
    assert not pickle_uses(path.read_text())


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import load",
        "torch.load(p)",
        "np.load(p, allow_pickle=True)",
        "np.load(p, allow_pickle=x)",
    ],
)
def test_the_search_for_pickles_finds_them(source: str) -> None:
    assert pickle_uses(source)


@pytest.fixture
def denoiser() -> Denoiser:
    torch.manual_seed(0)
    model = DenoisingModel(ModelSpec.default("unet_log", ("radiance", "albedo", "normal")))
    return Denoiser(model, {"seed": 0, "steps": 12})


def test_the_header_says_all_that_running_needs(denoiser: Denoiser) -> None:
    data = denoiser.to_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + size])
    ours = json.loads(header["__metadata__"]["rendernoise"])
    assert ours == {
        "schema": SCHEMA,
        "model": {
            "network": "unet_log",
            "planes": ["radiance", "albedo", "normal"],
            "transfer": "log1p",
            "exposure": "auto",
            "bears_absence": False,
        },
        "provenance": {"seed": 0, "steps": 12},
    }
    tensors = {name for name in header if name != "__metadata__"}
    assert tensors == set(denoiser.model.state_dict())
    assert denoiser.fingerprint() == denoiser.fingerprint()
    assert len(denoiser.fingerprint()) == 16


def refused(path: Path) -> str:
    with pytest.raises(WeightsError) as caught:
        Denoiser.load(path, "cpu")
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    assert caught.value.exit_code == 2
    return message


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (pytest.fail, ("a pickle was loaded",))


def test_a_pickle_is_refused_and_not_run(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    path.write_bytes(pickle.dumps(Bomb()))
    assert "no readable safetensors file" in refused(path)
    torch.save({"w": torch.ones(2)}, path)
    assert "no readable safetensors file" in refused(path)


@pytest.mark.parametrize("keep", [0, 7, 100, 5000, -1])
def test_truncated_weights_are_refused(denoiser: Denoiser, tmp_path: Path, keep: int) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(denoiser.to_bytes()[:keep])
    refused(path)


def test_missing_weights_and_folders_are_refused(tmp_path: Path) -> None:
    assert "no weights at" in refused(tmp_path / "absent.safetensors")
    refused(tmp_path)


def altered(denoiser: Denoiser, tmp_path: Path, header: object, **tensors: torch.Tensor) -> Path:
    path = tmp_path / "w.safetensors"
    metadata = None if header is None else {"rendernoise": header if isinstance(header, str) else json.dumps(header)}
    path.write_bytes(save({**denoiser.model.state_dict(), **tensors}, metadata))
    return path


SPEC = {"network": "unet_log", "planes": ["radiance", "albedo", "normal"], "transfer": "log1p", "exposure": "auto"}


@pytest.mark.parametrize(
    "header",
    [
        None,
        "null",
        "no json",
        "5",
        [],
        {},
        {"schema": SCHEMA},
        {"schema": SCHEMA + 1, "model": SPEC},
        {"schema": SCHEMA, "model": "unet_log"},
        {"schema": SCHEMA, "model": {**SPEC, "network": "resnet"}},
        {"schema": SCHEMA, "model": {**SPEC, "network": ["unet"]}},
        {"schema": SCHEMA, "model": {**SPEC, "network": "unet_log", "extra": 1}},
        {"schema": SCHEMA, "model": {**SPEC, "planes": ["radiance", "smell"]}},
        {"schema": SCHEMA, "model": {**SPEC, "planes": ["radiance"]}},
        {"schema": SCHEMA, "model": {**SPEC, "planes": ["albedo", "albedo", "normal"]}},
        {"schema": SCHEMA, "model": {**SPEC, "planes": 3}},
        {"schema": SCHEMA, "model": {**SPEC, "transfer": "sqrt"}},
        {"schema": SCHEMA, "model": {**SPEC, "bears_absence": "yes"}},
        {"schema": SCHEMA, "model": {k: v for k, v in SPEC.items() if k != "exposure"}},
    ],
    ids=str,
)
def test_foreign_and_altered_headers_are_refused(denoiser: Denoiser, tmp_path: Path, header: object) -> None:
    refused(altered(denoiser, tmp_path, header))


def test_weights_that_do_not_fit_are_refused(denoiser: Denoiser, tmp_path: Path) -> None:
    header = {"schema": SCHEMA, "model": SPEC}
    loaded = Denoiser.load(altered(denoiser, tmp_path, header), "cpu")
    assert loaded.provenance == {}
    assert loaded.model.spec.bears_absence is False, "headers that say nothing of absence bear none"
    wrong = torch.zeros(48, 8, 3, 3)
    assert "do not fit" in refused(altered(denoiser, tmp_path, header, **{"network.entry.weight": wrong}))
    assert "do not fit" in refused(altered(denoiser, tmp_path, header, stranger=wrong))
    nan = torch.full((3,), float("nan"))
    assert "NaN" in refused(altered(denoiser, tmp_path, header, **{"network.output.bias": nan}))


@pytest.mark.parametrize("bears", [False, True])
def test_the_header_says_whether_planes_may_be_absent(denoiser: Denoiser, tmp_path: Path, bears: bool) -> None:
    spec = dataclasses.replace(denoiser.model.spec, bears_absence=bears)
    Denoiser(DenoisingModel(spec)).save(tmp_path / "w.safetensors")
    assert Denoiser.load(tmp_path / "w.safetensors", "cpu").model.spec == spec
    header = {"schema": SCHEMA, "model": {**SPEC, "bears_absence": bears}}
    assert Denoiser.load(altered(denoiser, tmp_path, header), "cpu").model.spec.bears_absence is bears


@pytest.mark.parametrize("network", sorted(NETWORKS))
def test_every_network_fits_its_own_file(network: str, tmp_path: Path) -> None:
    made = Denoiser(DenoisingModel(ModelSpec.default(network, ("radiance", "normal"))))
    made.save(tmp_path / "w.safetensors")
    loaded = Denoiser.load(tmp_path / "w.safetensors", "cpu")
    assert loaded.model.spec == made.model.spec
    assert loaded.fingerprint() == made.fingerprint()
