"""Every renderer's spelling finds its role."""

from __future__ import annotations

import random

import pytest

from rendernoise.errors import InputError
from rendernoise.io.roles import color_layers, describe, other_beauties, resolve


def layer(name: str, components: str = "RGB") -> list[str]:
    return [f"{name}.{c}" if name else c for c in components]


RGB = layer("")
FILES = {
    "ours": (
        RGB + layer("noisy") + layer("albedo") + layer("normal", "XYZ") + ["depth.Z", "error.Y"]
        + layer("position", "XYZ") + layer("variance"),
        {
            "radiance": RGB, "albedo": layer("albedo"), "normal": layer("normal", "XYZ"), "depth": ["depth.Z"],
            "position": layer("position", "XYZ"), "variance": layer("variance"),
        },
    ),
    "mitsuba": (
        layer("img", "RGBA") + layer("alb") + layer("nn.sh_normal", "XYZ") + ["dd.T"] + layer("pos", "XYZ"),
        {
            "radiance": layer("img"), "albedo": layer("alb"), "normal": layer("nn.sh_normal", "XYZ"),
            "depth": ["dd.T"], "position": layer("pos", "XYZ"),
        },
    ),
    "mitsuba, own prefixes": (
        [*RGB, "A", *layer("my_albedo"), *layer("sh_normal", "XYZ"), "far.T", *layer("geo_normal", "XYZ")],
        {"radiance": RGB, "albedo": layer("my_albedo"), "normal": layer("sh_normal", "XYZ"), "depth": ["far.T"]},
    ),
    "cycles": (
        layer("ViewLayer.Combined", "RGBA") + layer("ViewLayer.Denoising Albedo")
        + layer("ViewLayer.Denoising Normal", "XYZ") + layer("ViewLayer.Normal", "XYZ") + ["ViewLayer.Depth.Z"]
        + layer("ViewLayer.Vector", "XYZW") + layer("ViewLayer.Position", "XYZ") + ["ViewLayer.Mist.Z"]
        + layer("ViewLayer.CryptoObject00", "RGBA"),
        {
            "radiance": layer("ViewLayer.Combined"), "albedo": layer("ViewLayer.Denoising Albedo"),
            "normal": layer("ViewLayer.Denoising Normal", "XYZ"), "depth": ["ViewLayer.Depth.Z"],
            "position": layer("ViewLayer.Position", "XYZ"), "motion": layer("ViewLayer.Vector", "XY"),
            "motion2": layer("ViewLayer.Vector", "ZW"),
        },
    ),
    "cycles, already denoised": (
        layer("ViewLayer.Combined", "RGBA") + layer("ViewLayer.Noisy Image", "RGBA"),
        {"radiance": layer("ViewLayer.Noisy Image")},
    ),
    "cycles, two view layers": (
        layer("B.Combined") + layer("A.Denoising Albedo") + layer("B.Denoising Albedo") + layer("A.Normal", "XYZ"),
        {"radiance": layer("B.Combined"), "albedo": layer("B.Denoising Albedo"), "normal": layer("A.Normal", "XYZ")},
    ),
    "cycles, a view layer without features": (
        layer("B.Combined") + layer("A.Combined") + layer("B.Denoising Albedo") + layer("normal", "XYZ"),
        {"radiance": layer("B.Combined"), "albedo": layer("B.Denoising Albedo"), "normal": layer("normal", "XYZ")},
    ),
    "cycles, composited": (
        layer("Composite.Combined") + layer("ViewLayer.Combined") + layer("ViewLayer.Denoising Albedo"),
        {"radiance": layer("Composite.Combined"), "albedo": layer("ViewLayer.Denoising Albedo")},
    ),
    "both views by name": (
        layer("left") + layer("right") + layer("albedo.left") + layer("albedo.right") + layer("N", "XYZ"),
        {"radiance": layer("left"), "albedo": layer("albedo.left"), "normal": layer("N", "XYZ")},
    ),
    "the default view has no name": (
        [*RGB, *layer("right"), *layer("albedo.right"), *layer("normal", "XYZ")],
        {"radiance": RGB, "normal": layer("normal", "XYZ")},
    ),
    "arnold": (
        [*RGB, "A", *layer("albedo"), *layer("denoise_albedo"), *layer("N", "XYZ"), "Z", *layer("variance")],
        {
            "radiance": RGB, "albedo": layer("denoise_albedo"), "normal": layer("N", "XYZ"), "depth": ["Z"],
            "variance": layer("variance"),
        },
    ),
    "renderman": (
        layer("Ci") + layer("albedo") + layer("Nn", "XYZ") + ["z"] + layer("mse") + layer("albedo_mse"),
        {
            "radiance": layer("Ci"), "albedo": layer("albedo"), "normal": layer("Nn", "XYZ"), "depth": ["z"],
            "variance": layer("mse"),
        },
    ),
    "renderman, vectors in both directions": (
        layer("Ci") + layer("motionFore", "XY") + layer("motionBack", "XY"),
        {"radiance": layer("Ci"), "motion": layer("motionBack", "XY"), "motion2": layer("motionFore", "XY")},
    ),
    "arnold, vectors": (RGB + layer("motionvector"), {"radiance": RGB, "motion": layer("motionvector", "RG")}),
    "vectors of texture coordinates' names": (
        RGB + layer("motion", "UV"),
        {"radiance": RGB, "motion": layer("motion", "UV")},
    ),
    "vray": (
        RGB + layer("VRayDiffuseFilter") + layer("VRayNormals") + layer("VRayZDepth") + layer("VRayVelocity"),
        {
            "radiance": RGB, "albedo": layer("VRayDiffuseFilter"), "normal": layer("VRayNormals"),
            "depth": ["VRayZDepth.R"], "motion": layer("VRayVelocity", "RG"),
        },
    ),
    "oidn": (
        layer("hdr") + layer("albedo") + layer("normal", "XYZ"),
        {"radiance": layer("hdr"), "albedo": layer("albedo"), "normal": layer("normal", "XYZ")},
    ),
    "grey": (["Y", "A"], {"radiance": ["Y"]}),
    "one unknown layer of colour": (
        [*layer("myrender", "RGBA"), *layer("albedo")],
        {"radiance": layer("myrender"), "albedo": layer("albedo")},
    ),
    "two unknown layers are not guessed": (layer("one") + layer("two"), {}),
    "no colour": (["R", "Z"], {"depth": ["Z"]}),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_spellings(name: str) -> None:
    channels, expected = FILES[name]
    assert resolve(channels) == {role: tuple(names) for role, names in expected.items()}


@pytest.mark.parametrize("name", FILES)
def test_order_and_case_do_not_matter(name: str) -> None:
    channels, expected = FILES[name]
    shuffled = [c.swapcase() for c in channels]
    random.Random(0).shuffle(shuffled)
    assert resolve(shuffled) == {role: tuple(c.swapcase() for c in names) for role, names in expected.items()}


def test_overrides() -> None:
    channels = [*RGB, *layer("MyAlb"), *layer("albedo"), *layer("View.foo"), "zz.Q", "dist", *layer("aux", "UVW")]
    assert resolve(channels, {"albedo": "MyAlb"})["albedo"] == tuple(layer("MyAlb"))
    assert resolve(channels, {"albedo": "myalb"})["albedo"] == tuple(layer("MyAlb"))
    assert resolve(channels, {"radiance": "foo"})["radiance"] == tuple(layer("View.foo"))
    assert resolve(channels, {"depth": "zz.Q"})["depth"] == ("zz.Q",)
    assert resolve(channels, {"depth": "dist"})["depth"] == ("dist",)
    assert resolve(channels, {"normal": "aux.U,aux.V,aux.W"})["normal"] == ("aux.U", "aux.V", "aux.W")
    assert "albedo" not in resolve(channels, {"albedo": "none"})
    vectors = [*RGB, *layer("Vector", "XYZW")]
    assert set(resolve(vectors)) == {"radiance", "motion", "motion2"}
    assert set(resolve(vectors, {"motion": "none"})) == {"radiance"}, "neither pair"
    assert set(resolve(vectors, {"motion2": "none"})) == {"radiance", "motion"}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"albdo": "x"}, "'albdo' is no role. Roles are radiance, albedo"),
        ({"albedo": "nope"}, "albedo=nope: nope is not in the file. Candidates: R,G,B, alb"),
        ({"albedo": "depth"}, "depth has no 3 channels for it. Candidates: R,G,B, alb"),
        ({"depth": "nope"}, "nope is not in the file. Candidates: depth"),
    ],
)
def test_wrong_overrides_list_candidates(overrides: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match="(?s)" + message):
        resolve([*RGB, *layer("alb"), "depth.Z"], overrides)


