"""Makes the files of this folder; run by hand, with torch and torchvision at hand.

    python tests/data/make_torch.py

Each `.pth` file has an `.npz` beside it with what it holds, name by name: the bytes, so
that NumPy's own format need not know bfloat16, the dtype and the shape.
"""

import gzip
import json
from pathlib import Path

import numpy as np
import torch
import torchvision
from torch import nn

HERE = Path(__file__).parent


def tiny_net():
    """Plain, depthwise and grouped convolutions, batch-norm, a flattened 3×2 map."""
    net = nn.Sequential()
    net.add_module("conv", nn.Conv2d(2, 4, 3, padding=1))
    net.add_module("bn", nn.BatchNorm2d(4))
    net.add_module("relu", nn.ReLU())
    net.add_module("depthwise", nn.Conv2d(4, 8, 3, padding=1, groups=4, bias=False))
    net.add_module("relu2", nn.ReLU())
    net.add_module("grouped", nn.Conv2d(8, 6, 3, stride=2, padding=1, groups=2))
    net.add_module("flatten", nn.Flatten())
    net.add_module("fc", nn.Linear(6 * 3 * 2, 5))
    for tensor in net.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand_like(tensor) - 0.3)
    net.bn.running_var.copy_(torch.rand(4) + 0.5)
    net.bn.num_batches_tracked.fill_(7)
    return net.eval()


def expected(tensors):
    """The arrays of an `.npz`: bytes, and a JSON line of dtypes and shapes."""
    about, arrays = {}, {}
    for name, tensor in tensors.items():
        tensor = tensor.detach().contiguous()
        kind = str(tensor.dtype).removeprefix("torch.")
        about[name] = [kind, list(tensor.shape)]
        arrays[name] = tensor.reshape(-1).view(torch.uint8).numpy()
    return arrays | {"about": np.array(json.dumps(about))}


def write(name, content, tensors, *, extra=(), **options):
    """One file of `torch.save` and its `.npz`."""
    torch.save(content, HERE / name, **options)
    stem = name.split(".")[0]
    np.savez_compressed(HERE / f"{stem}.npz", **expected(tensors), **dict(extra))


def main():
    """Writes all files."""
    torch.manual_seed(0)
    net = tiny_net()
    inputs = torch.randn(3, 2, 5, 4)
    state = net.state_dict()
    extra = {"inputs": inputs.numpy(), "outputs": net(inputs).detach().numpy()}
    legacy = {"_use_new_zipfile_serialization": False}
    write("net.pth", state, state, extra=extra)
    write("net_legacy.pth", state, state, **legacy)

    optimizer = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9)
    net(inputs).sum().backward()
    optimizer.step()
    momenta = {
        f"optimizer.state.{i}.momentum_buffer": x["momentum_buffer"]
        for i, x in optimizer.state_dict()["state"].items()
    }
    state = net.state_dict()
    checkpoint = {"epoch": 3, "best": 0.5, "arch": "tiny", "nothing": None}
    checkpoint |= {"state_dict": state, "optimizer": optimizer.state_dict()}
    inside = {f"state_dict.{name}": tensor for name, tensor in state.items()}
    write("checkpoint.pth.tar", checkpoint, inside | momenta)

    values = torch.arange(-3, 9).reshape(3, 4)
    old = [
        "float64",
        "float32",
        "float16",
        "bfloat16",
        "int64",
        "int32",
        "int16",
        "int8",
        "uint8",
        "bool",
    ]
    old += ["complex64", "complex128"]
    new = ["uint16", "uint32", "uint64", "float8_e4m3fn", "float8_e5m2"]
    kinds = {kind: values.to(getattr(torch, kind)) for kind in old + new}
    kinds |= {"scalar": torch.tensor(1.5, dtype=torch.bfloat16)}
    kinds |= {"empty": torch.zeros(0, 3, dtype=torch.float16)}
    write("dtypes.pth", kinds, kinds)
    kinds = {kind: values.to(getattr(torch, kind)) for kind in old}
    write("dtypes_legacy.pth", kinds, kinds, **legacy)

    base = torch.arange(24.0)
    views = {
        "transposed": base[:6].reshape(2, 3).T,
        "offset": base[5:15:3],
        "window": base.reshape(4, 6)[1:3, 2:5],
        "expanded": base[3:4].expand(2, 3),
        "tied_1": (tied := nn.Parameter(torch.arange(4.0))),
        "tied_2": tied,
        "channels_last": torch.rand(2, 3, 2, 2).to(memory_format=torch.channels_last),
    }
    write("views.pth", views, views)
    write("views_legacy.pth", views, views, **legacy)
    torch.save(nn.Linear(1, 1), HERE / "module.pth")

    shapes = {}
    for name in sorted(torchvision.models.list_models(torchvision.models)):
        if name.startswith(("resne", "vgg", "wide_resnet")):
            with torch.device("meta"):
                state = torchvision.models.get_model(name).state_dict()
            shapes[name] = {key: list(x.shape) for key, x in state.items()}
    text = json.dumps(shapes, separators=(",", ":")).encode()
    (HERE / "torchvision.json.gz").write_bytes(gzip.compress(text, 9, mtime=0))


if __name__ == "__main__":
    main()
