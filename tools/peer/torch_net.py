"""The nets of experiments/nets in PyTorch: read from the same text, for the peers."""
import torch
import torch.nn as nn
import torch.nn.functional as F


def words(line):
    """'conv conv1a filters 64 kernel 5' -> kind, name, {'filters': '64', ...}"""
    w = line.split("#")[0].split()
    return (w[0], w[1], dict(zip(w[2::2], w[3::2]))) if len(w) > 1 else None


def padding(word, k):
    return {"same": (k - 1) // 2, "valid": 0}.get(word) if word in ("same", "valid") else int(word)


class Net(nn.Module):
    """Layers in the file's order; each reads the previous output, or that of the layer named by `from`."""

    def __init__(self, text):
        super().__init__()
        self.steps, self.shape = [], {}
        last = None
        for line in text:
            got = words(line)
            if not got or got[0] in ("name", "title", "param"):
                continue
            kind, name, opt = got
            if kind == "input":
                w = line.split()
                self.size = (int(w[3]), int(w[1]), int(w[2]))
                self.shape["input"] = self.size
                last = "input"
                continue
            if kind == "softmax":
                break
            source = opt.get("from", last)
            self.shape[name] = self.add(kind, name, opt, self.shape[source])
            self.steps.append((kind, name, source, opt))
            last = name

    def add(self, kind, name, opt, shape):
        c, h, w = shape
        if kind == "conv":
            k, s = int(opt["kernel"]), int(opt.get("stride", 1))
            pad = padding(opt.get("pad", "same"), k)
            conv = nn.Conv2d(c, int(opt["filters"]), k, s, pad, groups=int(opt.get("groups", 1)), bias=opt.get("bias") != "no")
            setattr(self, name, conv)
            return int(opt["filters"]), (h + 2 * pad - k) // s + 1, (w + 2 * pad - k) // s + 1
        if kind == "bn":
            setattr(self, name, nn.BatchNorm2d(c))
        if kind == "avgpool" and opt["size"] == "global":
            return c, 1, 1
        if kind in ("maxpool", "avgpool"):
            k, s = int(opt["size"]), int(opt["stride"])
            pad = padding(opt.get("pad", "valid"), k)
            return c, (h + 2 * pad - k) // s + 1, (w + 2 * pad - k) // s + 1
        if kind == "fc":
            units = 5 if opt["units"] == "classes" else int(opt["units"])
            setattr(self, name, nn.Linear(c * h * w, units))
            return units, 1, 1
        return shape

    def forward(self, x):
        out = {"input": x}
        for kind, name, source, opt in self.steps:
            y = out[source]
            if kind in ("conv", "bn"):
                y = getattr(self, name)(y)
            elif kind == "relu":
                y = F.relu(y)
            elif kind == "add":
                y = y + out[opt["with"]]
            elif kind == "avgpool" and opt["size"] == "global":
                y = F.adaptive_avg_pool2d(y, 1)
            elif kind in ("maxpool", "avgpool"):
                k, pad = int(opt["size"]), padding(opt.get("pad", "valid"), int(opt["size"]))
                y = (F.max_pool2d if kind == "maxpool" else F.avg_pool2d)(y, k, int(opt["stride"]), pad)
            elif kind == "lrn":
                n = int(opt["size"])               # PyTorch divides alpha by the window
                y = F.local_response_norm(y, n, n * float(opt["alpha"]), float(opt["beta"]), float(opt["k"]))
            elif kind == "tanh":
                y = float(opt.get("amplitude", 1)) * torch.tanh(float(opt.get("slope", 1)) * y)
            elif kind == "scale":
                y = float(opt["by"]) * y
            elif kind == "fc":
                y = getattr(self, name)(y.flatten(1))
            elif kind == "dropout":
                y = F.dropout(y, float(opt["p"]), self.training)
            out[name] = y
        return y
