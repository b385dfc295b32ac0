"""Open the store at a storage URL."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from seaway.errors import BadSetting
from seaway.storage.blobs import BlobStore
from seaway.storage.disk import DiskBlobs
from seaway.storage.memory import MemoryBlobs

SCHEMES = ("file", "memory", "s3", "gs", "az")


@dataclass(frozen=True, slots=True)
class BucketAccess:
    """Access to a bucket; empty values are read from the environment variables and files of the cloud's own tools."""

    endpoint: str = ""
    region: str = ""
    access_key: str = ""
    secret_key: str = ""


def open_blobs(url: str, access: BucketAccess) -> BlobStore:
    """
    Open `file:///folder`, `memory:`, `s3://bucket/folder`, `gs://bucket/folder` or `az://container/folder`.

    `BadSetting` if the URL is invalid; the store is not contacted.
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
        "Use file:///folder, memory:, s3://bucket, gs://bucket or az://container.",
    )


def _open_bucket(scheme: str, bucket: str, folder: str, access: BucketAccess) -> BlobStore:
    # Imported here because it takes 60 ms, and a store in a folder does not need it.
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
            options = {
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
                # The server refuses bytes that do not have this checksum. Not every server compares the hash of the
                # body that is in the signature.
                checksum_algorithm="SHA256",
                **{name: value for name, value in options.items() if value},  # type: ignore[arg-type]
            )
    except BaseError as error:
        reason = str(error).partition("\n")[0][:200]
        raise BadSetting(
            f"The storage {scheme}://{bucket} cannot be opened: {reason}.", "Correct its settings."
        ) from None
    return BucketBlobs(store)
