"""FID's InceptionV3 in PyTorch with its batch norms, written for the tests from the public names and shapes."""

import torch
from torch import nn
from torch.nn import functional as F


class Conv(nn.Module):
    def __init__(self, c_in, c_out, kernel=1, stride=1, padding=0):
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(c_out, eps=0.001)

    def forward(self, x):
        return F.relu(self.bn(self.conv(x)))


def mean_pool(x):
    return F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)


class A(nn.Module):
    def __init__(self, c, pool):
        super().__init__()
        self.branch1x1 = Conv(c, 64)
        self.branch5x5_1, self.branch5x5_2 = Conv(c, 48), Conv(48, 64, 5, padding=2)
        self.branch3x3dbl_1 = Conv(c, 64)
        self.branch3x3dbl_2, self.branch3x3dbl_3 = Conv(64, 96, 3, padding=1), Conv(96, 96, 3, padding=1)
        self.branch_pool = Conv(c, pool)

    def forward(self, x):
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        five = self.branch5x5_2(self.branch5x5_1(x))
        return torch.cat((self.branch1x1(x), five, double, self.branch_pool(mean_pool(x))), 1)


class B(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.branch3x3 = Conv(c, 384, 3, 2)
        self.branch3x3dbl_1, self.branch3x3dbl_2 = Conv(c, 64), Conv(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = Conv(96, 96, 3, 2)

    def forward(self, x):
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat((self.branch3x3(x), double, F.max_pool2d(x, 3, 2)), 1)


class C(nn.Module):
    def __init__(self, c, m):
        super().__init__()
        self.branch1x1 = Conv(c, 192)
        self.branch7x7_1, self.branch7x7_2 = Conv(c, m), Conv(m, m, (1, 7), padding=(0, 3))
        self.branch7x7_3 = Conv(m, 192, (7, 1), padding=(3, 0))
        self.branch7x7dbl_1, self.branch7x7dbl_2 = Conv(c, m), Conv(m, m, (7, 1), padding=(3, 0))
        self.branch7x7dbl_3 = Conv(m, m, (1, 7), padding=(0, 3))
        self.branch7x7dbl_4 = Conv(m, m, (7, 1), padding=(3, 0))
        self.branch7x7dbl_5 = Conv(m, 192, (1, 7), padding=(0, 3))
        self.branch_pool = Conv(c, 192)

    def forward(self, x):
        seven = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        double = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        double = self.branch7x7dbl_5(self.branch7x7dbl_4(double))
        return torch.cat((self.branch1x1(x), seven, double, self.branch_pool(mean_pool(x))), 1)


class D(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.branch3x3_1, self.branch3x3_2 = Conv(c, 192), Conv(192, 320, 3, 2)
        self.branch7x7x3_1, self.branch7x7x3_2 = Conv(c, 192), Conv(192, 192, (1, 7), padding=(0, 3))
        self.branch7x7x3_3, self.branch7x7x3_4 = Conv(192, 192, (7, 1), padding=(3, 0)), Conv(192, 192, 3, 2)

    def forward(self, x):
        seven = self.branch7x7x3_4(self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x))))
        return torch.cat((self.branch3x3_2(self.branch3x3_1(x)), seven, F.max_pool2d(x, 3, 2)), 1)


class E(nn.Module):
    def __init__(self, c, pool):
        super().__init__()
        self.pool = pool
        self.branch1x1 = Conv(c, 320)
        self.branch3x3_1 = Conv(c, 384)
        self.branch3x3_2a = Conv(384, 384, (1, 3), padding=(0, 1))
        self.branch3x3_2b = Conv(384, 384, (3, 1), padding=(1, 0))
        self.branch3x3dbl_1, self.branch3x3dbl_2 = Conv(c, 448), Conv(448, 384, 3, padding=1)
        self.branch3x3dbl_3a = Conv(384, 384, (1, 3), padding=(0, 1))
        self.branch3x3dbl_3b = Conv(384, 384, (3, 1), padding=(1, 0))
        self.branch_pool = Conv(c, 192)

    def forward(self, x):
        three = self.branch3x3_1(x)
        double = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        parts = [self.branch1x1(x), self.branch3x3_2a(three), self.branch3x3_2b(three)]
        parts += [self.branch3x3dbl_3a(double), self.branch3x3dbl_3b(double), self.branch_pool(self.pool(x))]
        return torch.cat(parts, 1)


class Twin(nn.Module):
    """float (N, 3, 299, 299) in [-1, 1] -> (N, 2048)."""

    def __init__(self):
        super().__init__()
        self.Conv2d_1a_3x3 = Conv(3, 32, 3, 2)
        self.Conv2d_2a_3x3 = Conv(32, 32, 3)
        self.Conv2d_2b_3x3 = Conv(32, 64, 3, padding=1)
        self.Conv2d_3b_1x1 = Conv(64, 80)
        self.Conv2d_4a_3x3 = Conv(80, 192, 3)
        self.Mixed_5b, self.Mixed_5c, self.Mixed_5d = A(192, 32), A(256, 64), A(288, 64)
        self.Mixed_6a = B(288)
        self.Mixed_6b, self.Mixed_6c, self.Mixed_6d, self.Mixed_6e = C(768, 128), C(768, 160), C(768, 160), C(768, 192)
        self.Mixed_7a = D(768)
        self.Mixed_7b = E(1280, mean_pool)
        self.Mixed_7c = E(2048, lambda x: F.max_pool2d(x, 3, 1, 1))
        self.fc = nn.Linear(2048, 1008)

    def forward(self, x):
        x = F.max_pool2d(self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x))), 3, 2)
        x = F.max_pool2d(self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x)), 3, 2)
        for name, block in self.named_children():
            x = block(x) if name.startswith("Mixed") else x
        return x.mean((2, 3))


def random_twin(seed: int = 0) -> Twin:
    """In evaluation mode, with weights and statistics that keep the maps' size and centre them nowhere."""
    torch.manual_seed(seed)
    twin = Twin().eval()
    with torch.no_grad():
        for module in twin.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
            elif isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.7, 1.3)
                module.bias.uniform_(-0.2, 0.3)
                module.running_mean.uniform_(-0.2, 0.2)
                module.running_var.uniform_(0.8, 1.5)
    return twin
