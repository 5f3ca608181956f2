"""Small sizes for the symbols of a signature under which its relations hold."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from unmoor.ir.signature import Signature

SIZES = (2, 3, 1, 5)  # tried in every combination
LARGEST = 256  # of the sizes that relations name, and that are tried, too


def fitting(signature: Signature) -> Iterator[dict[str, int]]:
    """Sizes by symbol, the likelier ones first."""
    symbols = sorted({s for i in signature.inputs for d in i.type.shape for s in d.symbols})
    bounds = [d.value for r in signature.relations for d in (r.left, r.right) if d.is_const]
    tried = tuple(dict.fromkeys((*SIZES, *(n for n in bounds if 0 <= n <= LARGEST))))
    for choice in itertools.islice(itertools.product(tried, repeat=len(symbols)), 4096):
        sizes = dict(zip(symbols, choice, strict=True))
        try:
            known = [r for r in signature.relations if (r.left - r.right).symbols <= sizes.keys()]
            if all(r.holds(sizes) for r in known):  # others bound what calls find
                yield sizes
        except ZeroDivisionError:
            continue
