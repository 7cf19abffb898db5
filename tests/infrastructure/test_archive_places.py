"""Which repository a setting means, and which stores lie there."""

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from application.archives.faults import RepositoryUnavailable
from application.archives.format import LATEST
from infrastructure.archives.stores import (
    BadRepositoryUrl,
    Bucket,
    described,
    open_repository,
    place_of,
    store_ids,
)
from infrastructure.settings import Settings
from tests.s3_server import S3Server, s3_server

STORE, OTHER = UUID(int=7), UUID(int=8)
OURS = Path("/srv/musterroll")


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


@pytest.mark.parametrize(
    ("setting", "place"),
    [
        (None, OURS / "backups"),
        ("", OURS / "backups"),
        ("/mnt/kept here", Path("/mnt/kept here")),
        ("file:///mnt/kept%20here", Path("/mnt/kept here")),
        ("relative/place", Path("relative/place")),
        ("s3://bucket", Bucket("bucket", "")),
        ("s3://bucket/", Bucket("bucket", "")),
        ("s3://my.bucket-1/a/b_c", Bucket("my.bucket-1", "a/b_c/")),
    ],
)
def test_a_setting_means_a_folder_or_a_bucket(setting: str | None, place: Path | Bucket) -> None:
    assert place_of(Settings(backup_store=setting, data_dir=OURS)) == place


@pytest.mark.parametrize(
    "setting",
    [
        "~nobody-of-this-name/hunter2",
        "s3://",
        "s3:///prefix",
        "s3://Bucket/prefix",
        "s3://key:hunter2@bucket/prefix",
        "s3://bucket/../hunter2",
        "s3://bucket/a/./b",
        "s3://bucket/a//b",
        "s3://bucket/a b",
        "s3://bucket/hunter2?x=y",
        f"s3://bucket/{'x' * 600}",
        "file://host/folder",
        "file://",
        "file:///a%00b",
        "https://hunter2@example.org/",
        "ftp://bucket",
        "a\0b",
    ],
    ids=ascii,
)
def test_anything_else_is_refused_and_not_repeated(setting: str) -> None:
    settings = Settings(backup_store=setting, data_dir=OURS)

    with pytest.raises(BadRepositoryUrl) as refused:
        open_repository(settings, STORE)
    with pytest.raises(BadRepositoryUrl):
        store_ids(settings)

    assert refused.value.code == "bad_repository_url"
    assert "hunter2" not in refused.value.message


@pytest.mark.parametrize(
    "endpoint",
    ["s3.example.org", "ftp://s3.example.org", "http://u:hunter2@s3", "http://s3:99999", "x://"],
)
def test_an_endpoint_that_is_none_is_refused_and_not_repeated(endpoint: str) -> None:
    settings = Settings(backup_store="s3://bucket", backup_s3_endpoint=endpoint)

    with pytest.raises(BadRepositoryUrl) as refused:
        open_repository(settings, STORE)

    assert "hunter2" not in refused.value.message


@pytest.mark.parametrize("kind", ["folder", "s3"])
def test_the_stores_of_a_place_are_found(server: S3Server, tmp_path: Path, kind: str) -> None:
    bucket = f"s3://{server.bucket()}/kept/here"
    settings = Settings(
        backup_store=bucket if kind == "s3" else str(tmp_path / "kept"),
        backup_s3_endpoint=server.url,
    )
    assert store_ids(settings) == []
    for store_id in (OTHER, STORE):
        open_repository(settings, store_id).replace(LATEST, b"name")

    if kind == "folder":
        (tmp_path / "kept" / "lost+found").mkdir()
        (tmp_path / "kept" / str(UUID(int=9))).write_bytes(b"")
        (tmp_path / "kept" / str(UUID(int=0xA)).upper()).mkdir()

    assert store_ids(settings) == [STORE, OTHER]
    assert open_repository(settings, STORE).get(LATEST, bytes_max=9) == b"name"


def test_a_place_that_is_not_there_has_no_stores_to_tell_of(
    server: S3Server, tmp_path: Path
) -> None:
    with pytest.raises(RepositoryUnavailable):
        store_ids(Settings(backup_store=str(tmp_path / "not" / "mounted")))
    with pytest.raises(RepositoryUnavailable, match="no such bucket"):
        store_ids(Settings(backup_store="s3://no-bucket", backup_s3_endpoint=server.url))


def test_what_a_lock_is_set_to_holds(server: S3Server) -> None:
    bucket = server.bucket(lock=True)
    settings = Settings(
        backup_store=f"s3://{bucket}", backup_s3_endpoint=server.url, backup_lock_days=3
    )

    open_repository(settings, STORE).put_if_absent(f"keys/{'0a' * 16}.age", b"key")

    found = server.client.head_object(Bucket=bucket, Key=f"{STORE}/keys/{'0a' * 16}.age")
    assert found["ObjectLockMode"] == "COMPLIANCE"


def test_a_folder_that_cannot_be_looked_into_is_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(_: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    # As of one that may be read and not entered, which root may.
    monkeypatch.setattr(Path, "is_dir", denied)

    with pytest.raises(RepositoryUnavailable, match="Permission denied"):
        described(Settings(backup_store=str(tmp_path)))
