"""Every setting of the service: name, unit, default, meaning. Read once, at the start.

A setting comes from a flag of `muster up`, else from its `MUSTERROLL_*` variable, else from
`musterroll.toml` in the working folder, else from its default.
"""

import os
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from infrastructure.origins import listed, origin_from


def default_data_dir() -> Path:
    """`$XDG_DATA_HOME/musterroll`, else `~/.local/share/musterroll`."""
    share = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(share) / "musterroll"


class Settings(BaseSettings):
    """The settings of one service process."""

    model_config = SettingsConfigDict(
        env_prefix="MUSTERROLL_", toml_file="musterroll.toml", extra="ignore", frozen=True
    )

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    behind_proxy: bool = Field(
        False,
        description="Allow another address than loopback: a proxy in front of it does TLS.",
    )
    allowed_origins: Annotated[
        tuple[Annotated[str, AfterValidator(origin_from)], ...], BeforeValidator(listed), NoDecode
    ] = Field(
        (),
        max_length=100,
        description="Other origins (`https://example.org`) whose pages may open a WebSocket; "
        "a list, or one text with commas.",
    )
    data_dir: Path = Field(
        default_factory=default_data_dir,
        description="Folder of the embedded PostgreSQL, the keys, the list of erasures and the "
        "first password.",
    )
    database_url: SecretStr | None = Field(
        None, description="An external PostgreSQL (15 or later); without it one is embedded."
    )
    database_owner_url: SecretStr | None = Field(
        None,
        description="The role that owns the tables of an external PostgreSQL and migrates them; "
        "the other then may not change history. Default: the same as database_url.",
    )
    database_connections: int = Field(
        16, ge=4, le=200, description="Connections to PostgreSQL at most."
    )
    admin_password: SecretStr | None = Field(
        None,
        description="Password of the first administrator, `admin`; without it one is made and "
        "kept in the data folder.",
    )
    signing_key_file: Path | None = Field(
        None,
        description="Ed25519 key (PEM) that signs access tokens, and without which what is "
        "personal cannot be read; default: one made in the data folder.",
    )
    seal_key_file: Path | None = Field(
        None,
        description="Ed25519 key (PEM) that signs the heads of the sealed log; "
        "default: one made in the data folder.",
    )
    seal_seconds: float = Field(
        10,
        ge=0.05,
        le=3600,
        description="Age at which events are sealed, even where they fill no block of 1,000, s.",
    )
    heads_file: Path | None = Field(
        None,
        description="File outside the database to which every head is appended; "
        "default: `heads.ndjson` in the data folder.",
    )
    token_seconds: int = Field(900, ge=10, le=900, description="Lifetime of an access token, s.")
    lease_seconds: float = Field(
        30, ge=1, le=3600, description="How long a lease holds without a heartbeat, s."
    )
    heartbeat_seconds: float = Field(
        10, ge=0.2, le=600, description="How often a worker is asked for a heartbeat, s."
    )
    offline_seconds: float = Field(
        30, ge=1, le=3600, description="Silence after which an agent counts as offline, s."
    )
    ageing_seconds: float = Field(
        60,
        gt=0,
        le=86400,
        description="Waiting that weighs as much as one level of priority, s; so nothing starves.",
    )
    routing_policy: Literal["weighted_load", "least_outstanding"] = Field(
        "weighted_load", description="How an agent is chosen among those that can do a task."
    )
    webhook_private_targets: bool = Field(
        False,
        description="Let webhooks post to private addresses, and without TLS; "
        "else to public ones by https only.",
    )
    backup_store: str | None = Field(
        None,
        description="Where archives are kept: a folder, `file:///folder` or `s3://bucket/prefix`; "
        "default: `backups` in the data folder.",
    )
    backup_s3_endpoint: str | None = Field(
        None, description="Another S3 service than Amazon's: its URL. Credentials: AWS_* variables."
    )
    backup_s3_region: str | None = Field(
        None, description="Region of the bucket; default: what AWS_* variables say."
    )
    backup_seconds: float = Field(
        300,
        ge=0,
        le=86400,
        description="Age at which an event gets into an archive, s; 0: there is no schedule.",
    )
    backup_full_hours: float = Field(
        24, gt=0, le=8760, description="How often an archive is written whole, hours."
    )
    backup_drill_days: float = Field(
        7, ge=0, le=3650, description="How often the newest archive is drilled, days; 0: never."
    )
    backup_verify_level: int = Field(
        2, ge=2, le=3, description="How thoroughly an archive is verified once it is stored."
    )
    backup_processes: int = Field(
        1,
        ge=1,
        le=32,
        description="How many processes look at the events of an archive that is verified, drilled "
        "or restored, beside the one that does the rest; 1: that one does it too.",
    )
    backup_recipients: Annotated[
        tuple[Annotated[str, Field(max_length=200)], ...], BeforeValidator(listed), NoDecode
    ] = Field(
        (),
        max_length=100,
        description="Who can read archives: age public keys; a list, or one text with commas. "
        "Without any, archives are not encrypted.",
    )
    backup_identity_file: Path | None = Field(
        None,
        description="age identities with which encrypted archives are read; "
        "the service can write them without.",
    )
    backup_keep_last: int = Field(
        48, ge=1, le=100_000, description="How many of the newest archives stay."
    )
    backup_keep_daily: int = Field(
        7, ge=0, le=10_000, description="Of how many days the newest archive stays."
    )
    backup_keep_weekly: int = Field(
        4, ge=0, le=10_000, description="Of how many weeks the newest archive stays."
    )
    backup_keep_monthly: int = Field(
        12, ge=0, le=10_000, description="Of how many months the newest archive stays."
    )
    backup_keep_days_min: float = Field(
        1, ge=0, le=36_500, description="Age up to which every archive stays, days."
    )
    backup_grace_hours: float = Field(
        24, ge=0, le=8760, description="Age up to which a file that no archive names stays, hours."
    )
    backup_lock_days: int = Field(
        0,
        ge=0,
        le=36_500,
        description="How long S3 lets nobody delete what is kept (object lock), days; 0: not.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least level of what is logged, to standard error."
    )

    @model_validator(mode="after")
    def _leases_can_be_renewed(self) -> Self:
        for name in ("lease_seconds", "offline_seconds"):
            if getattr(self, name) < 2 * self.heartbeat_seconds:
                raise ValueError(f"{name} must be at least twice heartbeat_seconds")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags first, then the environment, then the file."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)
