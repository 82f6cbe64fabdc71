"""Nothing -> footage whose motion and scene are known."""
