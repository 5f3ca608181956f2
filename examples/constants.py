"""Constants fold: of seven numbers and an unused value, one constant 20 and one add remain."""

import torch

import unmoor


def numbers(x):
    a = 7
    b = 11
    c = 2
    d = a + b + c
    e = a + b + c + 25  # noqa: F841 - unused on purpose
    return x + d


def tensors(x):
    a = torch.tensor(7.0)
    b = torch.tensor(11.0)
    c = torch.tensor(2.0)
    d = a + b + c
    e = a + b + c + 25  # noqa: F841 - unused on purpose
    return x + d


for function in (numbers, tensors):
    traced = unmoor.trace(function, torch.zeros(1))
    print(f"{function.__name__}, as recorded:\n{traced.recorded}")
    print(f"{function.__name__}, after the first passes:\n{traced.graph}")
    text = str(traced.graph)
    assert text.count("aten::") == 1, "one add is left"
    assert "20" in text, "7 + 11 + 2 is one constant"
    torch.testing.assert_close(traced(torch.ones(4)), torch.full((4,), 21.0))
