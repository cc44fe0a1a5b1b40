"""Trains the networks with PyTorch, each in floats and quantisation-aware, and writes their weights.

    python train.py FOLDER [NAME…]

writes NAME.npz and NAME_qat.npz, of which graphs.py makes TensorFlow's graphs. All seeds are fixed. The graphs are kept beside this
file: nothing but a new set of them needs this, or PyTorch.
"""

import os
import pathlib
import sys

import numpy as np
import torch
from torch.nn import functional

import dataset
import networks

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
BATCH = 256
EPOCHS, AWARE_EPOCHS = 16, 2
DECAY = 0.99


def straight(x, rounded):
    """The rounded number, with the gradient of the one that it was made of."""
    return x + (rounded - x).detach()


def fake_quant(x, low, high):
    """TensorFlow's FakeQuantWithMinMaxVars: 256 numbers, of which one is zero."""
    scale = (high - low) / 255
    zero = torch.clamp(torch.round(-low / scale), 0, 255)
    bounded = torch.minimum(torch.maximum(x, (0 - zero) * scale), (255 - zero) * scale)
    return straight(bounded, torch.round(bounded / scale) * scale)


def symmetric(x, peak):
    """255 numbers on both sides of zero."""
    scale = torch.clamp(peak, min=1e-8) / 127
    bounded = torch.minimum(torch.maximum(x, -peak), peak)
    return straight(bounded, torch.round(bounded / scale) * scale)


