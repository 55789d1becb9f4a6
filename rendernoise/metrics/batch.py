"""One image or a batch of them: metrics are written for one."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec

import numpy as np

from rendernoise.errors import ImageError

P = ParamSpec("P")


def batched(metric: Callable[P, float]) -> Callable[P, Any]:
    """Let a metric of one image take batches too.

    Images are scored one by one, so a batch gives the very values that its images give alone.

    Args:
        metric: Takes planes ``[3, H, W]`` (None where a plane is unknown) and returns a float.

    Returns:
        A function that returns a float for planes ``[3, H, W]`` and float64 ``[N]`` for planes ``[N, 3, H, W]``. It
        raises ``ImageError`` when the planes differ in size: NumPy would stretch the smaller one in silence.
    """

    @wraps(metric)
    def score(*args: P.args, **kwargs: P.kwargs) -> Any:
        shapes = [v.shape for v in (*args, *kwargs.values()) if isinstance(v, np.ndarray)]
        for shape in shapes:
            if shape != shapes[0]:
                raise ImageError(f"images of {shapes[0]} and {shape} cannot be compared", "Give both one size")
        if len(shapes[0]) == 3:
            return metric(*args, **kwargs)

        def item(value: Any, n: int) -> Any:
            return value[n] if isinstance(value, np.ndarray) else value

        values = [
            metric(*(item(v, n) for v in args), **{k: item(v, n) for k, v in kwargs.items()})  # pyright: ignore[reportCallIssue]
            for n in range(shapes[0][0])
        ]
        return np.array(values, np.float64)

    return score
