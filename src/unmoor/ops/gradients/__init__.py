"""How gradients flow back through ops: a rule by the name of each op that has one.

A rule is `rule(aten, g, y, *args)`: what came back to the result `y` (for an op with several results, tuples, with None
for what nothing came back to), and the arguments as the schema has them. It gives a function per argument that a
gradient may flow to, which emits that gradient, and None for others; for a list of tensors, a tuple of those. A
gradient of an elementwise operand may have the result's sizes: who asks brings it to the operand's.

Core ops need rules. A composite has one where the way through its parts would differ from PyTorch's gradient, or cost
more; without one, gradients flow through its parts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from unmoor.ops.gradients.contractions import CONTRACTIONS
from unmoor.ops.gradients.elementwise import ELEMENTWISE
from unmoor.ops.gradients.moving import MOVING
from unmoor.ops.gradients.reductions import REDUCTIONS

Rule = Callable[..., tuple[Any, ...]]
RULES: dict[str, Rule] = {**ELEMENTWISE, **REDUCTIONS, **MOVING, **CONTRACTIONS}
