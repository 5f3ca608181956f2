"""What a check before a save compared, as data and as a text of one screen."""

from __future__ import annotations

from dataclasses import dataclass, field

SHOWN = 6  # sizes and refusals of a method that the text lists


@dataclass
class MethodReport:
    """The check of one method.

    `against` says what it was held against, `skipped` why nothing was compared, if so. `compared` and `refused` have
    the sizes of the inputs, those refused with the reason; `left` counts inputs that were left out for time. `off` has
    each value's largest difference, in parts of its largest element, and the sizes where that was.
    """

    method: str
    against: str = "eager PyTorch"
    skipped: str = ""
    compared: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    left: int = 0
    seconds: float = 0.0
    off: dict[str, tuple[float, str]] = field(default_factory=dict)

    def add(self, sizes: str, off: dict[str, float]) -> None:
        """One more comparison, in which nothing was wrong."""
        self.compared.append(sizes)
        for name, distance in off.items():
            if name not in self.off or distance > self.off[name][0]:
                self.off[name] = distance, sizes

    @property
    def worst(self) -> float:
        """The largest difference of all values."""
        return max((distance for distance, _ in self.off.values()), default=0.0)

    def __str__(self) -> str:
        if self.skipped:
            return f"not checked: {self.skipped}"
        if not self.compared:
            return "\n".join(["not checked: no input could be compared", *self._details()])
        close = f"within {self.worst:.1g} of the largest element" if self.worst else "in every element"
        text = f"checked on {len(self.compared)} inputs: equal to {self.against} {close} ({self.seconds:.1f} s)"
        lines = [text, *self._details()]
        return "\n".join(lines)

    def _details(self) -> list[str]:
        lines = [f"  sizes     {_some(list(dict.fromkeys(self.compared)))}"]
        close = [
            f"{name} {distance:.1g}" + (f" at {at}" if distance else "") for name, (distance, at) in self.off.items()
        ]
        lines = [*lines, f"  off by    {_some(close)}"] if self.compared else []
        if self.refused:
            lines.append(
                f"  refused   {len(self.refused)}, by the program's checks or by eager PyTorch, which is fine:"
            )
            shown = list(self.refused.items())[:SHOWN]
            lines += [f"            {sizes}: {_short(why)}" for sizes, why in shown]
        if self.left:
            lines.append(f"  left out  {self.left} more inputs, for time")
        return lines


@dataclass(frozen=True)
class Report:
    """The check of a traced object: of each method. `print` shows it."""

    methods: tuple[MethodReport, ...]

    def __str__(self) -> str:
        if len(self.methods) == 1:
            return str(self.methods[0])
        return "\n".join(f"{m.method}: {m}" for m in self.methods)

    __repr__ = __str__


def _some(items: list[str]) -> str:
    more = f"; and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
    return "; ".join(items[:SHOWN]) + more


def _short(text: str) -> str:
    line = text.splitlines()[0] if text else ""
    return line if len(line) <= 100 else f"{line[:97]}..."
