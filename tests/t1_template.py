"""The one real scan that a pip package carries: the T1 template MNI ICBM152 2009a inside nilearn."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest


def t1_template() -> Path:
    """Where it lies; nilearn itself, which takes seconds to import, is left alone. The test is skipped without it."""
    spec = find_spec("nilearn")
    if spec is None or spec.origin is None:
        pytest.skip("nilearn is not installed")
    return Path(spec.origin).parent / "datasets/data/mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz"
