"""Mappings for the networks of torchvision, by name; torchvision is not needed.

A name stands for its architecture, so every module is named: a checkpoint that lacks one
is refused. Trees are named as this project names its models: `stem`, `stem_norm`,
`stage_1_block_1/conv_1`, `head`; `conv_01`, `norm_01`, `dense_1`, `head`.
"""

from linconn_jax.interchange.rules import Rule, batch_norm, conv, dense

_RESNETS = {
    "resnet18": ("basic", (2, 2, 2, 2)),
    "resnet34": ("basic", (3, 4, 6, 3)),
    "resnet50": ("bottleneck", (3, 4, 6, 3)),
    "resnet101": ("bottleneck", (3, 4, 23, 3)),
    "resnet152": ("bottleneck", (3, 8, 36, 3)),
    "resnext50_32x4d": ("bottleneck", (3, 4, 6, 3)),
    "resnext101_32x8d": ("bottleneck", (3, 4, 23, 3)),
    "resnext101_64x4d": ("bottleneck", (3, 4, 23, 3)),
    "wide_resnet50_2": ("bottleneck", (3, 4, 6, 3)),
    "wide_resnet101_2": ("bottleneck", (3, 4, 23, 3)),
}
_CONVS = {"basic": 2, "bottleneck": 3}
_VGGS = {
    "vgg11": (1, 1, 2, 2, 2),
    "vgg13": (2, 2, 2, 2, 2),
    "vgg16": (2, 2, 3, 3, 3),
    "vgg19": (2, 2, 4, 4, 4),
}
NAMES = (*_RESNETS, *_VGGS, *(f"{name}_bn" for name in _VGGS))


def mapping(name: str) -> list[Rule]:
    """The rules for a network of torchvision: a ResNet, or a VGG with or without "_bn".

    Raises:
      ValueError: the name is not in `NAMES`.
    """
    if name not in NAMES:
        raise ValueError(f"name={name!r} is unknown; it must be one of {list(NAMES)}")
    if name in _RESNETS:
        return _resnet(*_RESNETS[name])
    return _vgg(_VGGS[name.removesuffix("_bn")], name.endswith("_bn"))


def _resnet(block: str, counts: tuple[int, ...]) -> list[Rule]:
    rules = [
        conv("conv1", "stem", bias=False),
        batch_norm("bn1", "stem_norm"),
        dense("fc", "head", bias=True),
    ]
    for stage, count in enumerate(counts, start=1):
        for i in range(count):
            torch, tree = f"layer{stage}.{i}", f"stage_{stage}_block_{i + 1}"
            for c in range(1, _CONVS[block] + 1):
                rules.append(conv(f"{torch}.conv{c}", f"{tree}/conv_{c}", bias=False))
                rules.append(batch_norm(f"{torch}.bn{c}", f"{tree}/norm_{c}"))
            # The first block of a stage changes the shape, but for the first stage of
            # basic blocks.
            if i == 0 and (stage > 1 or block == "bottleneck"):
                shortcut = f"{tree}/shortcut"
                rules.append(conv(f"{torch}.downsample.0", shortcut, bias=False))
                rules.append(batch_norm(f"{torch}.downsample.1", f"{shortcut}_norm"))
    return rules


def _vgg(stages: tuple[int, ...], norms: bool) -> list[Rule]:
    rules = [
        dense("classifier.0", "dense_1", bias=True, flattened=(7, 7)),
        dense("classifier.3", "dense_2", bias=True),
        dense("classifier.6", "head", bias=True),
    ]
    place = count = 0
    for convs in stages:
        for _ in range(convs):
            count += 1
            rules.append(conv(f"features.{place}", f"conv_{count:02d}", bias=True))
            if norms:
                rules.append(batch_norm(f"features.{place + 1}", f"norm_{count:02d}"))
            place += 3 if norms else 2  # conv, norm if any, ReLU
        place += 1  # max-pool
    return rules
