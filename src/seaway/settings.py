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
_RESERVED_PROVIDER_NAMES = ("github", "google", "password", "passkey", "second-factor")
_MAIL_SCHEMES = ("smtp", "smtps", "folder", "log")
_SECRET_KEY_CHARS = 32
_MAX_PROVIDER_URL = 400  # the name of its stored keys, which has the URL, is at most 500 characters
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def _host(value: str) -> str:
    """Normalize a host name or IP address, which may be in brackets as in URLs, or shortened as in `127.1` and `0`."""
    host = value.strip().lower()
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not re.fullmatch(r"[0-9a-z._-]+|[0-9a-f:.]+(?:%[0-9a-z._-]+)?", host):
        raise ValueError("it must be an IP address such as 127.0.0.1 or ::1, or a host name")
    try:
        return str(ip_address(host))
    except ValueError:
        if ":" in host:
            raise ValueError("it must be an IP address such as 127.0.0.1 or ::1, without a port") from None
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
        raise ValueError("it must be a URL such as https://conda.example.com")
    if parts.path not in ("", "/"):
        raise ValueError("it must not have a path, since Seaway uses the root of its host")
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
        raise ValueError("it must be a URL such as postgresql://user:password@host/name")
    return value


def _provider_url(value: str) -> str:
    parts = urlsplit(value)
    is_plain = not (parts.query or parts.fragment or "@" in parts.netloc) and value.isascii() and value.isprintable()
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
    if not parts.hostname or not is_plain or not is_safe or len(value) > _MAX_PROVIDER_URL:
        raise ValueError(
            f"it must be a URL such as https://login.example.com, of at most {_MAX_PROVIDER_URL} characters"
        )
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
    scopes: tuple[str, ...] = ("openid", "profile", "email")

    @field_validator("scopes")
    @classmethod
    def _has_openid(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if "openid" not in value:
            raise ValueError("the scope openid is required")
        return value


def _providers(value: list[OpenIdProvider]) -> list[OpenIdProvider]:
    names = [provider.name for provider in value]
    for name in names:
        if name in _RESERVED_PROVIDER_NAMES or names.count(name) > 1:
            raise ValueError(f"the name {name} is taken")
    return value


def _secret_key(value: SecretStr) -> SecretStr:
    parts = [part.strip() for part in value.get_secret_value().split(",")]
    if value.get_secret_value() and any(len(part) < _SECRET_KEY_CHARS for part in parts):
        raise ValueError(f"each key needs {_SECRET_KEY_CHARS} characters or more; `openssl rand -hex 32` creates one")
    return value


def _secret_scanning_keys(value: str) -> str:
    if "://" in value and urlsplit(value).scheme != "https":
        raise ValueError("it must be an https:// URL or the path of a file")
    return normal_url(value) if "://" in value else value


def _mail_url(value: SecretStr) -> SecretStr:
    value = _stripped(value)
    parts = urlsplit(value.get_secret_value())
    if parts.scheme not in _MAIL_SCHEMES or (parts.scheme.startswith("smtp") and not parts.hostname):
        raise ValueError("it must be a URL such as smtp://user:password@host:587, folder: or log:")
    return value


def _mail_from(value: str) -> str:
    if value and not re.fullmatch(r"(?:[^<>@\r\n]*<[^<>@\s]+@[^<>@\s]+>|[^<>@\s]+@[^<>@\s]+)", value):
        raise ValueError("it must be a sender such as Seaway <seaway@example.com>")
    return value


def _storage_url(value: str) -> str:
    scheme, _, location = value.partition(":")
    if value and scheme.lower() not in _STORAGE_SCHEMES:
        raise ValueError("it must be a URL such as s3://bucket, gs://bucket, az://container, file:///folder or memory:")
    return f"{scheme.lower()}:{location}" if value else ""


class Settings(BaseSettings):
    """Effective settings of an installation."""

    model_config = SettingsConfigDict(env_prefix="SEAWAY_", extra="forbid", str_strip_whitespace=True)

    data: Path = Field(default=Path("data"), description="Folder for the database, the packages and the spool.")
    database_url: Annotated[SecretStr, AfterValidator(_database_url)] = Field(
        default=SecretStr(""),
        description="URL of a PostgreSQL database, for many workers: `postgresql://user:password@host/name`. "
        "Empty: SQLite in `data`.",
    )
    database_connections: int = Field(
        default=15, ge=4, le=500, description="Maximum number of PostgreSQL connections of each worker."
    )
    storage_url: Annotated[str, AfterValidator(_storage_url)] = Field(
        default="",
        description="Where packages are stored: `s3://bucket`, `gs://bucket`, `az://container`, `file:///folder`, "
        "or `memory:` for trials. Empty: a folder in `data`.",
    )
    s3_endpoint: Annotated[str, AfterValidator(_endpoint)] = Field(
        default="", description="URL of an S3-compatible server. Empty: Amazon S3."
    )
    s3_region: str = Field(default="", description="Region of the bucket.")
    s3_access_key: str = Field(
        default="", description="Access key ID. Empty: the `AWS_*` variables or the role of the machine."
    )
    s3_secret_key: SecretStr = Field(default=SecretStr(""), description="Secret access key.")
    downloads: Literal["redirect", "direct", "x-accel"] = Field(
        default="redirect",
        description="How package files are delivered: from a bucket by `redirect` to a presigned URL, or `direct` "
        "through Seaway; from a folder through Seaway, or with `x-accel` by the nginx in front.",
    )
    workers: int = Field(default=1, ge=1, le=256, description="Number of server processes.")
    jobs: bool = Field(
        default=True, description="Whether `serve` runs background jobs; if not, run `seaway work` as well."
    )
    scrub_days: int = Field(
        default=30,
        ge=0,
        le=3_650,
        description="Days in which a background job reads and verifies every stored file once. 0: never.",
    )
    metrics_port: int | None = Field(
        default=None, ge=0, le=65535, description="Port of the Prometheus endpoint `/metrics`. Empty: no metrics."
    )
    metrics_host: Annotated[str, AfterValidator(_host)] = Field(
        default="127.0.0.1", description="Address that `/metrics` listens on."
    )
    host: Annotated[str, AfterValidator(_host)] = Field(
        default="127.0.0.1",
        description="Address to listen on: `localhost` for both loopback addresses, `0.0.0.0` for all interfaces.",
    )
    port: int = Field(default=8000, ge=0, le=65535, description="Port to listen on. 0: a free port.")
    public_url: Annotated[str, AfterValidator(_public_url)] = Field(
        default="", description="URL where users reach Seaway, such as `https://conda.example.com`."
    )
    insecure_http: bool = Field(
        default=False,
        description="Allow a public URL with plain http, which exposes API keys to anyone on the network path.",
    )
    trusted_proxies: Annotated[str, AfterValidator(_proxies)] = Field(
        default="",
        description="IP addresses or networks whose `X-Forwarded-For` and `-Proto` are trusted, separated by commas.",
    )
    sweep_max_percent: int = Field(
        default=50,
        ge=0,
        le=100,
        description="Maximum percentage of the store, in blobs or bytes, that a sweep deletes without confirmation.",
    )
    disk_reserve: int = Field(
        default=33_554_432,
        ge=0,
        description="Size in bytes of the file `reserve` in `data`, with SQLite only. It is emptied when the disk "
        "is full, so that packages can be deleted. 0: none.",
    )
    upload_limit: int = Field(default=1_073_741_824, ge=1, description="Maximum size of a package file, in bytes.")
    uploads_per_hour: int = Field(
        default=600,
        ge=0,
        description="Maximum number of files that a user or trusted publisher can upload per hour, in the long "
        "run. 0: no limit.",
    )
    upload_burst: int = Field(
        default=6000,
        ge=1,
        description="Number of files that can be uploaded in a burst; refills at `uploads_per_hour`.",
    )
    user_quota: int = Field(
        default=0,
        ge=0,
        le=2**53,
        description="Maximum number of bytes in all channels that a user owns, including unfinished uploads, "
        "unless an admin set another quota for the user. 0: no limit.",
    )
    searches_per_minute: int = Field(
        default=1200,
        ge=0,
        description="Maximum number of searches and of lists of channels and packages per minute, for one IP "
        "address and worker. 0: no limit.",
    )
    index_max_age: int = Field(
        default=0,
        ge=0,
        le=86_400,
        description="Seconds for which clients can cache index documents without revalidation.",
    )
    whole_document_limit: int = Field(
        default=100_000,
        ge=0,
        description="Up to this many records in a subdir, `repodata.json` is always up to date; above, it can be "
        "one build behind.",
    )
    public_url_aliases: Annotated[str, AfterValidator(_public_urls)] = Field(
        default="", description="Other URLs of this server that attestations can name, separated by commas."
    )
    sigstore_refresh: bool = Field(
        default=False,
        description="Whether to download the trusted root once a day from Sigstore, `tuf-repo-cdn.sigstore.dev`.",
    )
    examiners: int = Field(
        default=3,
        ge=1,
        le=64,
        description="Number of processes that examine uploaded packages. One sender uses at most all but one of them.",
    )
    archive_members: int = Field(
        default=200_000,
        ge=10,
        le=10_000_000,
        description="Maximum number of members of a package, and of paths in each of its file lists.",
    )
    archive_unpacked_bytes: int = Field(
        default=16 * 1024**3, ge=1024**2, le=1024**4, description="Maximum unpacked size of a package, in bytes."
    )
    archive_unpacked_ratio: int = Field(
        default=1024,
        ge=10,
        le=1_000_000,
        description="Maximum unpacked size as a multiple of the file size; 64 MiB are added.",
    )
    archive_info_members: int = Field(
        default=20_000, ge=10, le=1_000_000, description="Maximum number of members of the info part of a package."
    )
    archive_info_bytes: int = Field(
        default=64 * 1024**2,
        ge=1024**2,
        le=1024**3,
        description="Maximum unpacked size of the info part of a package, in bytes.",
    )
    escaping_links: Literal["warn", "refuse"] = Field(
        default="warn", description="What to do with a package whose links point out of its folder: `warn` or `refuse`."
    )
    fetch_avatars: bool = Field(
        default=True,
        description="Whether a channel's logo can be set to the URL of a GitHub avatar, which the server downloads.",
    )
    secret_key: Annotated[SecretStr, AfterValidator(_secret_key)] = Field(
        default=SecretStr(""),
        description="Key that encrypts secrets in the database, 32 characters or more. Of several, separated by "
        "commas, the first encrypts. Empty: a key is created at the first start and kept in the store.",
    )
    keys_without_expiry: bool = Field(
        default=False,
        description="Whether users can create API keys that never expire. If not, keys expire after at most a year.",
    )
    secret_scanning_keys: Annotated[str, AfterValidator(_secret_scanning_keys)] = Field(
        default="",
        description="Public keys that verify reports of leaked API keys: a file, or a URL such as "
        "`https://api.github.com/meta/public_keys/secret_scanning`. Empty: reports are not accepted.",
    )
    sign_up: Literal["open", "closed"] = Field(
        default="open", description="Whether anyone can create an account: `open` or `closed`."
    )
    email_domains: str = Field(
        default="", description="Email domains that can sign up, separated by commas. Empty: any."
    )
    require_verification: bool = Field(
        default=True,
        description="Whether users must verify their email address before they create channels, API keys or "
        "publishers.",
    )
    require_second_factor: Literal["none", "owners", "all"] = Field(
        default="none",
        description="Who needs a second factor before they, their API keys and their command-line tools can change "
        "anything: `none`, `owners` (of channels) or `all`.",
    )
    mail_url: Annotated[SecretStr, AfterValidator(_mail_url)] = Field(
        default=SecretStr("folder:"),
        description="Where emails are sent: `smtp://user:password@host:587`, `smtps://...`, `folder:` for files in "
        "`data/mail` or `folder:///path`, `log:` for lines in the log.",
    )
    mail_from: Annotated[str, AfterValidator(_mail_from)] = Field(
        default="",
        description="Sender of emails, such as `Seaway <seaway@example.com>`. Empty: an address at the public host.",
    )
    stop_seconds: int = Field(
        default=30, ge=1, le=3_600, description="How many seconds a stop waits for uploads and downloads in progress."
    )
    github_client_id: str = Field(default="", description="Client ID of the OAuth app at GitHub.")
    github_client_secret: SecretStr = Field(default=SecretStr(""), description="Client secret of that app.")
    github_url: Annotated[str, AfterValidator(_github_url)] = Field(
        default="https://github.com",
        description="URL of GitHub, of your tenant at GHE.com, or of your GitHub Enterprise Server: `https://github.example.com`.",
    )
    google_client_id: str = Field(default="", description="Client ID of the OAuth client at Google.")
    google_client_secret: SecretStr = Field(default=SecretStr(""), description="Client secret of that client.")
    oidc: Annotated[list[OpenIdProvider], AfterValidator(_providers)] = Field(
        default=[],
        description="Other OpenID Connect providers, one `[[oidc]]` table each in `seaway.toml`, or a JSON list in "
        "the variable (see [Sign-in](sign-in.md)).",
    )
    log_format: Literal["text", "json"] = Field(default="text", description="Format of log lines: `text` or `json`.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Lowest level that is logged."
    )

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
        host = "localhost" if self.listens_on_all_addresses else f"[{self.host}]" if ":" in self.host else self.host
        return self.public_url or f"http://{host}:{self.port}"

    @property
    def listens_on_all_addresses(self) -> bool:
        """Whether the server listens on every address of this machine."""
        address = _ip_of(self.host)
        return address is not None and address.is_unspecified

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can connect."""
        address = _ip_of(self.host)
        return self.host == "localhost" if address is None else address.is_loopback

    @property
    def alias_urls(self) -> tuple[str, ...]:
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

    def without_secrets(self) -> dict[str, Any]:
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
    user_part, at, host = address.rpartition("@")  # the last @, since a password may contain one
    return f"{scheme}://{user_part.partition(':')[0]}{at}{host}"


def load(config: Path | None = None, **overrides: Any) -> Settings:
    """Read and validate the settings; `BadSetting` names the invalid one and how to correct it."""
    _refuse_unknown_variables()
    from_file = _from_file(config)
    from_options = {name: value for name, value in overrides.items() if value is not None}
    try:
        from_variables = Settings().model_dump(exclude_unset=True)
        settings = Settings(**{**from_file, **from_variables, **from_options})
    except ValidationError as error:
        raise _bad_setting(error) from None
    except SettingsError:
        raise BadSetting(
            "The variable SEAWAY_OIDC is not valid JSON.", "Set it to a list such as [{...}], or use seaway.toml."
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
            f"The configuration file {path} does not exist.", "Create it, or correct --config or SEAWAY_CONFIG."
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise BadSetting(f"The configuration file {path} cannot be read: {error}.", "Correct the file.") from None


def _refuse_unknown_variables() -> None:
    """Refuse unknown `SEAWAY_*` variables, since a misspelled one would be ignored silently."""
    known = {f"SEAWAY_{name}".upper() for name in Settings.model_fields} | _OTHER_VARIABLES
    for variable in sorted(os.environ):
        if variable.startswith("SEAWAY_") and variable not in known:
            raise BadSetting(
                f"The variable {variable} is not a setting.",
                "Correct its name or unset it; docs/operate/settings.md lists all settings.",
            )


def _bad_setting(error: ValidationError) -> BadSetting:
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"]) or "settings"
    if first["type"] == "extra_forbidden":
        return BadSetting(
            f"There is no setting named {name}.", "Correct its name; docs/operate/settings.md lists all settings."
        )
    reason = str(first["msg"]).removeprefix("Value error, ")
    is_secret = (name in Settings.model_fields and Settings.model_fields[name].annotation is SecretStr) or (
        name.startswith("oidc") and (name.endswith("secret") or not isinstance(first["input"], str))
    )
    problem = "cannot be used" if is_secret else f"is {first['input']!r}"
    return BadSetting(
        f"The setting {name} {problem}: {reason}.",
        f"Correct {name} in seaway.toml or SEAWAY_{name.partition('.')[0].upper()} in the environment.",
    )


def _check_memory(settings: Settings) -> None:
    if settings.storage_url.startswith("memory") and settings.workers > 1:
        raise BadSetting(
            f"The setting storage_url is memory:, which {settings.workers} workers cannot share.",
            "Set workers = 1 for a trial, or choose another storage_url.",
        )


def _check_downloads(settings: Settings) -> None:
    if settings.downloads == "x-accel" and not settings.effective_storage_url.startswith("file:"):
        raise BadSetting(
            f"The setting downloads is x-accel, but nginx cannot send files from {settings.storage_url}.",
            'Set downloads = "redirect" or "direct", or a storage_url such as file:///folder.',
        )


def _check_provider(name: str, client_id: str, client_secret: SecretStr) -> None:
    if bool(client_id) is not bool(client_secret.get_secret_value()):
        raise BadSetting(
            f"Only one of the settings {name}_client_id and {name}_client_secret is set.",
            "Set both or neither; docs/operate/sign-in.md says where to get them.",
        )


def _check_public_url(settings: Settings) -> None:
    parts = urlsplit(settings.public_url)
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK and not settings.insecure_http:
        raise BadSetting(
            f"The setting public_url is {settings.public_url!r}. Plain http exposes API keys on the network path.",
            "Put TLS in front and use https://, or on a closed network set insecure_http = true "
            "(SEAWAY_INSECURE_HTTP=true).",
        )
