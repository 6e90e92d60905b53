"""The same nets in PyTorch, as a peer for `wbcsnet bench --peer`.

torch_peer.py LAYOUT BATCH THREADS reads a .net file (parameters replaced) up to a line "end" on stdin, prints "ready",
and answers each line "train N" or "infer N" with the seconds of N steps. The optimiser is the paper's: SGD, momentum
0.9, L2 1e-4. Run it through torch-peer, which sets the allocator.
"""
import sys
import time

import torch
import torch.nn.functional as F

from torch_net import Net


def main():
    layout, batch, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    text = []
    for line in sys.stdin:
        if line.strip() == "end":
            break
        text.append(line)
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    net = Net(text)
    x, t = torch.randn(batch, *net.size), torch.randint(0, 5, (batch,))
    if layout == "nhwc":
        net, x = net.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    sgd = torch.optim.SGD(net.parameters(), 1e-3, momentum=0.9, weight_decay=1e-4)
    print("ready", torch.__version__, flush=True)
    for line in sys.stdin:
        what, n = line.split()
        net.train(what == "train")
        start = time.perf_counter()
        for _ in range(int(n)):
            if what == "train":
                sgd.zero_grad(set_to_none=True)
                F.cross_entropy(net(x), t).backward()
                sgd.step()
            else:
                with torch.inference_mode():
                    F.softmax(net(x), 1)
        print(time.perf_counter() - start, flush=True)


main()
