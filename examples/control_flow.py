"""Control flow on data: one example keeps both sides of each torch.cond, and any number of turns of each loop.

python examples/control_flow.py
"""

import torch
from torch._higher_order_ops import scan

import unmoor


class Solver(torch.nn.Module):
    """Reads a sequence with a recurrent cell, then follows a field from there until it moves no more."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = torch.nn.Linear(8, 4)
        self.field = torch.nn.Linear(4, 4)

    def forward(self, sequence: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        def read(h: torch.Tensor, row: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            h = torch.tanh(self.cell(torch.cat([h, row])))
            return h, h.norm()

        def moves(steps: torch.Tensor, h: torch.Tensor, moved: torch.Tensor) -> torch.Tensor:
            return (moved > 1e-3) & (steps < 100)

        def step(steps: torch.Tensor, h: torch.Tensor, moved: torch.Tensor) -> tuple[torch.Tensor, ...]:
            def short(h: torch.Tensor) -> torch.Tensor:
                return h + 0.3 * (torch.tanh(self.field(h)) - h)

            def long(h: torch.Tensor) -> torch.Tensor:
                return h / h.norm()

            after = torch.cond(h.norm() > 3, long, short, (h,))
            return steps + 1, after, (after - h).norm()

        h, norms = scan(read, torch.zeros(4), sequence)
        steps, h, _ = torch.while_loop(moves, step, (torch.tensor(0), h * norms.max() * 4, torch.tensor(1.0)))
        return steps, h


torch.manual_seed(0)
solver = Solver().eval()
with torch.no_grad():
    traced = unmoor.trace(solver, torch.randn(6, 4))
    print(traced.graph)
    digest = unmoor.save(traced, "solver.unmoor")
    model = unmoor.load("solver.unmoor", trust=digest)
    for length in (6, 1, 20):
        sequence = torch.randn(length, 4)
        steps, h = model(sequence)
        want_steps, want_h = solver(sequence)
        assert steps == want_steps
        torch.testing.assert_close(h, want_h, rtol=1e-3, atol=1e-4)
        print(f"{length} rows, {int(steps)} steps: {h.tolist()}")
