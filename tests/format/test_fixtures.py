"""Files of every format version that was ever written: each is read, run, and given the digest that it had.

A fixture is written once and never again. `python -m tests.format.test_fixtures` writes those of the current version,
where they do not exist yet.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.archive_images import add_kernel, copies, copying, image, telling, with_examples

from unmoor import archive, runtime
from unmoor.dtypes import f32
from unmoor.errors import NotTraced
from unmoor.ir.dim import sym
from unmoor.ir.object_code import ObjectCode
from unmoor.ir.program import Image
from unmoor.ir.target import ALL
from unmoor.ir.types import TensorType

FIXTURES = Path(__file__).parent / "fixtures"
DIGESTS = {
    "v1/clone.unmoor": "sha256:5bc91e3576a7434b248adef87c2803f86e717505424bd421548ef961af26ae84",
    "v1/add.unmoor": "sha256:bf98c429554ecc2827bde0944c1d81746984591870628951657102c3b3524c04",
    "v3/finding.unmoor": "sha256:654897871f1aa54382ed92fff2103aa555673261374f9525cfbb62b6c25a6ade",
    "v4/examples.unmoor": "sha256:35893f8c0cedfb18debac34ea7e11b83cf898893aa0fd2f48151e067f8dc3281",
    "v5/looping.unmoor": "sha256:99e526dbdd695c7c0e5a54d292e8a46e2ef1079e206a9d03503a0c42f026a470",
    "v6/telling.unmoor": "sha256:50ffca9ea8423215e1f86d30cb88d04552d6dc3c3bdca7256cc74f9eb7bbb81b",
}


def current() -> dict[str, Image]:
    """What the fixtures of the current version hold."""
    from unmoor import codegen

    code = tuple(codegen.generate([add_kernel()], target) for target in ALL)
    vector = TensorType(f32, (sym("s0"),))
    return {
        "clone": copies(copying((("x", vector),), (0,))),
        "add": image(code),
        "examples": with_examples(image(code)),
        "telling": copies(telling()),
    }


def version_of(held: Image) -> int:
    """The version of the format in which an image is written."""
    return int.from_bytes(archive.write(held)[12:16], "little")


def without_code(held: Image) -> Image:
    """The image with the machine code's bytes left out: code generation may change, the format may not."""
    code = tuple(ObjectCode(c.target, b"", dict.fromkeys(c.entries, 0)) for c in held.code)
    return replace(held, code=code)


@pytest.mark.parametrize("name", DIGESTS)
def test_the_digest_is_what_it_was(name: str) -> None:
    assert archive.digest(FIXTURES / name) == DIGESTS[name]


@pytest.mark.parametrize("name", ["v1/clone", "v1/add", "v4/examples", "v6/telling"])
def test_files_hold_what_they_held(name: str) -> None:
    read = archive.read(FIXTURES / f"{name}.unmoor")
    assert without_code(read) == without_code(current()[name.partition("/")[2]])


@pytest.mark.parametrize("name", [n for n in DIGESTS if n.endswith("clone.unmoor")])
def test_a_copy_runs(name: str) -> None:
    x = np.arange(7, dtype=np.float32)
    np.testing.assert_array_equal(runtime.open(FIXTURES / name)(x), x)


@pytest.mark.parametrize("name", [n for n in DIGESTS if n.endswith("add.unmoor")])
def test_old_machine_code_runs(name: str) -> None:
    model = runtime.open(FIXTURES / name, trust=DIGESTS[name])
    x = np.arange(12, dtype=np.float32)
    np.testing.assert_array_equal(model(x), x + np.tile(np.array([1, 10, 100], np.float32), 4))


def test_examples_give_what_they_gave() -> None:
    model = runtime.open(FIXTURES / "v4/examples.unmoor", trust=True)
    assert model.verify().startswith("ok: 3 examples give what the file expects (native ")


def test_builtins_run() -> None:
    model = runtime.open(FIXTURES / "v3/finding.unmoor")
    found, again, values = model(np.array([0, 1, 1], np.bool_), np.array([2, 3, 1], np.float32))
    assert found.tolist() == again.tolist() == [1, 2] and values.tolist() == [3, 2, 1]


def test_loops_run() -> None:
    model = runtime.open(FIXTURES / "v5/looping.unmoor")
    x, first = np.array([[1, 2], [3, 4]], np.float32), np.array([5, 6], np.float32)
    moved, last = model(x, first, np.array(True), np.array([0, 1], np.bool_))
    assert moved.tolist() == [[5, 6], [1, 2]] and last.tolist() == [3, 4]


def test_guards_tell_the_number_that_they_met() -> None:
    with pytest.raises(NotTraced, match=r"^model\.py:3 froze 2\.0; here it is 2\.5$"):
        runtime.open(FIXTURES / "v6/telling.unmoor")(np.array(False), np.array(2.5), np.array(0))


if __name__ == "__main__":
    for name, held in current().items():
        path = FIXTURES / f"v{version_of(held)}" / f"{name}.unmoor"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            print(f'    "v{version_of(held)}/{name}.unmoor": "{archive.write_file(held, path)}",')
