"""What ``suite reproduce`` trains for each experiment of the papers, and what must come out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from rendernoise.errors import InputError
from rendernoise.noise import NOISES
from rendernoise.suite.config import Target

#: The released code of Noise2Noise (config.py): 300,000 steps.
_NOISE2NOISE_STEPS = 300_000
#: That for MRI (config_mri.py): 300 epochs of 4936 slices, 16 at a time.
_MRI_STEPS = 300 * 4936 // 16
#: The released example of Noise2Void on BSD68: 200 epochs of 400 steps.
_NOISE2VOID_STEPS = 200 * 400


@dataclass(frozen=True)
class Training:
    """One denoiser of an experiment. All but the label says what is trained: equal ones are trained once.

    Args:
        label: What the table calls it; unique in its experiment.
        noise: Noise model with its options, as in ``suite train``.
        target: What the loss compares with.
        loss: A name in ``losses.LOSSES``; None for the noise model's own.
        contrast: Whether the loss estimates something else than the noise needs, and is to show what that does.
        network: A name in ``networks.NETWORKS``; None for what fits the target.
        masking: How pixels are hidden from a blind one.
        strength: Range of the strength in training; None for the noise model's own.
        share: Of the experiment's steps.
        images: Share of the training images that it gets.
        realisations: Fixed noisy versions of each image; None for new noise in every crop.
    """

    label: str
    noise: str
    target: Target = "noisy"
    loss: str | None = None
    contrast: bool = False
    network: str | None = None
    masking: str = "n2v"
    strength: str | None = None
    share: float = 1.0
    images: float = 1.0
    realisations: int | None = None

    @property
    def unlabelled(self) -> Training:
        """The same without its label."""
        return replace(self, label="")

    @property
    def timed_as(self) -> Training:
        """What takes as long a step, whatever it learns."""
        target: Target = "blind" if self.target == "blind" else "noisy"
        return Training("", self.noise.partition(":")[0], target, network=self.network, masking=self.masking)


@dataclass(frozen=True)
class Check:
    """A difference of two trainings of an experiment that the issue of reproduction turns on.

    Args:
        text: What is compared.
        first: Label of a training.
        second: Label of the one whose PSNR is taken off.
        bound_db: What the difference is held against.
        kind: Whether it must be at least the bound, or no larger than it on either side.
    """

    text: str
    first: str
    second: str
    bound_db: float
    kind: Literal["at least", "within"]

    def holds(self, difference_db: float) -> bool:
        """Whether the bound is kept."""
        return difference_db >= self.bound_db if self.kind == "at least" else abs(difference_db) <= self.bound_db


@dataclass(frozen=True)
class Experiment:
    """Trainings whose results belong together; all get the same number of steps, times their share.

    Args:
        about: One line for the table.
        source: Paper and place.
        trainings: What is trained.
        checks: What must come out.
        baselines: Names in ``baselines.BASELINES`` that stand beside it.
        grey: Whether colours are made grey.
        data: ``photographs``, or ``mri`` for slices of a head.
        steps: Of the papers' own runs.
        batch: Crops in a step, of the papers' own runs.
        crop_px: Side of the crops, of the papers' own runs.
        rate: Adam's learning rate.
        like: The experiment whose steps these trainings share; itself if empty.
    """

    about: str
    source: str
    trainings: tuple[Training, ...]
    checks: tuple[Check, ...] = ()
    baselines: tuple[str, ...] = ()
    grey: bool = False
    data: Literal["photographs", "mri"] = "photographs"
    steps: int = _NOISE2NOISE_STEPS
    batch: int = 4
    crop_px: int = 256
    rate: float = 1e-3
    like: str = ""


def _gap() -> Check:
    return Check("noisy − clean targets", "noisy targets", "clean targets", 0.1, "within")


def _both(noise: str) -> tuple[Training, ...]:
    return Training("noisy targets", noise), Training("clean targets", noise, "clean")


_BROWN = tuple((w, f"brown_gaussian:bandwidth_px={w}") for w in (1, 2, 4))
#: Sigma of experiments whose noise has one strength, in training too.
_FIXED = "25"

EXPERIMENTS: dict[str, Experiment] = {
    "gaussian": Experiment(
        "white Gaussian noise, sigma 0 to 50 in training, 25 in the test",
        "Noise2Noise, section 3.1, table 1",
        _both("gaussian"),
        (_gap(),),
        ("bm3d",),
    ),
    "brown_gaussian": Experiment(
        "Gaussian noise of sigma 25 that neighbours share, over the bandwidth of the blur",
        "Noise2Noise, section 3.1",
        tuple(
            Training(f"{target} {width} px", noise, target)
            for width, noise in _BROWN
            for target in ("noisy", "clean")  # pyright: ignore[reportArgumentType]
        ),
        tuple(
            Check(f"noisy − clean targets, {w} px", f"noisy {w} px", f"clean {w} px", 0.1, "within") for w, _ in _BROWN
        ),
    ),
    "poisson": Experiment(
        "Poisson noise, lambda 0 to 50 in training, 30 in the test",
        "Noise2Noise, section 3.2, table 1",
        _both("poisson"),
        (_gap(),),
        ("anscombe_bm3d",),
    ),
    "bernoulli": Experiment(
        "missing pixels, up to 95 % in training, half in the test",
        "Noise2Noise, section 3.2, table 1",
        _both("bernoulli"),
        (_gap(),),
    ),
    "text": Experiment(
        "random strings over the image, up to half of it in training, a quarter in the test",
        "Noise2Noise, section 3.2",
        (
            Training("noisy L1", "text", loss="l1"),
            Training("noisy L2", "text", loss="l2", contrast=True),
            Training("clean targets", "text", "clean", loss="l1"),
        ),
        (Check("L1 − L2", "noisy L1", "noisy L2", 5.0, "at least"),),
    ),
    "impulse": Experiment(
        "pixels of random colour, up to 95 % in training, 70 % in the test",
        "Noise2Noise, section 3.2",
        (
            Training("noisy L0", "impulse", loss="l0"),
            Training("noisy L1", "impulse", loss="l1", contrast=True),
            Training("noisy L2", "impulse", loss="l2", contrast=True),
            Training("clean targets", "impulse", "clean", loss="l2"),
        ),
        (Check("L0 − L1", "noisy L0", "noisy L1", 5.0, "at least"),),
    ),
    "mri": Experiment(
        "a tenth of the frequencies of a head's slices",
        "Noise2Noise, section 3.4",
        _both("mri"),
        (_gap(),),
        grey=True,
        data="mri",
        steps=_MRI_STEPS,
        batch=16,
    ),
    "finite_data": Experiment(
        "one budget of noisy images of sigma 25, three ways: 20 each of a tenth of the images, of which 19 make the "
        "target; the same as pairs; 2 each of all images",
        "Noise2Noise, section 3.1, capture budget",
        (
            Training("case 1, average of 19", "gaussian", "average", images=0.1, realisations=20),
            Training("case 2, pairs of 20", "gaussian", images=0.1, realisations=20),
            Training("case 3, pairs of 2", "gaussian", images=1.0, realisations=2),
        ),
        (
            Check("case 2 − case 1", "case 2, pairs of 20", "case 1, average of 19", 0.0, "at least"),
            Check("case 3 − case 2", "case 3, pairs of 2", "case 2, pairs of 20", 0.0, "at least"),
        ),
    ),
    "convergence": Experiment(
        "the experiment gaussian after fewer steps, each length a run of its own",
        "Noise2Noise, figure 1",
        tuple(
            Training(f"{target}, 1/{part} of the steps" if part > 1 else target, "gaussian", target, share=1 / part)
            for part in (8, 4, 2, 1)
            for target in ("noisy", "clean")  # pyright: ignore[reportArgumentType]
        ),
        tuple(
            Check(
                f"noisy − clean after 1/{p}", f"noisy, 1/{p} of the steps", f"clean, 1/{p} of the steps", 0.1, "within"
            )
            for p in (8, 4, 2)
        ),
        like="gaussian",
    ),
    "n2v": Experiment(
        "white Gaussian noise of sigma 25, grey; no second noisy image for Noise2Void and its kin",
        "Noise2Void, table 1; N2V2 (Höck et al. 2022); StructN2V (Broaddus et al. 2020)",
        (
            Training("clean targets", "gaussian", "clean", network="n2v", strength=_FIXED),
            Training("N2N", "gaussian", network="n2v", strength=_FIXED),
            Training("N2V", "gaussian", "blind", network="n2v", strength=_FIXED),
            Training("N2V, dense", "gaussian", "blind", network="n2v", masking="n2v_dense", strength=_FIXED),
            Training("N2V2", "gaussian", "blind", network="n2v2", masking="n2v2", strength=_FIXED),
            Training("structN2V", "gaussian", "blind", network="n2v", masking="struct_n2v", strength=_FIXED),
        ),
        (
            Check("N2V − N2N", "N2V", "N2N", -1.5, "at least"),
            Check("N2V, dense − N2N", "N2V, dense", "N2N", -1.5, "at least"),
        ),
        ("bm3d", "careamics_n2v"),
        grey=True,
        steps=_NOISE2VOID_STEPS,
        batch=128,
        crop_px=64,
        rate=4e-4,
    ),
}


def experiment_names() -> tuple[str, ...]:
    """Every experiment, those of noise models that are only registered included."""
    return tuple(dict.fromkeys((*EXPERIMENTS, *NOISES)))


def find_experiment(name: str) -> Experiment:
    """The experiment of that name; of a noise model without one: noisy and clean targets with its own loss.

    Raises:
        InputError: There is neither.
    """
    if name in EXPERIMENTS:
        return EXPERIMENTS[name]
    if name not in NOISES:
        raise InputError(f"there is no experiment {name!r}", f"Choose from {', '.join(experiment_names())}")
    noise = NOISES[name]
    kind = noise.strength
    return Experiment(f"{kind}: {noise.tested:g} in the test", noise.source, _both(name), (_gap(),))
