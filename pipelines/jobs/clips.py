"""The CLIPs that a job names: a folder, a repository of the hub, the embedded one; each under a name of its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fulora.data.label_class import NAME
from fulora.data.weights import ClipWeights
from fulora.stage import RECORD, Source
from fulora.workspace import Workspace
from pipelines.backbone_names import ASSETS, DEMO
from pipelines.jobs.inputs import open_artifact
from pipelines.stages.fetch import HubRepository, fetch_clip, has_clip

HUB = "hub:"
LAYOUT = "open_clip_config.json and open_clip_model.safetensors"


class ClipReferenceError(ValueError):
    """A CLIP that cannot be used as it is named. The message says what to write."""


@dataclass(frozen=True)
class NamedClip:
    """A CLIP to use.

    Attributes:
        name: in tables and names of files.
        place: its folder; None if it is of the hub.
        repository: of the hub; None if it is in a folder.
    """

    name: str
    place: Path | None
    repository: HubRepository | None = None

    @property
    def origin(self) -> str:
        """Where it comes from, in words."""
        if self.repository is not None:
            return f"{HUB}{self.repository.name}@{self.repository.revision}"
        return "embedded" if self.place == ASSETS / "clip" else str(self.place)

    def open(self, work: Workspace) -> ClipWeights | Source:
        """Return its weights, fetched once if they are on the hub.

        Raises:
            MissingInputError: if the folder does not exist.
            DamagedArtifactError: if fulora made the folder, and its files have changed.
            ValueError: if the hub does not have it, or is not reachable.
        """
        if self.repository is not None:
            call = fetch_clip.call(self.repository)
            if not (work.root / f"{fetch_clip.name}-{call.fingerprint()}" / RECORD).is_file():
                has_clip(self.repository)
            return work.run(fetch_clip, self.repository)
        folder = self.place or ASSETS / "clip"
        if (folder / RECORD).is_file():
            return open_artifact(folder, ClipWeights, work.root)
        return work.read(folder, hint=f"A folder of a CLIP has {LAYOUT}; `demo` is the embedded one.")


def named_clips(references: Sequence[str | Path | ClipWeights]) -> tuple[NamedClip, ...]:
    """Return the CLIPs of references `[NAME=]FOLDER`, `[NAME=]hub:OWNER/NAME[@REVISION]` or `demo`.

    Without a name they are called after the folder or repository.

    Raises:
        ClipReferenceError: if there is none, a name is not possible, or two have one name.
    """
    clips = tuple(_named(reference) for reference in references)
    if not clips:
        raise ClipReferenceError("no CLIP: name a folder, hub:OWNER/NAME or demo")
    names = [clip.name for clip in clips]
    for clip in clips:
        if not NAME.fullmatch(clip.name):
            raise ClipReferenceError(
                f'{clip.name!r}: a name of a CLIP has 1 to 80 characters, none of / \\ : * ? " < > |'
            )
        if names.count(clip.name) > 1:
            raise ClipReferenceError(f"two CLIPs are called {clip.name!r}: name them, as in --clip NAME={clip.origin}")
    return clips


def _named(reference: str | Path | ClipWeights) -> NamedClip:
    if isinstance(reference, Path | ClipWeights):
        place = reference if isinstance(reference, Path) else reference.path
        return NamedClip(place.resolve().name, place)
    name, equals, rest = reference.partition("=")
    named = bool(equals) and not Path(reference).exists()
    text = rest if named else reference
    if not text.strip() or (named and not name.strip()):
        raise ClipReferenceError(
            f"{reference!r}: a CLIP is named as FOLDER, hub:OWNER/NAME or demo, or NAME= before it"
        )
    if text.startswith(HUB):
        repository, at, revision = text.removeprefix(HUB).partition("@")
        if not repository or (at and not revision):
            raise ClipReferenceError(
                f"{reference!r}: a repository is named as hub:OWNER/NAME or hub:OWNER/NAME@REVISION"
            )
        published = HubRepository(name=repository, **({"revision": revision} if revision else {}))
        return NamedClip(name if named else repository.rpartition("/")[2], None, published)
    if text == DEMO:
        return NamedClip(name if named else DEMO, ASSETS / "clip")
    return NamedClip(name if named else Path(text).resolve().name, Path(text))
