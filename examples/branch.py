"""An `if` on the values of a tensor: the traced side works, the other is an error that names the line."""

import torch

import unmoor


def on_tensor(x):
    if x.sum() > 0:
        return x + 1
    return x - 1


def on_item(x):
    if x.sum().item() > 0:
        return x + 1
    return x - 1


def on_float(x):
    if float(x.sum()) > 0:
        return x + 1
    return x - 1


for function in (on_tensor, on_item, on_float):
    traced = unmoor.trace(function, torch.tensor([2.0, 2.0]))
    for x in (torch.tensor([0.5, 0.25]), torch.tensor([100.0, -1.0]), torch.ones(3, 3)):
        torch.testing.assert_close(traced(x), function(x))
    try:
        traced(torch.tensor([-1.0, -2.0]))
    except unmoor.NotTraced as error:
        print(error)
    else:
        raise AssertionError("the branch that was not traced was answered")
