"""The attributes of TorchScript objects during a trace: what a call writes stays here, and the objects as they were."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch

from unmoor.capture.contents import Contents
from unmoor.capture.modules import Rebound
from unmoor.capture.recorder import concrete
from unmoor.capture.script.graphs import Library, Receiver
from unmoor.capture.torch_private import is_script_object

Key = tuple[Receiver, str]


class Made:
    """An object of a TorchScript class that the call made."""

    def __init__(self, type_name: str) -> None:
        self.type_name = type_name
        self.attributes: dict[str, Any] = {}


class Heap:
    """What attributes hold now, and what they held when they were first read."""

    def __init__(self, library: Library, know: Callable[[torch.Tensor, str], None]) -> None:
        self.library, self.know = library, know
        self._now: dict[Key, Any] = {}
        self._before: dict[Key, Any] = {}

    def read(self, owner: Any, name: str) -> Any:
        if isinstance(owner, Made):
            return owner.attributes[name]
        key = (owner, name)
        if key not in self._now:
            self._load(key)
        return self._now[key]

    def write(self, owner: Any, name: str, value: Any) -> None:
        if isinstance(owner, Made):
            owner.attributes[name] = value
            return
        self.read(owner, name)
        self._now[owner, name] = value

    def _load(self, key: Key) -> None:
        owner, name = key
        value = owner.handle.getattr(name)
        path = f"{owner.path}.{name}" if owner.path else name
        if is_script_object(value):
            value = self.library.receiver(value, path)
        for tensor in _tensors(value):
            self.know(tensor, path)
        self._now[key], self._before[key] = value, _copied(value)

    # -- afterwards ---------------------------------------------------------------------------
    def _changed(self) -> Iterator[tuple[Key, Any, Any]]:
        for key, before in self._before.items():
            if not _same(before, self._now[key]):
                yield key, before, self._now[key]

    def rebound(self) -> Iterator[Rebound]:
        """The attributes that held a tensor before the call, and hold another now."""
        for (owner, name), before, now in self._changed():
            if isinstance(before, torch.Tensor) and isinstance(now, torch.Tensor):
                yield Rebound(_path(owner, name), before, now, True)

    def left(self) -> dict[str, tuple[Any, str, Any]]:
        """All that the call changed, by its path: (where, name, value it left)."""
        return {_path(owner, name): (Attributes(owner), name, _plain(now)) for (owner, name), _, now in self._changed()}

    def restore(self) -> None:
        """Put back what a call outside of the trace may have changed."""
        for (owner, name), before, _ in list(self._changed()):
            owner.handle.setattr(name, before)

    def form(self, contents: Contents) -> object:
        """What is not as it was."""
        return tuple((contents.form(owner), name, contents.form(now)) for (owner, name), _, now in self._changed())


class Attributes:
    """An object's attributes as a mapping to write to."""

    def __init__(self, owner: Receiver) -> None:
        self.owner = owner

    def __setitem__(self, name: str, value: Any) -> None:
        self.owner.handle.setattr(name, value)


def _path(owner: Receiver, name: str) -> str:
    return f"{owner.path}.{name}" if owner.path else name


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, (list, tuple, dict)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _tensors(item)


def _copied(value: Any) -> Any:
    """A value whose lists and dicts are its own."""
    if isinstance(value, dict):
        return {k: _copied(v) for k, v in value.items()}
    return [_copied(v) for v in value] if isinstance(value, list) else value


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, list) else concrete(value)


def _same(before: Any, now: Any) -> bool:
    if isinstance(before, torch.Tensor) or isinstance(now, torch.Tensor) or type(before) is not type(now):
        return before is now
    if isinstance(before, (list, tuple)):
        return len(before) == len(now) and all(map(_same, before, now))
    if isinstance(before, dict):
        return list(before) == list(now) and all(_same(v, now[k]) for k, v in before.items())
    return bool(before is now or before == now)
