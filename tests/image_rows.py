"""Rows of image sets that tests make. `ImageSet.write` sets file names, sizes and digests from the pictures."""

from fulora.data.image import Image


def image_row(image_id: str = "a", **columns: object) -> Image:
    """A row of a real training image of a brain, 8x8 px; `columns` replace the defaults."""
    defaults: dict[str, object] = {
        "file_name": "",
        "plane": "brain",
        "split": "train",
        "origin": "real",
        "source": "s",
        "site": "A",
        "patient": "1",
        "width": 8,
        "height": 8,
        "sha256": "",
    }
    return Image.model_validate(defaults | {"image_id": image_id} | columns)


def synthetic_row(image_id: str = "a", **columns: object) -> Image:
    """A row of a synthetic image of a brain, 8x8 px; `columns` replace the defaults."""
    origin = {"origin": "synthetic", "source": "fulora", "site": "", "patient": "", "seed": "1", "generator": "g"}
    return image_row(image_id, **(origin | columns))
