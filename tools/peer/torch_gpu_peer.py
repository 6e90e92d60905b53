"""The same nets in PyTorch on a GPU, as a peer for `wbcsnet bench --device cuda --peer`.

torch_gpu_peer.py LAYOUT LAUNCH PRECISION BATCH speaks like torch_peer.py: a .net file on stdin up to "end", then "train N" and
"infer N", each answered with the seconds of N steps, the device waited for at the end alone. Everything PyTorch has for speed
is used: cuDNN's search for algorithms, the fused SGD, data that stays on the device, and, by the arguments,
  LAYOUT     nchw or nhwc (channels_last)
  LAUNCH     eager; graph: the whole step replayed from one CUDA graph; compile: torch.compile; compile+graph: both
  PRECISION  fp32: TF32 off everywhere; tf32: on everywhere; bf16: autocast to bfloat16, float master weights
"""
import sys
import time

import torch
import torch.nn.functional as F

from torch_net import Net


def settings(precision):
    tf32 = precision != "fp32"
    torch.backends.cuda.matmul.allow_tf32 = tf32
    torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cudnn.benchmark = True
    return lambda: torch.autocast("cuda", torch.bfloat16, enabled=precision == "bf16")


def captured(step):
    """The step as one CUDA graph, after warming steps on a side stream, as PyTorch's manual asks."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(5):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def make_steps(net, x, t, launch, autocast):
    model = torch.compile(net) if launch.startswith("compile") else net
    sgd = torch.optim.SGD(net.parameters(), 1e-3, momentum=0.9, weight_decay=1e-4, fused=True)

    def train():
        sgd.zero_grad(set_to_none=True)
        with autocast():
            loss = F.cross_entropy(model(x), t)
        loss.backward()
        sgd.step()

    def infer():
        with torch.no_grad(), autocast():
            return F.softmax(model(x), 1)

    steps = {}
    for name, step in (("train", train), ("infer", infer)):
        net.train(name == "train")
        for _ in range(3):
            step()
        steps[name] = captured(step) if launch.endswith("graph") else step
    return steps


def main():
    layout, launch, precision, batch = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
    text = []
    for line in sys.stdin:
        if line.strip() == "end":
            break
        text.append(line)
    autocast = settings(precision)
    torch.manual_seed(1)
    net = Net(text)
    x, t = torch.randn(batch, *net.size), torch.randint(0, 5, (batch,))
    if layout == "nhwc":
        net, x = net.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    steps = make_steps(net.cuda(), x.cuda(), t.cuda(), launch, autocast)
    print("ready", torch.__version__, torch.cuda.get_device_name(), flush=True)
    for line in sys.stdin:
        what, n = line.split()
        net.train(what == "train")
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(int(n)):
            steps[what]()
        torch.cuda.synchronize()
        print(time.perf_counter() - start, flush=True)


main()
