"""Attestations of package files: Sigstore verification, sidecars (CEP 50), provenance."""
