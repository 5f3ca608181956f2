"""A model traced in training mode: a warning names each dropout and batch-norm module, its line, and the way out."""

import warnings

import torch

import unmoor

net = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.ReLU(), torch.nn.Dropout(0.2), torch.nn.Linear(8, 1))

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    try:
        unmoor.trace(net, torch.ones(2, 3))
    except unmoor.Unsupported as error:  # random numbers cannot be in a file yet
        print(error)
for warning in caught:
    print(warning.message)
assert any("Dropout" in str(w.message) and ".eval()" in str(w.message) for w in caught)

net.eval()
traced = unmoor.trace(net, torch.ones(2, 3))
torch.testing.assert_close(traced(torch.ones(5, 3)), net(torch.ones(5, 3)).detach())
