"""Train everything on some labels, then test."""
