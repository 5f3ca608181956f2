"""mul, add and relu become one kernel; the graph for an input shows signature, groups and kernels."""

import torch

import unmoor


def f(x):
    m1 = torch.eye(5)
    x = x.mul(m1)
    m2 = torch.arange(1.0, 26.0).view(5, 5)
    x = x.add(m2)
    x = torch.relu(x)
    return x.matmul(m1)


traced = unmoor.trace(f, torch.eye(5))
print(traced.graph)
print(traced.graph_for(torch.eye(5)))
print(traced.kernels_for(torch.eye(5)))
print(traced.graph_for(torch.ones(5)))  # another rank: another specialisation

for x in (torch.eye(5), torch.randn(5, 5), torch.randn(5), torch.randn(4, 5, 5)):
    torch.testing.assert_close(traced(x), f(x))
