"""Names of layers and keys in LoRA files: those of diffusers and peft, new and old, and kohya's, for SD and SDXL.

A layer has one name in fulora, that of the published pipeline: `unet.mid_block.attentions.0.proj_in`,
`text_encoder.text_model.encoder.layers.0.mlp.fc1`.
"""

import re

from fulora.diffusion.lora.weights import PARTS

_ENDINGS = {
    "down": r"\.lora_A\.weight|\.lora_down\.weight|[._]lora\.down\.weight|\.lora_linear_layer\.down\.weight",
    "up": r"\.lora_B\.weight|\.lora_up\.weight|[._]lora\.up\.weight|\.lora_linear_layer\.up\.weight",
    "alpha": r"\.alpha",
    "magnitude": r"\.lora_magnitude_vector(?:\.weight)?",
    "dora_scale": r"\.dora_scale",
}
_KEY = re.compile("(?P<layer>.+?)(?:" + "|".join(f"(?P<{role}>{ends})" for role, ends in _ENDINGS.items()) + ")")

_COMPOUND = re.compile(
    "(down_blocks|up_blocks|mid_block|transformer_blocks|time_emb_proj|conv_shortcut|conv_in|conv_out|linear_[12]"
    "|time_embedding|add_embedding|proj_in|proj_out|to_q|to_k|to_v|to_out|text_model|text_projection|self_attn"
    "|q_proj|k_proj|v_proj|out_proj)|_"
)
"""Words of layers' names that have an underscore of their own; kohya writes the dots between words as `_` too."""

_ENCODERS = {"lora_te_": "text_encoder", "lora_te1_": "text_encoder", "lora_te2_": "text_encoder_2"}
_BLOCKS = ("down_blocks.", "mid_block.", "up_blocks.")

# SDXL's UNet in its makers' code (sgm), which kohya names layers after. Blocks are counted through: a resolution has
# two layers and a change of resolution in input_blocks (the first is the entry), three layers in output_blocks.
_PER_RESOLUTION = 3
_SLOTS = {"resnets": 0, "downsamplers": 0, "attentions": 1, "upsamplers": 2}
_MIDDLE = {"resnets_0": "0", "attentions_0": "1", "resnets_1": "2"}
_RESNET = {
    "conv1": "in_layers_2",
    "conv2": "out_layers_3",
    "time_emb_proj": "emb_layers_1",
    "conv_shortcut": "skip_connection",
}


def parse_key(key: str) -> tuple[str, str] | None:
    """Return the layer's name and the tensor's role (down, up, alpha, magnitude or dora_scale); None if unknown."""
    match = _KEY.fullmatch(key)
    if match is None or match.lastgroup is None:
        return None
    layer = match["layer"]
    name = _from_kohya(layer) if layer.startswith("lora_") else _from_diffusers(layer)
    return (name, match.lastgroup) if name else None


def _from_diffusers(layer: str) -> str | None:
    part, _, name = layer.partition(".")
    if layer.startswith(_BLOCKS):  # the oldest files are of the UNet alone, and do not say so
        part, name = "unet", layer
    if part not in PARTS:
        return None
    name = name.replace(".processor.", ".")
    if part == "unet":
        return f"unet.{re.sub(r'to_out$', 'to_out.0', name)}"
    name = re.sub(r"to_(q|k|v|out)$", r"\1_proj", name)
    return f"{part}.text_model.{name}" if name.startswith("encoder.") else f"{part}.{name}"


def _from_kohya(layer: str) -> str | None:
    if layer.startswith("lora_unet_"):
        return f"unet.{_dotted(_from_sgm(layer.removeprefix('lora_unet_')))}"
    for prefix, part in _ENCODERS.items():
        if layer.startswith(prefix):
            return f"{part}.{_dotted(layer.removeprefix(prefix))}"
    return None


def _dotted(name: str) -> str:
    return _COMPOUND.sub(lambda match: match[1] or ".", name)


def kohya_name(name: str, *, sdxl: bool) -> str:
    """Return kohya's name of a layer, such as `lora_unet_mid_block_attentions_0_proj_in`.

    For SDXL it is `lora_unet_middle_block_1_proj_in`.

    Text encoders are `lora_te_`, SDXL's two `lora_te1_` and `lora_te2_`.
    """
    part, _, inside = name.partition(".")
    inside = inside.replace(".", "_")
    if part == "unet":
        return f"lora_unet_{_to_sgm(inside) if sdxl else inside}"
    number = "2" if part == "text_encoder_2" else "1"
    return f"lora_te{number if sdxl else ''}_{inside}"


def _to_sgm(name: str) -> str:
    if match := re.fullmatch(r"mid_block_(\w+?_\d)_(\w+)", name):
        return f"middle_block_{_MIDDLE[match[1]]}_{_RESNET.get(match[2], match[2])}"
    match = re.fullmatch(r"(down|up)_blocks_(\d+)_([a-z]+)_(\d+)_(\w+)", name)
    if match is None:
        return name
    side, block, kind, place, rest = match.groups()
    down, last = side == "down", kind.endswith("samplers")
    number = _PER_RESOLUTION * int(block) + (_PER_RESOLUTION - 1 if last else int(place)) + down
    rest = "op" if kind == "downsamplers" else _RESNET.get(rest, rest)
    return f"{'input' if down else 'output'}_blocks_{number}_{_SLOTS[kind]}_{rest}"


def _from_sgm(name: str) -> str:
    inner = {sgm: diffusers for diffusers, sgm in _RESNET.items()}
    if match := re.fullmatch(r"middle_block_(\d)_(\w+)", name):
        middle = {slot: kind for kind, slot in _MIDDLE.items()}
        return f"mid_block_{middle.get(match[1], match[1])}_{inner.get(match[2], match[2])}"
    match = re.fullmatch(r"(input|output)_blocks_(\d+)_(\d)_(\w+)", name)
    if match is None:
        return name
    side, number, slot, rest = match.groups()
    down = side == "input"
    block, place = divmod(int(number) - down, _PER_RESOLUTION)
    if rest == "op" or slot == "2":
        kind, place, rest = ("downsamplers" if down else "upsamplers"), 0, "conv"
    else:
        kind = "attentions" if slot == "1" else "resnets"
    return f"{'down' if down else 'up'}_blocks_{block}_{kind}_{place}_{inner.get(rest, rest)}"
