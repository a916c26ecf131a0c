"""How CLIPs and sets of prompts are named in commands, and what is refused."""

from pathlib import Path

import pytest

from fulora.clip.prompts import PromptSet
from fulora.config import ConfigError
from fulora.data.label_set import LabelSet
from fulora.data.weights import ClipWeights
from fulora.engine import InProcess
from fulora.stage import MissingInputError
from fulora.workspace import Workspace
from pipelines.backbone_names import ASSETS
from pipelines.jobs.clips import ClipReferenceError, named_clips
from pipelines.jobs.prompt_sets import PromptSetError, classes_of_prompts, named_prompts
from pipelines.stages.fetch import HubRepository

LABELS = LabelSet.derived(["liver", "spleen"])


def test_names_of_clips(tmp_path: Path) -> None:
    (tmp_path / "a=b").mkdir()
    clips = named_clips(
        [
            *(
                "demo",
                "again=demo",
                tmp_path / "one",
                str(tmp_path / "two"),
                f"three={tmp_path}/3",
                str(tmp_path / "a=b"),
            ),
            *("hub:lab/net", "pinned=hub:lab/net@v1", ClipWeights(tmp_path / "tuned", "t")),
        ]
    )
    names = ["demo", "again", "one", "two", "three", "a=b", "net", "pinned", "tuned"]
    assert [clip.name for clip in clips] == names
    places = [ASSETS / "clip"] * 2 + [tmp_path / name for name in ("one", "two", "3", "a=b")]
    assert [clip.place for clip in clips[:6]] == places
    assert [clip.repository for clip in clips[6:8]] == [
        *(HubRepository(name="lab/net"), HubRepository(name="lab/net", revision="v1")),
    ]
    assert [clip.origin for clip in clips[5:8]] == [str(tmp_path / "a=b"), "hub:lab/net@main", "hub:lab/net@v1"]


@pytest.mark.parametrize(
    ("references", "match"),
    [
        ([], "no CLIP: name a folder, hub:OWNER/NAME or demo"),
        (["demo", "demo"], "two CLIPs are called 'demo': name them, as in --clip NAME=embedded"),
        (["a/b=demo"], "'a/b': a name of a CLIP has 1 to 80 characters"),
        (["x="], "'x=': a CLIP is named as FOLDER, hub:OWNER/NAME or demo"),
        (["hub:"], "'hub:': a repository is named as hub:OWNER/NAME or hub:OWNER/NAME@REVISION"),
        (["hub:a/b@"], "'hub:a/b@': a repository is named as"),
    ],
)
def test_clips_that_cannot_be_named(references: list[str], match: str) -> None:
    with pytest.raises(ClipReferenceError, match=match):
        named_clips(references)


def test_a_missing_clip_and_one_out_of_reach(tmp_path: Path) -> None:
    work = Workspace(tmp_path, InProcess())
    missing, published = named_clips([tmp_path / "none", "hub:lab/net"])
    with pytest.raises(ValueError, match=r"lab/net \(revision main\) cannot be had from the hub"):
        published.open(work)
    with pytest.raises(MissingInputError, match=r"none: not found\. A folder of a CLIP has open_clip_config.json"):
        missing.open(work)


def test_names_of_prompts(tmp_path: Path) -> None:
    file, titled = tmp_path / "mine.yaml", tmp_path / "titled.yaml"
    file.write_text("classes: {liver: [a liver], spleen: [a spleen]}")
    titled.write_text("{name: short, classes: {liver: [a liver], spleen: [a spleen]}}")
    own = PromptSet(name="own", classes={"liver": ("a",), "spleen": ("b",)})
    inline = "liver=ultrasound: a liver; spleen=a; spleen=b;"
    sets = named_prompts([file, titled, f"again={file}", "labels", f"text: {inline}", inline, own, {"liver": "a"}])
    assert [one.name for one in sets] == ["mine", "short", "again", "labels", "text", "prompts 6", "own", "prompts 8"]
    assert sets[5].own == PromptSet(name="prompts 6", classes={"liver": ("ultrasound: a liver",), "spleen": ("a", "b")})
    assert sets[4].own == PromptSet(name="text", classes=sets[5].own.classes)
    assert sets[3].own is None
    assert [one.name for one in named_prompts([])] == ["labels"]
    assert [one.name for one in named_prompts([inline])] == ["prompts"]


@pytest.mark.parametrize(
    ("references", "error", "match"),
    [
        (["liver"], PromptSetError, "'liver': prompts are a .yaml file, labels, or a text \"CLASS=PROMPT"),
        (["liver=a; spleen="], PromptSetError, "'spleen=': prompts are"),
        ([";"], PromptSetError, "';': no prompts; write \"CLASS=PROMPT"),
        (["a/b: liver=a"], PromptSetError, "'a/b': a name of prompts has 1 to 80 characters"),
        (["labels", "labels"], PromptSetError, "two sets of prompts are called 'labels': name them"),
        (["none.yaml"], ConfigError, "none.yaml: no file of prompts"),
        ([{"liver": ""}], ConfigError, "liver: each needs one or more prompts"),
    ],
)
def test_prompts_that_cannot_be_used(references: list[str], error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        named_prompts(references)


def test_classes_are_those_of_the_label_set_where_they_are_the_same() -> None:
    assert classes_of_prompts(named_prompts(["spleen=a; liver=b"]), LABELS) == LABELS
    assert classes_of_prompts(named_prompts(["labels", "spleen=a; liver=b"]), LABELS) == LABELS
    assert classes_of_prompts(named_prompts(["spleen=a; heart=b"]), LABELS).names == ("spleen", "heart")
    assert classes_of_prompts(named_prompts(["spleen=a; heart=b"]), None).names == ("spleen", "heart")
    with pytest.raises(PromptSetError, match=r"(?s)labels and prompts have different classes.*liver, spleen.*heart"):
        classes_of_prompts(named_prompts(["labels", "heart=a"]), LABELS)
    with pytest.raises(PromptSetError, match="the images have no labels, and so no classes and prompts of their own"):
        classes_of_prompts(named_prompts([]), None)
