"""The extension module (bindings/)."""

from collections.abc import Callable
from typing import Any

import numpy as np

class Model:
    def __init__(
        self, source: str | Any, weights: Any, trust: int, digest: str | None, threads: int, huge: bool
    ) -> None: ...
    digest: str
    engine: str
    def methods(self) -> list[tuple[str, str, list[tuple[str, str, str, int, int, bytes]]]]: ...
    def states(self) -> list[tuple[str, np.ndarray]]: ...
    def set_state(self, number: int, value: np.ndarray, /) -> None: ...
    def reset_state(self) -> None: ...
    def verify(self) -> int: ...

class Function:
    def bind(
        self,
        model: Model,
        method: int,
        slow: Callable[[tuple[Any, ...], dict[str, Any], int, str], Any],
        rebuild: Callable[[tuple[Any, ...]], Any],
        flat: bool,
        returns: int,
        outputs_as: int,
        output_count: int,
        changed: bytes,
        /,
    ) -> None: ...
    def run(self, *tensors: Any) -> tuple[int, Any]: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...
