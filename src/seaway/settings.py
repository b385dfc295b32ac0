"""
Settings of an installation, read once at start: `seaway.toml`, then `SEAWAY_*` variables, then command-line options.

The description of each field is its row in the manual (`docs/operate/settings.md`); a test compares the two.
"""

import os
import re
import socket
import tomllib
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from seaway.errors import BadSetting
from seaway.urls import normal_url

CONFIG_FILE = Path("seaway.toml")

_OTHER_VARIABLES = frozenset({"SEAWAY_CONFIG", "SEAWAY_SERVER", "SEAWAY_KEY"})  # options of commands, not settings
_STORAGE_SCHEMES = ("file", "memory", "s3", "gs", "az")
_TAKEN_PROVIDER_NAMES = ("github", "google", "password", "passkey", "second-factor")
_MAIL_SCHEMES = ("smtp", "smtps", "folder", "log")
_SECRET_KEY_CHARS = 32
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def _host(value: str) -> str:
    """Normalize a host name or IP address, which may be in brackets as in URLs, or shortened as in `127.1` and `0`."""
    host = value.strip().lower()
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not re.fullmatch(r"[0-9a-z._-]+|[0-9a-f:.]+(?:%[0-9a-z._-]+)?", host):
        raise ValueError("it is neither an address such as 127.0.0.1 or ::1 nor the name of a host")
    try:
        return str(ip_address(host))
    except ValueError:
        if ":" in host:
            raise ValueError("it is not an address such as 127.0.0.1 or ::1; set the port separately") from None
    try:
        return socket.inet_ntoa(socket.inet_aton(host))
    except OSError:
        return host.rstrip(".")


def _ip_of(host: str) -> IPv4Address | IPv6Address | None:
    """Return the IP address that the host is, None for a name. An IPv4-mapped IPv6 address becomes IPv4."""
    try:
        address = ip_address(host)
    except ValueError:
        return None
    return (address.ipv4_mapped if isinstance(address, IPv6Address) else None) or address


def _public_url(value: str) -> str:
    if not value:
        return ""
    url = normal_url(value)
    parts = urlsplit(url)
    if parts.query or parts.fragment or "?" in value or "#" in value:
        raise ValueError("it is not an address such as https://conda.example.com")
    if parts.path not in ("", "/"):
        raise ValueError("Seaway owns the root of its host, so the address has no path")
    return url.rstrip("/")


def _endpoint(value: str) -> str:
    return normal_url(value).rstrip("/") if value else ""


def _public_urls(value: str) -> str:
    return ",".join(_public_url(part) for part in value.replace(",", " ").split())


def _stripped(value: SecretStr) -> SecretStr:
    return SecretStr(value.get_secret_value().strip())


def _proxies(value: str) -> str:
    for part in value.replace(",", " ").split():
        try:
            ip_network(part)
        except ValueError:
            raise ValueError(f"{part!r} is not an IP address or network such as 10.0.0.0/8") from None
    return value


def _database_url(value: SecretStr) -> SecretStr:
    value = _stripped(value)
    parts = urlsplit(value.get_secret_value())
    if value.get_secret_value() and (parts.scheme not in ("postgresql", "postgres") or not parts.path.strip("/")):
        raise ValueError("it is not an address such as postgresql://user:password@host/name")
    return value


def _internal_path(value: str) -> str:
    if not re.fullmatch(r"/(?:[A-Za-z0-9_.-]+/)+", value) or "/../" in value or "/./" in value:
        raise ValueError("it is not a path such as /_seaway/store/, with a slash at both ends")
    return value


def _provider_url(value: str) -> str:
    parts = urlsplit(value)
    is_plain = not (parts.query or parts.fragment or "@" in parts.netloc) and value.isascii() and value.isprintable()
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
    if not parts.hostname or not is_plain or not is_safe:
        raise ValueError("it is not an address such as https://login.example.com")
    return normal_url(value)


def _github_url(value: str) -> str:
    return _provider_url(value).rstrip("/")


