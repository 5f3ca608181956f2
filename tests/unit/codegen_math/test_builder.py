"""The builder's text is what LLVM reads, for one lane and for many."""

from __future__ import annotations

import struct

import llvmlite.binding as llvm
import pytest

from unmoor.codegen.builder import Builder, Module, Val, const, const_lanes, element, lanes_of, vec
from unmoor.dtypes import bool_


def double_of(bits: str) -> float:
    (value,) = struct.unpack(">d", bytes.fromhex(bits.removeprefix("0x")))
    return float(value)


def test_float_constants_are_exact():
    assert double_of(const("double", 0.1).text) == 0.1
    assert double_of(const("float", 0.1).text) == struct.unpack("f", struct.pack("f", 0.1))[0]
    assert double_of(const("double", float("-inf")).text) == float("-inf")
    assert const("float", -0.0).text == "0x8000000000000000"


def test_integer_constants_wrap():
    assert const("i32", 2**31).text == "-2147483648"
    assert const("i8", -1).text == "-1"
    assert const("<4 x i1>", True) == Val("splat (i1 true)", "<4 x i1>")


@pytest.mark.parametrize("lanes", [1, 3, 8])
def test_types_are_taken_apart_again(lanes):
    assert (element(vec("double", lanes)), lanes_of(vec("double", lanes))) == ("double", lanes)


def test_operands_of_two_types_are_refused():
    b = Builder(Module(), "k", [("i64", "n"), ("double", "x")])
    with pytest.raises(TypeError, match="operands of i64 and double in @k"):
        b.add(*b.params)


@pytest.mark.parametrize("lanes", [1, 4, 16])
def test_a_function_of_every_kind_of_instruction_is_valid(lanes):
    module = Module()
    type_ = vec("float", lanes)
    b = Builder(module, "k", [("ptr noalias", "p"), ("i64", "n"), ("ptr", "flags")])
    p, n, flags = b.params
    loop, end, entry = b.new_label("loop"), b.new_label("end"), b.label
    b.cond_br(b.icmp("sgt", n, 0), loop, end, likely=True)
    b.start(loop)
    i = b.phi("i64", (const("i64", 0), entry))
    x = b.load(b.offset(p, "float", i), type_)

    wanted = b.load_elements(flags, bool_, lanes)
    y = b.select(wanted, b.fma(x, 2.0, x), b.neg(b.add(b.mul(x, x), 1.0)))
    y = b.insert(y, b.extract(y, 0), 0)
    y = b.as_float(b.xor(b.as_int(y), 1))
    if lanes > 1:
        mask = b.icmp("slt", const_lanes("i64", range(lanes)), b.broadcast(n, lanes))
        y = b.add(y, b.shuffle(y, None, list(reversed(range(lanes)))))
        b.masked_store(b.masked_load(p, type_, mask), p, mask)
    b.store(y, p)
    b.store_elements(b.not_(wanted), flags, bool_)
    following = b.add(i, lanes)
    b.add_incoming(i, following, b.label)
    b.cond_br(b.icmp("slt", following, n), loop, end)
    b.start(end)
    b.ret()
    b.finish()
    llvm.parse_assembly(module.text()).verify()


def test_only_sums_and_products_outside_exact_may_be_fused():
    b = Builder(Module(), "k", [("double", "x")])
    (x,) = b.params
    b.add(x, 1.0)
    with b.exact():
        b.add(x, 2.0)
    b.ret()
    b.finish()
    free, exact = [line for line in b.module.text().splitlines() if "fadd" in line]
    assert "fadd contract double" in free and "fadd double" in exact


def test_independent_parts_are_written_in_turn_unless_one_opens_a_block():
    b = Builder(Module(), "k", [("float", "x"), ("float", "y")])
    x, y = b.params

    def doubled_twice(v: Val) -> Val:
        return b.add(b.add(v, v), 1.0)

    made = b.interleaved([lambda: doubled_twice(x), lambda: doubled_twice(y)])
    assert [v.text for v in made] == ["%t2", "%t4"]
    assert [line.split()[0] for line in b._lines[2:]] == ["%t1", "%t3", "%t2", "%t4"]

    def behind_a_block(v: Val) -> Val:
        after = b.new_label()
        b.br(after)
        b.start(after)
        return b.add(v, v)

    written = len(b._lines)
    b.interleaved([lambda: behind_a_block(x), lambda: doubled_twice(y)])
    assert [line.split()[0] for line in b._lines[written:]] == ["br", "block.5:", "%t6", "%t7", "%t8"]
