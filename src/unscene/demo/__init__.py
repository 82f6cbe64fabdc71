"""The whole story on generated footage."""
