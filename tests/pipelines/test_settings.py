"""`fulora settings`: every setting with its type, default and meaning."""

import json
import re
from pathlib import Path

import pytest
from command_inside import called
from pydantic import Field

from fulora.config import Config
from fulora.diffusion.config import LoraConfig
from fulora.intake.config import KINDS
from pipelines.jobs.setting_types import describe_type
from pipelines.jobs.settings import CONFIGS, UnknownSettingsError, describe_settings, list_settings, read_meanings


@pytest.mark.parametrize("name", [*CONFIGS, *KINDS])
def test_every_setting_has_a_meaning(name: str) -> None:
    settings = describe_settings(name)
    assert settings.about.endswith((".", ":"))
    without = [row.key for row in settings.rows if not row.meaning]
    assert not without, "add a line to `Attributes:` in the docstring of the config"
    assert all(row.type and "typing" not in row.type for row in settings.rows)


@pytest.mark.parametrize("name", [*CONFIGS, *KINDS])
def test_a_docstring_describes_no_setting_that_is_gone(name: str) -> None:
    from pipelines.jobs import settings

    config = settings._configs()[name]
    assert set(read_meanings(config)) <= set(config.model_fields)


def test_keys_types_and_defaults() -> None:
    rows = {row.key: row for row in describe_settings("lora").rows}
    assert {key for key in rows if "." not in key} == set(LoraConfig.model_fields)
    found = {key: (rows[key].type, rows[key].default) for key in ("rank", "ema_decay", "sizes", "samples.every")}
    assert found == {
        "rank": ("whole number > 0", "8"),
        "ema_decay": ("number >= 0 and < 1 | null", "null"),
        "sizes": ("fixed | buckets", "fixed"),
        "samples.every": ("whole number > 0", "100"),
    }
    assert rows["samples"].type == "mapping of the settings below | null"
    assert "Hu et al. 2021" in rows["rank"].meaning
    assert rows["rank"].meaning == rows["alpha"].meaning  # described together
    assert rows["sizes"].meaning.endswith("keeping its shape.")  # of several lines
    assert rows["rank"].changes_results
    assert not rows["device"].changes_results
    generate = {row.key: row for row in describe_settings("generate").rows}
    assert generate["per_class"].default == "required"
    assert generate["guidance_interval"].default == "[0, 1]"


def test_meanings_of_a_base_are_those_of_what_is_derived_from_it() -> None:
    class Base(Config):
        """A base.

        Attributes:
            one: of the base,
                in two lines.
            two: of the base.

        More text: that is no setting.
        """

        one: int = 0
        two: int = 0

    class Derived(Base):
        """Derived.

        Attributes:
            two, three: of what is derived.
        """

        three: int = 0

    shared = "of what is derived."
    assert read_meanings(Derived) == {"one": "of the base, in two lines.", "two": shared, "three": shared}


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (tuple[int, ...], "list of (whole number)"),
        (tuple[float, str], "[number, text]"),
        (dict[str, bool], "mapping of (text) to (true | false)"),
        (Path | None, "path | null"),
    ],
)
def test_types_in_words(annotation: object, words: str) -> None:
    assert describe_type(annotation) == words


def test_a_pattern_is_shown() -> None:
    assert describe_type(str, Field(pattern="^a+$").metadata) == "text like ^a+$"


def test_an_unknown_name_suggests() -> None:
    with pytest.raises(UnknownSettingsError, match=r"lorra: no such settings; did you mean lora\?"):
        describe_settings("lorra")
    done = called("settings", "qqq")
    assert (done.code, done.stdout) == (2, "")
    assert done.stderr.startswith("fulora: qqq: no such settings; there are lora, generate, ")


def test_the_command_prints_all_or_one(tmp_path: Path) -> None:
    listed = called("settings").stdout
    assert re.search(r"^mix +How a hybrid set is mixed\.", listed, re.MULTILINE)
    assert json.loads(called("settings", "--json", "-").stdout) == list_settings()
    shown = called("settings", "mix").stdout
    assert "\nreal = all\n    all | balanced | none\n    which real training images are kept" in shown
    file = tmp_path / "mix.json"
    assert called("settings", "mix", "--json", file).code == 0
    assert json.loads(file.read_text()) == describe_settings("mix").to_json()
