"""Small models that several papers train."""

from jaxtyping import Float
from torch import Tensor, nn

from neural.validation import whole_number

__all__ = ["SmallResNet"]


class SmallResNet(nn.Module):
    """A residual network for images of about 32 x 32: three stages of one block, halving the side twice.

    Source: He, Zhang, Ren and Sun (2016), *Deep Residual Learning*, with one block per stage.
    """

    def __init__(self, channels: int, width: int, outputs: int) -> None:
        super().__init__()
        for name, number in (("channels", channels), ("width", width), ("outputs", outputs)):
            whole_number(name, number, 1)
        self.stem = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()
        )
        self.stages = nn.Sequential(
            _Block(width, width, 1), _Block(width, 2 * width, 2), _Block(2 * width, 4 * width, 2)
        )
        self.head = nn.Linear(4 * width, outputs)

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch outputs"]:
        return self.head(self.stages(self.stem(x)).mean(dim=(2, 3)))


class _Block(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return (self.residual(x) + self.shortcut(x)).relu()
