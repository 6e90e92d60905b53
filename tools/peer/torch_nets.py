"""AlexNet, VGG-16 and ResNet-18 as torchvision builds them, narrow and with random weights: the other side of a test.

torch_nets.py FOLDER writes for each net NAME.safetensors, a state_dict as PyTorch saves it, and NAME-answers.safetensors, some
images (pixels, uint8, (N, H, W, 3)) and what the net says to them (logits, (N, classes)). Module names and order, kernels,
strides and padding are torchvision's, whose package is not needed; its input normalisation as well.
"""
import json
import struct
import sys

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
    torch.manual_seed(18)
    torch.set_num_threads(1)
    nets = {
        "alexnet-one": (alexnet((6, 18, 10, 8, 7), 11, 6), 224),
        "vgg16": (vgg16((4, 5, 16, 17, 8), 9, 2), 64),
        "resnet18": (ResNet18((4, 6, 16, 17)), 70),
    }
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    for name, (net, side) in nets.items():
        for key, p in net.named_parameters():
            if p.dim() > 1:
                nn.init.kaiming_normal_(p)
            else:
                nn.init.uniform_(p, 0.5, 1.5) if key.endswith("weight") else nn.init.normal_(p, 0, 0.3)
        for key, b in net.named_buffers():
            if b.dtype == torch.float32:
                nn.init.normal_(b, 0, 0.3) if key.endswith("mean") else nn.init.uniform_(b, 0.5, 2)
        pixels = torch.randint(0, 256, (IMAGES, side, side, 3), dtype=torch.uint8)
        with torch.inference_mode():
            x = (pixels.float() / 255 - mean) / deviation
            logits = net.eval()(x.permute(0, 3, 1, 2).contiguous())
        save(f"{folder}/{name}.safetensors", net.state_dict())
        save(f"{folder}/{name}-answers.safetensors", {"pixels": pixels, "logits": logits})
    print("PyTorch", torch.__version__)


main()
