"""A training step with Adam as a file: it trains, call after call, where there is no PyTorch.

What the step changes, the parameters and what Adam keeps, is state of the loaded model: it is read, set and reset by
name, from C as well (um_session_get_state).
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import unmoor

torch.manual_seed(0)
net = nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, 2))
optimiser = torch.optim.Adam(net.parameters(), lr=0.02)


def step(x, y):
    optimiser.zero_grad()
    loss = F.cross_entropy(net(x), y)
    loss.backward()
    optimiser.step()
    return loss.detach()


def batch(seed, rows=32):
    x = np.random.default_rng(seed).standard_normal((rows, 3)).astype(np.float32)
    return x, (x.sum(1) > 0).astype(np.int64)


traced = unmoor.trace(step, *map(torch.from_numpy, batch(0)))  # leaves net and optimiser as they are
unmoor.save(traced, "train_step.unmoor")

model = unmoor.load("train_step.unmoor", trust=True)  # needs neither torch nor llvmlite
losses = [float(model(*batch(seed, rows=32 + seed % 3))) for seed in range(60)]
print(f"loss {losses[0]:.3f} -> {losses[-1]:.3f}")

eager = [float(step(*map(torch.from_numpy, batch(seed, rows=32 + seed % 3)))) for seed in range(60)]
print("as eager PyTorch, call after call:", np.allclose(losses, eager, rtol=1e-3, atol=1e-4))
assert losses[-1] < losses[0] / 2 and np.allclose(losses, eager, rtol=1e-3, atol=1e-4)

weights = {name: value for name, value in model.state().items() if name.startswith("net.")}
net.load_state_dict({name.removeprefix("net."): torch.from_numpy(value) for name, value in weights.items()})
print("trained weights back in PyTorch:", *weights)
