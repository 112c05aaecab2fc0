"""The gateway's own routes: row-oriented answers in JSON, MessagePack and Arrow."""
