"""Building of all parts of the server from the settings; the only place where they are connected."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from anyio import CapacityLimiter

from seaway.attestations.trusted_root import TrustedRoots
from seaway.attestations.tuf import TufRepository
from seaway.callers import email_limits
from seaway.callers.rate_limits import Limit
from seaway.clock import HOUR_MS, MINUTE_MS, Clock, SystemClock
from seaway.conda.limits import ArchiveLimits
from seaway.database.engine import Database
from seaway.database.migrate import prepare
from seaway.database.sqlite import SqliteDatabase
from seaway.encryption import secret_key
from seaway.encryption.cipher import Encryption
from seaway.errors import BadSetting
from seaway.fair_slots import FairSlots
from seaway.http.channel_responses import FileDelivery
from seaway.http.parts import RequestParts
from seaway.http.request_limits import RateLimiter
from seaway.indexing.channeldata import ChannelDataCache
from seaway.indexing.documents import Documents
from seaway.indexing.served_revisions import ServedRevisions
from seaway.indexing.shard_index import ShardIndexCache
from seaway.jobs.runner import Runner
from seaway.keys.account_keys import KeyPolicy
from seaway.mail.delivery import open_delivery
from seaway.mail.outbox import Outbox
from seaway.metric_events import EventCounter
from seaway.oauth.id_token_key import SigningKey
from seaway.oauth.provider import OAuthProvider
from seaway.oidc.fetching import fetch_keys
from seaway.oidc.key_sets import KeySets
from seaway.outbound import JsonClient
from seaway.packages.file_listings import ListingCache
from seaway.packages.overview import PackageOverviews
from seaway.pairing.paired_blobs import PairedBlobs
from seaway.pairing.pairing import Pairing
from seaway.publishing.batches import Batches
from seaway.publishing.examiners import Examiners
from seaway.publishing.logos import Logos
from seaway.publishing.publish import PublishingParts
from seaway.publishing.record import RecordingParts
from seaway.publishing.upload_rates import RefusedTime, UploadRate
from seaway.publishing.verify_attestation import AttestationParts
from seaway.secret_scanning.leaked_secrets import PublicKeys, SecretScanning
from seaway.server.job_handlers import JobHandlers
from seaway.serving.readiness import Readiness
from seaway.serving.resolve import ReadingParts
from seaway.serving.response_cache import ResponseCache
from seaway.serving.usage_counter import UsageCounter
from seaway.settings import Settings
from seaway.sign_in.external_login import ExternalLogin
from seaway.sign_in.identity_providers import GITHUB, GOOGLE, GOOGLE_ISSUER, LoginProtocol, Provider, Providers
from seaway.sign_in.openid_providers import OpenIdProviders
from seaway.sign_in.parts import AccountParts
from seaway.sign_in.passwords import Hasher
from seaway.sign_in.policy_settings import AccountPolicy, SecondFactorFor
from seaway.site import Site
from seaway.storage import keys
from seaway.storage.blobs import BlobStore
from seaway.storage.disk_reserve import Reserve
from seaway.storage.open_store import BucketAccess, open_blobs
from seaway.storage.spool import Spool
from seaway.trusted_publishing.exchange import TokenExchange, audience_of
from seaway.trusted_publishing.github_owners import with_owner_id
from seaway.trusted_publishing.issuer_kinds import github
from seaway.trusted_publishing.repository_ids import RepositoryIds

# More threads do not finish uploads faster, since examiners and one write lock serialize them; these sync their files
# in parallel, and share a commit.
_UPLOADS_AT_ONCE = 16
_UPLOADS_OF_A_SENDER = 12
_MIN_PIECE_BYTES = 256 * 1024  # tus clients send 500 kB or more
_DISK_THREADS = 24
_BUILDS_AT_ONCE = 2
_SEARCHES_AT_ONCE = 4
_EXCHANGES_AT_ONCE = 8
_FILE_LISTS_PER_MINUTE = 600  # ten a second is more than a browser shows; each may read an archive


@dataclass(frozen=True, slots=True)
class Seaway:
    """All parts of a running server."""

    settings: Settings
    site: Site
    pairing: Pairing
    documents: Documents
    runner: Runner
    request_parts: RequestParts

    def close(self) -> None:
        """Stop and close all parts; everything that was confirmed to a client is already stored."""
        self.runner.stop()
        self.request_parts.usage_counter.stop()
        self.request_parts.reading.served.stop()
        self.request_parts.publishing.disk.shutdown()
        self.request_parts.publishing.examiners.close()
        self.request_parts.logos.examiners.close()
        self.request_parts.exchanging.key_sets.close()
        self.documents.close()
        self.site.database.close()


def build(
    settings: Settings,
    clock: Clock | None = None,
    *,
    database: Database | None = None,
    blobs: BlobStore | None = None,
    counts: EventCounter | None = None,
    checks_pairing: bool = True,
) -> Seaway:
    """
    Open the database and store, creating them at the first start, and build all parts; given parts are used instead.

    With `checks_pairing=False`, database and store are used without checking that they belong together, for commands that
    pair them.
    """
    counts = counts or EventCounter()
    make_data_folder(settings)
    blobs = blobs or open_store(settings)
    database = database or open_database(settings)
    reserve = Reserve(settings.reserve_file, 0 if settings.database_url.get_secret_value() else settings.disk_reserve)
    pairing = Pairing(database, blobs)
    try:
        reserve.retry_with_reserve(partial(prepare, database))
        if checks_pairing:
            pairing.begin()
            blobs = PairedBlobs(blobs, pairing)
    except BaseException:  # includes a stop during the start: connections must be closed
        database.close()
        raise
    spool = Spool(settings.spool_folder)
    spool.clear_orphans()
    site = Site(
        database, blobs, spool, reserve, clock or SystemClock(), settings.site_url, settings.whole_document_limit
    )
    documents = Documents(site)
    accounts = _wire_accounts(settings, site)
    if checks_pairing:  # otherwise a new key could be written to the mount point of an unmounted store
        accounts.encryption.read_ahead()
    request_parts = _wire_request_parts(settings, site, documents, accounts, counts)
    handlers = JobHandlers(
        site=site,
        pairing=pairing,
        documents=documents,
        accounts=accounts,
        roots=request_parts.publishing.attesting.roots,
        repository=TufRepository(settings.data / "tuf") if settings.sigstore_refresh else None,
        sweep_max_percent=settings.sweep_max_percent,
        scrub_days=settings.scrub_days,
    )
    runner = Runner(database, site.clock, handlers.table(), metrics=counts)
    return Seaway(settings, site, pairing, documents, runner, request_parts)


def _wire_accounts(settings: Settings, site: Site) -> AccountParts:
    configured_keys = secret_key.of_setting(settings.secret_key.get_secret_value())
    sealer = Encryption(lambda: configured_keys or [secret_key.of_store(site.database, site.blobs)])
    post = open_delivery(settings.mail_url.get_secret_value(), settings.mail_folder)
    return AccountParts(
        site=site,
        hasher=Hasher(),
        encryption=sealer,
        outbox=Outbox(sealer, post, settings.effective_mail_from, email_limits.refusal, site.url),
        policy=_policy(settings),
    )


def _wire_request_parts(
    settings: Settings, site: Site, documents: Documents, accounts: AccountParts, counts: EventCounter
) -> RequestParts:
    database, clock = site.database, site.clock
    key_sets = KeySets(database, clock, fetch_keys)
    fetcher = JsonClient()
    keys_of_reports = PublicKeys(settings.secret_scanning_keys, lambda url: fetcher.get(url).json, clock)
    return RequestParts(
        site=site,
        accounts=accounts,
        openid=OAuthProvider(site, site.url, SigningKey(database, accounts.encryption)),
        external_login=ExternalLogin(
            accounts, Providers(list(_providers(settings))), fetcher, OpenIdProviders(fetcher, clock, key_sets)
        ),
        publishing=_wire_publishing(settings, site, accounts.outbox, counts),
        reading=ReadingParts(
            site=site,
            documents=documents,
            policy=accounts.policy,
            served=ServedRevisions(database, ShardIndexCache()),
            channel_datas=ChannelDataCache(),
            build_slots=CapacityLimiter(_BUILDS_AT_ONCE),
            memory=ResponseCache(database),
        ),
        overviews=PackageOverviews(),
        contents=ListingCache(site.blobs),
        exchanging=TokenExchange(
            site=site,
            key_sets=key_sets,
            outbox=accounts.outbox,
            look_up_owner=partial(
                with_owner_id, fetch=lambda url: fetcher.get(url).json_object(), api_url=github.API_URL
            ),
            repository_ids=RepositoryIds(clock, github.API_URL),
            audience=audience_of(site.url),
            counts=counts,
            slots=CapacityLimiter(_EXCHANGES_AT_ONCE),
        ),
        logos=Logos(site, _logo_examiners(), can_fetch=settings.fetch_avatars),
        secret_scanning=SecretScanning(site, keys_of_reports, accounts.outbox),
        delivery=_wire_delivery(settings, site.blobs),
        readiness=Readiness(site),
        key_rules=KeyPolicy(settings.keys_without_expiry),
        counts=counts,
        usage_counter=UsageCounter(site),
        search_slots=CapacityLimiter(_SEARCHES_AT_ONCE),
        list_rate_limit=RateLimiter(
            clock, _limit(settings.searches_per_minute, MINUTE_MS), "searches and lists from this address"
        ),
        file_list_limit=RateLimiter(
            clock, Limit(_FILE_LISTS_PER_MINUTE, MINUTE_MS), "lists and comparisons of files in packages"
        ),
        uses_request_host=not settings.public_url and not settings.is_loopback,
    )


def _wire_publishing(settings: Settings, site: Site, outbox: Outbox, counts: EventCounter) -> PublishingParts:
    rate, user_quota = UploadRate(_upload_limit(settings)), settings.user_quota or None
    return PublishingParts(
        site=site,
        examiners=Examiners(
            _archive_limits(settings),
            processes=settings.examiners,
            refuse_escaping_links=settings.escaping_links == "refuse",
        ),
        upload_limit=settings.upload_limit,
        user_quota=user_quota,
        min_piece_bytes=_MIN_PIECE_BYTES,
        rate=rate,
        refused_time=RefusedTime(site),
        upload_slots=FairSlots(_UPLOADS_AT_ONCE, share=_UPLOADS_OF_A_SENDER),
        threads=CapacityLimiter(_UPLOADS_AT_ONCE),
        batches=Batches(RecordingParts(site, rate, outbox, user_quota)),
        disk=ThreadPoolExecutor(_DISK_THREADS, thread_name_prefix="disk"),
        counts=counts,
        attesting=AttestationParts(TrustedRoots(site.database), (site.url, *settings.alias_urls)),
    )


def _providers(settings: Settings) -> Iterator[Provider]:
    if settings.github_client_id:
        yield Provider(
            name=GITHUB,
            title="GitHub",
            dialect=LoginProtocol.GITHUB,
            issuer=settings.github_url,
            client_id=settings.github_client_id,
            client_secret=settings.github_client_secret.get_secret_value(),
        )
    if settings.google_client_id:
        yield Provider(
            name=GOOGLE,
            title="Google",
            dialect=LoginProtocol.OPENID,
            issuer=GOOGLE_ISSUER,
            client_id=settings.google_client_id,
            client_secret=settings.google_client_secret.get_secret_value(),
            requires_verified_email=True,
        )
    for other in settings.oidc:
        yield Provider(
            name=other.name,
            title=other.title,
            dialect=LoginProtocol.OPENID,
            issuer=other.issuer,
            client_id=other.client_id,
            client_secret=other.client_secret.get_secret_value(),
            scopes=other.scopes,
        )


def _policy(settings: Settings) -> AccountPolicy:
    domains = settings.email_domains.replace(",", " ").split()
    return AccountPolicy(
        sign_up_open=settings.sign_up == "open",
        email_domains=frozenset(domain.lstrip("@").casefold() for domain in domains),
        require_verification=settings.require_verification,
        second_factor_for=SecondFactorFor(settings.require_second_factor),
    )


def _limit(count: int, per_ms: int) -> Limit | None:
    return Limit(count, per_ms) if count else None


def _logo_examiners() -> Examiners:
    """Create the process that handles logos, started at the first one, so that packages never wait for images."""
    return Examiners(ArchiveLimits(), processes=1, refuse_escaping_links=True)


def _archive_limits(settings: Settings) -> ArchiveLimits:
    return ArchiveLimits(
        members=settings.archive_members,
        max_unpacked_bytes=settings.archive_unpacked_bytes,
        unpacked_bytes_per_byte=settings.archive_unpacked_ratio,
        info_members=settings.archive_info_members,
        info_bytes=settings.archive_info_bytes,
        paths_json_bytes=settings.archive_info_bytes,
    )


def _upload_limit(settings: Settings) -> Limit | None:
    if not settings.uploads_per_hour:
        return None
    per_ms = settings.upload_burst * HOUR_MS // settings.uploads_per_hour
    return Limit(settings.upload_burst, max(1, per_ms))  # the clock counts whole milliseconds


def _wire_delivery(settings: Settings, blobs: BlobStore) -> FileDelivery:
    is_folder = blobs.local_path(keys.blob(bytes(32))) is not None
    return FileDelivery(
        blobs,
        index_max_age=settings.index_max_age,
        redirects=settings.downloads == "redirect" and not is_folder,
        uses_x_accel=settings.downloads == "x-accel" and is_folder,
    )


def open_database(settings: Settings) -> Database:
    """Open the database that the settings name."""
    url = settings.database_url.get_secret_value()
    if not url:
        return SqliteDatabase(settings.database_file, settings.locks_folder)
    # Imported only if needed, since it takes 100 ms to load.
    from seaway.database.postgres import PostgresDatabase

    return PostgresDatabase(url, connections=settings.database_connections)


def open_store(settings: Settings) -> BlobStore:
    """Open the store that the settings name."""
    return open_blobs(settings.effective_storage_url, bucket_access(settings))


def bucket_access(settings: Settings) -> BucketAccess:
    """Return the bucket credentials and endpoint of the settings."""
    return BucketAccess(
        endpoint=settings.s3_endpoint,
        region=settings.s3_region,
        access_key=settings.s3_access_key,
        secret_key=settings.s3_secret_key.get_secret_value(),
    )


def make_data_folder(settings: Settings) -> None:
    """Create the data folder, readable only by its owner, and the spool folder in it."""
    try:
        settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
        settings.spool_folder.mkdir(exist_ok=True)
    except OSError as error:
        raise BadSetting(
            f"The data folder {settings.data} cannot be used: {error.strerror}.",
            "Choose another one with --data or SEAWAY_DATA, or let this user write there.",
        ) from None
