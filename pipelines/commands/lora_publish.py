"""`fulora lora publish`: a trained LoRA with its model card to the Hugging Face Hub."""

from pathlib import Path
from typing import Annotated

import typer


def publish(
    folder: Annotated[Path, typer.Argument(help="Folder of a finished LoRA, as `lora train` and `run` write it.")],
    to: Annotated[
        str, typer.Option("--to", metavar="OWNER/NAME", help="Repository on the Hub; created if it does not exist.")
    ],
    push: Annotated[bool, typer.Option("--push", help="Upload it. Without this, nothing leaves this machine.")] = False,
    public: Annotated[bool, typer.Option("--public", help="Open to all; otherwise the repository is private.")] = False,
    licence: Annotated[str, typer.Option(help="Of the weights; otherwise that of the training images.")] = "",
    title: Annotated[str, typer.Option(help="Of the model card; by default what the LoRA is of.")] = "",
    out: Annotated[Path | None, typer.Option("--out", help="New folder to collect the files in, to review.")] = None,
) -> None:
    """Publish a LoRA on the Hugging Face Hub with a model card. Without --push it shows what would be sent: review it.

    Examples:

      fulora lora publish work/train_lora-0123456789abcdef --to me/fetal-planes --out look

      fulora lora publish work/train_lora-0123456789abcdef --to me/fetal-planes --licence cc-by-4.0 --push
    """
    from huggingface_hub import get_token

    from fulora.diffusion.lora.publish import CARD, TITLE, publish_lora

    token = get_token() if push else None
    done = publish_lora(
        folder, to, push=push, private=not public, token=token, licence=licence, title=title or TITLE, out=out
    )
    print(f"{to}, {'public' if public else 'private'}: {f'sent, {done.url}' if push else 'nothing was sent'}")
    for name, size in done.sizes.items():
        print(f"  {size:>13,} bytes  {name}")
    for name in done.left_out:
        print(f"  {'stays here':>19}  {name}")
    print(
        f"You must check: whether the licence of the training images ({done.images_licence or 'not stated'}) and that "
        "of the base model allow publishing these weights, and whether images generated with them copy training images."
    )
    if out is not None:
        print(f"Gathered in {out}: read {out / CARD}.")
    elif not push:
        print(f"\n{done.card}", end="")
