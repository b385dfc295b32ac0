"""Limits for the examination of untrusted archives. They are parameters, so that a test can pass small ones."""

from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB


def limit_hint(setting: str) -> str:
    """Return the hint of a refusal whose limit is a setting."""
    return f"Split the package, or ask the operator of the server to raise {setting}."


@dataclass(frozen=True, slots=True)
class ArchiveLimits:
    """
    Limits of one examination.

    The limits of unpacked bytes and time grow with the file: a valid package of 1 GiB is large and slow, but one of
    600 bytes that unpacks to 512 MiB is an attack. Real packages unpack to at most about twenty times their size.
    The factor of a thousand allows for files full of zeros.
    """

    members: int = 200_000
    path_bytes: int = 4096
    min_unpacked_bytes: int = 64 * MIB
    max_unpacked_bytes: int = 16 * GIB
    unpacked_bytes_per_byte: int = 1024
    info_members: int = 20_000
    info_bytes: int = 64 * MIB
    index_json_bytes: int = 4 * MIB
    other_json_bytes: int = 1 * MIB
    paths_json_bytes: int = 64 * MIB
    hashed_bytes: int = 64 * MIB
    seconds_least: float = 20.0
    seconds_per_mib: float = 0.5
    memory_bytes: int = 2 * GIB

    def unpacked_bytes(self, file_size: int) -> int:
        """Return the limit in bytes of the unpacked size of a file of this size."""
        return min(self.max_unpacked_bytes, self.min_unpacked_bytes + self.unpacked_bytes_per_byte * file_size)

    def unpacked_setting(self, file_size: int) -> str:
        """Return the setting that limits the unpacked size of a file of this size."""
        is_by_ratio = self.unpacked_bytes(file_size) < self.max_unpacked_bytes
        return "archive_unpacked_ratio" if is_by_ratio else "archive_unpacked_bytes"

    def seconds(self, file_size: int) -> float:
        """Return the time limit in seconds of the examination of a file of this size."""
        return self.seconds_least + self.seconds_per_mib * file_size / MIB
