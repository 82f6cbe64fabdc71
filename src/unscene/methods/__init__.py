"""features -> loss. Kept empty of imports: `settings` must be readable without torch."""
