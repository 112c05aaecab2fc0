"""The gateway's OpenAPI document: made, written, and guarded against breaking changes."""
