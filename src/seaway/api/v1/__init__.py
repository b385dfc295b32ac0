"""The documented API, below /api/v1: JSON in and out, described by /api/v1/openapi.json, one file a noun."""
