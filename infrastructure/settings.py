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
