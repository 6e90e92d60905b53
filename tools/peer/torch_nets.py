"""AlexNet, VGG-16 and ResNet-18 as torchvision builds them, narrow and with hashed weights: the other side of tests/55-pretrained.c.

torch_nets.py FOLDER writes for each net NAME.safetensors, a state_dict as PyTorch saves it, and NAME-answers.safetensors, some
images (pixels, uint8, (N, H, W, 3)) and what the net says to them (logits, (N, classes)); it prints the logits as C reads them.
Module names and order, kernels, strides and padding are torchvision's, whose package is not needed; its input normalisation as
well. Weights and pixels come from a hash of each tensor's name and the place in it, so that the test has the same without PyTorch.
"""
import json
import math
import struct
import sys

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

CLASSES, IMAGES = 7, 3


def save(path, tensors):
    """The safetensors format: the header's length, the header in JSON, the bytes."""
    kinds = {torch.float32: "F32", torch.int64: "I64", torch.uint8: "U8"}
    header, blobs, at = {"__metadata__": {"format": "pt"}}, [], 0
    for name, t in tensors.items():
        blob = t.detach().contiguous().numpy().tobytes()
        header[name] = {"dtype": kinds[t.dtype], "shape": list(t.shape), "data_offsets": [at, at + len(blob)]}
        blobs.append(blob)
        at += len(blob)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def hashed(name, count):
    """64 bits for each number of a tensor, in its order: splitmix64 from the FNV-1a hash of its name."""
    start = 0xCBF29CE484222325
    for byte in name.encode():
        start = (start ^ byte) * 0x100000001B3 % 2**64
    z = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(start)
    z = (z ^ z >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ z >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return z ^ z >> np.uint64(31)


def fill(name, tensor):
    """Numbers evenly spread over centre - reach to centre + reach; each is rounded once, to float32."""
    centre, reach = 0, 0.5
    if tensor.dim() > 1:
        reach = float(np.float32(math.sqrt(6 / tensor[0].numel())))
    elif name.endswith("weight"):
        centre = 1
    elif name.endswith("running_var"):
        centre, reach = 1.25, 0.75
    even = ((hashed(name, tensor.numel()) >> np.uint64(40)).astype(np.float64) * 2 + 1) / 2**24 - 1
    tensor.copy_(torch.from_numpy((centre + reach * even).astype(np.float32)).view(tensor.shape))


def linear(features, hidden, first):
    """torchvision's two classifiers: dropout before (AlexNet) or behind (VGG) the first two layers."""
    out, last = [], features
    for i in range(2):
        block = [nn.Linear(last, hidden), nn.ReLU()]
        out += [nn.Dropout()] + block if first else block + [nn.Dropout()]
        last = hidden
    return nn.Sequential(*out, nn.Linear(last, CLASSES))


class Plain(nn.Module):
    def __init__(self, features, classifier):
        super().__init__()
        self.features, self.classifier = features, classifier

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


def alexnet(f, hidden, side):
    layers, last = [], 3
    for width, kernel, stride, pad, pool in zip(f, (11, 5, 3, 3, 3), (4, 1, 1, 1, 1), (2, 2, 1, 1, 1), (1, 1, 0, 0, 1)):
        layers += [nn.Conv2d(last, width, kernel, stride, pad), nn.ReLU()]
        layers += [nn.MaxPool2d(3, 2)] if pool else []
        last = width
    return Plain(nn.Sequential(*layers), linear(last * side * side, hidden, True))


def vgg16(f, hidden, side):
    layers, last = [], 3
    for width, convolutions in zip(f, (2, 2, 3, 3, 3)):
        for _ in range(convolutions):
            layers += [nn.Conv2d(last, width, 3, 1, 1), nn.ReLU()]
            last = width
        layers.append(nn.MaxPool2d(2, 2))
    return Plain(nn.Sequential(*layers), linear(last * side * side, hidden, False))


class Block(nn.Module):
    def __init__(self, c, width, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(c, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width)
        self.downsample = None
        if stride > 1:
            self.downsample = nn.Sequential(nn.Conv2d(c, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + (self.downsample(x) if self.downsample else x))


class ResNet18(nn.Module):
    def __init__(self, f):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, f[0], 7, 2, 3, bias=False), nn.BatchNorm2d(f[0])
        last = f[0]
        for i, width in enumerate(f):
            setattr(self, f"layer{i + 1}", nn.Sequential(Block(last, width, 2 if i else 1), Block(width, width, 1)))
            last = width
        self.fc = nn.Linear(last, CLASSES)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        for i in range(4):
            x = getattr(self, f"layer{i + 1}")(x)
        return self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))


def main():
    folder = sys.argv[1]
    torch.set_num_threads(1)
    nets = {
        "alexnet-one": (alexnet((6, 18, 10, 8, 7), 11, 6), 224),
        "vgg16": (vgg16((4, 5, 16, 17, 8), 9, 2), 64),
        "resnet18": (ResNet18((4, 6, 16, 17)), 70),
    }
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    for name, (net, side) in nets.items():
        with torch.no_grad():
            for key, tensor in net.state_dict().items():
                if tensor.dtype == torch.float32:
                    fill(key, tensor)
        pixels = torch.from_numpy((hashed("pixels", IMAGES * side * side * 3) >> np.uint64(56)).astype(np.uint8))
        pixels = pixels.view(IMAGES, side, side, 3)
        with torch.inference_mode():
            x = (pixels.float() / 255 - mean) / deviation
            logits = net.eval()(x.permute(0, 3, 1, 2).contiguous())
        save(f"{folder}/{name}.safetensors", net.state_dict())
        save(f"{folder}/{name}-answers.safetensors", {"pixels": pixels, "logits": logits})
        print(name, *(", ".join(f"{y:.9g}f" for y in row) + "," for row in logits.tolist()), sep="\n  ")
    print("PyTorch", torch.__version__)


main()
