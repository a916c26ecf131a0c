"""The card: a head that the Hub's own library reads, and counts that are counted again here."""

import pytest
import yaml
from datasets import Features
from huggingface_hub import DatasetCard, DatasetCardData
from image_rows import image_row

from fulora.config import ConfigError, validated
from fulora.data.image import Image
from fulora.data.label_set import label_set
from fulora.data.provenance import Provenance, ProvenanceEntry
from fulora.export.card import COLUMNS, CardConfig, Format, card_text, header, tar_features

FETAL = label_set("fetal_planes")

CONFIG = CardConfig(
    title="Planes: «féta»",
    description="About.",
    licence="cc-by-4.0",
    licence_link="https://creativecommons.org/licenses/by/4.0/",
    citations=("@misc{one}", "Two et al."),
    contact="Who | where",
)


def row(image_id: str, **values: object) -> Image:
    return image_row(image_id, **({"height": 6, "sha256": image_id} | values))


ROWS = [
    row("a"),
    row("b", mask_file="masks/b.png"),
    row("c", patient="2", machine="Voluson | E6", plane="femur"),
    row("d", split="test", patient="3", site="B"),
    row("e", origin="synthetic", patient="", site="", generator="f00", seed="1"),
    row("f", origin="synthetic", patient="", site="", generator="f00", seed="2"),
    row("g", origin="synthetic", patient="", site="", generator="e11", seed="3"),
]

DRAWN_BY = Provenance.unknown("backbone sd15").joined(
    Provenance(entries=(ProvenanceEntry(name="LoRA l", patients=("s/A/1", "s/A/2")),))
)


def text(rows: list[Image] = ROWS, config: CardConfig = CONFIG, format: Format = "parquet") -> str:
    return card_text(rows, FETAL, DRAWN_BY, format, config, "USE")


def test_the_hub_reads_the_head() -> None:
    card = DatasetCard(text())
    assert isinstance(card.data, DatasetCardData)
    assert card.data.license == "cc-by-4.0"
    assert card.data.license_link == "https://creativecommons.org/licenses/by/4.0/"
    assert card.data.pretty_name == "Planes: «féta»"
    assert card.data.task_categories == ["image-classification", "text-to-image", "image-segmentation"]
    assert card.data.tags == ["medical", "ultrasound", "fetal-ultrasound", "synthetic"]
    assert card.data.size_categories == ["n<1K"]
    assert card.data.configs == [
        {
            "config_name": "default",
            "data_files": [
                {"split": "train", "path": "data/train-*.parquet"},
                {"split": "test", "path": "data/test-*.parquet"},
            ],
        }
    ]
    assert card.text.lstrip().startswith("# Planes: «féta»\n\nAbout.")


@pytest.mark.parametrize(
    ("format", "path"), [("parquet", "data/test-*.parquet"), ("webdataset", "test-*.tar"), ("croissant", "test/**")]
)
def test_where_the_files_of_a_split_are(format: Format, path: str) -> None:
    head = yaml.safe_load(yaml.safe_dump(header(ROWS, FETAL, format, CONFIG)))
    assert head["configs"][0]["data_files"][1] == {"split": "test", "path": path}


def test_kohya_is_no_data_set_of_the_hub() -> None:
    head = header(ROWS, FETAL, "kohya", CONFIG)
    assert head["viewer"] is False
    assert "configs" not in head


def test_the_hub_reads_the_types_of_a_tar() -> None:
    features = Features._from_yaml_list(tar_features(ROWS, FETAL))
    assert list(features) == ["png", "mask.png", "cls", "json", "txt", "__key__", "__url__"]
    assert features["cls"].names == list(FETAL.names)
    assert features["json"]["patient"].dtype == "string"
    assert "mask.png" not in Features._from_yaml_list(tar_features(ROWS[:1], FETAL))


def test_every_column_has_a_type() -> None:
    kinds = {kind: [name for name in COLUMNS if COLUMNS[name] == kind] for kind in ("int64", "float64")}
    assert kinds == {"int64": ["width", "height"], "float64": ["pixel_size_mm", "hc_mm", "aop_deg"]}
    assert list(COLUMNS) == list(Image.model_fields)


def test_counts_and_sources() -> None:
    lines = text().splitlines()
    for line in (
        "| split | plane | real | synthetic |",
        "| train | brain | 2 | 3 |",
        "| train | femur | 1 | 0 |",
        "| test | brain | 1 | 0 |",
        "| all |  | 4 | 3 |",
        "| s | A | not known | 2 | 1 |",
        r"| s | A | Voluson \| E6 | 1 | 1 |",
        "| s | B | not known | 1 | 1 |",
        "| `e11` | 1 |",
        "| `f00` | 2 |",
    ):
        assert line in lines
    assert "Patients: 2 in train, 1 in test; none is in two splits. Images with a mask: 1." in lines
    assert not any(line.startswith("| train | thorax") for line in lines)
    assert "trained on images of 2 patients" in text()
    assert "The training data of these are unknown: `backbone sd15`." in text()


def test_what_a_reader_must_know() -> None:
    card = text()
    for words in ("Not for diagnosis", "USE", "trainedAlgorithmicMedia", "@misc{one}", "Two et al.", "Who | where"):
        assert words in card
    assert "s/A/1" not in card  # how many patients a generator saw is told, not which


def test_a_set_of_one_origin() -> None:
    only_real, only_synthetic = text(ROWS[:4]), text(ROWS[4:])
    assert "There are no synthetic images in it." in only_real
    assert "trainedAlgorithmicMedia" not in only_real
    assert "synthetic" not in DatasetCard(only_real).data.tags
    assert "There are no real images in it." in only_synthetic


def test_a_card_without_words_says_that_the_licence_is_missing() -> None:
    card = text(config=CardConfig())
    assert DatasetCard(card).data.license == "unknown"
    assert "Licence: Not stated. State one before you publish this" in card


def test_a_licence_of_ones_own() -> None:
    card = DatasetCard(text(config=CardConfig(licence="other", licence_link="https://example.org/terms")))
    assert (card.data.license, card.data.license_name) == ("other", "other")
    assert card.data.license_link == "https://example.org/terms"


@pytest.mark.parametrize(
    ("count", "size"), [(999, "n<1K"), (1000, "1K<n<10K"), (10**4, "10K<n<100K"), (10**5, "100K<n<1M"), (10**6, "n>1M")]
)
def test_the_size_of_a_set(count: int, size: str) -> None:
    assert header([ROWS[0]] * count, FETAL, "parquet", CONFIG)["size_categories"] == [size]


@pytest.mark.parametrize(
    ("key", "value"), [("licence", "CC BY 4.0"), ("title", ""), ("version", "one"), ("published", "2026")]
)
def test_a_config_that_the_hub_would_refuse(key: str, value: str) -> None:
    with pytest.raises(ConfigError, match=rf"card: 1 error\n  {key}: String should"):
        validated(CardConfig, {key: value}, where="card")