def test_other_beauties_and_their_features() -> None:
    """Each has those of its own view layer and view; what has no beauty beside it is for all."""
    channels = [
        *layer("A.Combined"),
        *layer("A.albedo"),
        *layer("A.n", "XYZ"),
        *layer("B.Combined"),
        *layer("B.albedo"),
    ]
    channels += [*layer("depth", "Z"), *layer("A.diffuse.rgb"), *layer("A.Noisy Image")]
    main = resolve(channels)
    assert main["radiance"] == tuple(layer("A.Noisy Image"))
    assert other_beauties(channels, main) == ["B.Combined"]
    other = resolve(channels, None, "B.Combined")
    assert other == {"radiance": tuple(layer("B.Combined")), "albedo": tuple(layer("B.albedo")), "depth": ("depth.Z",)}
    # What the user says of the first one is not for the other one, but what he leaves out is.
    given = {"normal": "A.n", "albedo": "albedo", "depth": "none"}
    assert resolve(channels, given, "B.Combined") == {"radiance": other["radiance"], "albedo": other["albedo"]}
    assert resolve(channels, given)["normal"] == tuple(layer("A.n", "XYZ"))
    with pytest.raises(InputError, match=r"C\.Combined is not in the file"):
        resolve(channels, None, "C.Combined")


def test_features_of_another_view_do_not_fit() -> None:
    channels = [*RGB, *layer("albedo"), *layer("right"), *layer("normal.right", "XYZ")]
    assert other_beauties(channels, resolve(channels)) == ["right"]
    assert set(resolve(channels)) == {"radiance", "albedo"}
    assert set(resolve(channels, None, "right")) == {"radiance", "normal"}
    assert resolve(channels, {"radiance": "right"}) == resolve(channels, None, "right")


def test_light_belongs_to_the_beauty_of_its_layer() -> None:
    channels = [*layer("A.Combined"), *layer("A.key"), *layer("B.Combined"), *layer("B.key"), *layer("C.key")]
    main = resolve(channels)
    both = [main, resolve(channels, None, "B.Combined")]
    assert [list(own) for own in color_layers(channels, both)] == [["A.key", "C.key"], ["B.key"]]
    assert [list(own) for own in color_layers(channels, [main])] == [["A.key", "B.Combined", "B.key", "C.key"]]


def test_describe() -> None:
    assert describe(resolve([*RGB, "depth.Z"])) == ["radiance  R G B", "depth     depth.Z"]
    assert describe({}) == []
