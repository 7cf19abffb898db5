"""Accounts, and the tokens and tickets that stand for them."""

import asyncio
from dataclasses import dataclass

from application.accounts.administration import Accounts, new_password
from infrastructure.postgres.accounts import PostgresAccounts
from infrastructure.postgres.tickets import PostgresSpentTickets
from infrastructure.security import signing_key
from infrastructure.security.first_password import keep_first_password
from infrastructure.security.passwords import Argon2Hasher
from infrastructure.security.subject_vault import SigningKeyVault
from infrastructure.security.tickets import JwtTickets
from infrastructure.security.tokens import JwtAccessTokens
from infrastructure.settings import Settings
from infrastructure.webhooks.secret_box import SigningKeySecretBox
from interfaces.bootstrap.ground import Ground


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """Who may ask, and what the signing key is good for."""

    accounts: Accounts
    tokens: JwtAccessTokens
    tickets: JwtTickets
    box: SigningKeySecretBox
    vault: SigningKeyVault


async def open_accounts(ground: Ground, settings: Settings) -> People:
    """With an administrator, who is made when there is none.

    Raises UnsafeKey, Invalid (the first password), DatabaseUnavailable, OSError.
    """
    store = PostgresAccounts(ground.async_pool)
    accounts = Accounts(store, Argon2Hasher())
    key_file = settings.signing_key_file or settings.data_dir / "signing-key.pem"
    key = await asyncio.to_thread(signing_key.load_or_make, key_file)
    issuer = f"urn:uuid:{ground.store.store_id}"
    if not await store.has_administrator():
        given = settings.admin_password
        password = (
            given.get_secret_value()
            if given
            else keep_first_password(settings.data_dir, new_password)
        )
        await accounts.ensure_administrator(password)
    return People(
        accounts=accounts,
        tokens=JwtAccessTokens(key, issuer=issuer, lifetime_seconds=settings.token_seconds),
        tickets=JwtTickets(key, PostgresSpentTickets(ground.async_pool), issuer=issuer),
        box=SigningKeySecretBox(key.private),
        vault=SigningKeyVault(key.private),
    )
