"""The output folder of a job: finished once, continued, or refused with what differs."""

from pathlib import Path

import pytest

from fulora.config import Config
from fulora.files import partial_folder
from fulora.integrity import LIST, DamagedArtifactError
from fulora.job_folder import OutputFolderError, is_finished, make_in
from fulora.stage import RECORD, Artifact, Source, stage


class Cake(Config):
    eggs: int = 2
    icing: str = "none"


calls: list[str] = []


def _has_eggs(config: Cake, **inputs: object) -> None:
    if config.eggs < 1:
        raise ValueError("a cake has eggs")


@stage(version=1, check=_has_eggs)
def bake(out: Path, config: Cake, flour: Source) -> Artifact:
    calls.append("bake")
    (out / "cake.txt").write_text(f"{config.eggs} {flour.path.read_text()}")
    return Artifact(out, "")


@stage(version=1, resumes=True)
def bake_slowly(out: Path, config: Cake, flour: Source) -> Artifact:
    layers = out / "layers.txt"
    calls.append(layers.read_text() if layers.is_file() else "from the start")
    if not layers.is_file():
        layers.write_text("one layer")
        raise KeyboardInterrupt
    return Artifact(out, "")


@pytest.fixture
def flour(tmp_path: Path) -> Source:
    (tmp_path / "flour.txt").write_text("rye")
    calls.clear()
    return Source(tmp_path / "flour.txt", "f" * 16)


def test_it_is_made_once_and_returned_when_it_is_finished(
    tmp_path: Path, flour: Source, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "deep" / "out"
    made = make_in(out, bake, "fulora bake", Cake(), flour)
    assert (made.path, made.fingerprint) == (out, bake.call(Cake(), flour).fingerprint())
    assert (out / "cake.txt").read_text() == "2 rye"
    assert {path.name for path in out.iterdir()} == {"cake.txt", RECORD, LIST}
    again = make_in(out, bake, "fulora bake", Cake(), flour)
    assert again == made
    assert calls == ["bake"]
    assert f"{out}: is finished already" in capsys.readouterr().err


def test_an_empty_folder_is_filled(tmp_path: Path, flour: Source) -> None:
    (tmp_path / "out").mkdir()
    assert not is_finished(tmp_path / "out", bake.call(Cake(), flour))
    assert not is_finished(tmp_path / "gone", bake.call(Cake(), flour))
    make_in(tmp_path / "out", bake, "", Cake(), flour)
    assert is_finished(tmp_path / "out", bake.call(Cake(), flour))


def test_other_settings_and_inputs_are_refused_by_name(tmp_path: Path, flour: Source) -> None:
    out = tmp_path / "out"
    make_in(out, bake, "", Cake(), flour)
    before = (out / "cake.txt").read_bytes()
    with pytest.raises(
        OutputFolderError, match=r"finished output of bake for other .* \(eggs is 2, not 3, icing is none, not thick\)"
    ):
        make_in(out, bake, "", Cake(eggs=3, icing="thick"), flour)
    with pytest.raises(OutputFolderError, match=r"\(flour is f{16}, not 0{16}\)"):
        make_in(out, bake, "", Cake(), Source(flour.path, "0" * 16))
    with pytest.raises(OutputFolderError, match="stage is bake, not bake_slowly"):
        make_in(out, bake_slowly, "", Cake(), flour)
    assert (out / "cake.txt").read_bytes() == before
    assert calls == ["bake"]


def test_an_input_that_was_made_again_is_named(tmp_path: Path, flour: Source) -> None:
    first = make_in(tmp_path / "first", bake, "", Cake(), flour)

    @stage(version=1)
    def ice(out: Path, cake: Artifact) -> Artifact:
        (out / "iced.txt").write_text("iced")
        return Artifact(out, "")

    make_in(tmp_path / "iced", ice, "", first)
    for name in ("cake.txt", RECORD, LIST):
        (tmp_path / "first" / name).unlink()
    second = make_in(tmp_path / "first", bake, "", Cake(), flour)
    assert second.fingerprint == first.fingerprint
    with pytest.raises(OutputFolderError, match=r"\(an input was made again since\)"):
        make_in(tmp_path / "iced", ice, "", second)


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path, flour: Source) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("kept")
    with pytest.raises(
        OutputFolderError, match="holds files of something else; name a new folder for the output of bake"
    ):
        make_in(tmp_path / "out", bake, "", Cake(), flour)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.tex"]
    (tmp_path / "file").write_text("kept")
    with pytest.raises(OutputFolderError, match="is a file; name a folder for the output of bake"):
        make_in(tmp_path / "file", bake, "", Cake(), flour)
    assert calls == []


def test_a_damaged_output_is_refused_with_the_command_that_makes_it(tmp_path: Path, flour: Source) -> None:
    out = tmp_path / "out"
    make_in(out, bake, "fulora bake flour.txt", Cake(), flour)
    (out / "cake.txt").write_text("bitten off")
    with pytest.raises(DamagedArtifactError, match=r"cake\.txt \(changed\).*rm -r .*out && fulora bake flour\.txt"):
        make_in(out, bake, "fulora bake flour.txt", Cake(), flour)
    assert (out / "cake.txt").read_text() == "bitten off"


def test_a_stage_that_resumes_continues_and_another_starts_again(
    tmp_path: Path, flour: Source, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        make_in(out, bake_slowly, "", Cake(), flour)
    assert not out.exists()
    assert partial_folder(out).is_dir()
    make_in(out, bake_slowly, "", Cake(), flour)
    assert calls == ["from the start", "one layer"]
    assert f"{out}: was interrupted, continues" in capsys.readouterr().err
    partial_folder(tmp_path / "other").mkdir()
    (partial_folder(tmp_path / "other") / "crumbs.txt").write_text("of a killed run")
    make_in(tmp_path / "other", bake, "", Cake(), flour)
    assert not (tmp_path / "other" / "crumbs.txt").exists()


def test_other_settings_do_not_continue_what_was_interrupted(tmp_path: Path, flour: Source) -> None:
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        make_in(out, bake_slowly, "", Cake(), flour)
    with pytest.raises(OutputFolderError, match="unfinished output of bake_slowly with other settings or inputs"):
        make_in(out, bake_slowly, "", Cake(eggs=5), flour)
    make_in(out, bake_slowly, "", Cake(), flour)
    assert calls == ["from the start", "one layer"]


def test_the_check_of_the_stage_runs_before_anything_is_written(tmp_path: Path, flour: Source) -> None:
    with pytest.raises(ValueError, match="a cake has eggs"):
        make_in(tmp_path / "new" / "out", bake, "", Cake(eggs=0), flour)
    assert not (tmp_path / "new").exists()