class Network:
    def __init__(self, describe, quantise=None):
        self.describe, self.quantise = describe, quantise
        self.weights, self.state = {}, {}
        self.training = True
        self.random = torch.Generator().manual_seed(1)

    def __call__(self, images):
        return self.describe(self, images)

    relu = staticmethod(functional.relu)
    relu6 = staticmethod(functional.relu6)

    @staticmethod
    def channels(x):
        return x.shape[1]

    @staticmethod
    def mean(x):
        return x.mean([2, 3])

    @staticmethod
    def pool(x):
        return functional.max_pool2d(x, 2)

    @staticmethod
    def flatten(x):
        return x.permute(0, 2, 3, 1).flatten(1)  # in TensorFlow's order

    def weight(self, name, shape, terms=None):
        if name not in self.weights:
            if terms is None:
                value = torch.full(shape, 1.0 if name.endswith("gamma") else 0.0)
            else:
                value = torch.randn(shape, generator=self.random) * (2 / terms) ** 0.5
            self.weights[name] = value.to(DEVICE).requires_grad_()
        return self.weights[name]

    def statistic(self, name, initial):
        if name not in self.state:
            self.state[name] = initial.to(DEVICE)
        return self.state[name]

    def value(self, name, x):
        if self.quantise is None:
            return x
        low = self.statistic(f"{name}/min", torch.zeros(()))
        high = self.statistic(f"{name}/max", torch.zeros(()))
        if self.training:
            with torch.no_grad():
                ends = torch.clamp(x.min(), max=0), torch.clamp(x.max(), min=0)
                if self.quantise == "by hand":
                    peak = torch.maximum(-ends[0], ends[1])
                    ends = -peak, peak
                first = (high == low).float()
                for known, now in zip((low, high), ends):
                    known.copy_(first * now + (1 - first) * (DECAY * known + (1 - DECAY) * now))
        return symmetric(x, high) if self.quantise == "by hand" else fake_quant(x, low, high)

    def quantised(self, kernel, axis):
        if self.quantise == "per channel" and axis is not None:
            axes = [a for a in range(kernel.dim()) if a != axis]
            return symmetric(kernel, kernel.detach().abs().amax(axes, keepdim=True))
        if self.quantise == "per tensor":
            return symmetric(kernel, kernel.detach().abs().max())
        return kernel

    def conv(self, name, x, channels, size=3, stride=1, activation=None, depthwise=False, norm=True):
        inputs = x.shape[1]
        made = inputs if depthwise else channels
        of = 1 if depthwise else inputs
        kernel = self.weight(f"{name}/kernel", [made, of, size, size], size * size * of)
        fold = norm and self.quantise == "per tensor"
        if norm:
            gamma = self.weight(f"{name}/gamma", [made])
            beta = self.weight(f"{name}/beta", [made])
            mean = self.statistic(f"{name}/mean", torch.zeros(made))
            variance = self.statistic(f"{name}/variance", torch.ones(made))
        if fold:
            scale = gamma * torch.rsqrt(variance + networks.EPSILON)
            kernel = kernel * scale.reshape(-1, 1, 1, 1)
        # TensorFlow has no quantised depthwise kernels by channel: their channels are not last.
        kernel = self.quantised(kernel, None if depthwise else 0)
        # "SAME": what is odd of the padding comes after.
        total = max((-(-x.shape[2] // stride) - 1) * stride + size - x.shape[2], 0)
        pad = (total // 2, total - total // 2)
        y = functional.conv2d(
            functional.pad(x, pad + pad), kernel, stride=stride, groups=inputs if depthwise else 1
        )
        if fold:
            y = y + (beta - mean * scale).reshape(-1, 1, 1)
        elif norm:
            fixed = self.quantise is not None or not self.training
            y = functional.batch_norm(
                y, mean, variance, gamma, beta, not fixed, 1 - DECAY, networks.EPSILON
            )
        else:
            y = y + self.weight(f"{name}/bias", [made]).reshape(-1, 1, 1)
        return activation(y) if activation else y

    def dense(self, name, x, channels, activation=None):
        kernel = self.weight(f"{name}/kernel", [x.shape[1], channels], x.shape[1])
        y = x @ self.quantised(kernel, 1) + self.weight(f"{name}/bias", [channels])
        return activation(y) if activation else y


def train(net, images, labels, epochs, rate, seed):
    net(images[:2])
    weights = list(net.weights.values())
    decayed = [w for w in weights if w.dim() > 1]
    others = [w for w in weights if w.dim() <= 1]
    groups = [{"params": decayed, "weight_decay": 2e-2}, {"params": others, "weight_decay": 0}]
    optimiser = torch.optim.AdamW(groups, lr=rate)
    steps = len(images) // BATCH * epochs
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    draw = torch.Generator(device=DEVICE).manual_seed(seed)
    for epoch in range(epochs):
        order = torch.randperm(len(images), generator=draw, device=DEVICE)
        for start in range(0, len(order) - BATCH + 1, BATCH):
            chosen = order[start : start + BATCH]
            batch = images[chosen]
            mirrored = torch.rand(BATCH, generator=draw, device=DEVICE) < 0.5
            batch = torch.where(mirrored[:, None, None, None], batch.flip(3), batch)
            loss = functional.cross_entropy(net(batch), labels[chosen])
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            schedule.step()
        print(f"  epoch {epoch + 1}: loss {loss.item():.4f}", flush=True)


@torch.no_grad()
def top_1(net, images, labels):
    net.training = False
    right = sum(
        (net(images[i : i + 1000]).argmax(1) == labels[i : i + 1000]).sum().item()
        for i in range(0, len(images), 1000)
    )
    net.training = True
    return 100 * right / len(images)


def save(net, path):
    """Kernels in TensorFlow's order: [height, width, input channels, output channels]."""
    arrays = {}
    for name, value in {**net.weights, **net.state}.items():
        value = value.detach().cpu()
        if value.dim() == 4:
            value = value.permute(2, 3, 0, 1) if "depthwise" in name else value.permute(2, 3, 1, 0)
        arrays[name] = value.numpy()
    np.savez(path, **arrays)


def main(folder, names):
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False

    def tensors(part):
        images, labels = dataset.load(part)
        return torch.tensor(images).permute(0, 3, 1, 2).to(DEVICE), torch.tensor(labels).to(DEVICE)

    images, labels = tensors("train")
    tests = tensors("t10k")
    os.makedirs(folder, exist_ok=True)
    for name in names:
        net = Network(networks.NETWORKS[name])
        train(net, images, labels, EPOCHS, 4e-3, seed=1)
        print(f"{name}: {top_1(net, *tests):.2f} %", flush=True)
        save(net, pathlib.Path(folder) / f"{name}.npz")
        aware = Network(networks.NETWORKS[name], networks.QUANTISED[name])
        aware.weights, aware.state = net.weights, net.state
        train(aware, images, labels, AWARE_EPOCHS, 2e-4, seed=2)
        print(f"{name}_qat: {top_1(aware, *tests):.2f} %", flush=True)
        save(aware, pathlib.Path(folder) / f"{name}_qat.npz")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:] or list(networks.NETWORKS))
