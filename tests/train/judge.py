"""A discriminator as a pass of the training has it."""

from mindspore import nn


class Judge(nn.Cell):
    """A discriminator after one power iteration from its own u: (logits, CAM logits)."""

    def __init__(self, discriminator):
        super().__init__()
        self.discriminator = discriminator

    def construct(self, x):
        vectors = self.discriminator.iterate(self.discriminator.left_vectors())
        return self.discriminator(x, vectors)
