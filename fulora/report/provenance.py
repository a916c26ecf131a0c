"""The stages whose results a report shows, from the records of its artifacts."""

from collections.abc import Iterable

from fulora.report.page import ProvenanceRow
from fulora.stage import RECORD, Artifact, read_record


def provenance(artifacts: Iterable[Artifact]) -> list[ProvenanceRow]:
    """Return a row for every stage behind the artifacts, inputs before what was made of them."""
    rows: dict[str, ProvenanceRow] = {}
    for artifact in artifacts:
        _collect(artifact, rows)
    return list(rows.values())


def _collect(artifact: Artifact, rows: dict[str, ProvenanceRow]) -> None:
    if artifact.fingerprint in rows or not artifact.made or artifact.made == artifact.fingerprint:
        return
    record = read_record(artifact.path)
    for folder in record["input_folders"].values():
        path = artifact.path.parent / folder
        if (path / RECORD).is_file():
            _collect(Artifact(path, read_record(path)["fingerprint"]), rows)
    rows[artifact.fingerprint] = ProvenanceRow(
        record["stage"],
        record["label"],
        artifact.fingerprint,
        record["digest"][:16],
        record["input_fingerprints"],
        record["identity"]["version"],
        record["identity"]["arguments"],
    )
