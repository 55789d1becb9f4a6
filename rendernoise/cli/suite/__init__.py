"""``rendernoise suite``: one thin file per command, as in ``rendernoise.cli``."""

from __future__ import annotations

#: Command to what it does; ``rendernoise.cli.suite.NAME`` has ``CONFIG`` and ``run(config, report) -> exit code``.
COMMANDS = {
    "list": "show the noise models and what is known of each",
    "train": "train a denoiser on images that are given noise",
    "eval": "measure a denoiser on test images: results.json and a manifest of the noise",
    "denoise": "denoise PNG, JPEG, TIFF and EXR images with trained weights",
    "reproduce": "run the papers' experiments in a budget of time: a table beside theirs, and a page",
}
ABOUT = "rendernoise suite: the experiments of Noise2Noise and Noise2Void on images"
START = "Start with: rendernoise suite train gaussian --data FOLDER --out DIR"
