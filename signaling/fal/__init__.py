"""The fal-compatible API: the stock fal clients, unchanged, on this machine's model (docs/fal.md)."""