class OpenIdProvider(BaseModel):
    """Identity provider for signing in: one `[[oidc]]` table of the file."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,38}$")]
    title: Annotated[str, Field(min_length=1, max_length=60)]
    issuer: Annotated[str, AfterValidator(_provider_url)]
    client_id: Annotated[str, Field(min_length=1)]
    client_secret: SecretStr
    algorithms: tuple[Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"], ...] = (
        "RS256",
        "ES256",
    )
    scopes: tuple[str, ...] = ("openid", "profile", "email")

    @field_validator("scopes")
    @classmethod
    def _has_openid(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if "openid" not in value:
            raise ValueError("without the scope openid nobody says who somebody is")
        return value


def _providers(value: list[OpenIdProvider]) -> list[OpenIdProvider]:
    names = [provider.name for provider in value]
    for name in names:
        if name in _TAKEN_PROVIDER_NAMES or names.count(name) > 1:
            raise ValueError(f"the name {name} is taken")
    return value


def _secret_key(value: SecretStr) -> SecretStr:
    parts = [part.strip() for part in value.get_secret_value().split(",")]
    if value.get_secret_value() and any(len(part) < _SECRET_KEY_CHARS for part in parts):
        raise ValueError(f"each key has {_SECRET_KEY_CHARS} characters or more; `openssl rand -hex 32` makes one")
    return value


def _secret_scanning_keys(value: str) -> str:
    if "://" in value and urlsplit(value).scheme != "https":
        raise ValueError("it is neither an https:// address nor the path of a file")
    return normal_url(value) if "://" in value else value


def _mail_url(value: SecretStr) -> SecretStr:
    value = _stripped(value)
    parts = urlsplit(value.get_secret_value())
    if parts.scheme not in _MAIL_SCHEMES or (parts.scheme.startswith("smtp") and not parts.hostname):
        raise ValueError("it is not an address such as smtp://user:password@host:587, folder: or log:")
    return value


def _mail_from(value: str) -> str:
    if value and not re.fullmatch(r"(?:[^<>@\r\n]*<[^<>@\s]+@[^<>@\s]+>|[^<>@\s]+@[^<>@\s]+)", value):
        raise ValueError("it is not a sender such as Seaway <seaway@example.com>")
    return value


def _storage_url(value: str) -> str:
    scheme, _, place = value.partition(":")
    if value and scheme.lower() not in _STORAGE_SCHEMES:
        raise ValueError(
            "it is not an address such as s3://bucket, gs://bucket, az://container, file:///folder or memory:"
        )
    return f"{scheme.lower()}:{place}" if value else ""


class Settings(BaseSettings):
    """Effective settings of an installation."""

    model_config = SettingsConfigDict(env_prefix="SEAWAY_", extra="forbid", str_strip_whitespace=True)

    data: Annotated[Path, Field(description="The folder for the database, the packages and the spool.")] = Path("data")
    database_url: Annotated[
        SecretStr,
        AfterValidator(_database_url),
        Field(
            description="PostgreSQL, for many workers: `postgresql://user:password@host/name`; empty for SQLite in `data`."
        ),
    ] = SecretStr("")
    database_connections: Annotated[
        int, Field(ge=4, le=500, description="The most connections of each worker to PostgreSQL.")
    ] = 15
    storage_url: Annotated[
        str,
        AfterValidator(_storage_url),
        Field(
            description="Where packages lie: `s3://bucket`, `gs://bucket`, `az://container`, `file:///folder`, `memory:` "
            "for trials; empty for a folder in `data`."
        ),
    ] = ""
    s3_endpoint: Annotated[
        str, AfterValidator(_endpoint), Field(description="The address of an S3 server that is not Amazon's.")
    ] = ""
    s3_region: Annotated[str, Field(description="The region of the bucket.")] = ""
    s3_access_key: Annotated[
        str, Field(description="The access key; without it, `AWS_*` variables or the role of the machine are used.")
    ] = ""
    s3_secret_key: Annotated[SecretStr, Field(description="The secret of the access key.")] = SecretStr("")
    downloads: Annotated[
        Literal["redirect", "direct", "x-accel"],
        Field(
            description="How package files leave: from a bucket by `redirect` to an address signed for the one file, or "
            "`direct` through Seaway; from a folder directly, or with `x-accel` through the nginx in front."
        ),
    ] = "redirect"
    x_accel_prefix: Annotated[
        str,
        AfterValidator(_internal_path),
        Field(description="The internal location of nginx that is the folder of the store, for `downloads = x-accel`."),
    ] = "/_seaway/store/"
    redirect_seconds: Annotated[
        int,
        Field(ge=10, le=86_400, description="How long such an address is good; 300 at most for private channels."),
    ] = 300
    workers: Annotated[int, Field(ge=1, le=256, description="Processes that serve, side by side.")] = 1
    jobs: Annotated[
        bool, Field(description="Whether `serve` does background jobs; if not, run `seaway work` somewhere.")
    ] = True
    scrub_days: Annotated[
        int,
        Field(
            ge=0,
            le=3_650,
            description="In how many days a background job reads and verifies every stored file once; 0: never.",
        ),
    ] = 30
    metrics_port: Annotated[
        int | None, Field(ge=0, le=65535, description="The port for Prometheus' `/metrics`; none is opened without it.")
    ] = None
    metrics_host: Annotated[
        str, AfterValidator(_host), Field(description="The address on which `/metrics` listens.")
    ] = "127.0.0.1"
    host: Annotated[
        str,
        AfterValidator(_host),
        Field(
            description="The address to listen on; `localhost` for both loopback addresses, `0.0.0.0` for every interface."
        ),
    ] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535, description="The port to listen on; 0 takes a free one.")] = 8000
    public_url: Annotated[
        str,
        AfterValidator(_public_url),
        Field(description="The address under which users reach Seaway, such as `https://conda.example.com`."),
    ] = ""
    insecure_http: Annotated[
        bool, Field(description="Allow a public address with plain http, where anybody on the way can read keys.")
    ] = False
    trusted_proxies: Annotated[
        str,
        AfterValidator(_proxies),
        Field(description="Addresses or networks whose `X-Forwarded-For` and `-Proto` are believed, by commas."),
    ] = ""
    sweep_max_percent: Annotated[
        int,
        Field(
            ge=0,
            le=100,
            description="The share of the store, in blobs or bytes, that a sweep may delete without confirmation.",
        ),
    ] = 50
    disk_reserve: Annotated[
        int,
        Field(
            ge=0,
            description="Bytes that the file `reserve` in `data` keeps free with SQLite, so that packages can be deleted "
            "when the disk is full. 0: none.",
        ),
    ] = 33_554_432
    upload_limit: Annotated[int, Field(ge=1, description="The largest package file, in bytes.")] = 1_073_741_824
    uploads_per_hour: Annotated[
        int,
        Field(
            ge=0,
            description="How many files an hour one user, or one trusted publisher, may upload in the long run. "
            "0: any number.",
        ),
    ] = 600
    uploads_at_once: Annotated[
        int,
        Field(
            ge=1,
            description="How many files they may upload before that counts; who waits gets `uploads_per_hour` of them back.",
        ),
    ] = 6000
    user_quota: Annotated[
        int,
        Field(
            ge=0,
            le=2**53,
            description="How many bytes all channels that one user owns may hold together, unfinished uploads included, "
            "unless an admin set another quota for the user. 0: any number.",
        ),
    ] = 0
    searches_per_minute: Annotated[
        int,
        Field(
            ge=0,
            description="How many searches and lists of channels and packages one address may ask for in a minute, of each "
            "worker. 0: any number.",
        ),
    ] = 1200
    file_lists_per_minute: Annotated[
        int,
        Field(
            ge=0,
            description="How many lists of the files in a package one user, publisher or address may request in a minute, of "
            "each worker; a comparison of two counts as ten. 0: any number.",
        ),
    ] = 600
    index_max_age: Annotated[
        int, Field(ge=0, le=86_400, description="Seconds for which readers may keep index documents without asking.")
    ] = 0
    whole_document_limit: Annotated[
        int,
        Field(
            ge=0,
            description="Up to this many records in a subdir, `repodata.json` is never behind; above, by one build.",
        ),
    ] = 100_000
    public_url_aliases: Annotated[
        str,
        AfterValidator(_public_urls),
        Field(description="Other addresses of this server that attestations may name, separated by commas."),
    ] = ""
    sigstore_root: Annotated[
        str, Field(description="A `trusted_root.json` to verify attestations by, instead of the public Sigstore's.")
    ] = ""
    sigstore_refresh: Annotated[
        bool,
        Field(description="Whether the trusted root is fetched once a day from Sigstore, `tuf-repo-cdn.sigstore.dev`."),
    ] = False
    examiners: Annotated[
        int,
        Field(
            ge=1,
            le=64,
            description="Processes that open uploaded packages, side by side. One sender uses at most all but one of them.",
        ),
    ] = 3
    archive_members: Annotated[
        int,
        Field(
            ge=10,
            le=10_000_000,
            description="Maximum number of members of a package, and of paths in each of its file lists.",
        ),
    ] = 200_000
    archive_unpacked_bytes: Annotated[
        int, Field(ge=1024**2, le=1024**4, description="Maximum unpacked size of a package, in bytes.")
    ] = 16 * 1024**3
    archive_unpacked_ratio: Annotated[
        int,
        Field(
            ge=10, le=1_000_000, description="Maximum unpacked size as a multiple of the file size; 64 MiB are added."
        ),
    ] = 1024
    archive_info_members: Annotated[
        int, Field(ge=10, le=1_000_000, description="Maximum number of members of the info part of a package.")
    ] = 20_000
    archive_info_bytes: Annotated[
        int, Field(ge=1024**2, le=1024**3, description="Maximum unpacked size of the info part of a package, in bytes.")
    ] = 64 * 1024**2
    escaping_links: Annotated[
        Literal["warn", "refuse"],
        Field(description="What to do with a package whose links point out of its folder: `warn` or `refuse`."),
    ] = "warn"
    fetch_avatars: Annotated[
        bool,
        Field(
            description="Whether a channel's logo may be given as the address of an avatar at GitHub, and is fetched."
        ),
    ] = True
    secret_key: Annotated[
        SecretStr,
        AfterValidator(_secret_key),
        Field(
            description="What secrets in the database are encrypted with, 32 characters or more; several by commas, of "
            "which the first encrypts. Empty: one is made at the first start and kept in the store."
        ),
    ] = SecretStr("")
    keys_without_end: Annotated[
        bool, Field(description="Whether people may make API keys that never expire; else a year is the longest.")
    ] = False
    secret_scanning_keys: Annotated[
        str,
        AfterValidator(_secret_scanning_keys),
        Field(
            description="The public keys of who reports leaked API keys: a file, or an address such as "
            "`https://api.github.com/meta/public_keys/secret_scanning`. Empty: no reports are taken."
        ),
    ] = ""
    sign_up: Annotated[
        Literal["open", "closed"], Field(description="Whether strangers can make an account for themselves.")
    ] = "open"
    email_domains: Annotated[
        str, Field(description="Domains of addresses with which people may sign up, by commas; empty for any.")
    ] = ""
    require_verification: Annotated[
        bool, Field(description="Whether an address must be verified before its user makes channels, keys, publishers.")
    ] = True
    require_second_factor: Annotated[
        Literal["nobody", "owners", "everybody"],
        Field(
            description="Who must have a second factor before they, their keys and their tools change anything: `owners` are "
            "those of channels."
        ),
    ] = "nobody"
    mail_url: Annotated[
        SecretStr,
        AfterValidator(_mail_url),
        Field(
            description="Where letters go: `smtp://user:password@host:587`, `smtps://...`, `folder:` for files in `data/mail` "
            "or `folder:///path`, `log:` for a line in the log."
        ),
    ] = SecretStr("folder:")
    mail_from: Annotated[
        str,
        AfterValidator(_mail_from),
        Field(
            description="The sender of letters, such as `Seaway <seaway@example.com>`; empty for one at the public host."
        ),
    ] = ""
    trusted_publishing: Annotated[
        bool, Field(description="Whether tokens of workflows are exchanged at all (`docs/operate/issuers.md`).")
    ] = True
    workflow_token_minutes: Annotated[
        int, Field(ge=5, le=60, description="How long a workflow can publish with what it got for its token.")
    ] = 30
    stop_seconds: Annotated[
        int, Field(ge=1, le=3_600, description="How long a stop waits for uploads and downloads in flight.")
    ] = 30
    github_client_id: Annotated[str, Field(description="The client id of the OAuth app at GitHub.")] = ""
    github_client_secret: Annotated[SecretStr, Field(description="The client secret of that app.")] = SecretStr("")
    github_url: Annotated[
        str,
        AfterValidator(_github_url),
        Field(description="GitHub, or your GitHub Enterprise Server: `https://github.example.com`."),
    ] = "https://github.com"
    github_api_url: Annotated[
        str,
        AfterValidator(_github_url),
        Field(description="Its API; that of an Enterprise Server is `https://github.example.com/api/v3`."),
    ] = "https://api.github.com"
    google_client_id: Annotated[str, Field(description="The client id of the OAuth client at Google.")] = ""
    google_client_secret: Annotated[SecretStr, Field(description="The client secret of that client.")] = SecretStr("")
    google_issuer: Annotated[
        str, AfterValidator(_provider_url), Field(description="Google's name as OpenID provider.")
    ] = "https://accounts.google.com"
    oidc: Annotated[
        list[OpenIdProvider],
        AfterValidator(_providers),
        Field(
            description="Other OpenID providers, one `[[oidc]]` each in `seaway.toml`, or as a JSON list in the variable "
            "([how](sign-in.md))."
        ),
    ] = []
    log_format: Annotated[
        Literal["text", "json"], Field(description="How log lines are written: `text` for people, `json` for machines.")
    ] = "text"
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Field(description="The least important line that is written.")
    ] = "info"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read environment variables besides the arguments of `load`; ignore `.env` files and secrets folders."""
        return (init_settings, env_settings)

    @property
    def site_url(self) -> str:
        """URL of the site for users: the public URL, or the address listened on. Never taken from a request."""
        host = "localhost" if self.is_every_address else f"[{self.host}]" if ":" in self.host else self.host
        return self.public_url or f"http://{host}:{self.port}"

    @property
    def is_every_address(self) -> bool:
        """Whether the server listens on every address of this machine."""
        address = _ip_of(self.host)
        return address is not None and address.is_unspecified

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can connect."""
        address = _ip_of(self.host)
        return self.host == "localhost" if address is None else address.is_loopback

    @property
    def other_urls(self) -> tuple[str, ...]:
        """Other URLs of the site."""
        return tuple(self.public_url_aliases.split(",")) if self.public_url_aliases else ()

    @property
    def database_file(self) -> Path:
        """File of the SQLite database."""
        return self.data / "seaway.db"

    @property
    def listening_file(self) -> Path:
        """File where a server saves the address that it listens on."""
        return self.data / "listening"

    @property
    def locks_folder(self) -> Path:
        """Folder of the lock files that the processes of one machine share."""
        return self.data / "locks"

    @property
    def reserve_file(self) -> Path:
        """File that reserves disk space for deletions."""
        return self.data / "reserve"

    @property
    def effective_storage_url(self) -> str:
        """URL of the storage, with the default applied."""
        return self.storage_url or (self.data / "store").resolve().as_uri()

    @property
    def effective_mail_from(self) -> str:
        """Sender of emails, with the default applied."""
        host = urlsplit(self.site_url).hostname or "localhost"
        return self.mail_from or f"Seaway <seaway@{f'[{host}]' if ':' in host else host}>"

    @property
    def mail_folder(self) -> Path:
        """Folder for emails when `mail_url` names no other."""
        return self.data / "mail"

    def shown(self) -> dict[str, Any]:
        """Return the settings without secrets, for output and logs."""
        values = self.model_dump(mode="json")
        values["database_url"] = _without_secrets(self.database_url.get_secret_value())
        values["mail_url"] = _without_secrets(self.mail_url.get_secret_value())
        return values

    @property
    def spool_folder(self) -> Path:
        """Folder that receives uploads, on the file system of the store so that files can be moved there."""
        return self.data / "spool"


def _without_secrets(url: str) -> str:
    """Return the scheme, user, host and path of a URL; the rest may contain a password."""
    if "://" not in url:
        return url
    scheme, _, rest = url.partition("://")
    address, _, options = rest.partition("?")
    if "@" in options and "@" not in address:
        return f"{scheme}://..."  # a ? in the password, or an @ in the options: it cannot be known
    user_part, at, place = address.rpartition("@")  # the last @, since a password may contain one
    return f"{scheme}://{user_part.partition(':')[0]}{at}{place}"


def load(config: Path | None = None, **overrides: Any) -> Settings:
    """Read and validate the settings; `BadSetting` names the invalid one and how to correct it."""
    _refuse_unknown_variables()
    values = _from_file(config)
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        from_variables = Settings().model_dump(exclude_unset=True)
        settings = Settings(**{**values, **from_variables, **given})
    except ValidationError as error:
        raise _explained(error) from None
    except SettingsError:
        raise BadSetting(
            "The variable SEAWAY_OIDC is not JSON.", "Write a list such as [{...}], or use seaway.toml."
        ) from None
    _check_public_url(settings)
    _check_memory(settings)
    _check_downloads(settings)
    _check_provider("github", settings.github_client_id, settings.github_client_secret)
    _check_provider("google", settings.google_client_id, settings.google_client_secret)
    return settings


def _from_file(config: Path | None) -> dict[str, Any]:
    path = config or CONFIG_FILE
    if config is None and not path.exists():
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadSetting(
            f"The configuration file {path} does not exist.", "Create it, or leave out --config."
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise BadSetting(f"The configuration file {path} cannot be read: {error}.", "Correct that line.") from None


def _refuse_unknown_variables() -> None:
    """Refuse unknown `SEAWAY_*` variables, since a misspelled one would be ignored silently."""
    known = {f"SEAWAY_{name}".upper() for name in Settings.model_fields} | _OTHER_VARIABLES
    for variable in sorted(os.environ):
        if variable.startswith("SEAWAY_") and variable not in known:
            raise BadSetting(
                f"There is no setting for the variable {variable}.",
                "Correct its name or unset it; `seaway config` lists all.",
            )


def _explained(error: ValidationError) -> BadSetting:
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"]) or "settings"
    if first["type"] == "extra_forbidden":
        known = ", ".join(Settings.model_fields)
        return BadSetting(f"There is no setting named {name}.", f"The settings are {known}.")
    reason = str(first["msg"]).removeprefix("Value error, ")
    is_secret = (name in Settings.model_fields and Settings.model_fields[name].annotation is SecretStr) or (
        name.startswith("oidc") and (name.endswith("secret") or not isinstance(first["input"], str))
    )
    found = "cannot be used" if is_secret else f"is {first['input']!r}"
    return BadSetting(
        f"The setting {name} {found}: {reason}.",
        f"Correct {name} in seaway.toml or SEAWAY_{name.partition('.')[0].upper()} in the environment.",
    )


def _check_memory(settings: Settings) -> None:
    if settings.storage_url.startswith("memory") and settings.workers > 1:
        raise BadSetting(
            f"The setting storage_url is memory:, and each of {settings.workers} workers would have packages of its own.",
            "Set workers = 1 for a trial, or another storage_url.",
        )


def _check_downloads(settings: Settings) -> None:
    if settings.downloads == "x-accel" and not settings.effective_storage_url.startswith("file:"):
        raise BadSetting(
            f"The setting downloads is x-accel, and nginx sends files of a folder only, not of {settings.storage_url}.",
            'Set downloads = "redirect" or "direct", or a storage_url such as file:///folder.',
        )


def _check_provider(name: str, client_id: str, client_secret: SecretStr) -> None:
    if bool(client_id) is not bool(client_secret.get_secret_value()):
        raise BadSetting(
            f"Of the settings {name}_client_id and {name}_client_secret one is missing.",
            "Set both, or neither; the manual says where they come from.",
        )


def _check_public_url(settings: Settings) -> None:
    parts = urlsplit(settings.public_url)
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK and not settings.insecure_http:
        raise BadSetting(
            f"The setting public_url is {settings.public_url!r}, and over plain http anybody on the way can read keys.",
            "Put TLS in front and use https://, or set insecure_http = true (SEAWAY_INSECURE_HTTP=true) for a closed network.",
        )
