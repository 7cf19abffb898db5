"""The file of the signing key."""

import stat
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from infrastructure.security.signing_key import UnsafeKey, load, load_or_make


def test_the_first_start_makes_a_key_that_only_the_owner_can_read(tmp_path: Path) -> None:
    path = tmp_path / "new" / "signing-key.pem"

    made = load_or_make(path)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load(path).key_id == made.key_id
    assert list(path.parent.iterdir()) == [path]


def test_the_next_start_finds_the_same_key(tmp_path: Path) -> None:
    path = tmp_path / "signing-key.pem"

    assert load_or_make(path).key_id == load_or_make(path).key_id


def test_processes_that_start_at_once_agree_on_a_key(tmp_path: Path) -> None:
    path = tmp_path / "signing-key.pem"
    program = (
        "import sys; from pathlib import Path;"
        "from infrastructure.security.signing_key import load_or_make;"
        "print(load_or_make(Path(sys.argv[1])).key_id)"
    )
    root = Path(__file__).parents[2]

    started = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(path)],
            cwd=root,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    keys = {process.communicate(timeout=60)[0].strip() for process in started}

    assert keys == {load(path).key_id}


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o601])
def test_a_key_that_others_can_reach_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "signing-key.pem"
    load_or_make(path)
    path.chmod(mode)

    with pytest.raises(UnsafeKey, match="chmod 600"):
        load_or_make(path)


@pytest.mark.parametrize("text", [b"", b"no key", b"-----BEGIN PRIVATE KEY-----\n"])
def test_a_file_without_a_key_is_refused(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "signing-key.pem"
    path.touch(0o600)
    path.write_bytes(text)

    with pytest.raises(UnsafeKey, match="no private key"):
        load(path)


def test_a_key_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "signing-key.pem"
    path.touch(0o600)
    other = generate_private_key(SECP256R1())
    path.write_bytes(other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))

    with pytest.raises(UnsafeKey, match="no Ed25519 key"):
        load(path)
