"""A detector: boxes over a threshold, the best of them, and none that overlaps a better one. How many come out is data.

python examples/detector.py
"""

import torch

import unmoor


def overlap(boxes: torch.Tensor) -> torch.Tensor:
    """Intersection over union of each box with each."""
    low = torch.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = torch.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    shared = (high - low).clamp(min=0).prod(-1)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(-1)
    return shared / (area[:, None] + area[None, :] - shared)


class Detector(torch.nn.Module):
    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.head = torch.nn.Conv2d(3, 4 + classes, 8, stride=8)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        found = self.head(image[None]).flatten(2)[0].T  # a row for each place of the image
        corner, size = found[:, :2], found[:, 2:4].exp()
        scores, labels = found[:, 4:].sigmoid().max(-1)
        keep = scores > 0.6
        boxes, scores, labels = torch.cat([corner, corner + size], 1)[keep], scores[keep], labels[keep]
        scores, order = scores.sort(descending=True)
        scores, boxes, labels = scores[:50], boxes[order[:50]], labels[order[:50]]
        better = torch.ones_like(overlap(boxes)).tril(-1).bool()
        alone = ~((overlap(boxes) > 0.5) & better).any(1)
        return boxes[alone], scores[alone], labels[alone]


torch.manual_seed(0)
detector = Detector().eval()
with torch.no_grad():
    traced = unmoor.trace(detector, torch.randn(3, 64, 64))
    digest = unmoor.save(traced, "detector.unmoor")
    model = unmoor.load("detector.unmoor", trust=digest)
    print(model)
    for height, width in ((64, 64), (128, 256), (8, 8), (16, 24)):
        image = torch.randn(3, height, width)
        boxes, scores, labels = model(image)
        for ours, eager in zip((boxes, scores, labels), detector(image), strict=True):
            torch.testing.assert_close(ours, eager, rtol=1e-4, atol=1e-5)
        print(f"{height} x {width}: {len(boxes)} boxes of {height * width // 64} places, as eager PyTorch")
