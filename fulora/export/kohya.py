"""Kohya: the folders that sd-scripts and the tools built on it train a LoRA from."""

from collections.abc import Sequence
from pathlib import Path

from fulora.data.image import Image
from fulora.data.image_set import ImageSet
from fulora.export.source_files import ExportError
from fulora.progress import track

USE = """With [sd-scripts](https://github.com/kohya-ss/sd-scripts):

```bash
accelerate launch train_network.py \\
  --pretrained_model_name_or_path=path/to/stable-diffusion-v1-5 \\
  --train_data_dir=path/to/this/folder --caption_extension=.txt --resolution={resolution} \\
  --network_module=networks.lora --network_dim=8 --network_alpha=8 \\
  --learning_rate=1e-4 --max_train_epochs=10 --train_batch_size=1 --seed=0 \\
  --output_dir=lora --output_name=fetal_planes
```

The number before a folder's name is how often its images are shown an epoch. `--caption_extension` is needed: without
it sd-scripts looks for `.caption` and trains on the folders' names. Do not add `--flip_aug`: it mirrors the anatomy."""


def write_kohya(images: ImageSet, rows: Sequence[Image], out: Path, repeats: int) -> str:
    """Write `<repeats>_<plane>/` with a picture and its caption each; returns the command that trains on them.

    An image without a caption has its class': sd-scripts refuses an empty file.

    Raises:
        ExportError: a caption of several lines: sd-scripts would read only the first.
    """
    of_class = images.label_set().captions
    for row in track(rows, "kohya"):
        caption = row.caption.strip() or of_class[row.plane]
        if len(caption.splitlines()) > 1:
            raise ExportError(f"{row.image_id}: its caption has several lines; kohya reads the first only. Join them.")
        folder = out / f"{repeats}_{row.plane}"
        folder.mkdir(exist_ok=True)
        source = images.path / row.split / row.file_name
        target = folder / source.name
        target.write_bytes(source.read_bytes())
        target.with_suffix(".txt").write_text(caption + "\n", encoding="utf-8")
    largest = max(max(row.width, row.height) for row in rows)
    return USE.format(resolution=largest)
