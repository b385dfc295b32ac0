"""A storage URL -> the store behind it."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from seaway.errors import BadSetting
from seaway.storage.blobs import Blobs
from seaway.storage.disk import DiskBlobs
from seaway.storage.memory import MemoryBlobs

SCHEMES = ("file", "memory", "s3", "gs", "az")


@dataclass(frozen=True, slots=True)
class BucketAccess:
    """How to reach a bucket; what is empty is taken from the variables and files that each cloud's own tools read."""

    endpoint: str = ""
    region: str = ""
    access_key: str = ""
    secret_key: str = ""


def open_blobs(url: str, access: BucketAccess) -> Blobs:
    """
    The store at `file:///folder`, `memory:`, `s3://bucket/folder`, `gs://bucket/folder` or `az://container/folder`.

    `BadSetting` when the address cannot be one; whether the store answers is not asked here.
    """
    parts = urlsplit(url)
    if parts.scheme == "file":
        return DiskBlobs(Path(unquote(parts.path)))
    if parts.scheme == "memory":
        return MemoryBlobs()
    if parts.scheme in SCHEMES and parts.netloc:
        return _open_bucket(parts.scheme, parts.netloc, parts.path.strip("/"), access)
    raise BadSetting(
        f"The storage {url!r} cannot be used.",
        "Give file:///folder, memory:, s3://bucket, gs://bucket or az://container.",
    )


def _open_bucket(scheme: str, bucket: str, folder: str, access: BucketAccess) -> Blobs:
    # Imported here: 60 ms that a store in a folder does not need.
    from obstore.exceptions import BaseError
    from obstore.store import AzureStore, GCSStore, S3Store

    from seaway.storage.bucket import CLIENT, RETRIES, BucketBlobs, Store

    prefix = folder or None
    store: Store
    try:
        if scheme == "gs":
            store = GCSStore(bucket, prefix=prefix, client_options=CLIENT, retry_config=RETRIES)
        elif scheme == "az":
            store = AzureStore(bucket, prefix=prefix, client_options=CLIENT, retry_config=RETRIES)
        else:
            given = {
                "endpoint": access.endpoint,
                "region": access.region,
                "access_key_id": access.access_key,
                "secret_access_key": access.secret_key,
            }
            store = S3Store(
                bucket,
                prefix=prefix,
                client_options={**CLIENT, "allow_http": access.endpoint.startswith("http://")},
                retry_config=RETRIES,
                # The server compares what it got with this and refuses what changed on the way. Not every server
                # compares the hash of the body that is in the signature.
                checksum_algorithm="SHA256",
                **{name: value for name, value in given.items() if value},  # type: ignore[arg-type]
            )
    except BaseError as error:
        reason = str(error).partition("\n")[0][:200]
        raise BadSetting(
            f"The storage {scheme}://{bucket} cannot be opened: {reason}.", "Correct its settings."
        ) from None
    return BucketBlobs(store)
